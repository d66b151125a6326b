//! More than the server can take, at each of its doors: what it accepts, what it refuses and how, that nothing accepted is
//! lost, how long what it accepts takes, memory, and how soon it is itself again. The rate that it sustains is measured in
//! the same run, on the same server, right before.

mod answers;
mod beside;
mod calm;
mod creates;
mod flood;
mod slow;
pub(crate) mod storm;

use anyhow::ensure;
use tokio::task::LocalSet;

use crate::cycle::{Plan, Stage};
use crate::report::{Report, Run};
use crate::world::server::Target;
use crate::world::{Common, disk, limits};

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// What is flooded; may be repeated
    #[arg(long = "door", value_enum, default_values_t = Door::ALL)]
    doors: Vec<Door>,
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many times the rate that is sustained
    #[arg(long, default_value_t = 5.0)]
    times: f64,
    /// Cycles by which the sustained rate is found
    #[arg(long, default_value_t = 40_000)]
    cycles: usize,
    /// Devices connected
    #[arg(long, default_value_t = 2000)]
    devices: usize,
    /// Connections of the flood
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Hold the server to this core, so that the driver can offer so much on another
    #[arg(long)]
    core: Option<usize>,
    /// The most memory that the server may grow by, MiB
    #[arg(long, default_value_t = 400.0)]
    max_grown_mib: f64,
}

/// What can be flooded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Door {
    /// Creates
    Creates,
    /// Reports of all devices at QoS 1, as fast as they are acknowledged
    Reports,
    /// Lists of a thousand commands
    Queries,
    /// Connections of applications, many more than are allowed
    Connects,
    /// A receiver that takes a second for each push
    Pushes,
}

impl Door {
    const ALL: [Self; 5] = [
        Self::Creates,
        Self::Reports,
        Self::Queries,
        Self::Connects,
        Self::Pushes,
    ];
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit((options.devices + options.connections) as u64)?;
    let mut report = Report::new("overload");
    report.fact("seconds", options.seconds);
    report.fact("times", options.times);
    report.fact("devices", options.devices);
    report.fact("connections", options.connections);
    for &door in &options.doors {
        let name = format!("{door:?}").to_lowercase();
        eprintln!("{name}");
        let mut common = options.common.clone();
        if let Some(core) = options.core {
            common.under = ["taskset", "-c", &core.to_string()].map(Into::into).to_vec();
        }
        disk::prepare(&common.data_dir)?;
        let (mut points, mut run) = (Vec::new(), Run::default());
        let done = LocalSet::new()
            .run_until(measure(&options, &common, door, &mut points, &mut run))
            .await;
        std::fs::remove_dir_all(&common.data_dir)?;
        for point in points {
            report.point(&format!("{name} over time"), point);
        }
        report.add(&name, run);
        if let Err(error) = done {
            report.give(options.common.json.as_deref())?;
            return Err(error);
        }
    }
    report.give(options.common.json.as_deref())
}

async fn measure(
    options: &Options,
    common: &Common,
    door: Door,
    points: &mut Vec<Run>,
    run: &mut Run,
) -> anyhow::Result<()> {
    let plan = Plan {
        devices: options.devices,
        payload: 0,
        expire_time: 172_800,
        tls: false,
    };
    let mut common = common.clone();
    match door {
        Door::Connects => common
            .set
            .push(format!("DOWNLINK_NORTHBOUND_MAX_CONNECTIONS={}", beside::ALLOWED)),
        Door::Pushes => common
            .set
            .push(format!("DOWNLINK_PUSH_MAX_STORED_PER_APP={}", slow::STORED)),
        Door::Creates | Door::Reports | Door::Queries => {}
    }
    let mut stage = Stage::set(Target::Downlink, &common, &plan).await?;
    match door {
        Door::Creates => creates::measure(&stage, options, points, run).await?,
        Door::Reports => beside::reports(&stage, options, run).await?,
        Door::Queries => beside::queries(&stage, options, points, run).await?,
        Door::Connects => beside::connects(&stage, options, run).await?,
        Door::Pushes => slow::measure(&mut stage, options, points, run).await?,
    }
    let grown = run.value("mib_grown").unwrap_or_default();
    ensure!(grown <= options.max_grown_mib, "memory grew by {grown:.0} MiB");
    stage.server.kill().await
}
