//! How many calls begin in one round of the runtime.
//!
//! A runtime gives each task that has something to do one turn in a round. A thousand connections on which clients ask again as
//! soon as they are answered would be a thousand turns, and devices and receivers, whose tasks are in the same round, would be
//! served by what is left: what was accepted would crawl, while the server is busy with refusals. So no more than so many calls
//! begin in a round; the others wait for one of the next, in the order in which they came. Who has little to do is served first,
//! and calls take what is left. With several threads it is the round of one of them, which others take tasks from; whoever pushes has a
//! thread of its own there, and is waited for, for a moment: else calls would take from the system's turns what pushes of what they create need.
//!
//! How many wait, and for how long, has a limit; who is refused for it is told so at the pace of refusals ([`Pace`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use downlink_api::Code;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use super::Fault;
use super::room::Pace;
use crate::idle::WhenIdle;
use crate::runtime;

/// Calls that begin in one round: a millisecond or two of work.
const IN_A_ROUND: usize = 32;

/// See the module.
pub(crate) struct Rounds {
    /// Calls that may still begin in this one.
    left: Semaphore,
    /// The next one is on its way.
    coming: AtomicBool,
    /// Calls that wait for one of the next, and how many may.
    waiting: AtomicUsize,
    most: usize,
    /// The most time that a call waits.
    longest: Duration,
    pushes: WhenIdle,
    pace: Pace,
    shown: Gauge,
    refused: Counter,
}

impl Rounds {
    /// No more than `most` calls wait, and none for longer than this; `shown` shows how many do, `refused` how many were told so.
    pub(super) fn new(
        most: usize,
        longest: Duration,
        pushes: WhenIdle,
        shown: Gauge,
        refused: Counter,
    ) -> Arc<Self> {
        Arc::new(Self {
            left: Semaphore::new(IN_A_ROUND),
            coming: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            most,
            longest,
            pushes,
            pace: Pace::default(),
            shown,
            refused,
        })
    }

    /// Waits for a call's turn.
    ///
    /// # Errors
    /// 503/100501: it did not come in time, or too many wait for theirs.
    pub(super) async fn turn(self: &Arc<Self>) -> Result<(), Fault> {
        if let Ok(turn) = self.left.try_acquire() {
            turn.forget();
            return Ok(());
        }
        match self.wait().await {
            true => Ok(()),
            false => {
                self.refused.inc();
                self.pace.wait().await;
                Err(Fault::new(Code::Congested, "Too many calls wait for their turn."))
            }
        }
    }

