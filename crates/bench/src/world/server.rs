//! The server under test: a child process with its listeners on free ports.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::tls::Tls;
use super::usage::Usage;
use super::{APP, APP_SECRET, Common};

/// Longest start: a store with a million open commands has to be up by then.
const START: Duration = Duration::from_secs(60);
/// Longest orderly end.
const STOP: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The server.
    Downlink,
    /// The least that can be done.
    Floor,
}

impl Target {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Downlink => "downlink",
            Self::Floor => "floor",
        }
    }
}

/// Where devices connect, and how.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Tls,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) northbound: SocketAddr,
    mqtt: SocketAddr,
    /// Where devices speak CoAP, if they may, and CoAP over DTLS.
    pub(crate) coap: Option<SocketAddr>,
    pub(crate) coaps: Option<SocketAddr>,
    /// Where its metrics are, if it has any.
    admin: Option<SocketAddr>,
    /// How to talk to its ports.
    pub(crate) tls: Tls,
    /// From its start to its readiness.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts `target` on the data directory, which is there, and waits until it accepts work. With TLS all of its ports are
    /// encrypted and it trusts the bench's receiver.
    pub(crate) async fn start(target: Target, common: &Common, tls: Tls) -> anyhow::Result<Self> {
        let mut command = command(target, common, &tls)?;
        if let Some(log) = &common.log {
            let log = File::options().create(true).append(true).open(log)?;
            command.stderr(log).env("DOWNLINK_LOG_LEVEL", "info");
        }
        for setting in &common.set {
            let (name, value) = setting.split_once('=').context("--set NAME=VALUE")?;
            command.env(name, value);
        }
        let began = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take().context("the child has a stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(START, lines.next_line()).await??;
        let ready = ready.context("the server ended before it was ready")?;
        let (northbound, mqtt) = match tls {
            Tls::Off => ("northbound-plain=http://", "mqtt="),
            Tls::On(_) => ("northbound=https://", "mqtts="),
        };
        Ok(Self {
            child,
            _stdout: lines,
            northbound: address(&ready, northbound)?,
            mqtt: address(&ready, mqtt)?,
            coap: address(&ready, "coap=").ok(),
            coaps: address(&ready, "coaps=").ok(),
            admin: address(&ready, "admin=http://").ok(),
            tls,
            started_in: began.elapsed(),
        })
    }

    /// Where devices connect.
    pub(crate) fn door(&self) -> Door {
        Door {
            address: self.mqtt,
            tls: self.tls.clone(),
        }
    }

    /// Where applications call.
    pub(crate) fn applications(&self) -> Door {
        Door {
            address: self.northbound,
            tls: self.tls.clone(),
        }
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server is gone")
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid()?)
    }

    /// One of its metrics now, if it has it.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<Option<f64>> {
        let Some(admin) = self.admin else { return Ok(None) };
        let text = super::http::get(admin, "/metrics").await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?)
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Asks it to end, and waits until it has: in order, or this is an error.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid()?.try_into()?).context("a pid")?;
        kill_process(pid, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP, self.child.wait()).await;
        let status = ended.context("the server did not end when asked to")??;
        match status.success() {
            true => Ok(()),
            false => bail!("the server ended with {status}"),
        }
    }
}

fn command(target: Target, common: &Common, tls: &Tls) -> anyhow::Result<Command> {
    let dir = common.data_dir.as_path();
    match target {
        Target::Floor => {
            if let Tls::On(_) = tls {
                bail!("the floor has no TLS: measure it plain");
            }
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("floor-server").arg(dir);
            Ok(command)
        }
        Target::Downlink => {
            let mut command = under(&common.under, &common.downlink);
            serve(&mut command, dir, tls);
            Ok(command)
        }
    }
}

/// The binary, run by the program `words[0]` if there is one.
fn under(words: &[OsString], binary: &Path) -> Command {
    match words {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    }
}

fn serve(command: &mut Command, dir: &Path, tls: &Tls) {
    command.args(["serve", "--admin", "127.0.0.1:0", "--push-allow", "127.0.0.0/8"]);
    command.arg("--app").arg(format!("{APP}:{APP_SECRET}"));
    command.arg("--data-dir").arg(dir);
    command.env("DOWNLINK_LOG_LEVEL", "warn");
    match tls {
        Tls::Off => {
            command.args(["--northbound", "off", "--northbound-plain", "127.0.0.1:0"]);
            command.args(["--mqtt", "127.0.0.1:0"]);
        }
        Tls::On(authority) => {
            command.args([
                "--northbound",
                "127.0.0.1:0",
                "--mqtt",
                "off",
                "--mqtts",
                "127.0.0.1:0",
            ]);
            let roots: PathBuf = authority.roots().to_owned();
            command.env("SSL_CERT_FILE", roots);
        }
    }
}

fn address(ready: &str, key: &str) -> anyhow::Result<SocketAddr> {
    let word = ready.split(' ').find_map(|word| word.strip_prefix(key));
    Ok(word.with_context(|| format!("no {key} in `{ready}`"))?.parse()?)
}
