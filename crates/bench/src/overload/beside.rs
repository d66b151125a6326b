//! Doors other than creates, flooded while a lone client creates commands beside: what that one feels.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::spawn_local;

use super::Options;
use super::answers::{Answers, tell_times};
use super::calm::{Lone, sustained};
use super::creates::told;
use super::flood::{Call, Flood};
use crate::connections;
use crate::cycle::Stage;
use crate::report::{Run, Times};
use crate::world::fleet;
use crate::world::http::Client;
use crate::world::memory::Memory;
use crate::world::parallel::ended;

/// Connections of applications that the server allows when they are what is flooded.
pub(super) const ALLOWED: usize = 200;
/// Rest between the creates of the lone client.
const REST: Duration = Duration::from_millis(5);
/// Lists by which their sustained rate is found, from so many clients.
const LISTS: u64 = 200;
const LISTERS: usize = 4;
/// A call without an answer for so long has none.
const UNANSWERED: Duration = Duration::from_secs(5);

/// Reports of as many devices as there are connections in the flood.
pub(super) async fn reports(stage: &Stage, options: &Options, run: &mut Run) -> anyhow::Result<()> {
    sustained(stage, options.cycles / 4, run).await?;
    let mut lone = Lone::learn(stage, run).await?;
    let first = options.devices as u64;
    let devices = stage.enroll(first..first + options.connections as u64).await?;
    let mut streams = fleet::connect(&stage.server, &devices).await?;
    let memory = Memory::watch(stage.server.pid()?)?;
    let end = Rc::new(Cell::new(false));
    let beside = beside(&mut lone, Rc::clone(&end), run);
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let flooding = async {
        let (mut reported, mut last) = (0.0, Run::default());
        while Instant::now() < until {
            last = Run::default();
            streams =
                connections::reports::measure(stage, &devices, std::mem::take(&mut streams), 40, &mut last)
                    .await?;
            reported += last.value("reports").unwrap_or_default();
        }
        end.set(true);
        anyhow::Ok((reported, last))
    };
    let ((reported, last), lone_run) = tokio::try_join!(flooding, beside)?;
    let over = Instant::now();
    run.add("reports_acknowledged", reported);
    run.add(
        "reports_per_s_at_last",
        last.value("reports_per_s").unwrap_or_default(),
    );
    lone_run.tell(run);
    finish(stage, &mut lone, over, run).await?;
    memory.tell(run)
}

/// Lists of a thousand commands.
pub(super) async fn queries(
    stage: &Stage,
    options: &Options,
    points: &mut Vec<Run>,
    run: &mut Run,
) -> anyhow::Result<()> {
    sustained(stage, options.cycles / 4, run).await?;
    let mut lone = Lone::learn(stage, run).await?;
    let rate = listed(stage).await?;
    run.add("lists_sustained_per_s", rate);
    let memory = Memory::watch(stage.server.pid()?)?;
    let call: Call = Rc::new(|n| ("GET", list(n), String::new()));
    let flood = Flood::open(stage, options.connections, call).await?;
    let end = Rc::new(Cell::new(false));
    let beside = beside(&mut lone, Rc::clone(&end), run);
    let flooding = async {
        let time = Duration::from_secs(options.seconds);
        let over_time = flood.run(0, rate * options.times, time).await;
        end.set(true);
        over_time
    };
    let (over_time, lone_run) = tokio::try_join!(flooding, beside)?;
    let over = Instant::now();
    *points = over_time;
    flood.answers.borrow_mut().tell(run);
    lone_run.tell(run);
    finish(stage, &mut lone, over, run).await?;
    memory.tell(run)?;
    flood.answers.borrow().check()
}

fn list(n: u64) -> String {
    format!(
        "/iocm/app/cmd/v1.4.0/deviceCommands?pageNo={}&pageSize=1000",
        n % 8
    )
}

