//! Pushes alone: commands that wait for absent devices are all cancelled, which makes one push each; or commands go through
//! their whole cycle, which makes three. In turns the same server does the same with commands that name no callback,
//! and a bare client posts as many of the same to the same receiver, as fast as the server did and as fast as it can: what the first costs
//! more than the second is what pushing costs, and the others are the least that it can. One server for all turns: two of their own differ
//! by more than what is looked for.

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
use self::cancel::{By, Cancels};
use self::cycles::Cycles;
use crate::cycle::Stage;
use crate::report::{Report, Run};
use crate::world::server::Target;
use crate::world::sink::{self, Counts, Pushed};
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
    /// Commands in a turn; those that are cancelled are queued before, 20 for each device. Few make it coarse: what a server used is told
    /// in steps of 10 ms
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    commands: u64,
    /// Commands under way at any time, of whole cycles
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Cycles, cancels or deletions begun in a second, with callbacks and without; else as many as go with so many under way, which are many more
    /// without callbacks, and each of these costs less for it
    #[arg(long)]
    rate: Option<f64>,
    /// Turns, each with a receiver, without one, and of the bare client at both paces
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
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let report = LocalSet::new().run_until(measured(&options)).await;
    std::fs::remove_dir_all(dir)?;
    report?.give(options.common.json.as_deref())
}

async fn measured(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new("push");
    report.fact("commands", options.commands);
    report.fact("by", format!("{:?}", options.by));
    report.fact("in_flight", options.in_flight);
    let plan = match options.by {
        By::Cycle => cycles::plan(),
        By::Delete | By::Cancel => cancel::plan(),
    };
    let stage = Stage::set(Target::Downlink, &options.common, &plan).await?;
    let mut work = Work::begin(&stage, options).await?;
    let mut all = Vec::new();
    for turn in 1..=options.runs {
        eprintln!("run {turn} of {}", options.runs);
        let (pushing, silent) = work.both(turn).await?;
        let paced = bare(options.pushes(), pushing.value(RATE)).await?;
        let bare = bare(options.pushes(), None).await?;
        let above = above(&pushing, &silent, &bare, &paced);
        all.push((cost(&pushing) - cost(&silent), cost(&paced)));
        report.add("downlink", pushing);
        report.add("silent", silent);
        report.add("bare", bare);
        report.add("bare_as_fast_as_downlink", paced);
        report.add("above_silent", above);
    }
    drop(work);
    report.fact("times_bare_as_fast_over_all", over_all(&all));
    stage.server.kill().await?;
    Ok(report)
}

/// What makes pushes, turn by turn.
enum Work<'a> {
    Cycles(Cycles<'a>),
    Cancels(Cancels<'a>),
}

impl<'a> Work<'a> {
    async fn begin(stage: &'a Stage, options: &'a Options) -> anyhow::Result<Self> {
        Ok(match options.by {
            By::Cycle => Self::Cycles(Cycles::begin(stage, options).await?),
            By::Delete | By::Cancel => {
                stage.pushed.borrow_mut().expect(CANCELED);
                Self::Cancels(Cancels::new(stage, options))
            }
        })
    }

    /// With a receiver and without, in every other turn without first: nobody always comes after the other.
    async fn both(&mut self, turn: usize) -> anyhow::Result<(Run, Run)> {
        if turn.is_multiple_of(2) {
            let silent = self.turn(Told::Nobody).await?;
            return Ok((self.turn(Told::Pushed).await?, silent));
        }
        let pushing = self.turn(Told::Pushed).await?;
        Ok((pushing, self.turn(Told::Nobody).await?))
    }

    async fn turn(&mut self, told: Told) -> anyhow::Result<Run> {
        match self {
            Self::Cycles(cycles) => cycles.turn(told).await,
            Self::Cancels(cancels) => cancels.turn(told).await,
        }
    }
}

/// What pushing costs by itself, and how often the bare client's cost that is: as fast as it can, and as fast as the server was.
fn above(pushing: &Run, silent: &Run, bare: &Run, paced: &Run) -> Run {
    let above = cost(pushing) - cost(silent);
    let mut run = Run::default();
    run.add("cpu_us_above_silent", above);
    run.add("times_bare", above / cost(bare));
    run.add("times_bare_as_fast", above / cost(paced));
    run
}

fn cost(run: &Run) -> f64 {
    run.value(CPU).unwrap_or_default()
}

/// How often all of the bare client's cost all that pushing cost is, with the standard error of the latter: from turn to turn it
/// differs by more than from one build to the next.
fn over_all(turns: &[(f64, f64)]) -> String {
    let n = turns.len().max(1) as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| turns.iter().map(value).sum::<f64>() / n;
    let (above, bare) = (mean(|turn| turn.0), mean(|turn| turn.1));
    let squares = turns.iter().map(|turn| (turn.0 - above).powi(2)).sum::<f64>();
    let error = (squares / (n - 1.0).max(1.0) / n).sqrt();
    format!("{:.2}±{:.2}", above / bare, error / bare)
}

/// Whether the commands have a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Pushed,
    Nobody,
}

/// What came of a turn.
struct Counted {
    pushes: u64,
    missing: u64,
    counts: Counts,
}

impl Counted {
    fn run(&self, spent: Spent) -> Run {
        let mut run = Run::default();
        run.add(RATE, spent.rate(self.pushes));
        run.add(CPU, spent.cpu_us(self.pushes));
        run.add("pushes_per_s_per_core", 1e6 / spent.cpu_us(self.pushes));
        self.add_to(&mut run);
        run.add("driver_cpu_share", spent.driver_share());
        run.add("bytes_written_per_push", spent.bytes(self.pushes));
        run
    }

    fn add_to(&self, run: &mut Run) {
        run.add("missing", self.missing as f64);
        run.add("duplicates", self.counts.duplicates as f64);
        run.add("out_of_order", self.counts.out_of_order as f64);
    }
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
    let counts = pushed.borrow().counts();
    let missing = count.saturating_sub(counts.finished);
    let counted = Counted {
        pushes: count,
        missing,
        counts,
    };
    counted.add_to(&mut run);
    run.add(
        "driver_cpu_share",
        receiving.as_secs_f64() / spent.wall.as_secs_f64(),
    );
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pushing_costs_over_all_turns_has_its_standard_error() {
        // A mean of 15 with deviations of 3, 3, 0: a variance of 9, an error of 3 / √3.
        assert_eq!(over_all(&[(12.0, 9.0), (18.0, 11.0), (15.0, 10.0)]), "1.50±0.17");
        assert_eq!(over_all(&[(12.0, 8.0)]), "1.50±0.00");
    }
}
