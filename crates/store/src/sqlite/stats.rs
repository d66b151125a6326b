//! Counters of the store, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::damage::DamageMet;

/// What the writer counts. Each value is right by itself; a snapshot is not one instant.
#[derive(Debug, Default)]
pub(super) struct StoreStats {
    pub(super) commits: AtomicU64,
    pub(super) changes: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) commit_micros: AtomicU64,
    pub(super) batch_micros: AtomicU64,
    pub(super) replays: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) wal_pages: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) damage: DamageMet,
}

/// The counters of a store at one time. All but the lengths only ever rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStatsSnapshot {
    /// Transactions committed.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Requests in them: with `commits`, how many shared one.
    pub requests: u64,
    /// Time spent in COMMIT, its sync included, in microseconds.
    pub commit_micros: u64,
    /// Time spent on batches, COMMIT included, in microseconds.
    pub batch_micros: u64,
    /// Batches that failed and were replayed one request at a time.
    pub replays: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Requests waiting for the writer now.
    pub write_queue: u64,
    /// Requests waiting for a reader, or being read, now.
    pub read_queue: u64,
    /// Pages in the write-ahead log after the last commit.
    pub wal_pages: u64,
    /// Times the write-ahead log was moved into the database file.
    pub checkpoints: u64,
    /// Read requests served.
    pub reads: u64,
    /// Times a row was met that cannot be.
    pub damaged_rows: u64,
    /// Times a page of the file was met that is damaged or cannot be read.
    pub damaged_file: u64,
}

impl StoreStats {
    pub(super) fn snapshot(&self, write_queue: u64, read_queue: u64) -> StoreStatsSnapshot {
        StoreStatsSnapshot {
            commits: self.commits.load(Relaxed),
            changes: self.changes.load(Relaxed),
            requests: self.requests.load(Relaxed),
            commit_micros: self.commit_micros.load(Relaxed),
            batch_micros: self.batch_micros.load(Relaxed),
            replays: self.replays.load(Relaxed),
            failures: self.failures.load(Relaxed),
            write_queue,
            read_queue,
            wal_pages: self.wal_pages.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            reads: self.reads.load(Relaxed),
            damaged_rows: self.damage.rows(),
            damaged_file: self.damage.file(),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
