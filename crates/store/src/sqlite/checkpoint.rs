//! Moving the write-ahead log into the database file, mostly off the writer's path.
//!
//! A thread of its own copies the pages while the writer goes on. What the writer added meanwhile is little; the
//! writer copies that itself after its next commit, and the log begins anew. If readers keep the log from beginning
//! anew, it is forced to at a multiple of the size, so that it cannot grow without limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;

use super::stats::{StoreStats, add};

/// The log is forced to begin anew at this multiple of its usual size.
const FORCED: u64 = 8;
/// The thread goes over the log so often before it leaves the rest to the writer.
const ROUNDS: usize = 3;
/// So many pages are no burden on the writer.
const SMALL: i64 = 64;

/// The writer's side.
pub(super) struct Checkpoints {
    usual: u64,
    /// The log's size at which the thread is called next.
    call_at: u64,
    last: u64,
    thread: SyncSender<()>,
    /// The thread is done, the rest is the writer's.
    rest: Arc<AtomicBool>,
    stats: Arc<StoreStats>,
}

/// The thread's side.
pub(super) struct Checkpointer {
    sql: Connection,
    calls: Receiver<()>,
    rest: Arc<AtomicBool>,
}

/// Both sides. `writer` is the connection that will commit.
pub(super) fn pair(
    writer: &mut Connection,
    own: Connection,
    usual: u32,
    stats: &Arc<StoreStats>,
) -> rusqlite::Result<(Checkpoints, Checkpointer)> {
    let counted = Arc::clone(stats);
    writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        counted
            .wal_pages
            .store(u64::try_from(pages).unwrap_or(0), Relaxed);
        Ok(())
    }))?;
    let (thread, calls) = sync_channel(1);
    let rest = Arc::new(AtomicBool::new(false));
    let usual = u64::from(usual.max(1));
    let checkpoints = Checkpoints {
        usual,
        call_at: usual,
        last: 0,
        thread,
        rest: Arc::clone(&rest),
        stats: Arc::clone(stats),
    };
    Ok((
        checkpoints,
        Checkpointer {
            sql: own,
            calls,
            rest,
        },
    ))
}

impl Checkpoints {
    /// Looks at the log's size: calls the thread, finishes its work, or forces a new beginning.
    pub(super) fn after_commit(&mut self, sql: &Connection) {
        let pages = self.stats.wal_pages.load(Relaxed);
        if pages < self.last {
            self.call_at = self.usual;
        }
        self.last = pages;
        if self.rest.swap(false, Relaxed) {
            checkpoint(sql, "PASSIVE");
            add(&self.stats.checkpoints, 1);
        } else if pages >= self.usual * FORCED && pages >= self.call_at {
            tracing::warn!(
                pages,
                "the write-ahead log is far over its size and is forced to begin anew"
            );
            checkpoint(sql, "RESTART");
            add(&self.stats.checkpoints, 1);
            self.call_at = pages + self.usual;
        } else if pages >= self.call_at && self.thread.try_send(()).is_ok() {
            self.call_at = pages + self.usual / 2;
        }
    }

    /// Leaves an empty log.
    pub(super) fn at_end(&self, sql: &Connection) {
        checkpoint(sql, "TRUNCATE");
    }
}

impl Checkpointer {
    /// Serves until the writer is gone.
    pub(super) fn run(self) {
        while self.calls.recv().is_ok() {
            for _ in 0..ROUNDS {
                if checkpoint(&self.sql, "PASSIVE").is_none_or(|left| left <= SMALL) {
                    break;
                }
            }
            self.rest.store(true, Relaxed);
        }
    }
}

/// Gives how many pages are left in the log; `None` if it could not be done.
fn checkpoint(sql: &Connection, how: &str) -> Option<i64> {
    let outcome = sql.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, i64>(2)?,
        ))
    });
    match outcome {
        Ok((0, log, done)) => Some(log - done),
        Ok((_, _, _)) => None,
        Err(error) => {
            tracing::warn!(%error, "a checkpoint failed");
            None
        }
    }
}
