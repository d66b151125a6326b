//! Draining: devices with full queues connect, take all of theirs, and answer them.

use std::rc::Rc;

use crate::cycle::Stage;
use crate::report::Run;
use crate::world::sink::Pushed;
use crate::world::usage::Span;

/// Connects the devices and waits for the last push of all that was queued for them. Their connects are part of the cost.
pub(super) async fn measure(
    mut stage: Stage,
    devices: Rc<Vec<String>>,
    depth: u64,
) -> anyhow::Result<(Stage, Run)> {
    let (count, commands) = (devices.len() as u64, devices.len() as u64 * depth);
    let (before, pushes) = seen(&stage);
    let span = Span::of(stage.server.pid()?)?;
    stage.connect(devices).await?;
    let drained = Pushed::all(&stage.pushed, before + commands).await - before;
    let spent = span.spent()?;
    let mut run = Run::default();
    run.add("devices", count as f64);
    run.add("commands", commands as f64);
    run.add("drained_per_s", spent.rate(drained));
    run.add("cpu_us_per_drained", spent.cpu_us(drained));
    run.add("bytes_written_per_drained", spent.bytes(drained));
    run.add("pushes", (seen(&stage).1 - pushes) as f64);
    run.add("missing", commands.saturating_sub(drained) as f64);
    let pushed = stage.pushed.borrow();
    run.add("duplicates", pushed.duplicates as f64);
    run.add("out_of_order", pushed.out_of_order as f64);
    drop(pushed);
    run.add("driver_cpu_share", spent.driver_share());
    Ok((stage, run))
}

fn seen(stage: &Stage) -> (u64, u64) {
    let pushed = stage.pushed.borrow();
    (pushed.finished, pushed.pushes)
}
