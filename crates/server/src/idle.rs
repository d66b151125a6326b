//! Lets others wait until a task has nothing at hand to do.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Who may wait at once; more wait for room here.
const WAITING: usize = 16;

/// One who waits, as the task sees it.
pub(crate) type Waiting = oneshot::Sender<()>;

/// Held by whoever may have to wait.
#[derive(Clone)]
pub(crate) struct WhenIdle {
    ask: mpsc::Sender<Waiting>,
    longest: Duration,
}

/// What a task takes [`Waiting`] from once it has nothing else to do. Nobody waits for longer than `longest`.
pub(crate) fn pair(longest: Duration) -> (WhenIdle, mpsc::Receiver<Waiting>) {
    let (ask, asked) = mpsc::channel(WAITING);
    (WhenIdle { ask, longest }, asked)
}

impl WhenIdle {
    /// Comes back when the task has nothing at hand, or has ended, or after the longest time.
    pub(crate) async fn wait(&self) {
        let asked = async {
            let (waiting, idle) = oneshot::channel();
            if self.ask.send(waiting).await.is_ok() {
                let _ = idle.await;
            }
        };
        let _ = tokio::time::timeout(self.longest, asked).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_it_is_told() {
        let (idle, mut asked) = pair(LONGEST);
        let (began, after) = (Instant::now(), Duration::from_secs(3));
        tokio::join!(idle.wait(), async {
            let waiting = asked.recv().await.unwrap();
            tokio::time::sleep(after).await;
            waiting.send(()).unwrap();
        });
        assert_eq!(began.elapsed(), after);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_ended_keeps_nobody_waiting() {
        let (idle, asked) = pair(LONGEST);
        let began = Instant::now();
        tokio::join!(idle.wait(), async { drop(asked) });
        idle.wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_never_idle_keeps_nobody_for_longer_than_that() {
        let (idle, _asked) = pair(LONGEST);
        for _ in 0..2 * WAITING {
            let began = Instant::now();
            idle.wait().await;
            assert_eq!(began.elapsed(), LONGEST);
        }
    }
}
