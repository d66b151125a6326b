//! How much is worked on at once. What comes beyond that is told so, instead of waiting where nobody sees it: from here on, what is
//! accepted does not take longer because more is offered.
//!
//! A call takes its place when its body has come, so that slow senders keep none. A refusal costs as much as a part of the work
//! that it spares, and who is refused asks again at once: refusals beyond so many a second are held back for a moment each, or
//! they would leave no time for what was accepted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use downlink_api::Code;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::Fault;

/// Lists read at once: one may hold a thousand commands with their parameters and results in memory.
const LISTS_AT_ONCE: usize = 4;

/// Refusals so far apart cost a few hundredths of a core.
const APART: Duration = Duration::from_micros(500);
/// None is held back for longer: the time after which the client is asked to come again anyway.
const LONGEST: Duration = Duration::from_secs(1);

/// A call's place among those that are worked on.
pub(super) type Place = OwnedSemaphorePermit;

/// See the module.
pub(super) struct Room {
    calls: Arc<Semaphore>,
    /// Lists that are read.
    reading: Semaphore,
    /// Lists that are read, or wait for their turn.
    lists: Semaphore,
    pace: Pace,
    refused: Counter,
}

/// A list's turn to be read.
pub(super) struct Turn<'a> {
    _reading: SemaphorePermit<'a>,
    _list: SemaphorePermit<'a>,
}

impl Room {
    /// For so many calls with a body, and for so many lists that wait. Counts what it refuses.
    pub(super) fn new(calls: usize, lists_waiting: usize, refused: Counter) -> Self {
        let lists = lists_waiting.saturating_add(LISTS_AT_ONCE);
        Self {
            calls: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))),
            reading: Semaphore::new(LISTS_AT_ONCE),
            lists: Semaphore::new(lists.min(Semaphore::MAX_PERMITS)),
            pace: Pace::default(),
            refused,
        }
    }

    /// A place for a call, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }

    /// What a call is told for which there is no place.
    pub(super) async fn refuse_call(&self) -> Fault {
        self.refuse("Too many calls are being worked on.").await
    }

    /// Waits for the turn to read a list.
    ///
    /// # Errors
    /// 503/100501: too many wait.
    pub(super) async fn turn_to_list(&self) -> Result<Turn<'_>, Fault> {
        let Ok(list) = self.lists.try_acquire() else {
            return Err(self.refuse("Too many lists are being read.").await);
        };
        let reading = self.reading.acquire().await;
        Ok(Turn {
            _reading: reading.map_err(|error| Fault::internal(error.to_string()))?,
            _list: list,
        })
    }

    async fn refuse(&self, told: &str) -> Fault {
        self.refused.inc();
        self.pace.wait().await;
        Fault::new(Code::Congested, told)
    }
}

/// When refusals are told.
#[derive(Default)]
pub(super) struct Pace {
    /// The turn of the last one.
    last: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits for the turn of one more.
    pub(super) async fn wait(&self) {
        tokio::time::sleep_until(self.turn(Instant::now())).await;
    }

    /// The turn of one more.
    fn turn(&self, now: Instant) -> Instant {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = last.map_or(now, |last| (last + APART).clamp(now, now + LONGEST));
        *last = Some(turn);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_beyond_the_limit_are_refused_until_one_ends() {
        let refused = Counter::default();
        let room = Room::new(2, 0, refused.clone());
        let (first, _second) = (room.place().unwrap(), room.place().unwrap());
        assert!(room.place().is_none());
        assert!(room.refuse_call().await.is(Code::Congested));
        drop(first);
        assert!(room.place().is_some());
        assert_eq!(refused.get(), 1);
    }

    #[test]
    fn refusals_are_told_at_once_until_there_are_many() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.turn(now), now);
        assert_eq!(pace.turn(now), now + APART);
        assert_eq!(pace.turn(now + LONGEST), now + LONGEST, "none are waiting");
        let last = (0..10_000).map(|_| pace.turn(now)).last();
        assert_eq!(last, Some(now + LONGEST), "none waits for long");
    }

    #[tokio::test]
    async fn lists_wait_for_their_turn_but_not_too_many() {
        let room = Room::new(1, 1, Counter::default());
        let mut reading = Vec::new();
        for _ in 0..LISTS_AT_ONCE {
            reading.push(room.turn_to_list().await.unwrap());
        }
        let waits = room.turn_to_list();
        let mut waits = std::pin::pin!(waits);
        assert!(futures_now(waits.as_mut()).is_none(), "one waits");
        let beyond = room.turn_to_list().await.err().unwrap();
        assert!(beyond.is(Code::Congested));
        reading.pop();
        assert!(waits.await.is_ok(), "its turn came");
    }

    /// What a future gives if it is asked once.
    fn futures_now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }
}
