//! `sim`: explores seeds, or shows one.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sim::{Report, run};

/// Lives through seeds of the simulation and says which break a promise.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Prints the log of each run: what happened when.
    #[arg(long)]
    log: bool,
    /// Goes on after a seed that breaks a promise.
    #[arg(long)]
    go_on: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let (began, mut out) = (Instant::now(), std::io::stdout().lock());
    let mut sum = Sum::default();
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        let report = run(seed)?;
        if arguments.log {
            write!(out, "{}", report.log)?;
        }
        for violation in &report.violations {
            writeln!(out, "seed {seed}: {violation}")?;
        }
        sum.add(&report);
        if sum.broken > 0 && !arguments.go_on {
            break;
        }
    }
    sum.show(&mut out)?;
    writeln!(out, "{:.1} s", began.elapsed().as_secs_f64())?;
    Ok(ExitCode::from(u8::from(sum.broken > 0)))
}

/// All runs together.
#[derive(Default)]
struct Sum {
    seeds: u64,
    broken: u64,
    steps: u64,
    commands: u64,
    reports: u64,
    commits: (u64, u64),
    lasted: u64,
    met: BTreeMap<(&'static str, String), u64>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.broken += u64::from(!report.violations.is_empty());
        self.steps += report.steps;
        self.commands += report.commands;
        self.reports += report.reports;
        self.commits = (
            self.commits.0 + report.commits.0,
            self.commits.1 + report.commits.1,
        );
        self.lasted += report.lasted;
        for (key, times) in &report.met {
            *self.met.entry(key.clone()).or_default() += times;
        }
    }

    fn show(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "{} seeds, {} broke a promise; {} steps, {} commands, {} reports, {} commits ({} failed), {} virtual hours",
            self.seeds,
            self.broken,
            self.steps,
            self.commands,
            self.reports,
            self.commits.0,
            self.commits.1,
            self.lasted / 3_600_000,
        )?;
        for ((fault, status), times) in &self.met {
            writeln!(out, "  {fault} met {status} {times} times")?;
        }
        Ok(())
    }
}
