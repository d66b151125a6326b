//! How much is worked on at once. As many calls wait for a place, for a moment, and are shown; what comes beyond that is told so: what is
//! accepted does not take longer because still more is offered.
//!
//! A call takes its place when its body has come, so that slow senders keep none. A burst of a thousand calls is worked off
//! without a refusal. A refusal costs as much as a part of the work
//! that it spares, and who is refused asks again at once: refusals beyond so many a second are held back for a moment each, or
//! they would leave no time for what was accepted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use downlink_api::Code;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
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
pub(super) struct Place {
    _call: OwnedSemaphorePermit,
    _in_hand: OwnedSemaphorePermit,
}

/// See the module.
pub(super) struct Room {
    calls: Arc<Semaphore>,
    /// Calls that have a place or wait for one. Counted together: one whose turn came may not have noticed yet.
    in_hand: Arc<Semaphore>,
    /// How long a call waits for a place.
    longest: Duration,
    shown: Gauge,
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
    /// For so many calls with a body, as many that wait for a place, none for longer than this, and for so many lists that wait.
    /// `shown` shows how many calls do, `refused` counts what is refused.
    pub(super) fn new(
        calls: usize,
        longest: Duration,
        lists_waiting: usize,
        shown: Gauge,
        refused: Counter,
    ) -> Self {
        let calls = calls.clamp(1, Semaphore::MAX_PERMITS);
        let lists = lists_waiting.saturating_add(LISTS_AT_ONCE);
        Self {
            calls: Arc::new(Semaphore::new(calls)),
            in_hand: Arc::new(Semaphore::new(
                calls.saturating_mul(2).min(Semaphore::MAX_PERMITS),
            )),
            longest,
            shown,
            reading: Semaphore::new(LISTS_AT_ONCE),
            lists: Semaphore::new(lists.min(Semaphore::MAX_PERMITS)),
            pace: Pace::default(),
            refused,
        }
    }

    /// A place for a call, in the order in which they come. None: too many wait for one already, or it did not come in time.
    pub(super) async fn place(&self) -> Option<Place> {
        let _in_hand = Arc::clone(&self.in_hand).try_acquire_owned().ok()?;
        let calls = Arc::clone(&self.calls);
        let _call = match Arc::clone(&calls).try_acquire_owned() {
            Ok(call) => call,
            Err(_) => {
                let _waits = Waits::new(&self.shown);
                let call = tokio::time::timeout(self.longest, calls.acquire_owned());
                call.await.ok()?.ok()?
            }
        };
        Some(Place { _call, _in_hand })
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

/// A call that waits for a place.
struct Waits<'a>(&'a Gauge);

impl<'a> Waits<'a> {
    fn new(shown: &'a Gauge) -> Self {
        shown.inc();
        Self(shown)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
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

    const LONGEST_WAIT: Duration = Duration::from_secs(1);

    fn room(calls: usize, lists: usize) -> Room {
        Room::new(calls, LONGEST_WAIT, lists, Gauge::default(), Counter::default())
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_calls_wait_as_have_a_place_and_more_are_refused() {
        let room = room(2, 0);
        let first = room.place().await.unwrap();
        let _second = room.place().await.unwrap();
        let began = Instant::now();
        let (mut third, mut fourth) = (Box::pin(room.place()), Box::pin(room.place()));
        assert!(futures_now(third.as_mut()).is_none() && futures_now(fourth.as_mut()).is_none());
        assert_eq!(room.shown.get(), 2);
        assert!(room.place().await.is_none(), "no more wait");
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(room.refuse_call().await.is(Code::Congested));
        drop(first);
        let _third = third.await.expect("the place that came free");
        assert!(fourth.await.is_none(), "none came for this one");
        let took = began.elapsed();
        assert!(LONGEST_WAIT <= took && took < 2 * LONGEST_WAIT, "{took:?}");
        assert_eq!((room.shown.get(), room.refused.get()), (0, 1));
    }

    /// Found with several threads: of as many calls as there is room for some were refused.
    #[tokio::test(start_paused = true)]
    async fn one_whose_turn_came_and_did_not_notice_yet_keeps_no_other_from_waiting() {
        let room = room(1, 0);
        let first = room.place().await.unwrap();
        let mut second = Box::pin(room.place());
        assert!(futures_now(second.as_mut()).is_none());
        drop(first);
        let mut third = Box::pin(room.place());
        assert!(futures_now(third.as_mut()).is_none(), "it waits");
        assert!(room.place().await.is_none(), "no more than that");
        drop(second.await.expect("its turn came"));
        assert!(third.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_while_it_waits_keeps_nobody_from_a_place() {
        let room = room(1, 0);
        let first = room.place().await.unwrap();
        for _ in 0..3 {
            let mut goes = Box::pin(room.place());
            assert!(futures_now(goes.as_mut()).is_none(), "it may wait");
        }
        assert_eq!(room.shown.get(), 0);
        drop(first);
        assert!(room.place().await.is_some());
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
        let room = room(1, 1);
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
