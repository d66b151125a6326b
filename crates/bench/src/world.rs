//! What stands around a server under test: the process itself, its disk, an application, devices, a receiver.

pub(crate) mod device;
pub(crate) mod disk;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod parallel;
pub(crate) mod server;
pub(crate) mod sink;
pub(crate) mod tls;
pub(crate) mod usage;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

use self::http::{Client, member};
use self::server::Server;

/// The secret of all devices here: one HMAC serves all of them.
pub(crate) const SECRET: &str = "00112233445566778899";
/// The application.
pub(crate) const APP: &str = "bench";
/// Its secret.
pub(crate) const APP_SECRET: &str = "bench-secret";

/// What every bench is told of the server it measures.
#[derive(clap::Args, Clone)]
pub(crate) struct Common {
    /// The server's binary
    #[arg(long, default_value = "target/release/downlink")]
    pub(crate) downlink: PathBuf,
    /// Where its data goes: on a disk; must not exist; removed at the end
    #[arg(long, default_value = "target/bench-data")]
    pub(crate) data_dir: PathBuf,
    /// An environment variable for the server, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// The server's log to this file, at level info; without it warnings go to stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Write the results as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// A program that runs the server's binary, with its arguments; empty: none does.
    #[arg(skip)]
    pub(crate) under: Vec<OsString>,
}

/// A connection, plain or over TLS.
pub(crate) type Stream = Pin<Box<dyn Bytes>>;

/// Bytes both ways.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Bytes for S {}

/// Connects to `to`, from the loopback address `from` if one is given.
pub(crate) async fn dial(to: SocketAddr, from: Option<SocketAddr>) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = from {
        socket.bind(from)?;
    }
    let stream = socket
        .connect(to)
        .await
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An access token of the application.
pub(crate) async fn login(server: &Server) -> anyhow::Result<String> {
    let mut client = Client::connect(server).await?;
    let form = format!("appId={APP}&secret={APP_SECRET}");
    let (status, answer) = client.post("/iocm/app/sec/v1.1.0/login", &form).await?;
    match member(&answer, "accessToken") {
        Some(token) => Ok(token.to_owned()),
        None => bail!("login: {status} {answer}"),
    }
}

/// What device number `n` calls itself.
pub(crate) fn node_id(n: u64) -> String {
    format!("bench-{n}")
}

/// Registers device number `n`; gives its id.
pub(crate) async fn register(client: &mut Client, n: u64) -> anyhow::Result<String> {
    let node_id = node_id(n);
    let body = format!(r#"{{"deviceInfo":{{"nodeId":"{node_id}"}},"mqttConnect":true,"secret":"{SECRET}"}}"#);
    let (status, answer) = client
        .post("/iocm/app/reg/v2.0.0/deviceCredentials", &body)
        .await?;
    match member(&answer, "deviceId") {
        Some(device) => Ok(device.to_owned()),
        None => bail!("register: {status} {answer}"),
    }
}

/// A command for a device; with an empty `callback` it names none. `number` tells it from all others on the device's side,
/// `pad` makes it larger.
pub(crate) fn command(device: &str, number: u64, pad: usize, callback: &str, expire: u32) -> String {
    let padding = match pad {
        0 => String::new(),
        pad => format!(r#","pad":"{}""#, "x".repeat(pad)),
    };
    let callback = match callback {
        "" => String::new(),
        url => format!(r#""callbackUrl":"{url}","#),
    };
    format!(
        r#"{{"deviceId":"{device}","command":{{"serviceId":"Lamp","method":"SWITCH","paras":{{"value":{number}{padding}}}}},{callback}"expireTime":{expire}}}"#
    )
}

/// Creates a command; gives its id.
pub(crate) async fn create(client: &mut Client, body: &str) -> anyhow::Result<String> {
    let (status, answer) = client.post("/iocm/app/cmd/v1.4.0/deviceCommands", body).await?;
    match (status, member(&answer, "commandId")) {
        (201, Some(id)) => Ok(id.to_owned()),
        _ => bail!("create: {status} {answer}"),
    }
}
