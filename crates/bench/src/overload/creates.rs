//! Creates: several times the sustained rate, over many connections.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Options;
use super::answers::{Answers, untold};
use super::calm::{Lone, sustained};
use super::flood::{Call, Flood};
use crate::cycle::Stage;
use crate::report::Run;
use crate::world::command;
use crate::world::memory::Memory;

/// Numbers of the commands begin with this one.
const FIRST: u64 = 1 << 32;
/// What was accepted has to be told within this.
const LONGEST: Duration = Duration::from_secs(300);

pub(super) async fn measure(
    stage: &Stage,
    options: &Options,
    points: &mut Vec<Run>,
    run: &mut Run,
) -> anyhow::Result<()> {
    let rate = sustained(stage, options.cycles, run).await?;
    let mut lone = Lone::learn(stage, run).await?;
    let memory = Memory::watch(stage.server.pid()?)?;
    let flood = Flood::open(stage, options.connections, call(stage, stage.callback.clone())).await?;
    *points = flood
        .run(FIRST, rate * options.times, Duration::from_secs(options.seconds))
        .await?;
    let over = Instant::now();
    let calm = lone.calm_again(over).await?;
    let ids = flood.answers.borrow().ids.clone();
    let untold = told(stage, &ids, &lone.answers).await;
    flood.answers.borrow_mut().tell(run);
    run.add("creates_calm_after_s", calm.as_secs_f64());
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

/// Commands for the devices in turn.
pub(super) fn call(stage: &Stage, callback: String) -> Call {
    let devices = Rc::clone(&stage.devices);
    Rc::new(move |number| {
        let device = &devices[number as usize % devices.len()];
        let body = command(device, number, 0, &callback, 172_800);
        ("POST", "/iocm/app/cmd/v1.4.0/deviceCommands".to_owned(), body)
    })
}

/// Waits until all that was accepted is told to its end; gives how much was not.
pub(super) async fn told(stage: &Stage, flood: &[String], lone: &Answers) -> usize {
    let began = Instant::now();
    loop {
        let untold = {
            let pushed = stage.pushed.borrow();
            untold(flood, &pushed) + untold(&lone.ids, &pushed)
        };
        if untold == 0 || began.elapsed() > LONGEST {
            return untold;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
