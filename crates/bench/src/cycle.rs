//! Whole cycles, in turns with the floor: closed loop (so many commands under way at any time) or open loop (so many a
//! second, each timed from the instant it was due).

pub(crate) mod load;
mod stage;

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::LocalSet;

use self::load::{Legs, Load};
pub(crate) use self::stage::{Plan, Stage};
use crate::report::{Report, Run};
use crate::world::disk;
use crate::world::server::Target;
use crate::world::usage::{Span, Spent};
use crate::world::{Common, http, limits};

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Runs, each of the server and then of the floor
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// What is measured
    #[arg(long, value_enum, default_value_t = What::Both)]
    pub(crate) what: What,
    /// Commands under way at any time; in an open loop, creates at once
    #[arg(long, default_value_t = 64)]
    pub(crate) in_flight: usize,
    /// Cycles measured; a tenth as many run before, not measured
    #[arg(long, default_value_t = 20_000)]
    pub(crate) cycles: usize,
    /// Open loop: cycles begun per second
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Check besides that lone creates cost a sync of the disk each
    #[arg(long)]
    pub(crate) durable: bool,
}

/// The metric of all commits.
pub(crate) const COMMITS: &str = "downlink_store_commits";

/// What a run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// The server, and beside it the floor
    Both,
    /// The server only
    Downlink,
    /// The floor only
    Floor,
}

impl What {
    pub(crate) fn targets(self) -> &'static [Target] {
        match self {
            Self::Both => &[Target::Downlink, Target::Floor],
            Self::Downlink => &[Target::Downlink],
            Self::Floor => &[Target::Floor],
        }
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(options.plan.devices as u64)?;
    let mut report = Report::new("cycle");
    report.fact("in_flight", options.in_flight);
    report.fact("devices", options.plan.devices);
    report.fact("cycles", options.cycles);
    report.fact("payload", options.plan.payload);
    report.fact("tls", options.plan.tls);
    if let Some(rate) = options.rate {
        report.fact("rate", rate);
    }
    for turn in 1..=options.runs {
        for &target in options.what.targets() {
            eprintln!("run {turn} of {}: {}", options.runs, target.name());
            report.add(target.name(), one(&options, target).await?);
        }
    }
    report.give(options.common.json.as_deref())
}

/// One run, on a fresh data directory.
pub(crate) async fn one(options: &Options, target: Target) -> anyhow::Result<Run> {
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let run = LocalSet::new().run_until(measure(options, target)).await;
    std::fs::remove_dir_all(dir)?;
    run
}

async fn measure(options: &Options, target: Target) -> anyhow::Result<Run> {
    let mut syncs = disk::sync_times(&options.common.data_dir)?;
    let stage = Stage::set(target, &options.common, &options.plan).await?;
    let mut run = Run::default();
    if options.durable {
        durable(&stage, options, syncs.at(0.5)).await?;
    }
    loaded(&stage, options.in_flight, options.cycles, options.rate, &mut run).await?;
    run.add_times("sync", &mut syncs);
    stage.server.kill().await?;
    Ok(run)
}

/// A tenth of so many cycles, not measured, then all of them, measured.
pub(crate) async fn loaded(
    stage: &Stage,
    in_flight: usize,
    cycles: usize,
    rate: Option<f64>,
    run: &mut Run,
) -> anyhow::Result<()> {
    let load = stage.load(in_flight);
    load.closed(cycles / 10).await?;
    let commits = stage.server.metric(COMMITS).await?;
    let span = Span::of(stage.server.pid()?)?;
    let legs = match rate {
        None => load.closed(cycles).await?,
        Some(rate) => load.open(cycles, rate).await?,
    };
    figures(run, &load, legs, span.spent()?);
    if let (Some(before), Some(after)) = (commits, stage.server.metric(COMMITS).await?) {
        run.add("commits_per_cycle", (after - before) / cycles.max(1) as f64);
    }
    run.add("resident_mib", stage.server.usage()?.resident_kib as f64 / 1024.0);
    Ok(())
}

fn figures(run: &mut Run, load: &Load, mut legs: Legs, spent: Spent) {
    let cycles = legs.whole.count();
    run.add("cycles_per_s", spent.rate(cycles));
    run.add("cpu_us_per_cycle", spent.cpu_us(cycles));
    run.add("cycles_per_s_per_core", 1e6 / spent.cpu_us(cycles));
    run.add("bytes_written_per_cycle", spent.bytes(cycles));
    run.add_times("create", &mut legs.create);
    run.add_times("device", &mut legs.device);
    run.add_times("result_push", &mut legs.whole);
    let pushed = load.counts();
    run.add("lost", legs.lost as f64);
    run.add("duplicates", pushed.duplicates as f64);
    run.add("out_of_order", pushed.out_of_order as f64);
    run.add("driver_cpu_share", spent.driver_share());
}

/// Creates one by one for a device that is not connected: each answer has to have cost a sync.
async fn durable(stage: &Stage, options: &Options, sync_p50: Duration) -> anyhow::Result<()> {
    const CREATES: u64 = 16;
    let mut client = http::Client::authorized(&stage.server, &stage.token).await?;
    let absent = crate::world::register(&mut client, options.plan.devices as u64).await?;
    let (flushes, began) = (disk::flushes(&options.common.data_dir)?, Instant::now());
    for n in 0..CREATES {
        let body = crate::world::command(&absent, n, 0, &stage.callback, options.plan.expire_time);
        crate::world::create(&mut client, &body).await?;
    }
    let took = began.elapsed();
    let flushes = disk::flushes(&options.common.data_dir)? - flushes;
    eprintln!(
        "{CREATES} creates one by one: {flushes} flushes of the disk, {took:?}; a sync takes {sync_p50:?}"
    );
    if stage.target == Target::Floor {
        bail!("--durable is a check of the server: choose --what downlink");
    }
    disk::spent(flushes, CREATES, took, sync_p50)
}
