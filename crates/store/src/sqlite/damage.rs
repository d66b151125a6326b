//! What was found damaged while the store runs: counted for the metrics, and for whoever asks whether all is well.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::failure::Failure;

/// How far a damage reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// One row makes no sense; the file is sound as far as this tells.
    Row,
    /// A page of the file is not what was written there, or cannot be read.
    File,
}

/// How often each was met since the store was opened. What stays damaged is met again and again.
#[derive(Debug, Default)]
pub(super) struct DamageMet {
    rows: AtomicU64,
    file: AtomicU64,
}

impl DamageMet {
    /// Counts what a failure says of the file; most say nothing.
    pub(super) fn note(&self, failure: &Failure) {
        match failure.damage() {
            Some(Damage::Row) => self.rows.fetch_add(1, Relaxed),
            Some(Damage::File) => self.file.fetch_add(1, Relaxed),
            None => 0,
        };
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    pub(super) fn file(&self) -> u64 {
        self.file.load(Relaxed)
    }
}
