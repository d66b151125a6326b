//! Whole cycles, closed loop: a fixed number of commands under way at any time.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::LocalSet;

use crate::http::{Client, member};
use crate::report::{Report, percentile};
use crate::server::Server;
use crate::sink::Pushed;
use crate::{device, sink};

const SECRET: &str = "00112233445566778899";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The server's binary.
    #[arg(long, default_value = "target/release/downlink")]
    downlink: PathBuf,
    /// Where its data goes: on a disk; must not exist.
    #[arg(long, default_value = "target/bench-data")]
    data_dir: PathBuf,
    /// Devices connected.
    #[arg(long, default_value_t = 256)]
    devices: usize,
    /// Commands under way at any time.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Cycles measured; a tenth as many run before, not measured.
    #[arg(long, default_value_t = 20_000)]
    cycles: usize,
    /// `expireTime` of the commands; 0: immediate.
    #[arg(long, default_value_t = 3600)]
    expire_time: u32,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if options.data_dir.exists() {
        bail!("{} exists", options.data_dir.display());
    }
    std::fs::create_dir_all(&options.data_dir)?;
    let report = LocalSet::new().run_until(measure(&options)).await;
    std::fs::remove_dir_all(&options.data_dir)?;
    report?.print(options.json);
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Report> {
    let sync_p50 = sync_time(&options.data_dir)?;
    let server = Server::start(&options.downlink, &options.data_dir).await?;
    let pushed = Rc::new(RefCell::new(Pushed::default()));
    let receiver = sink::start(Rc::clone(&pushed)).await?;
    let token = login(server.northbound).await?;
    let devices = Rc::new(make_devices(&server, &token, options.devices).await?);
    let creators = Creators {
        server: server.northbound,
        receiver,
        token,
        devices,
        pushed,
        options,
    };

    creators.run(options.cycles / 10).await?;
    let (before, began) = (server.usage()?, Instant::now());
    let (create, whole) = creators.run(options.cycles).await?;
    let (after, wall) = (server.usage()?, began.elapsed());
    server.stop().await?;
    let pushed = creators.pushed.borrow();
    Ok(Report {
        cycles: whole.len(),
        in_flight: options.in_flight,
        devices: options.devices,
        wall,
        server_cpu: after.cpu - before.cpu,
        written: after.written - before.written,
        resident_kib: after.resident_kib,
        create,
        whole,
        lost: pushed.unfinished(),
        duplicates: pushed.duplicates,
        out_of_order: pushed.out_of_order,
        sync_p50,
    })
}

struct Creators<'a> {
    server: SocketAddr,
    receiver: SocketAddr,
    token: String,
    devices: Rc<Vec<String>>,
    pushed: Rc<RefCell<Pushed>>,
    options: &'a Options,
}

impl Creators<'_> {
    /// Runs `cycles`; gives the times to the 201 and to the last push.
    async fn run(&self, cycles: usize) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
        let left = Rc::new(RefCell::new(cycles));
        let mut tasks = Vec::new();
        for n in 0..self.options.in_flight {
            let mut client = Client::connect(self.server).await?;
            client.authorize("bench", &self.token);
            let (left, devices, pushed) = (
                Rc::clone(&left),
                Rc::clone(&self.devices),
                Rc::clone(&self.pushed),
            );
            let (receiver, expire) = (self.receiver, self.options.expire_time);
            tasks.push(tokio::task::spawn_local(async move {
                let (mut create, mut whole) = (Vec::new(), Vec::new());
                let mut turn = n;
                while take_one(&left) {
                    let device = &devices[turn % devices.len()];
                    turn += 64;
                    let began = Instant::now();
                    let id = create_command(&mut client, device, receiver, expire).await?;
                    create.push(began.elapsed());
                    let done = pushed.borrow_mut().done(&id);
                    let done = match done {
                        Ok(at) => at,
                        Err(later) => tokio::time::timeout(Duration::from_secs(60), later)
                            .await
                            .context("lost")??,
                    };
                    whole.push(done.saturating_duration_since(began));
                }
                anyhow::Ok((create, whole))
            }));
        }
        let (mut create, mut whole) = (Vec::new(), Vec::new());
        for task in tasks {
            let (some_create, some_whole) = task.await??;
            create.extend(some_create);
            whole.extend(some_whole);
        }
        Ok((create, whole))
    }
}

fn take_one(left: &RefCell<usize>) -> bool {
    let mut left = left.borrow_mut();
    match left.checked_sub(1) {
        Some(fewer) => {
            *left = fewer;
            true
        }
        None => false,
    }
}

async fn create_command(
    client: &mut Client,
    device: &str,
    receiver: SocketAddr,
    expire: u32,
) -> anyhow::Result<String> {
    let body = format!(
        r#"{{"deviceId":"{device}","command":{{"serviceId":"Lamp","method":"SWITCH","paras":{{"value":1}}}},"callbackUrl":"http://{receiver}/cb","expireTime":{expire}}}"#
    );
    let (status, answer) = client.post("/iocm/app/cmd/v1.4.0/deviceCommands", &body).await?;
    if status != 201 {
        bail!("create: {status} {answer}");
    }
    Ok(member(&answer, "commandId").context("a commandId")?.to_owned())
}

async fn login(server: SocketAddr) -> anyhow::Result<String> {
    let mut client = Client::connect(server).await?;
    let (status, answer) = client
        .post("/iocm/app/sec/v1.1.0/login", "appId=bench&secret=bench-secret")
        .await?;
    match member(&answer, "accessToken") {
        Some(token) => Ok(token.to_owned()),
        None => bail!("login: {status} {answer}"),
    }
}

async fn make_devices(server: &Server, token: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let mut client = Client::connect(server.northbound).await?;
    client.authorize("bench", token);
    let mut devices = Vec::new();
    for n in 0..count {
        let body =
            format!(r#"{{"deviceInfo":{{"nodeId":"bench-{n}"}},"mqttConnect":true,"secret":"{SECRET}"}}"#);
        let (status, answer) = client
            .post("/iocm/app/reg/v2.0.0/deviceCredentials", &body)
            .await?;
        let Some(device) = member(&answer, "deviceId") else {
            bail!("register: {status} {answer}")
        };
        device::connect(server.mqtt, device, SECRET).await?;
        devices.push(device.to_owned());
    }
    Ok(devices)
}

/// The median time of a small durable write on this disk, in this run.
fn sync_time(dir: &Path) -> anyhow::Result<Duration> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path)?;
    file.write_all(&[0; 4096 * 101])?;
    file.sync_all()?;
    let mut times = Vec::new();
    for _ in 0..101 {
        let began = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort();
    Ok(percentile(&times, 0.5))
}