/// Lists a second, one after the other of a few clients.
async fn listed(stage: &Stage) -> anyhow::Result<f64> {
    let began = Instant::now();
    let clients = crate::world::http::clients(&stage.server, &stage.token, LISTERS).await?;
    let work = async |client: &mut Client, n| {
        let (status, answer) = client.call("GET", &list(n), "").await?;
        ensure!(status == 200, "{status} {answer}");
        Ok(())
    };
    crate::world::parallel::each(clients, 0..LISTS, work).await?;
    Ok(LISTS as f64 / began.elapsed().as_secs_f64())
}

/// More connections than are allowed, each with one call.
pub(super) async fn connects(stage: &Stage, options: &Options, run: &mut Run) -> anyhow::Result<()> {
    sustained(stage, options.cycles / 4, run).await?;
    let mut lone = Lone::learn(stage, run).await?;
    let memory = Memory::watch(stage.server.pid()?)?;
    let end = Rc::new(Cell::new(false));
    let beside = beside(&mut lone, Rc::clone(&end), run);
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let answers = Rc::new(std::cell::RefCell::new((Answers::default(), 0_u64)));
    let counted = Rc::clone(&answers);
    let flooding = async {
        let callers = (0..options.connections).map(|_| {
            let (door, token, counted) = (
                stage.server.applications(),
                stage.token.clone(),
                Rc::clone(&counted),
            );
            spawn_local(async move {
                while Instant::now() < until {
                    let began = Instant::now();
                    let called = tokio::time::timeout(UNANSWERED, async {
                        let mut client = Client::authorized_at(&door, &token).await?;
                        let answer = client.call("GET", &list(0).replace("1000", "1"), "").await?;
                        anyhow::Ok((client, answer))
                    });
                    match called.await {
                        Ok(Ok((client, (200, _page)))) => {
                            counted.borrow_mut().0.accept(began.elapsed());
                            // It stays, as connections of applications do.
                            tokio::time::sleep(Duration::from_millis(500)).await;
                            drop(client);
                        }
                        Ok(Ok((_, (status, told)))) => {
                            counted.borrow_mut().0.other(status, &told, began.elapsed());
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Ok(Err(_)) => {
                            counted.borrow_mut().0.broken += 1;
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Err(_elapsed) => counted.borrow_mut().1 += 1,
                    }
                    counted.borrow_mut().0.offered += 1;
                }
                Ok(())
            })
        });
        ended(callers.collect()).await?;
        end.set(true);
        anyhow::Ok(())
    };
    let ((), lone_run) = tokio::try_join!(flooding, beside)?;
    let over = Instant::now();
    answers.borrow_mut().0.tell(run);
    run.add("unanswered_for_5_s", answers.borrow().1 as f64);
    lone_run.tell(run);
    finish(stage, &mut lone, over, run).await?;
    memory.tell(run)
}

/// What the lone client felt.
struct Felt(Times, u64);

impl Felt {
    fn tell(mut self, run: &mut Run) {
        run.add("lone_creates", self.0.count() as f64);
        run.add("lone_refused", self.1 as f64);
        tell_times(run, "lone", &mut self.0);
    }
}

/// Creates one after the other until `end`.
async fn beside(lone: &mut Lone<'_>, end: Rc<Cell<bool>>, _run: &Run) -> anyhow::Result<Felt> {
    let mut felt = Felt(Times::default(), 0);
    while !end.get() {
        match lone.create().await? {
            Some(took) => felt.0.add(took),
            None => felt.1 += 1,
        }
        tokio::time::sleep(REST).await;
    }
    Ok(felt)
}

async fn finish(stage: &Stage, lone: &mut Lone<'_>, over: Instant, run: &mut Run) -> anyhow::Result<()> {
    let calm = lone.calm_again(over).await?;
    let untold = told(stage, &[], &lone.answers).await;
    run.add("creates_calm_after_s", calm.as_secs_f64());
    run.add("lost", untold as f64);
    ensure!(
        untold == 0,
        "{untold} accepted commands were not told to their end"
    );
    Ok(())
}
