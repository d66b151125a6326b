//! The embedded store, on SQLite.
//!
//! One process per data directory, one thread that writes (with group commit), a few that read, one that keeps the
//! write-ahead log short. `command` holds the records, `work` the narrow rows of what is open; see
//! `migrations/0001.sql`. An answer is given after the commit's sync. What to change and why is decided by
//! [`downlink_core::lifecycle::step`]; this module only keeps it.

mod apply;
mod apps;
pub mod backup;
mod batch;
mod batch_gather;
mod batch_list;
mod batch_tasks;
#[cfg(feature = "simulation")]
pub mod by_hand;
mod cancel_list;
mod cancel_tasks;
mod checkpoint;
mod commands;
mod create;
mod damage;
mod device_cache;
mod device_groups;
mod devices;
mod disk;
mod entry;
mod events;
mod failure;
mod feed;
mod gate;
mod grants;
mod history;
mod list;
mod log;
mod memo;
mod merge;
mod mids;
mod migrate;
mod notices;
mod open;
mod options;
mod pages;
mod products;
mod pushes;
mod queue;
mod read;
mod records;
mod registrations;
mod request_keys;
pub mod reseal;
pub mod sealed;
mod shadow;
mod state;
mod stats;
mod stretches;
mod subscriptions;
mod tail;
mod tally;
mod threads;
mod trust;
pub mod verify;
mod waiting;
mod work_row;
mod writer;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use downlink_core::Policy;
use rusqlite::Connection;
use tokio::task::spawn_blocking;

pub use self::options::{OpenError, SqliteOptions};
pub use self::stats::StoreStatsSnapshot;

use self::batch::Batch;
use self::device_cache::DeviceCache;
use self::disk::DiskGuard;
use self::failure::Failure;
use self::gate::{Gate, WhenFull};
use self::notices::{Crowded, Stirred};
use self::stats::StoreStats;
use self::subscriptions::Wanted;
use self::tail::Tail;
use self::threads::Threads;
use self::writer::{Job, Weight};
use crate::{ShadowLimits, StoreError};

/// The embedded store. Dropping it waits for its threads; better [`close`](Self::close) it first.
#[derive(Debug)]
pub struct SqliteStore {
    policy: Policy,
    history_rows: u32,
    shadow: ShadowLimits,
    disk: DiskGuard,
    devices: Arc<DeviceCache>,
    product_changes: Arc<AtomicU64>,
    tail: Arc<Tail>,
    stats: Arc<StoreStats>,
    wanted: Arc<Wanted>,
    stirred: Arc<Stirred>,
    crowded: Arc<Crowded>,
    writes: Arc<Gate<writer::Request>>,
    reads: Arc<Gate<read::Request>>,
    threads: Mutex<Option<Threads>>,
}

impl SqliteStore {
    /// Opens the store of a data directory, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// The directory is in use, damaged, or written by a later version; or it cannot be read or written.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        threads::start(options)
    }

    /// Ends: refuses what comes from now on, finishes what was asked before, and lets go of the directory. Does
    /// nothing the second time.
    pub async fn close(&self) {
        let ending = self.end();
        // Without a result there is nothing to do: the threads are gone either way.
        let _ = spawn_blocking(|| drop(ending)).await;
    }

    /// The counters so far.
    pub fn stats(&self) -> StoreStatsSnapshot {
        self.stats.snapshot(self.writes.waiting(), self.reads.waiting())
    }

    /// Tells the threads to end. They are waited for when what this gives is dropped.
    fn end(&self) -> Option<Threads> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = &threads {
            self.writes.close();
            self.reads.close();
            self.writes.push(writer::Request::Close);
            for _ in 0..threads.readers() {
                self.reads.push(read::Request::Close);
            }
        }
        threads
    }

    async fn write<T: Send + 'static>(
        &self,
        when_full: WhenFull,
        work: impl FnMut(&mut Batch) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_weighing(
            when_full,
            Weight {
                changes: 1,
                urgent: true,
            },
            work,
        )
        .await
    }

    async fn write_weighing<T: Send + 'static>(
        &self,
        when_full: WhenFull,
        weight: Weight,
        work: impl FnMut(&mut Batch) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let request = |reply| {
            writer::Request::Member(
                Box::new(Job {
                    work,
                    made: None,
                    reply,
                }),
                weight,
            )
        };
        self.writes.ask(when_full, request).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let request = |reply: tokio::sync::oneshot::Sender<_>| {
            read::Request::Read(Box::new(move |sql, damage| {
                let outcome = read::in_transaction(sql, read);
                if let Err(failure) = &outcome {
                    damage.note(failure);
                }
                // A caller that went away does not care.
                let _ = reply.send(outcome.map_err(StoreError::from));
            }))
        };
        self.reads.ask(WhenFull::Refuse, request).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.end());
    }
}
