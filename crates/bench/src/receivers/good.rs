//! A good receiver that is told at a steady rate, and how long each push takes to come.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::ground::{Cancelled, Ground, Queued};
use super::heard::{self, Heard, Shape};
use super::{Options, place};
use crate::report::Times;
use crate::world::Common;
use crate::world::memory::Memory;

/// What has not come so long after the last one does not come.
const QUIET: Duration = Duration::from_secs(40);
/// Pushes before anything is measured.
const WARMING: u64 = 500;

/// The times of pushes to the good receiver.
#[derive(Default)]
pub(super) struct Told {
    /// From the instant at which a command was due to be cancelled to the arrival of its push.
    pub(super) whole: Times,
    /// From the answer to the call; zero if the push was there first.
    pub(super) after_answer: Times,
    /// Pushes that did not come. They count as having taken until now.
    pub(super) missing: u64,
}

impl Told {
    fn of(cancelled: Vec<Cancelled>, heard: &Heard) -> Self {
        let (mut told, now) = (Self::default(), Instant::now());
        for one in cancelled {
            let came = heard.first(&one.command);
            told.missing += u64::from(came.is_none());
            let came = came.unwrap_or(now);
            told.whole.add(came.saturating_duration_since(one.due));
            told.after_answer
                .add(came.saturating_duration_since(one.answered));
        }
        told
    }
}

/// The good receiver and its server.
pub(super) struct Good {
    pub(super) ground: Ground,
    pub(super) heard: Rc<RefCell<Heard>>,
    url: String,
}

impl Good {
    pub(super) async fn open(options: &Options, common: &Common) -> anyhow::Result<Self> {
        let ground = Ground::open(common).await?;
        let (heard, address) = heard::listen(place(100), Shape::OPEN).await?;
        let good = Self {
            ground,
            heard,
            url: heard::url(address),
        };
        good.warm(options).await?;
        Ok(good)
    }

    /// Ends the server as a crash would, and starts it again on the same data.
    pub(super) async fn restart(mut self, common: &Common) -> anyhow::Result<Self> {
        self.ground = self.ground.restart(common).await?;
        Ok(self)
    }

    /// Not measured: the first pushes open connections.
    pub(super) async fn warm(&self, options: &Options) -> anyhow::Result<()> {
        let first = self.ground.queue(&self.url, WARMING).await?;
        self.steady(first, options.rate).await?;
        Ok(())
    }

    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::watch(self.ground.stage.server.pid()?)
    }

    /// What the good one is told during one measurement.
    pub(super) async fn queue(&self, options: &Options) -> anyhow::Result<Queued> {
        let count = (options.rate * options.seconds as f64).ceil() as u64;
        self.ground.queue(&self.url, count).await
    }

    /// The times of pushes at the steady rate.
    pub(super) async fn told(&self, queued: Queued, options: &Options) -> anyhow::Result<Told> {
        let cancelled = self.steady(queued, options.rate).await?;
        Ok(Told::of(cancelled, &self.heard.borrow()))
    }

    async fn steady(&self, queued: Queued, rate: f64) -> anyhow::Result<Vec<Cancelled>> {
        let all = self.heard.borrow().distinct + queued.commands.len() as u64;
        let cancelled = self.ground.cancel_steadily(queued.commands, rate).await?.await?;
        Heard::all(&self.heard, all, QUIET).await;
        Ok(cancelled)
    }
}
