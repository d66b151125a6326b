//! Work that has to come to its end, whoever waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::task::TaskTracker;

/// Does `work` to its end, even if whoever waits here goes away: a client that closes its connection, a request that takes
/// too long. A committed Send must reach its session, whoever still wants to know.
///
/// It is done right here as long as somebody waits, which spares a task and two wake-ups; only what was given up goes on in a
/// task of its own. Work that panics does so here.
pub(crate) fn finish<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> Finish<T> {
    Finish {
        work: Some(Box::pin(work)),
        tasks: tasks.clone(),
    }
}

/// See [`finish`].
pub(crate) struct Finish<T: Send + 'static> {
    /// None: it is over.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tasks: TaskTracker,
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // While it is polled it is not here, so that work that panics is not begun again.
        let mut work = self.work.take().expect("polled after its end");
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn(async move {
                let _nobody = work.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_given_up_half_way_is_done_all_the_same() {
        let tasks = TaskTracker::new();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = finish(&tasks, async move {
            gone.await.unwrap();
            tell.send(7).unwrap();
        });
        let waker = std::task::Waker::noop();
        assert!(
            Pin::new(&mut work)
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
        drop(work);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok(7));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn what_was_waited_for_leaves_nothing_behind() {
        let tasks = TaskTracker::new();
        assert_eq!(finish(&tasks, async { 3 }).await, 3);
        assert!(tasks.is_empty());
    }
}
