//! Pages of long lists over HTTP: a million commands of a hundred thousand devices, made by creates. How long the first
//! hundred pages of each list take, and deep ones; and what creates feel of somebody who reads pages all the time.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::LocalSet;

use crate::backlog::fill::Fill;
use crate::cycle::{Plan, Stage};
use crate::report::{Report, Run, Times};
use crate::world::http::Client;
use crate::world::server::Target;
use crate::world::{Common, command, create, disk, limits};

/// How long creates are measured, with and without somebody who reads.
const WRITING: Duration = Duration::from_secs(10);
/// Rest between creates.
const REST: Duration = Duration::from_millis(2);
/// Pages from the beginning.
const FIRST: u64 = 100;
/// Deep pages of each list.
const DEEP: u64 = 20;

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Devices
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    devices: u64,
    /// Commands of each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    depth: u64,
    /// Entries of a page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    page_size: u64,
}

/// A list: its name, its path with all but the page, and how many entries it has.
type List = (&'static str, String, u64);

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(400)?;
    let mut report = Report::new("pages");
    report.fact("devices", options.devices);
    report.fact("commands", options.devices * options.depth);
    report.fact("page_size", options.page_size);
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let done = LocalSet::new().run_until(measure(&options, &mut report)).await;
    std::fs::remove_dir_all(dir)?;
    report.give(options.common.json.as_deref())?;
    done
}

async fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let plan = Plan {
        devices: 1,
        payload: 0,
        expire_time: 172_800,
        tls: false,
    };
    let mut common = options.common.clone();
    // The list alone is as long as the limit.
    common.set.push("DOWNLINK_COMMANDS_MAX_OPEN_PER_APP=0".to_owned());
    let stage = Stage::open(Target::Downlink, &common, &plan).await?;
    eprintln!("registering {} devices", options.devices);
    let devices = stage.enroll(0..options.devices).await?;
    eprintln!("creating {} commands", options.devices * options.depth);
    let fill = Fill::new(&stage, Rc::clone(&devices), options.depth);
    fill.measure(&options.common.data_dir, &mut Report::new("fill"))
        .await?;
    let mut client = Client::authorized(&stage.server, &stage.token).await?;
    for (name, path, entries) in lists(options, &devices[0]) {
        report.add(name, pages(&mut client, &path, entries, options.page_size).await?);
        eprintln!("  {name}");
    }
    let path = format!(
        "/iocm/app/cmd/v1.4.0/deviceCommands?pageSize={}",
        options.page_size
    );
    report.add("creates_alone", writing(&stage, &devices, None).await?);
    let all = options.devices * options.depth / options.page_size;
    report.add(
        "creates_beside_a_reader",
        writing(&stage, &devices, Some((path, all))).await?,
    );
    stage.server.kill().await
}

fn lists(options: &Options, device: &str) -> Vec<List> {
    let (commands, devices) = (options.devices * options.depth, options.devices);
    let size = options.page_size;
    let of_commands = format!("/iocm/app/cmd/v1.4.0/deviceCommands?pageSize={size}");
    let of_devices = format!("/iocm/app/dm/v1.4.0/devices?pageSize={}", size.min(250));
    vec![
        ("commands", of_commands.clone(), commands),
        (
            "commands_in_a_window",
            format!("{of_commands}&startTime=20200101T000000Z&endTime=20991231T000000Z"),
            commands,
        ),
        (
            "commands_of_a_device",
            format!("{of_commands}&deviceId={device}"),
            options.depth,
        ),
        ("devices", of_devices.clone(), devices),
        (
            "devices_by_status",
            format!("{of_devices}&status=OFFLINE"),
            devices,
        ),
        ("devices_descending", format!("{of_devices}&sort=DESC"), devices),
    ]
}

/// The first pages, and deep ones spread over the rest.
async fn pages(client: &mut Client, path: &str, entries: u64, size: u64) -> anyhow::Result<Run> {
    let (last, mut run) = (entries.div_ceil(size).max(1), Run::default());
    let mut first = Times::default();
    for page in 0..FIRST.min(last) {
        first.add(page_of(client, path, page).await?);
    }
    run.add("first_pages", first.count() as f64);
    told(&mut run, "first", &mut first);
    let mut deep = Times::default();
    if last > FIRST {
        for n in 1..=DEEP {
            deep.add(page_of(client, path, FIRST + (last - 1 - FIRST) * n / DEEP).await?);
        }
    }
    told(&mut run, "deep", &mut deep);
    Ok(run)
}

async fn page_of(client: &mut Client, path: &str, page: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let (status, body) = client.call("GET", &format!("{path}&pageNo={page}"), "").await?;
    ensure!(status == 200, "{path}: {status} {body}");
    Ok(began.elapsed())
}

/// Creates one after the other, while somebody reads page after page all over the list, if there is a list.
async fn writing(stage: &Stage, devices: &[String], read: Option<(String, u64)>) -> anyhow::Result<Run> {
    let mut client = Client::authorized(&stage.server, &stage.token).await?;
    let mut reader = Client::authorized(&stage.server, &stage.token).await?;
    let until = Instant::now() + WRITING;
    let reading = async {
        let mut read_pages = 0_u64;
        while let Some((path, last)) = &read
            && Instant::now() < until
        {
            page_of(&mut reader, path, read_pages * 7919 % last).await?;
            read_pages += 1;
        }
        anyhow::Ok(read_pages)
    };
    let writing = async {
        let (mut times, mut number) = (Times::default(), 0_u64);
        while Instant::now() < until {
            let device = &devices[number as usize % devices.len()];
            let body = command(device, number, 0, &stage.callback, 172_800);
            let began = Instant::now();
            create(&mut client, &body).await?;
            times.add(began.elapsed());
            number += 1;
            tokio::time::sleep(REST).await;
        }
        anyhow::Ok(times)
    };
    let (read_pages, mut times) = tokio::try_join!(reading, writing)?;
    let mut run = Run::default();
    run.add("creates", times.count() as f64);
    told(&mut run, "create", &mut times);
    run.add("pages_read", read_pages as f64);
    Ok(run)
}

fn told(run: &mut Run, name: &str, times: &mut Times) {
    for (label, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        run.add(format!("{name}_ms_{label}"), times.at(share).as_secs_f64() * 1e3);
    }
}
