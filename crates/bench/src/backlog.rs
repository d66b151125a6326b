//! A large backlog: what a create costs while the queues of many absent devices fill, how long a start takes with all of
//! it there, what whole cycles cost beside it, and how fast it drains once devices come.

mod drain;
pub(crate) mod fill;

use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use self::fill::Fill;
use crate::cycle::{Plan, Stage, loaded};
use crate::report::{Report, Run};
use crate::world::server::Target;
use crate::world::usage::{Span, Usage};
use crate::world::{Common, disk, limits};

/// Devices for the cycles beside the backlog: new ones, whose queues are empty.
const CYCLING: u64 = 256;
/// How long after the restart its memory is read.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Devices that commands are queued for
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    devices: u64,
    /// Commands queued for each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    depth: u64,
    /// How many of the devices connect at the end
    #[arg(long, default_value_t = 2000)]
    drain_devices: u64,
    /// Whole cycles beside the backlog
    #[arg(long, default_value_t = 20_000)]
    cycles: usize,
}

impl Options {
    fn common(&self) -> Common {
        let mut common = self.common.clone();
        // A longer queue than the server allows by default.
        common
            .set
            .push(format!("DOWNLINK_COMMANDS_QUEUE_LIMIT={}", self.depth.max(20)));
        common
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    limits::fit(options.drain_devices + CYCLING)?;
    let mut report = Report::new("backlog");
    report.fact("devices", options.devices);
    report.fact("depth", options.depth);
    let common = options.common();
    disk::prepare(&common.data_dir)?;
    let done = LocalSet::new()
        .run_until(measure(&options, &common, &mut report))
        .await;
    std::fs::remove_dir_all(&common.data_dir)?;
    done?;
    report.give(common.json.as_deref())
}

async fn measure(options: &Options, common: &Common, report: &mut Report) -> anyhow::Result<()> {
    let plan = Plan {
        devices: CYCLING as usize,
        payload: 0,
        expire_time: 172_800,
        tls: false,
    };
    let stage = Stage::open(Target::Downlink, common, &plan).await?;
    eprintln!("registering {} devices", options.devices);
    let devices = stage.enroll(0..options.devices).await?;
    let fill = Fill::new(&stage, Rc::clone(&devices), options.depth);
    let (empty, full) = fill.measure(&common.data_dir, report).await?;
    compare(report, empty, full);

    eprintln!("kill -9, and start again");
    let stage = stage.restart(common).await?;
    report.add(
        "restart",
        restarted(&stage, options.devices * options.depth).await?,
    );
    let stage = beside(stage, options, report).await?;

    eprintln!("{} devices connect and drain their queues", options.drain_devices);
    let drained = options.drain_devices.min(options.devices) as usize;
    let drained = Rc::new(devices[..drained].to_vec());
    let (stage, run) = drain::measure(stage, drained, options.depth).await?;
    report.add("drain", run);
    stage.server.kill().await
}

/// The full store first: the ratio is that of full to empty.
fn compare(report: &mut Report, empty: Run, full: Run) {
    let mut ratios = Run::default();
    for figure in ["cpu_us_per_create", "bytes_written_per_create"] {
        if let (Some(full), Some(empty)) = (full.value(figure), empty.value(figure)) {
            ratios.add(format!("{figure}_full_to_empty"), full / empty);
        }
    }
    report.add("full", full);
    report.add("empty", empty);
    report.add("ratios", ratios);
}

async fn restarted(stage: &Stage, queued: u64) -> anyhow::Result<Run> {
    let mut run = Run::default();
    run.add("queued", queued as f64);
    run.add("ready_s", stage.server.started_in.as_secs_f64());
    let pid = stage.server.pid()?;
    let span = Span::of(pid)?;
    tokio::time::sleep(SETTLE).await;
    run.add(
        "resident_mib_after_5_s",
        Usage::of(pid)?.resident_kib as f64 / 1024.0,
    );
    run.add("cpu_s_to_ready_and_5_s", Usage::of(pid)?.cpu.as_secs_f64());
    run.add("cpu_share_idle", span.spent()?.cpu_share());
    Ok(run)
}

async fn beside(mut stage: Stage, options: &Options, report: &mut Report) -> anyhow::Result<Stage> {
    if options.cycles == 0 {
        return Ok(stage);
    }
    eprintln!("{} cycles on {CYCLING} other devices", options.cycles);
    let others = stage.enroll(options.devices..options.devices + CYCLING).await?;
    stage.connect(others).await?;
    let mut run = Run::default();
    loaded(&stage, 64, options.cycles, None, &mut run).await?;
    report.add("cycles", run);
    Ok(stage)
}
