//! The store without threads, for the simulation: whoever has [`Writing`] and [`Reading`] says when a batch is written and a read is
//! made, and what becomes of each commit. All else is the code that the threads run.

use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use super::SqliteStore;
use super::checkpoint::Checkpointer;
use super::failure::Failure;
use super::open::DataDir;
use super::options::{OpenError, SqliteOptions};
use super::read::{self, Reader};
use super::threads::{self, Parts};
use super::writer::Writer;

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is kept, and said to be.
    Kept,
    /// It is not kept: the disk is full, or does not answer.
    Lost,
    /// It is kept, but its sync is said to have failed. Only a crash follows: what SQLite does after a failed sync is
    /// not what this does.
    KeptUnsaid,
}

impl Fate {
    /// Meets the transaction that is about to be committed.
    pub(super) fn meet(self, sql: &Connection) -> Result<(), Failure> {
        match self {
            Self::Kept => Ok(()),
            Self::Lost => Err(failed(rusqlite::ffi::SQLITE_FULL)),
            Self::KeptUnsaid => {
                sql.execute_batch("COMMIT")?;
                Err(failed(rusqlite::ffi::SQLITE_IOERR_FSYNC))
            }
        }
    }
}

fn failed(code: i32) -> Failure {
    Failure::Sql(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(code),
        None,
    ))
}

/// The thread that writes, as a thing. Dropping it is a crash: what was not committed is gone.
pub struct Writing {
    writer: Writer,
    _checkpointer: Checkpointer,
    _dir: DataDir,
}

impl Writing {
    /// Waits until something is asked for. May come back once too often.
    pub fn asked(&self) -> impl Future<Output = ()> + Send + use<> {
        let gate = Arc::clone(&self.writer.gate);
        async move { gate.bell.notified().await }
    }

    /// Writes a batch of what waits, and has its commit meet this fate. False: nothing waited.
    pub fn write(&mut self, fate: Fate) -> bool {
        let Ok(first) = self.writer.inbox.try_recv() else {
            return false;
        };
        self.writer.fate = fate;
        self.writer.serve(first);
        true
    }
}

/// A thread that reads, as a thing.
pub struct Reading {
    reader: Reader,
}

impl Reading {
    /// Waits until something is asked for. May come back once too often.
    pub fn asked(&self) -> impl Future<Output = ()> + Send + use<> {
        let gate = Arc::clone(&self.reader.gate);
        async move { gate.bell.notified().await }
    }

    /// Makes one read that waits. False: none waited.
    pub fn read(&self) -> bool {
        let inbox = self.reader.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match inbox.try_recv() {
            Ok(read::Request::Read(read)) => read,
            Ok(read::Request::Close) | Err(_) => return false,
        };
        drop(inbox);
        self.reader.serve(read, || {});
        true
    }
}

/// Opens the store of a data directory as [`SqliteStore::open`] does, but nothing of it runs by itself.
///
/// # Errors
/// As there.
pub fn open(options: SqliteOptions) -> Result<(SqliteStore, Writing, Reading), OpenError> {
    let Parts {
        store,
        writer,
        checkpointer,
        readers,
        dir,
    } = threads::open(options)?;
    let reader = readers.into_iter().next().expect("there is at least one");
    let writing = Writing {
        writer,
        _checkpointer: checkpointer,
        _dir: dir,
    };
    Ok((store, writing, Reading { reader }))
}
