//! Receivers of all kinds, and what the server makes of them: a good one beside bad ones, one that is down for a long time
//! and comes back, one that can take much, one that can take little; and much that waits for dead ones.

mod beside;
mod capacity;
mod down;
mod good;
mod ground;
mod heard;
mod manner;
mod waiting;

use std::net::{Ipv4Addr, SocketAddr};

use tokio::task::LocalSet;

use crate::report::{Report, Run};
use crate::world::{Common, disk, limits};

/// Connections that a run may have open, devices aside: bad receivers hold theirs.
const CONNECTIONS: u64 = 4000;

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Pushes a second to the good receiver
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long it is measured alone, and then beside each kind of bad ones
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Pushes to each bad receiver at the beginning
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    bad: u64,
    /// Pushes a second to each of the ten dead receivers
    #[arg(long, default_value_t = 10.0)]
    dead_rate: f64,
    /// Only beside these; without it beside all, one after the other
    #[arg(long, value_enum)]
    beside: Vec<beside::Kind>,
    /// Instead: so many pushes to a receiver that is down, until it comes back
    #[arg(long, value_name = "PUSHES", conflicts_with_all = ["capacity", "beside"])]
    down: Option<u64>,
    /// With `--down`: commands that give three pushes, in percent
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    three: u64,
    /// Instead: a receiver that can take 200 at once, and one that can take 10
    #[arg(long, conflicts_with = "beside")]
    capacity: bool,
    /// Instead: a good one while nothing, a tenth of so many and so many pushes wait for ten dead ones, each time after a
    /// restart
    #[arg(long, value_name = "PUSHES", conflicts_with_all = ["capacity", "beside", "down"])]
    waiting: Option<u64>,
    /// With `--capacity`: pushes to each
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pushes: u64,
    /// Runs
    #[arg(long, default_value_t = 1)]
    runs: usize,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(CONNECTIONS)?;
    let mut report = Report::new("receivers");
    for turn in 1..=options.runs {
        eprintln!("run {turn} of {}", options.runs);
        if let Some(pushes) = options.down {
            report.fact("down", pushes);
            let (points, run) = fresh(&options, down::measure(&options, pushes)).await?;
            points
                .into_iter()
                .for_each(|point| report.point("while down", point));
            report.add("back", run);
        } else if let Some(pushes) = options.waiting {
            report.fact("waiting", pushes);
            let points = fresh(&options, waiting::measure(&options, pushes)).await?;
            points
                .into_iter()
                .for_each(|point| report.point("while they wait", point));
        } else if options.capacity {
            report.fact("pushes", options.pushes);
            report.add("takes 200", fresh(&options, capacity::large(&options)).await?);
            report.add("takes 10", fresh(&options, capacity::small(&options)).await?);
        } else {
            isolation(&options, &mut report).await?;
        }
    }
    report.give(options.common.json.as_deref())
}

async fn isolation(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    report.fact("rate", options.rate);
    report.fact("seconds", options.seconds);
    for &kind in beside::Kind::wanted(&options.beside) {
        eprintln!("beside: {kind:?}");
        let run: Run = fresh(options, beside::measure(options, kind)).await?;
        eprintln!("{}", run.line());
        report.add(kind.name(), run);
    }
    Ok(())
}

/// Does `work` on a data directory of its own.
async fn fresh<T>(options: &Options, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let dir = &options.common.data_dir;
    disk::prepare(dir)?;
    let done = LocalSet::new().run_until(work).await;
    std::fs::remove_dir_all(dir)?;
    done
}

/// The loopback address number `n` of receivers, on any port: none that devices and clients of the bench come from.
fn place(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 7, n), 0))
}
