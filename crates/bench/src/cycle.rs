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
use crate::world::usage::Usage;
use crate::world::{Common, http};

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
    let load = stage.load(options.in_flight);
    load.closed(options.cycles / 10).await?;
    let (before, own, began) = (stage.server.usage()?, Usage::own()?, Instant::now());
    let legs = match options.rate {
        None => load.closed(options.cycles).await?,
        Some(rate) => load.open(options.cycles, rate).await?,
    };
    let wall = began.elapsed();
    let (after, own_after) = (stage.server.usage()?, Usage::own()?);
    let spent = Usage {
        cpu: after.cpu.saturating_sub(before.cpu),
        written: after.written - before.written,
        resident_kib: after.resident_kib,
    };
    figures(&mut run, &load, legs, spent, wall);
    run.add(
        "driver_cpu_share",
        (own_after.cpu.saturating_sub(own.cpu)).as_secs_f64() / wall.as_secs_f64(),
    );
    run.add_times("sync", &mut syncs);
    stage.server.kill().await?;
    Ok(run)
}

fn figures(run: &mut Run, load: &Load, mut legs: Legs, spent: Usage, wall: Duration) {
    let cycles = legs.whole.count().max(1) as f64;
    let cpu_us = spent.cpu.as_secs_f64() * 1e6 / cycles;
    run.add("cycles_per_s", cycles / wall.as_secs_f64());
    run.add("cpu_us_per_cycle", cpu_us);
    run.add("cycles_per_s_per_core", 1e6 / cpu_us);
    run.add("bytes_written_per_cycle", spent.written as f64 / cycles);
    run.add("resident_mib", spent.resident_kib as f64 / 1024.0);
    run.add_times("create", &mut legs.create);
    run.add_times("device", &mut legs.device);
    run.add_times("result_push", &mut legs.whole);
    let pushed = load.pushed.borrow();
    run.add("lost", legs.lost as f64);
    run.add("duplicates", pushed.duplicates as f64);
    run.add("out_of_order", pushed.out_of_order as f64);
}

/// Creates one by one for a device that is not connected: each answer has to have cost a sync.
async fn durable(stage: &Stage, options: &Options, sync_p50: Duration) -> anyhow::Result<()> {
    const CREATES: u64 = 16;
    let mut client = http::Client::authorized(&stage.server, &stage.token).await?;
    let absent = crate::world::register(&mut client, options.plan.devices).await?;
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
