//! What a simulated device has seen and done, kept where a test can read it and wait on it.
//!
//! A ledger outlives the device that writes it: the same one can be handed to a device that is started again. Names of
//! commands and their bodies are kept up to a limit; beyond that only totals grow, and `unrecorded` tells so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::topic::{Command, Key};
use crate::wait::{self, TimedOut};

/// How many different commands a ledger keeps by name.
const LIMIT: usize = 10_000;

/// What one command met at the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Times it arrived.
    pub received: u32,
    /// Times it was carried out.
    pub executed: u32,
    /// PUBACKs written for it.
    pub acked: u32,
    /// Answers written for it.
    pub answered: u32,
}

/// The state of a [`Ledger`].
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Connections that the server accepted.
    pub connects: u64,
    /// The code of the last CONNACK that refused.
    pub refused: Option<u8>,
    /// Connected now, and (if the device subscribes) its filter granted.
    pub ready: bool,
    /// Everything, commands not recorded included.
    pub total: Counts,
    /// Answers that the server acknowledged.
    pub answers_acked: u64,
    /// Messages that were no commands to this device.
    pub strays: u64,
    /// Events that nobody took from the device's channel in time.
    pub events_lost: u64,
    /// Messages that were to be published while there was no connection.
    pub unpublished: u64,
    /// Arrivals beyond the ledger's limit.
    pub unrecorded: u64,
    /// The commands in the order of their first arrival.
    pub commands: Vec<Arc<Command>>,
    counts: BTreeMap<Key, Counts>,
}

impl Tally {
    /// What this command met.
    pub fn of(&self, key: &Key) -> Counts {
        self.counts.get(key).copied().unwrap_or_default()
    }

    /// Every command with what it met.
    pub fn each(&self) -> impl Iterator<Item = (&Key, Counts)> {
        self.counts.iter().map(|(key, counts)| (key, *counts))
    }

    pub(crate) fn arrived(&mut self, command: &Arc<Command>) {
        if !self.counts.contains_key(&command.key) {
            if self.counts.len() >= LIMIT {
                self.unrecorded += 1;
                self.total.received += 1;
                return;
            }
            self.commands.push(Arc::clone(command));
            self.counts.insert(command.key.clone(), Counts::default());
        }
        self.count(&command.key, |counts| counts.received += 1);
    }

    pub(crate) fn count(&mut self, key: &Key, add: impl Fn(&mut Counts)) {
        add(&mut self.total);
        if let Some(counts) = self.counts.get_mut(key) {
            add(counts);
        }
    }
}

/// A handle on the tally; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<watch::Sender<Tally>>);

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads from the tally without copying it. `read` runs under a lock: keep it short.
    pub fn read<R>(&self, read: impl FnOnce(&Tally) -> R) -> R {
        read(&self.0.borrow())
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// [`TimedOut`] if it does not within `limit`.
    pub async fn wait_until(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&Tally) -> bool,
    ) -> Result<(), TimedOut> {
        wait::until(
            &self.0,
            limit,
            |tally| condition(tally).then_some(()),
            |tally| {
                format!(
                    "connects {}, ready {}, {:?}",
                    tally.connects, tally.ready, tally.total
                )
            },
        )
        .await
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Tally)) {
        self.0.send_modify(change);
    }
}
