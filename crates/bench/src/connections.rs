//! Many connected devices: what an idle one costs in memory, what connecting one costs, how fast their reports are
//! acknowledged, and what whole cycles cost beside them. One series for each number of devices, each on a new server.

pub(crate) mod reports;

use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::LocalSet;

use crate::cycle::{Plan, Stage, loaded};
use crate::report::{Report, Run};
use crate::world::server::Target;
use crate::world::usage::{Span, Usage, anonymous_kib};
use crate::world::{Common, Stream, disk, fleet, limits};

/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Devices connected
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Measure every so many devices up to the count, not at the count only
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    step: Option<u64>,
    /// Reports from each device, 200,000 in all at the most
    #[arg(long, default_value_t = 40)]
    messages: u64,
    /// Whole cycles over all devices, 64 under way, after one for each device that is not measured
    #[arg(long, default_value_t = 20_000)]
    cycles: usize,
    /// Runs for each number of devices
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// TLS on all sides
    #[arg(long)]
    tls: bool,
}

impl Options {
    fn counts(&self) -> Vec<u64> {
        let step = self.step.unwrap_or(self.count);
        let mut counts: Vec<u64> = (1..=self.count / step).map(|n| n * step).collect();
        if counts.last() != Some(&self.count) {
            counts.push(self.count);
        }
        counts
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(options.count)?;
    let mut report = Report::new("connections");
    report.fact("tls", options.tls);
    report.fact("cycles", options.cycles);
    for turn in 1..=options.runs {
        for count in options.counts() {
            eprintln!("run {turn} of {}: {count} devices", options.runs);
            report.add(&count.to_string(), one(&options, count).await?);
        }
    }
    report.give(options.common.json.as_deref())
}

async fn one(options: &Options, count: u64) -> anyhow::Result<Run> {
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let run = LocalSet::new().run_until(measure(options, count)).await;
    std::fs::remove_dir_all(dir)?;
    run
}

async fn measure(options: &Options, count: u64) -> anyhow::Result<Run> {
    let plan = Plan {
        devices: count as usize,
        payload: 0,
        expire_time: 3600,
        tls: options.tls,
    };
    let mut run = Run::default();
    run.add("count", count as f64);
    let mut stage = Stage::open(Target::Downlink, &options.common, &plan).await?;
    let devices = enrolled(&stage, count, &mut run).await?;
    let mut streams = connected(&stage, &devices, &mut run).await?;
    if options.messages > 0 {
        eprintln!("  reports");
        streams = reports::measure(&stage, &devices, streams, options.messages, &mut run).await?;
    }
    stage.answer(devices, streams);
    if options.cycles > 0 {
        eprintln!("  cycles");
        // What a device's first command costs once is not what is compared here.
        stage.load(64).closed(count as usize).await?;
        loaded(&stage, 64, options.cycles, None, &mut run).await?;
    }
    stage.server.kill().await?;
    Ok(run)
}

async fn enrolled(stage: &Stage, count: u64, run: &mut Run) -> anyhow::Result<Rc<Vec<String>>> {
    let span = Span::of(stage.server.pid()?)?;
    let devices = stage.enroll(0..count).await?;
    let spent = span.spent()?;
    run.add("registered_per_s", spent.rate(count));
    run.add("cpu_us_per_register", spent.cpu_us(count));
    Ok(devices)
}

/// Connects all, and compares the memory of the server before and after.
async fn connected(stage: &Stage, devices: &Rc<Vec<String>>, run: &mut Run) -> anyhow::Result<Vec<Stream>> {
    tokio::time::sleep(SETTLE).await;
    let (pid, count) = (stage.server.pid()?, devices.len() as u64);
    let before = Memory::of(pid)?;
    let span = Span::of(pid)?;
    let streams = fleet::connect(&stage.server, devices).await?;
    let spent = span.spent()?;
    tokio::time::sleep(SETTLE).await;
    let after = Memory::of(pid)?;
    ensure!(streams.len() as u64 == count, "devices are missing");
    run.add("connects_per_s", spent.rate(count));
    run.add("cpu_us_per_connect", spent.cpu_us(count));
    run.add("before_resident_mib", before.resident / 1024.0);
    run.add("after_resident_mib", after.resident / 1024.0);
    let each = |before: f64, after: f64| (after - before) * 1024.0 / count as f64;
    run.add("bytes_per_connection", each(before.resident, after.resident));
    if let (Some(before), Some(after)) = (before.anonymous, after.anonymous) {
        run.add("anonymous_bytes_per_connection", each(before, after));
    }
    Ok(streams)
}

/// Of the server, in KiB.
struct Memory {
    resident: f64,
    anonymous: Option<f64>,
}

impl Memory {
    fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            resident: Usage::of(pid)?.resident_kib as f64,
            anonymous: anonymous_kib(pid).map(|kib| kib as f64),
        })
    }
}