    /// Whether the turn came.
    async fn wait(self: &Arc<Self>) -> bool {
        let waits = Waits::new(self);
        if waits.before >= self.most {
            return false;
        }
        if !self.coming.swap(true, Ordering::SeqCst) {
            tokio::spawn(Arc::clone(self).go_on());
        }
        match tokio::time::timeout(self.longest, self.left.acquire()).await {
            Ok(Ok(turn)) => {
                turn.forget();
                true
            }
            // It is never closed.
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// One round after the other, as long as calls wait for one.
    async fn go_on(self: Arc<Self>) {
        loop {
            self.others_first().await;
            let left = self.left.available_permits();
            self.left.add_permits(IN_A_ROUND.saturating_sub(left));
            if self.waiting.load(Ordering::SeqCst) == 0 {
                self.coming.store(false, Ordering::SeqCst);
                // One that came just now may have taken this round for one that goes on.
                if self.waiting.load(Ordering::SeqCst) == 0 || self.coming.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        }
    }

    /// Comes back when all who have something to do now had their turn.
    async fn others_first(&self) {
        other_tasks_first().await;
        if !runtime::has_one_thread() {
            self.pushes.wait().await;
        }
    }
}

/// Comes back when all tasks of this thread that have something to do now had their turn.
async fn other_tasks_first() {
    if runtime::has_one_thread() {
        // Behind them, and behind those for which something has arrived.
        return tokio::task::yield_now().await;
    }
    // There it would be the next one as soon as the thread had looked for what has arrived. A task that wakes itself goes behind the
    // others.
    let mut woken = false;
    std::future::poll_fn(|context| match std::mem::replace(&mut woken, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// A call that waits.
struct Waits<'a> {
    rounds: &'a Rounds,
    /// So many waited before.
    before: usize,
}

impl<'a> Waits<'a> {
    fn new(rounds: &'a Rounds) -> Self {
        rounds.shown.inc();
        let before = rounds.waiting.fetch_add(1, Ordering::SeqCst);
        Self { rounds, before }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.rounds.waiting.fetch_sub(1, Ordering::SeqCst);
        self.rounds.shown.dec();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Waker};

    use tokio::time::Instant;

    use super::*;
    use crate::idle;

    /// All that may begin have, and no other round comes: a second is too long.
    pub(in crate::http) fn standing() -> Arc<Rounds> {
        let rounds = rounds(Duration::from_secs(1));
        rounds.coming.store(true, Ordering::SeqCst);
        rounds.left.forget_permits(IN_A_ROUND);
        rounds
    }

    /// Nobody pushes: nobody has to be waited for.
    fn nobody() -> WhenIdle {
        idle::pair(Duration::ZERO).0
    }

    fn rounds(longest: Duration) -> Arc<Rounds> {
        Rounds::new(1_000_000, longest, nobody(), Gauge::default(), Counter::default())
    }

    /// What came after what: calls, and turns of a task that always has something to do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Turn {
        Call,
        Other,
    }

    #[tokio::test]
    async fn whoever_else_has_something_to_do_has_a_turn_between_the_calls_of_two_rounds() {
        check_turns(&crowd()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn with_several_threads_too() {
        let crowd = crowd();
        // On the thread of the tasks, not on that of the test.
        tokio::spawn(async move { check_turns(&crowd).await })
            .await
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn with_several_threads_a_round_begins_when_pushes_are_idle() {
        let longest = Duration::from_secs(60);
        let (pushes, mut asked) = idle::pair(longest);
        let rounds = Rounds::new(1_000_000, longest, pushes, Gauge::default(), Counter::default());
        for _ in 0..IN_A_ROUND {
            rounds.turn().await.unwrap();
        }
        let waits = Arc::clone(&rounds);
        let call = tokio::spawn(async move { waits.turn().await.unwrap() });
        let waiting = tokio::time::timeout(longest, asked.recv());
        let waiting = waiting.await.unwrap().unwrap();
        assert!(!call.is_finished(), "not before they are");
        waiting.send(()).unwrap();
        call.await.unwrap();
    }

    fn crowd() -> Arc<Rounds> {
        rounds(Duration::from_secs(60))
    }

    async fn check_turns(rounds: &Arc<Rounds>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let calls: Vec<_> = (0..50 * IN_A_ROUND)
            .map(|_| {
                let (rounds, log) = (Arc::clone(rounds), Arc::clone(&log));
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
                    other_tasks_first().await;
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
        assert_eq!(rounds.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_so_and_counted() {
        let rounds = standing();
        assert!(rounds.turn().await.err().unwrap().is(Code::Congested));
        assert_eq!((rounds.refused.get(), rounds.shown.get()), (1, 0));
        rounds.coming.store(false, Ordering::SeqCst);
        rounds.turn().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_may() {
        let (shown, refused) = Default::default();
        let rounds = Rounds::new(1, Duration::from_secs(1), nobody(), shown, refused);
        rounds.coming.store(true, Ordering::SeqCst);
        rounds.left.forget_permits(IN_A_ROUND);
        let began = Instant::now();
        let (first, second) = tokio::join!(rounds.turn(), async {
            let refused = rounds.turn().await;
            (refused, began.elapsed())
        });
        assert!(first.is_err() && second.0.is_err());
        assert!(
            second.1 < Duration::from_millis(100),
            "at once, not after a second: {:?}",
            second.1
        );
    }

    /// Asks once, and goes away.
    fn asks_and_goes(rounds: &Arc<Rounds>) {
        let mut turn = Box::pin(rounds.turn());
        let asked = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(asked.is_pending());
    }

    #[tokio::test]
    async fn one_that_goes_away_while_it_waits_keeps_nobody_from_a_turn() {
        let rounds = crowd();
        for _ in 0..IN_A_ROUND {
            rounds.turn().await.unwrap();
        }
        for _ in 0..3 * IN_A_ROUND {
            asks_and_goes(&rounds);
        }
        // Another is given its turn, and goes before it takes it.
        let mut given = Box::pin(rounds.turn());
        assert!(
            given
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        other_tasks_first().await;
        other_tasks_first().await;
        drop(given);
        assert_eq!(rounds.waiting.load(Ordering::SeqCst), 0);
        for _ in 0..3 * IN_A_ROUND {
            rounds.turn().await.unwrap();
        }
    }
}
