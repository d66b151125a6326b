//! Creators that begin cycles, and the times of their legs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use super::{Plan, Stage};
use crate::report::Times;
use crate::world::device::Arrivals;
use crate::world::http::Client;
use crate::world::parallel::{ended, take};
use crate::world::sink::{Counts, Pushed};
use crate::world::{command, create};

/// A cycle that is not over by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// The times of the legs, each from the beginning of its cycle.
#[derive(Default)]
pub(crate) struct Legs {
    /// To the 201.
    pub(crate) create: Times,
    /// To the command's arrival at its device.
    pub(crate) device: Times,
    /// To the push of the result.
    pub(crate) whole: Times,
    /// Cycles that did not end.
    pub(crate) lost: u64,
}

/// Load on a stage.
pub(crate) struct Load<'a> {
    stage: &'a Stage,
    plan: Plan,
    side: Side,
    in_flight: usize,
    /// Numbers of commands: each is another.
    next: Rc<Cell<u64>>,
}

/// Whose the commands are, and who hears of them.
#[derive(Clone)]
pub(crate) struct Side {
    pub(super) devices: Rc<Vec<String>>,
    /// Empty: nobody is told.
    pub(super) callback: Rc<str>,
    /// What ends a cycle comes here.
    pub(super) pushed: Rc<RefCell<Pushed>>,
}

/// What a creator shares with the others.
#[derive(Clone)]
struct Shared {
    plan: Plan,
    side: Side,
    arrivals: Arrivals,
    legs: Rc<RefCell<Legs>>,
}

impl<'a> Load<'a> {
    pub(super) fn new(stage: &'a Stage, plan: Plan, side: Side, in_flight: usize) -> Self {
        Self {
            stage,
            plan,
            side,
            in_flight,
            next: Rc::default(),
        }
    }

    /// So many cycles, each creator beginning its next one when the last is over.
    pub(crate) async fn closed(&self, cycles: usize) -> anyhow::Result<Legs> {
        let shared = self.shared();
        let end = self.next.get() + cycles as u64;
        let mut creators = Vec::new();
        for _ in 0..self.in_flight {
            let mut client = Client::authorized(&self.stage.server, &self.stage.token).await?;
            let (shared, next) = (shared.clone(), Rc::clone(&self.next));
            creators.push(spawn_local(async move {
                while let Some(number) = take(&next, end) {
                    let began = Instant::now();
                    let id = shared.begin(&mut client, number, began).await?;
                    shared.finish(&id, number, began).await;
                }
                anyhow::Ok(())
            }));
        }
        ended(creators).await?;
        Ok(shared.legs.take())
    }

    /// So many cycles, begun at so many a second whether or not those before are over.
    pub(crate) async fn open(&self, cycles: usize, rate: f64) -> anyhow::Result<Legs> {
        let legs = Rc::default();
        self.open_into(&legs, cycles, rate).await?;
        Ok(legs.take())
    }

    /// The same, with the times in `legs`, from where they may be taken at any time.
    pub(crate) async fn open_into(
        &self,
        legs: &Rc<RefCell<Legs>>,
        cycles: usize,
        rate: f64,
    ) -> anyhow::Result<()> {
        let shared = Shared {
            legs: Rc::clone(legs),
            ..self.shared()
        };
        let queue = Rc::new(Queue::default());
        let mut creators = Vec::new();
        for _ in 0..self.in_flight {
            let client = Client::authorized(&self.stage.server, &self.stage.token).await?;
            creators.push(spawn_local(creator(client, shared.clone(), Rc::clone(&queue))));
        }
        let began = Instant::now();
        for n in 0..cycles {
            let due = began + Duration::from_secs_f64(n as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            let number = self.next.get();
            self.next.set(number + 1);
            queue.put((number, due));
        }
        queue.close();
        ended(creators).await
    }

    /// What its receiver was told so far.
    pub(crate) fn counts(&self) -> Counts {
        self.side.pushed.borrow().counts()
    }

    fn shared(&self) -> Shared {
        Shared {
            plan: self.plan.clone(),
            side: self.side.clone(),
            arrivals: Rc::clone(&self.stage.arrivals),
            legs: Rc::default(),
        }
    }
}

/// One connection that creates what is due; waits for no cycle's end, but for all of its own at the end.
async fn creator(mut client: Client, shared: Shared, queue: Rc<Queue>) -> anyhow::Result<()> {
    let mut under_way: VecDeque<JoinHandle<()>> = VecDeque::new();
    while let Some((number, due)) = queue.take().await {
        let id = shared.begin(&mut client, number, due).await?;
        let shared = shared.clone();
        under_way.push_back(spawn_local(async move { shared.finish(&id, number, due).await }));
        while under_way.front().is_some_and(JoinHandle::is_finished) {
            under_way.pop_front();
        }
    }
    for cycle in under_way {
        cycle.await?;
    }
    Ok(())
}

impl Shared {
    /// Creates command `number`, at `began` by the clock of the load; gives its id.
    async fn begin(&self, client: &mut Client, number: u64, began: Instant) -> anyhow::Result<String> {
        let devices = &self.side.devices;
        let device = &devices[number as usize % devices.len()];
        let body = command(
            device,
            number,
            self.plan.payload,
            &self.side.callback,
            self.plan.expire_time,
        );
        let id = create(client, &body).await?;
        self.legs.borrow_mut().create.add(began.elapsed());
        Ok(id)
    }

    /// Waits for the last push; without a receiver until the device's result was acknowledged.
    async fn finish(&self, id: &str, number: u64, began: Instant) {
        let name = match self.side.callback.is_empty() {
            false => id.to_owned(),
            true => number.to_string(),
        };
        let done = tokio::time::timeout(LOST_AFTER, Pushed::done(&self.side.pushed, &name)).await;
        let arrived = self.arrivals.borrow_mut().remove(&number);
        let mut legs = self.legs.borrow_mut();
        match (done, arrived) {
            (Ok(Some(done)), Some(arrived)) => {
                legs.device.add(arrived.saturating_duration_since(began));
                legs.whole.add(done.saturating_duration_since(began));
            }
            _ => legs.lost += 1,
        }
    }
}

/// What is due to be created.
#[derive(Default)]
struct Queue {
    due: RefCell<VecDeque<(u64, Instant)>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Queue {
    fn put(&self, cycle: (u64, Instant)) {
        self.due.borrow_mut().push_back(cycle);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.closed.set(true);
        self.changed.notify_waiters();
    }

    async fn take(&self) -> Option<(u64, Instant)> {
        loop {
            let changed = self.changed.notified();
            if let Some(cycle) = self.due.borrow_mut().pop_front() {
                return Some(cycle);
            }
            if self.closed.get() {
                return None;
            }
            changed.await;
        }
    }
}
