//! Pushes alone: commands that wait for absent devices are all cancelled, which makes one push each; or commands go through
//! their whole cycle, which makes three. Beside it, in turns, the same server does the same with commands that name no callback,
//! and a bare client posts as many of the same to the same receiver, as fast as the server did and as fast as it can: what the first costs
//! more than the second is what pushing costs, and the others are the least that it can.

mod bare;
mod cancel;
mod cycles;

use std::process::Stdio;
use std::rc::Rc;

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio::task::LocalSet;

use self::bare::Outcome;
pub(crate) use self::bare::{Options as BareOptions, run as run_bare};
use self::cancel::By;
use crate::cycle::{Plan, Stage};
use crate::report::{Report, Run};
use crate::world::server::Target;
use crate::world::sink::{self, Pushed};
use crate::world::tls::Tls;
use crate::world::usage::{Spent, Usage};
use crate::world::{Common, disk};

/// The figure that they are compared by.
const CPU: &str = "cpu_us_per_push";
const RATE: &str = "pushes_per_s";

/// What is pushed of each command.
const CANCELED: &[&str] = &["CANCELED"];

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Commands; those that are cancelled are queued before, 20 for each device
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    commands: u64,
    /// Commands under way at any time, of whole cycles
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Cycles, cancels or deletions begun in a second, with callbacks and without; else as many as go with so many under way, which are many more
    /// without callbacks, and each of these costs less for it
    #[arg(long)]
    rate: Option<f64>,
    /// Runs, each of the server and then of the bare client
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// What makes the pushes
    #[arg(long, value_enum, default_value_t = By::Delete)]
    by: By,
}

impl Options {
    /// All that there are of the commands.
    fn pushes(&self) -> u64 {
        match self.by {
            By::Cycle => self.commands * sink::CYCLE.len() as u64,
            By::Delete | By::Cancel => self.commands,
        }
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut report = Report::new("push");
    report.fact("commands", options.commands);
    report.fact("by", format!("{:?}", options.by));
    report.fact("in_flight", options.in_flight);
    for turn in 1..=options.runs {
        eprintln!("run {turn} of {}: downlink", options.runs);
        let pushing = served(&options, Told::Pushed).await?;
        eprintln!("run {turn} of {}: downlink without callbacks", options.runs);
        let silent = served(&options, Told::Nobody).await?;
        eprintln!("run {turn} of {}: bare client", options.runs);
        let rate = pushing.value(RATE);
        let paced = LocalSet::new().run_until(bare(options.pushes(), rate)).await?;
        let bare = LocalSet::new().run_until(bare(options.pushes(), None)).await?;
        let above = above(&pushing, &silent, &bare, &paced);
        report.add("downlink", pushing);
        report.add("silent", silent);
        report.add("bare", bare);
        report.add("bare_as_fast_as_downlink", paced);
        report.add("above_silent", above);
    }
    report.give(options.common.json.as_deref())
}

/// What pushing costs by itself, and how often the bare client's cost that is: as fast as it can, and as fast as the server was.
fn above(pushing: &Run, silent: &Run, bare: &Run, paced: &Run) -> Run {
    let cost = |run: &Run| run.value(CPU).unwrap_or_default();
    let above = cost(pushing) - cost(silent);
    let mut run = Run::default();
    run.add("cpu_us_above_silent", above);
    run.add("times_bare", above / cost(bare));
    run.add("times_bare_as_fast", above / cost(paced));
    run
}

/// Whether the commands have a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Pushed,
    Nobody,
}

async fn served(options: &Options, told: Told) -> anyhow::Result<Run> {
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let run = LocalSet::new();
    let run = match options.by {
        By::Cycle => run.run_until(cycles::measure(options, told)).await,
        By::Delete | By::Cancel => run.run_until(measure(options, told)).await,
    };
    std::fs::remove_dir_all(dir)?;
    run
}

async fn measure(options: &Options, told: Told) -> anyhow::Result<Run> {
    let plan = Plan {
        devices: 0,
        payload: 0,
        expire_time: 172_800,
        tls: false,
    };
    let mut stage = Stage::open(Target::Downlink, &options.common, &plan).await?;
    stage.pushed.borrow_mut().expect(CANCELED);
    if told == Told::Nobody {
        stage.callback.clear();
    }
    let (queued, created) = cancel::queue(&stage, options.commands).await?;
    let (spent, answered) = queued.cancel(&stage, options).await?;
    let mut run = Run::default();
    let count = options.commands;
    run.add(RATE, spent.rate(count));
    run.add(CPU, spent.cpu_us(count));
    run.add("pushes_per_s_per_core", 1e6 / spent.cpu_us(count));
    if told == Told::Pushed {
        add_pushed(&mut run, &stage.pushed.borrow(), count);
    }
    run.add("driver_cpu_share", spent.driver_share());
    run.add("bytes_written_per_push", spent.bytes(count));
    run.add(
        "cancelled_after_share",
        answered.as_secs_f64() / spent.wall.as_secs_f64(),
    );
    add_created(&mut run, created, spent, count);
    stage.server.kill().await?;
    Ok(run)
}

/// A create with the push that comes of it, one after the other: what others call a message that is sent and delivered.
fn add_created(run: &mut Run, created: Spent, pushed: Spent, count: u64) {
    run.add("creates_per_s", created.rate(count));
    run.add("cpu_us_per_create", created.cpu_us(count));
    run.add("create_driver_cpu_share", created.driver_share());
    let both = (created.wall + pushed.wall).as_secs_f64();
    run.add("create_and_push_per_s", count as f64 / both);
    run.add(
        "cpu_us_per_create_and_push",
        created.cpu_us(count) + pushed.cpu_us(count),
    );
}

fn add_pushed(run: &mut Run, pushed: &Pushed, count: u64) {
    run.add("missing", count.saturating_sub(pushed.finished) as f64);
    run.add("duplicates", pushed.duplicates as f64);
    run.add("out_of_order", pushed.out_of_order as f64);
}

/// The bare client is a process of its own, as the server is, and says itself what it used.
async fn bare(count: u64, rate: Option<f64>) -> anyhow::Result<Run> {
    let pushed = Pushed::new(CANCELED);
    let receiver = sink::start(Rc::clone(&pushed), Tls::Off).await?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["push-floor", "--to", &Tls::Off.url(receiver)]);
    command.args(["--count", &count.to_string()]);
    command.args(rate.map(|rate| format!("--rate={rate}")));
    let before = Usage::own()?.cpu;
    let output = command
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    let receiving = Usage::own()?.cpu.saturating_sub(before);
    ensure!(output.status.success(), "the bare client failed");
    let said = String::from_utf8(output.stdout)?;
    let spent = Outcome::read(&said).context("what the bare client said")?;
    let mut run = Run::default();
    run.add(RATE, count as f64 / spent.wall.as_secs_f64());
    let cpu_us = spent.cpu.as_secs_f64() * 1e6 / count as f64;
    run.add(CPU, cpu_us);
    run.add("pushes_per_s_per_core", 1e6 / cpu_us);
    add_pushed(&mut run, &pushed.borrow(), count);
    run.add(
        "driver_cpu_share",
        receiving.as_secs_f64() / spent.wall.as_secs_f64(),
    );
    Ok(run)
}
