//! The file of the log.
//!
//! It is laid out before it is written: a sync of bytes that the file already has brings these bytes to the disk and nothing
//! else, where one that makes the file longer brings its new length and blocks as well (a tenth of the CPU of a cycle,
//! measured). What comes after is appended: to lay out more while a run is measured costs more than it saves.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is laid out: enough for 130,000 of the smallest cycles.
const LAID_OUT: u64 = 64 << 20;

/// How much is laid out with one write. The kernel keeps it in one piece, and counts the piece as written at every sync.
const PIECE: usize = 4096;

/// See the module.
pub(in super::super) struct Disk {
    file: File,
    at: u64,
}

impl Disk {
    /// Makes the file, which must not be there.
    pub(in super::super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        for at in (0..LAID_OUT).step_by(PIECE) {
            file.write_all_at(&[0; PIECE], at)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// Adds to what was written. When this returns it is on the disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.file.sync_data()
    }
}
