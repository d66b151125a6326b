//! The runtime that a server runs on.

use std::io;
use std::num::NonZero;
use std::sync::mpsc;
use std::thread::{self, available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio_util::task::TaskTracker;

/// The most threads that may be asked for.
const MOST: usize = 512;

/// A runtime whose `threads` serve connections; 0: one less than there are cores, at the least one, as the store's writer has
/// a thread of its own. With one thread nobody has to be woken across threads: a command costs some 10 % less CPU.
///
/// # Errors
/// The system gives no threads or no event queue.
pub fn build(threads: usize) -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let mut builder = match count(threads, cores) {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build()
}

/// Runs a future among `tasks`: where the runtime has several threads on one of its own, with a runtime of its own, so that however many tasks
/// these have, it waits for none of them; else as one task of the only thread, where each has its turn and nobody has to be woken across threads.
/// At its end its thread ends, with what it has spawned.
///
/// # Errors
/// The system gives no thread or no event queue.
pub(crate) fn spawn_apart(
    name: &str,
    future: impl Future<Output = ()> + Send + 'static,
    tasks: &TaskTracker,
) -> io::Result<()> {
    if has_one_thread() {
        tasks.spawn(future);
        return Ok(());
    }
    let (tell, built) = mpsc::channel();
    let tracked = tasks.track_future(future);
    // A runtime may not be dropped in a task: it is built where it ends.
    let run = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let _ = tell.send(Ok(()));
            runtime.block_on(tracked);
        }
        Err(error) => drop(tell.send(Err(error))),
    };
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    built.recv().map_err(io::Error::other)?
}

/// Whether all tasks of this runtime have their turns on one thread.
pub(crate) fn has_one_thread() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

fn count(asked: usize, cores: usize) -> usize {
    match asked {
        0 => cores.saturating_sub(1).clamp(1, MOST),
        asked => asked.min(MOST),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn one_core_is_left_to_the_store_where_there_are_several() {
        assert_eq!([1, 2, 3, 8].map(|cores| count(0, cores)), [1, 1, 2, 7]);
        assert_eq!([count(1, 8), count(4, 2), count(100_000, 2)], [1, 4, MOST]);
    }

    /// The thread that a future among tasks of this runtime runs on.
    async fn thread_of_one_apart() -> thread::Thread {
        let (tasks, (tell, told)) = (TaskTracker::new(), oneshot::channel());
        spawn_apart("apart", async { tell.send(thread::current()).unwrap() }, &tasks).unwrap();
        tasks.close();
        tasks.wait().await;
        told.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn with_several_threads_it_has_one_of_its_own() {
        assert_eq!(thread_of_one_apart().await.name(), Some("apart"));
    }

    #[tokio::test]
    async fn with_one_thread_it_has_no_other() {
        assert_eq!(thread_of_one_apart().await.id(), thread::current().id());
    }
}
