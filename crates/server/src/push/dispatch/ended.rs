//! Takes all attempts that have ended, in one turn.
//!
//! A set of futures gives way after a few that woke themselves, and the runtime after a number of reads and writes. Both
//! are for tasks that would hold up others; here they would hold up the pushes: on a machine whose every turn takes long, each turn
//! of the dispatcher brought on only a few attempts, and answers were read when their time was over. What one turn does is bounded all the
//! same, by the attempts that there are.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::unconstrained;

/// Looks in one turn, at the most.
const LOOKS: usize = 4096;

/// Whether the set of futures gave way, and would go on at once.
#[derive(Default)]
struct GaveWay(AtomicBool);

impl Wake for GaveWay {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Gives each future's outcome that is there, without waiting. Whoever is to be woken by the others has to ask them once more.
pub(super) fn take<F: Future>(futures: &mut FuturesUnordered<F>, mut each: impl FnMut(F::Output)) {
    if futures.is_empty() {
        return;
    }
    let gave_way = Arc::new(GaveWay::default());
    let waker = Waker::from(Arc::clone(&gave_way));
    let mut context = Context::from_waker(&waker);
    for _ in 0..LOOKS {
        match pin!(unconstrained(futures.next())).poll(&mut context) {
            Poll::Ready(Some(output)) => each(output),
            Poll::Ready(None) => return,
            Poll::Pending if gave_way.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Ends at its third look, and wakes itself before that.
    fn wakes_itself() -> impl Future<Output = ()> {
        let mut looks = 0;
        poll_fn(move |context| {
            looks += 1;
            if looks < 3 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }

    #[test]
    fn all_that_can_end_end_in_one_turn_also_those_that_wake_themselves() {
        let mut futures: FuturesUnordered<_> = (0..200).map(|_| wakes_itself()).collect();
        let mut ended = 0;
        take(&mut futures, |()| ended += 1);
        assert_eq!(ended, 200);
    }

    #[tokio::test]
    async fn the_share_of_a_task_does_not_hold_them_up() {
        let reads = || async {
            for _ in 0..10 {
                tokio::task::coop::consume_budget().await;
            }
        };
        let mut futures: FuturesUnordered<_> = (0..200).map(|_| reads()).collect();
        let mut ended = 0;
        take(&mut futures, |()| ended += 1);
        assert_eq!(ended, 200);
    }
}
