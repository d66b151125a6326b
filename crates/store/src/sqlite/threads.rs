//! The store's threads: started together, waited for together.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;

use super::SqliteStore;
use super::batch::{Batch, ToldOf, WhereItStands};
use super::checkpoint::{self, Checkpointer};
use super::device_cache::DeviceCache;
use super::disk::DiskGuard;
use super::failure::Failure;
use super::gate::Gate;
use super::merge::Merge;
use super::notices::{Crowded, Notices, Stirred};
use super::open::{DataDir, Refused};
use super::options::{OpenError, SqliteOptions};
use super::read::Reader;
use super::records;
use super::shadow::Desires;
use super::stats::StoreStats;
use super::subscriptions::Subscribers;
use super::tail;
use super::writer::Writer;

/// The running threads and the lock they work under. Dropping it waits for them, then lets go of the lock.
#[derive(Debug)]
pub(super) struct Threads {
    writing: Vec<JoinHandle<()>>,
    reading: Vec<JoinHandle<()>>,
    dir: DataDir,
}

impl Threads {
    pub(super) fn readers(&self) -> usize {
        self.reading.len()
    }

    fn spawn(
        &mut self,
        writer: Writer,
        checkpointer: Checkpointer,
        readers: Vec<Reader>,
    ) -> Result<(), OpenError> {
        let io = |source| OpenError::Io {
            path: self.dir.path().to_owned(),
            source,
        };
        self.writing
            .push(spawn("store-write", move || writer.run()).map_err(io)?);
        self.writing
            .push(spawn("store-checkpoint", move || checkpointer.run()).map_err(io)?);
        for reader in readers {
            self.reading
                .push(spawn("store-read", move || reader.run()).map_err(io)?);
        }
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in self.reading.drain(..).chain(self.writing.drain(..)) {
            // One that panicked has said so, and is over.
            let _ = thread.join();
        }
    }
}

/// A store and the work of its threads, before they run.
pub(super) struct Parts {
    pub(super) store: SqliteStore,
    pub(super) writer: Writer,
    pub(super) checkpointer: Checkpointer,
    pub(super) readers: Vec<Reader>,
    pub(super) dir: DataDir,
}

/// Opens the data directory and starts the threads over it.
pub(super) fn start(options: SqliteOptions) -> Result<SqliteStore, OpenError> {
    let Parts {
        store,
        writer,
        checkpointer,
        readers,
        dir,
    } = open(options)?;
    // In place before the first of them runs, so that a failure ends those that do.
    let mut threads = Threads {
        writing: Vec::new(),
        reading: Vec::new(),
        dir,
    };
    let spawned = threads.spawn(writer, checkpointer, readers);
    *store.threads.lock().unwrap_or_else(PoisonError::into_inner) = Some(threads);
    spawned.map(|()| store)
}

/// Opens the data directory.
pub(super) fn open(options: SqliteOptions) -> Result<Parts, OpenError> {
    let dir = DataDir::open(&options)?;
    let stats = Arc::new(StoreStats::default());
    let devices = Arc::new(DeviceCache::new(options.device_cache));
    let product_changes = Arc::new(AtomicU64::new(0));
    let disk = DiskGuard::new(
        dir.path().to_owned(),
        options.min_free_bytes,
        options.min_free_percent,
    );
    let (writes, write_inbox) = Gate::new(options.write_queue);
    let (reads, read_inbox) = Gate::new(options.read_queue);
    let (writes, reads) = (Arc::new(writes), Arc::new(reads));

    let mut sql = dir.writer().map_err(|error| dir.open_error(error))?;
    let own = dir.writer().map_err(|error| dir.open_error(error))?;
    let (checkpoints, checkpointer) =
        checkpoint::pair(&mut sql, own, options.checkpoint_pages, &stats).map_err(|e| dir.open_error(e))?;
    let at = where_it_stands(&sql, options.tail).map_err(|failure| dir.open_error(failure))?;
    let tail = Arc::clone(&at.tail);
    let subscribers = Subscribers::read(&sql).map_err(|failure| dir.open_error(failure))?;
    let (wanted, stirred) = (subscribers.wanted(), Arc::new(Stirred::default()));
    let crowded = Arc::new(Crowded::default());
    let desires = Desires::read(&sql).map_err(|failure| dir.open_error(failure))?;
    let told = ToldOf {
        subscribers,
        notices: Notices::new(Arc::clone(&stirred), Arc::clone(&crowded), options.notice_run),
        writer: options.notice_writer,
        history_rows: options.history_rows,
        shadow: options.shadow,
        desires,
    };
    let writer = Writer {
        batch: Batch::new(sql, options.policy, at, told, Arc::clone(&stats)),
        inbox: write_inbox,
        gate: Arc::clone(&writes),
        max_batch: options.max_batch.max(1),
        lazy_wait: options.lazy_wait,
        stats: Arc::clone(&stats),
        devices: Arc::clone(&devices),
        product_changes: Arc::clone(&product_changes),
        checkpoints,
        #[cfg(feature = "simulation")]
        fate: super::by_hand::Fate::Kept,
    };
    let read_inbox = Arc::new(Mutex::new(read_inbox));
    let readers = (0..options.readers.max(1)).map(|_| {
        let sql = dir.reader().map_err(|error| dir.open_error(error))?;
        let (inbox, gate, stats) = (Arc::clone(&read_inbox), Arc::clone(&reads), Arc::clone(&stats));
        Ok(Reader {
            inbox,
            gate,
            stats,
            sql,
        })
    });
    let readers = readers.collect::<Result<Vec<_>, OpenError>>()?;

    let store = SqliteStore {
        policy: options.policy,
        history_rows: options.history_rows,
        shadow: options.shadow,
        disk,
        devices,
        product_changes,
        tail,
        stats,
        wanted,
        stirred,
        crowded,
        writes,
        reads,
        threads: Mutex::new(None),
    };
    Ok(Parts {
        store,
        writer,
        checkpointer,
        readers,
        dir,
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work)
}

/// Reads from where the writer goes on: the highest `ord` in any queue, the highest id, and the tail.
fn where_it_stands(sql: &Connection, most: usize) -> Result<WhereItStands, Refused> {
    let (tail, begin, newest_ord) = tail::read(sql).map_err(Refused::from)?;
    let last_ord: Option<i64> = sql.query_row("SELECT max(ord) FROM queued", [], |row| row.get(0))?;
    Ok(WhereItStands {
        last_ord: last_ord.max(newest_ord).unwrap_or(0),
        last_id: records::last_id(sql).map_err(|failure: Failure| Refused::from(failure))?,
        tail: Arc::new(tail),
        merge: Merge::new(begin, most),
    })
}
