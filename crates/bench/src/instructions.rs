//! How many instructions a whole cycle costs the server, counted by callgrind: times tell the machine and its other
//! work, this tells the code. `--check` compares it to the bound in `instructions.toml`.
//!
//! A run of few cycles and one of many, each on a fresh data directory and to an orderly end; the difference is free of
//! the costs of start, login, connects and stop. The kernel's own work is not counted, and what the processor has
//! special instructions for that valgrind does not know (SHA, AVX-512) is done and counted in plain ones.
//!
//! The shape is what repeats best. One cycle at a time is slow and says little of how work is shared between commits;
//! with many, how they fall into commits is the machine's. With eight, repetitions differ by half a percent, and by one
//! and a half beside two busy processes.
//!
//! The server's settings, each of which `--set` overrides:
//!
//! - Under callgrind the server runs some 50 times slower, but clocks do not: waits and sweeps are 50 times as long as
//!   by default, so that as much of them falls on a cycle as otherwise.
//! - As many threads everywhere as on the smallest machine: with eight a cycle costs two percent more, for looking for
//!   work and for waking each other.
//! - A tail so short that it is moved a few times in a run: that is a part of what a command costs.
//! - The memory of a password's check comes from the system, zeroed. From the allocator it may have been used before, or
//!   not, as threads happen to run, and is zeroed or not: 9 million instructions, as many as 25 cycles.

mod bound;
mod callgrind;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use tokio::task::LocalSet;

use self::bound::Bound;
use crate::cycle::{COMMITS, Plan, Stage};
use crate::report::{Report, Run, median};
use crate::world::server::Target;
use crate::world::{Common, disk};

const SETTINGS: &[&str] = &[
    "DOWNLINK_STORE_LAZY_WAIT_MS=400",
    "DOWNLINK_PUSH_RECORD_WAIT_MS=50000",
    "DOWNLINK_PUSH_RECORD_GATHER_MS=1000",
    "DOWNLINK_ENGINE_QUEUE_SWEEP_MS=250000",
    "DOWNLINK_ENGINE_EXPIRY_SWEEP_MS=25000",
    "DOWNLINK_ENGINE_OPEN_SWEEP_MS=250000",
    "DOWNLINK_SERVER_THREADS=1",
    "DOWNLINK_STORE_TAIL=256",
    "MIMALLOC_ARENA_MAX_OBJECT_SIZE=8MiB",
];

const FIGURE: &str = "instructions_per_cycle";

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Fail if a cycle costs more than the bound and its room
    #[arg(long, conflicts_with_all = ["in_flight", "devices", "few", "many", "set"])]
    check: bool,
    /// Where the bound stands
    #[arg(long, default_value = "crates/bench/instructions.toml")]
    bound: PathBuf,
    /// Repetitions, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Commands under way at any time
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Devices connected
    #[arg(long, default_value_t = 32)]
    devices: usize,
    /// Cycles of the run of few
    #[arg(long, default_value_t = 200)]
    few: usize,
    /// Cycles of the run of many
    #[arg(long, default_value_t = 1200)]
    many: usize,
}

impl Options {
    /// With the settings of the module, and the server under callgrind.
    fn common(&self) -> Common {
        let mut common = self.common.clone();
        let settings = SETTINGS.iter().map(|setting| (*setting).to_owned());
        common.set = settings.chain(common.set).collect();
        common.under = callgrind::words(&self.profile());
        common
    }

    /// Callgrind's profile of the last run, for `callgrind_annotate`. It stays, beside the data directory.
    fn profile(&self) -> PathBuf {
        self.common.data_dir.with_extension("callgrind")
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if options.many <= options.few {
        bail!("--many has to be more than --few");
    }
    let mut report = Report::new("instructions");
    report.fact("in_flight", options.in_flight);
    report.fact("devices", options.devices);
    report.fact("valgrind", callgrind::version()?);
    let mut each = Vec::new();
    for turn in 1..=options.runs {
        eprintln!("run {turn} of {}", options.runs);
        let run = repetition(&options).await?;
        each.extend(run.value(FIGURE));
        report.add("downlink", run);
    }
    report.give(options.common.json.as_deref())?;
    let measured = median(each).context("no figure")? as u64;
    println!("bound = {measured}");
    match options.check {
        true => Bound::read(&options.bound)?.check(measured),
        false => Ok(()),
    }
}

/// What a run cost until its end.
struct Cost {
    instructions: u64,
    commits: f64,
}

async fn repetition(options: &Options) -> anyhow::Result<Run> {
    let began = Instant::now();
    let few = cost(options, options.few).await?;
    let many = cost(options, options.many).await?;
    let cycles = (options.many - options.few) as f64;
    let each = (many.instructions as f64 - few.instructions as f64) / cycles;
    let mut run = Run::default();
    run.add(FIGURE, each);
    run.add("commits_per_cycle", (many.commits - few.commits) / cycles);
    run.add(
        "instructions_beside",
        few.instructions as f64 - each * options.few as f64,
    );
    run.add("seconds", began.elapsed().as_secs_f64());
    Ok(run)
}

async fn cost(options: &Options, cycles: usize) -> anyhow::Result<Cost> {
    let common = options.common();
    disk::prepare(&common.data_dir)?;
    let driven = LocalSet::new().run_until(drive(options, &common, cycles)).await;
    std::fs::remove_dir_all(&common.data_dir)?;
    let commits = driven?;
    Ok(Cost {
        instructions: callgrind::total(&options.profile())?,
        commits,
    })
}

/// A server's whole life, with so many cycles in it; gives its commits.
async fn drive(options: &Options, common: &Common, cycles: usize) -> anyhow::Result<f64> {
    let plan = Plan {
        devices: options.devices,
        payload: 0,
        expire_time: 3600,
        tls: false,
    };
    let stage = Stage::set(Target::Downlink, common, &plan).await?;
    let load = stage.load(options.in_flight);
    let legs = load.closed(cycles).await?;
    let strays = {
        let pushed = load.counts();
        pushed.duplicates + pushed.out_of_order
    };
    if legs.lost + strays > 0 {
        bail!("{} cycles were lost, {strays} pushes went astray", legs.lost);
    }
    let commits = stage.server.metric(COMMITS).await?;
    stage.server.stop().await?;
    commits.context("the server does not count its commits")
}
