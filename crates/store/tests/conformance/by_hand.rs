//! The store that the simulation runs on, its batches and reads made by threads that stand for the simulation's hands.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use downlink_store::sqlite::by_hand::{self, Fate};
use downlink_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use tokio::sync::Notify;

/// Works until it is dropped.
pub(crate) struct Hand {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// Opens a store, and has hands for it.
pub(crate) fn open(options: SqliteOptions) -> Result<(SqliteStore, [Hand; 2]), OpenError> {
    let (store, mut writing, reading) = by_hand::open(options)?;
    let writes = move |stop: &Notify| {
        while until(writing.asked(), stop) {
            while writing.write(Fate::Kept) {}
        }
    };
    let reads = move |stop: &Notify| {
        while until(reading.asked(), stop) {
            while reading.read() {}
        }
    };
    Ok((store, [Hand::new(writes), Hand::new(reads)]))
}

/// Waits until something is asked for. False: the hand is to stop.
fn until(asked: impl Future<Output = ()>, stop: &Notify) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = stop.notified() => false,
            () = asked => true,
        }
    })
}

impl Hand {
    fn new(mut work: impl FnMut(&Notify) + Send + 'static) -> Self {
        let stop = Arc::new(Notify::new());
        let stopping = Arc::clone(&stop);
        let thread = thread::spawn(move || work(&stopping));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.stop.notify_one();
        // One that panicked was the end of the case, which says more.
        drop(self.thread.take().map(JoinHandle::join));
    }
}
