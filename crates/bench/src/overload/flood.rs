//! Calls at a rate that does not ask whether those before were answered: each on a connection that is free when it is due.
//! One for which none is free is not made, and counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::spawn_local;

use super::answers::Answers;
use crate::cycle::Stage;
use crate::report::Run;
use crate::world::http::{Client, clients};

/// What is due is looked at so often.
const TICK: Duration = Duration::from_millis(1);
/// So often a point is taken.
const POINT: Duration = Duration::from_secs(5);
/// Connections that broke are opened again after this.
const AGAIN: Duration = Duration::from_millis(100);

/// What calls are made of: the method, the path, the body of call number n.
pub(super) type Call = Rc<dyn Fn(u64) -> (&'static str, String, String)>;

/// What all calls of a flood share.
pub(super) struct Flood<'a> {
    stage: &'a Stage,
    call: Call,
    /// The one that rested longest comes first: none rests for so long that the server closes it.
    free: Rc<RefCell<VecDeque<Client>>>,
    /// What was answered so far.
    pub(super) answers: Rc<RefCell<Answers>>,
    connections: usize,
}

impl<'a> Flood<'a> {
    /// Over so many connections, which are opened now.
    pub(super) async fn open(stage: &'a Stage, connections: usize, call: Call) -> anyhow::Result<Self> {
        let free = clients(&stage.server, &stage.token, connections).await?;
        Ok(Self {
            stage,
            call,
            free: Rc::new(RefCell::new(free.into())),
            answers: Rc::default(),
            connections,
        })
    }

    /// Makes calls `from` and up, so many a second, for so long, and waits for the last answer; gives a point for every
    /// few seconds.
    pub(super) async fn run(&self, from: u64, rate: f64, time: Duration) -> anyhow::Result<Vec<Run>> {
        let (began, mut made, mut points) = (Instant::now(), 0_u64, Vec::new());
        let mut point = Point::new(&self.answers.borrow());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while began.elapsed() < time {
            ticks.tick().await;
            let due = (began.elapsed().as_secs_f64() * rate) as u64;
            for n in made..due {
                self.make(from + n);
            }
            made = due;
            if point.began.elapsed() >= POINT {
                points.push(point.end(began, &mut self.answers.borrow_mut(), self.stage)?);
                point = Point::new(&self.answers.borrow());
            }
        }
        while self.free.borrow().len() < self.connections {
            tokio::time::sleep(TICK).await;
        }
        Ok(points)
    }

    fn make(&self, number: u64) {
        self.answers.borrow_mut().offered += 1;
        let Some(mut client) = self.free.borrow_mut().pop_front() else {
            self.answers.borrow_mut().unsent += 1;
            return;
        };
        let (call, free, answers) = (
            Rc::clone(&self.call),
            Rc::clone(&self.free),
            Rc::clone(&self.answers),
        );
        let again = self.again();
        spawn_local(async move {
            let (method, path, body) = call(number);
            let sent = Instant::now();
            let client = match client.call(method, &path, &body).await {
                Ok((200, _page)) if method == "GET" => {
                    answers.borrow_mut().accept(sent.elapsed());
                    client
                }
                Ok((status, body)) => {
                    answers.borrow_mut().create(status, &body, sent.elapsed());
                    client
                }
                Err(broken) => {
                    eprintln!("  call {number} was broken off: {broken:#}");
                    answers.borrow_mut().broken += 1;
                    again.await
                }
            };
            free.borrow_mut().push_back(client);
        });
    }

    /// A connection instead of one that broke.
    fn again(&self) -> impl Future<Output = Client> + use<> {
        let (door, token) = (self.stage.server.applications(), self.stage.token.clone());
        async move {
            loop {
                if let Ok(client) = Client::authorized_at(&door, &token).await {
                    return client;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// How it went since the last point.
struct Point {
    began: Instant,
    accepted: u64,
    refused: u64,
}

impl Point {
    fn new(answers: &Answers) -> Self {
        Self {
            began: Instant::now(),
            accepted: answers.accepted.count(),
            refused: answers.refused.count(),
        }
    }

    fn end(&self, flood: Instant, answers: &mut Answers, stage: &Stage) -> anyhow::Result<Run> {
        let mut run = Run::default();
        let secs = self.began.elapsed().as_secs_f64();
        run.add("seconds", flood.elapsed().as_secs_f64());
        run.add(
            "accepted_per_s",
            (answers.accepted.count() - self.accepted) as f64 / secs,
        );
        run.add(
            "refused_per_s",
            (answers.refused.count() - self.refused) as f64 / secs,
        );
        let mut latest = std::mem::take(&mut answers.latest);
        run.add("accepted_ms_p99", latest.at(0.99).as_secs_f64() * 1e3);
        let finished = stage.pushed.borrow().finished;
        run.add("told_in_all", finished as f64);
        run.add("resident_mib", stage.server.usage()?.resident_kib as f64 / 1024.0);
        eprintln!("  {}", run.line());
        Ok(run)
    }
}
