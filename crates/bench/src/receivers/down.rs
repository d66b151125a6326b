//! Many pushes to a receiver that is down all the time, and what happens when it comes back.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::ground::Ground;
use super::heard::{self, Heard, Shape};
use super::{Options, place};
use crate::report::Run;
use crate::world::disk;
use crate::world::memory::{Memory, mib};
use crate::world::usage::Usage;

/// Where memory is read off, in parts of the whole; the first is a quarter.
const MARKS: u64 = 4;
/// Devices that answer, for the commands with more than one push.
const DEVICES: u64 = 256;
/// The longest pause of a receiver that fails, and some more: what has not come by then does not come.
const QUIET: Duration = Duration::from_secs(240);
/// For what is still on its way to the disk when memory is read off.
const SETTLE: Duration = Duration::from_secs(3);

/// Gives the points of the outage, and what came of the receiver's return.
pub(super) async fn measure(options: &Options, pushes: u64) -> anyhow::Result<(Vec<Run>, Run)> {
    let mut ground = Ground::open(&options.common).await?;
    let devices = ground.enroll(DEVICES).await?;
    ground.stage.connect(devices).await?;
    // An address of its own keeps the port free until it is listened at again.
    let address = TcpListener::bind(place(101)).await?.local_addr()?;
    let (began, mut points, mut total, mut threes) = (Instant::now(), Vec::new(), 0, 0);
    for _ in 0..MARKS {
        let part = pushes / MARKS;
        let three = part * options.three / (100 + 2 * options.three);
        let queued = ground.queue(&heard::url(address), part - 3 * three).await?;
        ground.cancel_at_once(&queued).await?;
        ground.run_on_devices(&heard::url(address), threes, three).await?;
        (total, threes) = (total + part, threes + three);
        tokio::time::sleep(SETTLE).await;
        points.push(point(options, &ground, total, began)?);
    }
    let mut run = back(&ground, address, total).await?;
    run.add("commands_of_three", threes as f64);
    ground.stage.server.kill().await?;
    Ok((points, run))
}

fn point(options: &Options, ground: &Ground, pushes: u64, began: Instant) -> anyhow::Result<Run> {
    let mut run = Run::default();
    run.add("pushes", pushes as f64);
    run.add("seconds", began.elapsed().as_secs_f64());
    let resident = Usage::of(ground.stage.server.pid()?)?.resident_kib;
    run.add("resident_mib", mib(resident));
    run.add(
        "data_mib",
        disk::size(&options.common.data_dir)? as f64 / f64::from(1 << 20),
    );
    eprintln!("{}", run.line());
    Ok(run)
}

/// The receiver listens again: how all that waited comes.
async fn back(ground: &Ground, address: std::net::SocketAddr, total: u64) -> anyhow::Result<Run> {
    let memory = Memory::watch(ground.stage.server.pid()?)?;
    let (heard, _) = heard::listen(address, Shape::OPEN).await?;
    let up = Instant::now();
    Heard::all(&heard, total, QUIET).await;
    let heard = heard.borrow();
    let mut run = Run::default();
    let first = heard.accepted().next().unwrap_or(up);
    let last = heard.accepted().next_back().unwrap_or(up);
    let took = last.saturating_duration_since(first).as_secs_f64();
    run.add("first_after_s", first.duration_since(up).as_secs_f64());
    run.add("all_after_first_s", took);
    run.add("pushes_per_s", heard.distinct as f64 / took);
    let soon = heard
        .accepted()
        .take_while(|at| *at < first + Duration::from_secs(1));
    run.add("in_first_second", soon.count() as f64);
    let at_once = heard.requests.iter().map(|came| came.in_hand).max();
    run.add("most_at_once", at_once.unwrap_or(0) as f64);
    run.add("longest_pause_s", longest_pause(heard.accepted()));
    run.add("missing", total.saturating_sub(heard.distinct) as f64);
    run.add("overtaken", heard.overtaken as f64);
    run.add("repeats", heard.repeats as f64);
    memory.tell(&mut run)?;
    Ok(run)
}

fn longest_pause(instants: impl Iterator<Item = Instant>) -> f64 {
    let (mut longest, mut before) = (Duration::ZERO, None);
    for at in instants {
        longest = longest.max(at.duration_since(before.unwrap_or(at)));
        before = Some(at);
    }
    longest.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_is_between_two_arrivals() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let pause = longest_pause([at(0), at(10), at(510), at(520)].into_iter());
        assert!((pause - 0.5).abs() < 1e-9);
        assert!(longest_pause(std::iter::empty()) == 0.0);
    }
}
