//! Pushes of whole cycles.

use super::{CPU, Options, Told};
use crate::cycle::{Plan, Stage};
use crate::report::Run;
use crate::world::server::Target;
use crate::world::usage::{Span, Spent};

/// Devices that take them.
const DEVICES: usize = 256;

/// A tenth of the commands, not measured, then all of them, measured.
pub(super) async fn measure(options: &Options, told: Told) -> anyhow::Result<Run> {
    let plan = Plan {
        devices: DEVICES,
        payload: 0,
        expire_time: 3600,
        tls: false,
    };
    let mut stage = Stage::open(Target::Downlink, &options.common, &plan).await?;
    if told == Told::Nobody {
        stage.tell_nobody();
    }
    let devices = stage.enroll(0..DEVICES as u64).await?;
    stage.connect(devices).await?;
    let load = stage.load(options.in_flight);
    let commands = usize::try_from(options.commands)?;
    load.closed(commands / 10).await?;
    let span = Span::of(stage.server.pid()?)?;
    let legs = match options.rate {
        Some(rate) => load.open(commands, rate).await?,
        None => load.closed(commands).await?,
    };
    let wall = span.wall();
    super::cancel::settle().await;
    let spent = Spent {
        wall,
        ..span.spent()?
    };
    let (mut run, pushes) = (Run::default(), options.pushes());
    run.add("pushes_per_s", spent.rate(pushes));
    run.add(CPU, spent.cpu_us(pushes));
    run.add("cpu_us_per_cycle", spent.cpu_us(options.commands));
    run.add("missing", legs.lost as f64);
    run.add("duplicates", load.pushed.borrow().duplicates as f64);
    run.add("out_of_order", load.pushed.borrow().out_of_order as f64);
    run.add("driver_cpu_share", spent.driver_share());
    run.add("bytes_written_per_push", spent.bytes(pushes));
    stage.server.kill().await?;
    Ok(run)
}
