//! The log: one file, one thread that writes it, one sync for all that waits.
//!
//! Those who append wait on the runtime's thread for a task there, which exchanges whole batches with the log's thread: to
//! wake each of them from another thread would cost a system call each.

mod disk;

use std::io;
use std::sync::Mutex;
use std::sync::mpsc as threads;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

pub(super) use self::disk::Disk;
use super::locked;

/// How long what nobody waits for may wait for others to share a sync with.
const LAZY: Duration = Duration::from_millis(8);

/// See the module.
#[derive(Default)]
pub(super) struct Log {
    waiting: Mutex<Waiting>,
    work: Notify,
}

/// What the next batch will be.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    appended: Vec<oneshot::Sender<()>>,
    /// Since when something waits that nobody waits for.
    lazy_since: Option<Instant>,
}

impl Log {
    /// Appends what `write` writes; returns when it is on the disk.
    pub(super) async fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let (sender, synced) = oneshot::channel();
        {
            let mut waiting = locked(&self.waiting);
            write(&mut waiting.bytes);
            waiting.appended.push(sender);
            if waiting.appended.len() == 1 {
                self.work.notify_one();
            }
        }
        synced.await.expect("the floor ends with its log");
    }

    /// Appends what `write` writes, at some time soon.
    pub(super) fn append_lazily(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = locked(&self.waiting);
        write(&mut waiting.bytes);
        if waiting.lazy_since.is_none() {
            waiting.lazy_since = Some(Instant::now());
            self.work.notify_one();
        }
    }

    /// Brings batch after batch to the disk.
    pub(super) async fn commit(&self, disk: Disk) -> anyhow::Result<()> {
        let (batches, mut written) = start_thread(disk);
        let (mut spare, mut appended) = (Vec::new(), Vec::new());
        loop {
            self.due().await;
            // All that is ready has its turn first, and joins.
            tokio::task::yield_now().await;
            batches.send(self.take(spare, &mut appended))?;
            spare = written.recv().await.context("the log's thread ended")??;
            spare.clear();
            for appender in appended.drain(..) {
                // One whose connection ended waits no more.
                let _gone = appender.send(());
            }
        }
    }

    /// The batch, and who waits for it; `spare` is for the next one.
    fn take(&self, spare: Vec<u8>, appended: &mut Vec<oneshot::Sender<()>>) -> Vec<u8> {
        let mut waiting = locked(&self.waiting);
        waiting.lazy_since = None;
        std::mem::swap(appended, &mut waiting.appended);
        std::mem::replace(&mut waiting.bytes, spare)
    }

    /// Waits until somebody waits for a sync, or something has waited for its company long enough.
    async fn due(&self) {
        loop {
            let lazy_since = {
                let waiting = locked(&self.waiting);
                if !waiting.appended.is_empty() {
                    return;
                }
                waiting.lazy_since
            };
            match lazy_since {
                None => self.work.notified().await,
                Some(since) => tokio::select! {
                    biased;
                    () = self.work.notified() => {}
                    () = sleep_until(since + LAZY) => return,
                },
            }
        }
    }
}

type Written = mpsc::UnboundedReceiver<io::Result<Vec<u8>>>;

/// Starts the log's thread. Each batch comes back when it is on the disk; there is one at a time.
fn start_thread(mut disk: Disk) -> (threads::Sender<Vec<u8>>, Written) {
    let (batches, inbox) = threads::channel::<Vec<u8>>();
    let (done, written) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for batch in inbox {
            let result = disk.write(&batch).map(|()| batch);
            if done.send(result).is_err() {
                return;
            }
        }
    });
    (batches, written)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    fn start(file: &Path) -> Arc<Log> {
        let (log, disk) = (Arc::new(Log::default()), Disk::create(file).unwrap());
        let own = Arc::clone(&log);
        tokio::spawn(async move { own.commit(disk).await });
        log
    }

    /// Whether the file begins so, and has nothing after it.
    fn holds(file: &Path, bytes: &[u8]) -> bool {
        let mut head = vec![0; bytes.len() + 1];
        let file = File::open(file).unwrap();
        file.read_exact_at(&mut head, 0).unwrap();
        head.strip_prefix(bytes) == Some(&[0])
    }

    #[tokio::test]
    async fn what_is_appended_is_in_the_file_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let log = start(&file);
        log.append_lazily(|out| out.extend_from_slice(b"told,"));
        let (one, two) = (
            log.append(|out| out.extend_from_slice(b"one,")),
            log.append(|out| out.extend_from_slice(b"two,")),
        );
        tokio::join!(one, two);
        assert!(holds(&file, b"told,one,two,"));
        log.append(|out| out.extend_from_slice(b"three,")).await;
        assert!(holds(&file, b"told,one,two,three,"));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_written_without_company_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let (log, began) = (start(&file), Instant::now());
        log.append_lazily(|out| out.push(b'x'));
        while !holds(&file, b"x") {
            tokio::task::yield_now().await;
        }
        assert!(began.elapsed() >= LAZY);
    }
}
