//! What the embedded store is opened with, and why it may refuse.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::Policy;

use crate::ShadowLimits;
use crate::subscription::{KindOnly, NoticeWriter};

/// How to open a [`SqliteStore`](super::SqliteStore).
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Where everything is kept. Made with mode 0700 if it is not there.
    pub data_dir: PathBuf,
    /// The figures that the life cycle goes by.
    pub policy: Policy,
    /// Requests that may wait for the writer.
    pub write_queue: usize,
    /// Changes in one commit at the most. A request with more than that is still one commit.
    pub max_batch: usize,
    /// Read connections, each with a thread of its own.
    pub readers: usize,
    /// Requests that may wait for a reader; beyond that they are [`Busy`](crate::StoreError::Busy).
    pub read_queue: usize,
    /// Page cache of the writer, KiB; a reader has a quarter of it.
    pub cache_kib: u32,
    /// Creates are refused with less free disk than this, in bytes.
    pub min_free_bytes: u64,
    /// Creates are refused with less free disk than this, in per cent of the file system.
    pub min_free_percent: u8,
    /// How long what is not urgent waits for urgent work to share its commit with.
    pub lazy_wait: Duration,
    /// Devices whose rows are kept in memory for lookups.
    pub device_cache: usize,
    /// The newest commands that are kept by device in memory before they are moved into the tables by device.
    pub tail: usize,
    /// The write-ahead log is moved into the database file when it has so many pages (of 4 KiB).
    pub checkpoint_pages: u32,
    /// Rows of a device's reports that are kept; 0: none is.
    pub history_rows: u32,
    /// How much of shadows is kept.
    pub shadow: ShadowLimits,
    /// Makes the bodies of notices.
    pub notice_writer: Arc<dyn NoticeWriter>,
    /// Stands in the ids of all notices of this run, so that none is given twice: a random number.
    pub notice_run: u64,
}

impl SqliteOptions {
    /// The usual figures, for a store in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, policy: Policy) -> Self {
        Self {
            data_dir: data_dir.into(),
            policy,
            write_queue: 8192,
            max_batch: 512,
            readers: 2,
            read_queue: 4096,
            cache_kib: 65_536,
            min_free_bytes: 512 * 1024 * 1024,
            min_free_percent: 5,
            lazy_wait: Duration::from_millis(8),
            device_cache: 32_768,
            tail: 65_536,
            checkpoint_pages: 8192,
            history_rows: 100,
            shadow: ShadowLimits {
                properties: 100,
                value_bytes: 1024,
                changes: 100,
                of_mqtt: false,
            },
            notice_writer: Arc::new(KindOnly),
            notice_run: RandomState::new().hash_one("notices"),
        }
    }
}

/// Why a store was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A later version of this program wrote it.
    #[error(
        "the data directory has schema {found}, this program knows {known}: it was written by a later version"
    )]
    Newer {
        /// The schema found.
        found: u32,
        /// The latest one known here.
        known: u32,
    },
    /// It is not what was written there, or was never written by this program.
    #[error(
        "the data directory {} is damaged: {what}; nothing was changed. Look at it with `downlink verify`, or restore a backup",
        .dir.display()
    )]
    Damaged {
        /// Which one.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Something could not be read or written.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite could not do it.
    #[error("cannot open the database: {0}")]
    Sqlite(String),
}
