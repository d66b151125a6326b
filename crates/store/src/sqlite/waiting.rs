//! How many PENDING commands devices have in their queues, kept as the batch leaves it so far.
//!
//! Whether a queue is at its limit is asked at each create, and reading so much of the queue costs as much as it is long.
//! So a device's queue is measured once, and what joins or leaves it is counted. A rollback forgets all.

use downlink_core::DeviceKey;
use downlink_core::lifecycle::{Progress, State};

use super::batch::Batch;
use super::failure::Failure;
use super::memo::Memo;

/// A queue that is cheap to count.
const SHORT: usize = 4;
/// What is remembered of devices.
const DEVICES_REMEMBERED: usize = 16_384;

/// See the module.
pub(super) struct Waiting {
    of: Memo<DeviceKey, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    /// So many are PENDING, or more.
    at_most: i64,
    /// Just as many are.
    exact: bool,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self {
            of: Memo::new(DEVICES_REMEMBERED),
        }
    }

    /// A command went from one state to another; none: it is new, or it is not created after all.
    pub(super) fn note(&mut self, device: DeviceKey, from: Option<&Progress>, to: Option<&Progress>) {
        let change = i64::from(to.is_some_and(counts)) - i64::from(from.is_some_and(counts));
        if change != 0
            && let Some(count) = self.of.get(&device)
        {
            count.at_most += change;
        }
    }

    /// The transaction is over and undone.
    pub(super) fn forget_all(&mut self) {
        self.of.clear();
    }
}

fn counts(progress: &Progress) -> bool {
    progress.state == State::Pending && progress.is_queued()
}

impl Batch {
    /// Whether a device has `limit` PENDING commands or more.
    pub(super) fn is_full(&mut self, device: DeviceKey, limit: u32) -> Result<bool, Failure> {
        let limit = i64::from(limit);
        let known = self.waiting.of.get(&device).map(|count| *count);
        let count = match known {
            Some(count) => count,
            None => self.first_count(device)?,
        };
        let count = match count.exact || count.at_most < limit {
            true => count,
            false => self.count_waiting(device)?,
        };
        if known.is_none_or(|known| known.exact != count.exact) {
            self.waiting.of.put(device, count);
        }
        Ok(count.at_most >= limit)
    }

    /// A short queue is counted to the last one, and stays so as it grows; else it takes a reason to.
    fn first_count(&mut self, device: DeviceKey) -> Result<Count, Failure> {
        match self.queue_of(device, usize::MAX)?.len() {
            0..=SHORT => self.count_waiting(device),
            // What holds the slot stands in the queue too.
            long => Ok(Count {
                at_most: long as i64,
                exact: false,
            }),
        }
    }

    /// How many PENDING commands a device has in its queue, to the last one.
    pub(super) fn waiting_of(&mut self, device: DeviceKey) -> Result<u64, Failure> {
        let known = self.waiting.of.get(&device).map(|count| *count);
        let count = match known.filter(|count| count.exact) {
            Some(count) => count,
            None => {
                let count = self.count_waiting(device)?;
                self.waiting.of.put(device, count);
                count
            }
        };
        Ok(u64::try_from(count.at_most).unwrap_or(0))
    }

    fn count_waiting(&mut self, device: DeviceKey) -> Result<Count, Failure> {
        let mut pending = 0;
        for id in self.queue_of(device, usize::MAX)? {
            pending += i64::from(self.is_pending(id)?);
        }
        Ok(Count {
            at_most: pending,
            exact: true,
        })
    }
}
