//! Many LwM2M devices that sleep: what a registered one costs in memory, what registering one costs, and how soon the
//! command that waits for a device is with it once it wakes, while others wake beside it. With DTLS, in turns with the same
//! in clear: what it costs more is what a session and its handshake cost.
//!
//! The devices are other processes (`fleet`). Before anything is timed they prove that what comes while they sleep is lost.

mod driver;
mod fleet;
mod ground;
mod watch;
mod wire;

use anyhow::ensure;
use tokio::task::LocalSet;

pub(crate) use self::fleet::{Options as FleetOptions, run as run_fleet};
use crate::report::{Report, Run};
use crate::world::{Common, disk, limits};

/// Devices that prove that they sleep.
const PROBES: u64 = 16;
/// What the server answers by default; devices here share an address.
const HELLOS: u64 = 500;
/// Processes with devices at most.
const MOST_DRIVERS: u64 = 16;

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Devices
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    count: u64,
    /// Each run a second time, with DTLS
    #[arg(long)]
    dtls: bool,
    /// Registrations a second; with DTLS 500 at the most
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=2000))]
    register_rate: u64,
    /// Devices that a command waits for, and that wake to get it
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    wakes: u64,
    /// How many of them wake in a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    wake_rate: u64,
    /// Updates a second of the devices that no command waits for, meanwhile
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=2000))]
    beside_rate: u64,
    /// Runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
}

impl Options {
    /// How many devices each process has. Refuses counts that no option is to blame for alone.
    fn shares(&self, room: u64) -> anyhow::Result<Vec<u64>> {
        let (count, wakes, rate) = (self.count, self.wakes, self.register_rate);
        ensure!(
            !self.dtls || rate <= HELLOS,
            "--register-rate {rate} with --dtls: the server answers {HELLOS} hellos of one address in a second"
        );
        let drivers = count.div_ceil(room.max(1)).max(2);
        ensure!(
            drivers <= MOST_DRIVERS,
            "--count {count} needs {drivers} processes of {room} devices each; {MOST_DRIVERS} is the most"
        );
        let each = PROBES + wakes.div_ceil(drivers) + u64::from(self.beside_rate > 0);
        ensure!(
            count >= each * drivers,
            "--count {count} is too few for --wakes {wakes} in {drivers} processes: {} at least",
            each * drivers
        );
        Ok(parts(count, drivers))
    }
}

/// `whole` in `count` parts that differ by one at the most.
fn parts(whole: u64, count: u64) -> Vec<u64> {
    (0..count)
        .map(|n| whole / count + u64::from(n < whole % count))
        .collect()
}

/// How devices speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Plain,
    Dtls,
}

impl Speech {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Dtls => "dtls",
        }
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let shares = options.shares(limits::room())?;
    let mut report = Report::new("sleeping");
    report.fact("count", options.count);
    report.fact("processes", shares.len());
    report.fact("register_rate", options.register_rate);
    report.fact("wake_rate", options.wake_rate);
    report.fact("beside_rate", options.beside_rate);
    for turn in 1..=options.runs {
        let plain = one(&options, &shares, Speech::Plain, turn).await?;
        if options.dtls {
            let dtls = one(&options, &shares, Speech::Dtls, turn).await?;
            let above = above(&plain, &dtls);
            report.add(Speech::Plain.name(), plain);
            report.add(Speech::Dtls.name(), dtls);
            report.add("dtls above plain", above);
        } else {
            report.add(Speech::Plain.name(), plain);
        }
    }
    report.give(options.common.json.as_deref())
}

async fn one(options: &Options, shares: &[u64], speech: Speech, turn: u64) -> anyhow::Result<Run> {
    eprintln!("run {turn} of {}: {}", options.runs, speech.name());
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let run = LocalSet::new()
        .run_until(ground::measure(options, shares, speech))
        .await;
    std::fs::remove_dir_all(dir)?;
    let run = run?;
    eprintln!("  {}", sentence(&run));
    Ok(run)
}

/// What a session and its handshake cost: all that DTLS costs more.
fn above(plain: &Run, dtls: &Run) -> Run {
    let more = |name| dtls.value(name).unwrap_or_default() - plain.value(name).unwrap_or_default();
    let mut run = Run::default();
    run.add("bytes_per_session", more("bytes_per_device"));
    run.add("cpu_us_per_handshake", more("cpu_us_per_registration"));
    run
}

/// A run for people.
fn sentence(run: &Run) -> String {
    let figure = |name| run.value(name).unwrap_or_default();
    format!(
        "{:.0} B for each device, {:.0} µs of CPU for each registration; first byte of the command {:.1} ms after waking \
         (p99 {:.1}, most {:.1}), the answer alone {:.1} ms; {:.0} commands missing",
        figure("bytes_per_device"),
        figure("cpu_us_per_registration"),
        figure("first_byte_ms_p50"),
        figure("first_byte_ms_p99"),
        figure("first_byte_ms_most"),
        figure("answer_ms_p50"),
        figure("missing"),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn line(words: &[&str]) -> Result<Options, String> {
        let words = ["sleeping"].iter().chain(words);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(line.options)
    }

    #[test]
    fn bad_arguments_are_refused_by_name() {
        for (name, value) in [
            ("--count", "0"),
            ("--count", "100001"),
            ("--register-rate", "2001"),
            ("--wakes", "0"),
            ("--wake-rate", "1001"),
            ("--beside-rate", "2001"),
            ("--runs", "0"),
        ] {
            let refusal = line(&[name, value]).err().unwrap_or_default();
            assert!(refusal.contains(name), "{name} {value}: {refusal}");
        }
        let fast = line(&["--dtls", "--register-rate", "501"]).expect("each alone is fine");
        let refusal = fast.shares(9000).expect_err("too fast").to_string();
        assert!(refusal.contains("--register-rate 501"), "{refusal}");
        let few = line(&["--count", "533"]).expect("the count alone is fine");
        let refusal = few.shares(9000).expect_err("534 are needed").to_string();
        assert!(
            refusal.contains("--count 533") && refusal.contains("--wakes 500"),
            "{refusal}"
        );
        let enough = line(&["--count", "534"]).expect("fine");
        assert!(enough.shares(9000).is_ok());
        let alone = line(&["--count", "532", "--beside-rate", "0"]).expect("fine");
        assert!(alone.shares(9000).is_ok());
    }

    #[test]
    fn devices_are_shared_out_among_as_many_processes_as_the_limit_of_files_asks_for() {
        let options = line(&["--count", "20001"]).expect("fine");
        assert_eq!(options.shares(50_000).expect("two fit"), [10_001, 10_000]);
        assert_eq!(options.shares(7000).expect("three fit"), [6667; 3]);
        let refusal = options.shares(1000).expect_err("21 are too many").to_string();
        assert!(refusal.contains("--count 20001"), "{refusal}");
    }

    #[test]
    fn what_dtls_costs_more_is_what_it_costs() {
        let (mut plain, mut dtls) = (Run::default(), Run::default());
        for (run, bytes, cpu) in [(&mut plain, 1000.0, 100.0), (&mut dtls, 9000.0, 350.0)] {
            run.add("bytes_per_device", bytes);
            run.add("cpu_us_per_registration", cpu);
        }
        let above = above(&plain, &dtls);
        assert_eq!(above.value("bytes_per_session"), Some(8000.0));
        assert_eq!(above.value("cpu_us_per_handshake"), Some(250.0));
    }
}
