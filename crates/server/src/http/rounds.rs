//! How many calls begin in one round of the runtime.
//!
//! A runtime gives each task that has something to do one turn in a round. A thousand connections on which clients ask again as
//! soon as they are answered would be a thousand turns, and devices and receivers, whose tasks are in the same round, would be
//! served by what is left: what was accepted would crawl, while the server is busy with refusals. So no more than so many calls
//! begin in a round; the others wait for one of the next, in the order in which they came. Who has little to do is served first,
//! and calls take what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use downlink_api::Code;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use super::Fault;

/// Calls that begin in one round: a millisecond or two of work.
const IN_A_ROUND: usize = 32;

/// See the module.
pub(crate) struct Rounds {
    /// Calls that may still begin in this one.
    left: Semaphore,
    /// The next one is on its way.
    coming: AtomicBool,
    /// The most time that a call waits.
    longest: Duration,
    waiting: Gauge,
    refused: Counter,
}

impl Rounds {
    /// No call waits for longer than this; `waiting` shows how many do, `refused` how many were told so.
    pub(super) fn new(longest: Duration, waiting: Gauge, refused: Counter) -> Arc<Self> {
        Arc::new(Self {
            left: Semaphore::new(IN_A_ROUND),
            coming: AtomicBool::new(false),
            longest,
            waiting,
            refused,
        })
    }

    /// Waits for a call's turn.
    ///
    /// # Errors
    /// 503/100501: it did not come in time.
    pub(super) async fn turn(self: &Arc<Self>) -> Result<(), Fault> {
        if let Ok(turn) = self.left.try_acquire() {
            turn.forget();
            return Ok(());
        }
        let _waits = Waits::new(&self.waiting);
        if !self.coming.swap(true, Ordering::SeqCst) {
            tokio::spawn(Arc::clone(self).go_on());
        }
        match tokio::time::timeout(self.longest, self.left.acquire()).await {
            Ok(Ok(turn)) => {
                turn.forget();
                Ok(())
            }
            // It is never closed.
            Ok(Err(_)) | Err(_) => {
                self.refused.inc();
                Err(Fault::new(
                    Code::Congested,
                    "The call waited too long for its turn.",
                ))
            }
        }
    }

    /// One round after the other, as long as calls wait for one.
    async fn go_on(self: Arc<Self>) {
        loop {
            // Whoever has something to do has a turn before the calls of the next round.
            tokio::task::yield_now().await;
            let left = self.left.available_permits();
            self.left.add_permits(IN_A_ROUND.saturating_sub(left));
            if self.waiting.get() == 0 {
                self.coming.store(false, Ordering::SeqCst);
                // One that came just now may have taken this round for one that goes on.
                if self.waiting.get() == 0 || self.coming.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        }
    }
}

/// A call that waits.
struct Waits<'a>(&'a Gauge);

impl<'a> Waits<'a> {
    fn new(waiting: &'a Gauge) -> Self {
        waiting.inc();
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// All that may begin have, and no other round comes: a second is too long.
    pub(in crate::http) fn standing() -> Arc<Rounds> {
        let rounds = rounds(Duration::from_secs(1));
        rounds.coming.store(true, Ordering::SeqCst);
        rounds.left.forget_permits(IN_A_ROUND);
        rounds
    }

    fn rounds(longest: Duration) -> Arc<Rounds> {
        Rounds::new(longest, Gauge::default(), Counter::default())
    }

    /// What came after what: calls, and turns of a task that always has something to do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Turn {
        Call,
        Other,
    }

    #[tokio::test]
    async fn whoever_else_has_something_to_do_has_a_turn_between_the_calls_of_two_rounds() {
        let (rounds, log) = (rounds(Duration::from_secs(60)), Arc::new(Mutex::new(Vec::new())));
        let calls: Vec<_> = (0..50 * IN_A_ROUND)
            .map(|_| {
                let (rounds, log) = (Arc::clone(&rounds), Arc::clone(&log));
                tokio::spawn(async move {
                    rounds.turn().await.unwrap();
                    log.lock().unwrap().push(Turn::Call);
                })
            })
            .collect();
        let other = tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                loop {
                    log.lock().unwrap().push(Turn::Other);
                    tokio::task::yield_now().await;
                }
            }
        });
        for call in calls {
            call.await.unwrap();
        }
        other.abort();
        let log = log.lock().unwrap();
        let longest = log.split(|turn| *turn == Turn::Other).map(<[Turn]>::len).max();
        assert!(longest <= Some(IN_A_ROUND), "{longest:?} calls in one round");
        assert_eq!(rounds.waiting.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so_and_counted() {
        let rounds = standing();
        assert!(rounds.turn().await.err().unwrap().is(Code::Congested));
        assert_eq!((rounds.refused.get(), rounds.waiting.get()), (1, 0));
        rounds.coming.store(false, Ordering::SeqCst);
        rounds.turn().await.unwrap();
    }

    #[tokio::test]
    async fn one_that_goes_away_while_it_waits_keeps_nobody_from_a_turn() {
        let rounds = rounds(Duration::from_secs(60));
        for _ in 0..3 * IN_A_ROUND {
            let gone = tokio::time::timeout(Duration::ZERO, rounds.turn()).await;
            drop(gone);
        }
        assert_eq!(rounds.waiting.get(), 0);
        for _ in 0..3 * IN_A_ROUND {
            rounds.turn().await.unwrap();
        }
    }
}
