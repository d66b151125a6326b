//! What the threads of the store do, as tasks that ask the simulation first.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use downlink_store::sqlite::by_hand::{Fate, Reading, Writing};
use tokio::time::sleep;

/// The disk under the store.
pub trait Disk: Send + Sync + 'static {
    /// How long the next batch waits and is written; what is asked meanwhile shares it.
    fn write_time(&self) -> Duration;
    /// How long the next read takes.
    fn read_time(&self) -> Duration;
    /// What becomes of the commit that comes now; none: the machine stops before it.
    fn fate(&self) -> Option<Fate>;
    /// The commit met its fate, and nobody knows of it yet. False: the machine stops here.
    fn committed(&self) -> bool;
}

pub(super) async fn write(mut writing: Writing, disk: Arc<dyn Disk>) {
    loop {
        writing.asked().await;
        loop {
            sleep(disk.write_time()).await;
            let Some(fate) = disk.fate() else {
                return pending().await;
            };
            let written = writing.write(fate);
            if written && !disk.committed() {
                return pending().await;
            }
            if !written {
                break;
            }
        }
    }
}

pub(super) async fn read(reading: Reading, disk: Arc<dyn Disk>) {
    loop {
        reading.asked().await;
        loop {
            sleep(disk.read_time()).await;
            if !reading.read() {
                break;
            }
        }
    }
}
