//! A receiver that takes a second for each push, while commands are created at several times the sustained rate: creates are
//! refused once too many pushes wait. Then the receiver is as fast as it was.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Options;
use super::calm::{Lone, sustained};
use super::creates::{call, told};
use super::flood::Flood;
use crate::cycle::Stage;
use crate::report::Run;
use crate::world::memory::Memory;
use crate::world::sink;
use crate::world::tls::Tls;

/// Stored pushes of the application that may wait.
pub(super) const STORED: usize = 20_000;
/// Of each push.
const DELAY: Duration = Duration::from_secs(1);
/// Numbers of the commands begin with this one.
const FIRST: u64 = 1 << 32;

pub(super) async fn measure(
    stage: &mut Stage,
    options: &Options,
    points: &mut Vec<Run>,
    run: &mut Run,
) -> anyhow::Result<()> {
    let rate = sustained(stage, options.cycles / 4, run).await?;
    let mut lone = Lone::learn(stage, run).await?;
    let fast = std::mem::take(&mut lone.answers);
    let delay = Rc::new(Cell::new(DELAY));
    let slow = sink::start_slow(Rc::clone(&stage.pushed), Tls::Off, Rc::clone(&delay)).await?;
    let call = call(stage, Tls::Off.url(slow));
    let memory = Memory::watch(stage.server.pid()?)?;
    let flood = Flood::open(stage, options.connections, call).await?;
    *points = flood
        .run(FIRST, rate * options.times, Duration::from_secs(options.seconds))
        .await?;
    let stored = stage.server.metric("downlink_push_stored").await?;
    run.add("pushes_stored", stored.unwrap_or_default());
    delay.set(Duration::ZERO);
    let over = Instant::now();
    let ids = flood.answers.borrow().ids.clone();
    let untold = told(stage, &ids, &fast).await;
    flood.answers.borrow_mut().tell(run);
    run.add("all_told_after_s", over.elapsed().as_secs_f64());
    run.add("lost", untold as f64);
    run.add("duplicates", stage.pushed.borrow().duplicates as f64);
    run.add("out_of_order", stage.pushed.borrow().out_of_order as f64);
    memory.tell(run)?;
    ensure!(
        untold == 0,
        "{untold} accepted commands were not told to their end"
    );
    flood.answers.borrow().check()
}
