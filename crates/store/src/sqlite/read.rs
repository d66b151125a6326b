//! The reading threads: each has a connection of its own, each request is one read transaction of a second at most.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::damage::DamageMet;
use super::failure::Failure;
use super::gate::Gate;
use super::stats::{StoreStats, add};

/// A longer read transaction would keep the write-ahead log from beginning anew.
const LONGEST: Duration = Duration::from_secs(1);
/// Steps of SQLite's machine between looks at the clock.
const STEPS: i32 = 20_000;

/// What is to be read; answers its caller by itself.
pub(super) type Read = Box<dyn FnOnce(&Connection, &DamageMet) + Send>;

/// What a reader is asked.
pub(super) enum Request {
    Read(Read),
    Close,
}

pub(super) struct Reader {
    pub(super) inbox: Arc<Mutex<Receiver<Request>>>,
    pub(super) gate: Arc<Gate<Request>>,
    pub(super) stats: Arc<StoreStats>,
    pub(super) sql: Connection,
}

impl Reader {
    pub(super) fn run(mut self) {
        let end = Arc::new(Mutex::new(Instant::now()));
        let watched = Arc::clone(&end);
        let late = move || Instant::now() > *watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.sql.progress_handler(STEPS, Some(late)) {
            tracing::error!(%error, "reads cannot be limited in time");
        }
        while let Some(read) = self.next() {
            let set_end = |from_now| {
                *end.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + from_now;
            };
            set_end(LONGEST);
            // Ending the transaction must not be cut short as well.
            self.serve(read, || set_end(LONGEST));
        }
    }

    /// Reads once. `read_through` is called between the read and the end of its transaction.
    pub(super) fn serve(&self, read: Read, read_through: impl FnOnce()) {
        read(&self.sql, &self.stats.damage);
        read_through();
        self.end_transaction();
        add(&self.stats.reads, 1);
        self.gate.took(1);
    }

    fn end_transaction(&self) {
        if !self.sql.is_autocommit()
            && let Err(error) = self.sql.execute_batch("COMMIT")
        {
            tracing::error!(%error, "a read transaction could not be ended");
        }
    }

    fn next(&self) -> Option<Read> {
        match self.inbox.lock().unwrap_or_else(PoisonError::into_inner).recv() {
            Ok(Request::Read(read)) => Some(read),
            Ok(Request::Close) | Err(_) => None,
        }
    }
}

/// Runs `read` in one transaction, so that all it sees is of one instant. The reader ends it.
pub(super) fn in_transaction<T>(
    sql: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    sql.prepare_cached("BEGIN")?.execute([])?;
    read(sql)
}
