//! The one thread that writes, and its group commit.
//!
//! It takes one request, then all that wait, up to a limit: one transaction, one commit, then all are answered. When
//! it has nothing to do a request is served at once. Requests that are not urgent wait a little for urgent ones to
//! share a commit with, and never delay these. If a statement fails, the whole batch is undone and its members are
//! tried one by one, so that only the culprit fails; if the transaction cannot be begun or committed, all are told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::batch::Batch;
use super::checkpoint::Checkpoints;
use super::device_cache::DeviceCache;
use super::failure::Failure;
use super::gate::Gate;
use super::stats::{StoreStats, add};
use crate::StoreError;

/// What the writer is asked.
pub(super) enum Request {
    Member(Box<dyn Member>, Weight),
    Close,
}

/// How much a request is, and whether it can wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) changes: usize,
    pub(super) urgent: bool,
}

/// A request in a batch. May be run twice: the first time may be undone.
pub(super) trait Member: Send {
    fn run(&mut self, batch: &mut Batch) -> Result<(), Failure>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A request made of a function on the batch.
pub(super) struct Job<F, T> {
    pub(super) work: F,
    pub(super) made: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Member for Job<F, T>
where
    F: FnMut(&mut Batch) -> Result<T, Failure> + Send,
    T: Send,
{
    fn run(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        self.made = Some((self.work)(batch)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { made, reply, .. } = *self;
        let unmade = || StoreError::Unavailable("the request was not run".to_owned());
        // A caller that went away does not care.
        let _ = reply.send(outcome.and_then(|()| made.ok_or_else(unmade)));
    }
}

pub(super) struct Writer {
    pub(super) batch: Batch,
    pub(super) inbox: Receiver<Request>,
    pub(super) gate: Arc<Gate<Request>>,
    pub(super) max_batch: usize,
    pub(super) lazy_wait: Duration,
    pub(super) stats: Arc<StoreStats>,
    pub(super) devices: Arc<DeviceCache>,
    pub(super) product_changes: Arc<AtomicU64>,
    pub(super) checkpoints: Checkpoints,
    /// What becomes of the next commit.
    #[cfg(feature = "simulation")]
    pub(super) fate: super::by_hand::Fate,
}

/// Requests that will share a transaction.
#[derive(Default)]
struct Group {
    members: Vec<Box<dyn Member>>,
    changes: usize,
    urgent: bool,
    closing: bool,
}

/// Why a transaction was not kept.
enum Undone {
    /// A statement of the batch failed: nothing was kept.
    Within(Failure),
    /// It could not be begun or not be committed: no fault of any member.
    Whole(Failure),
}

impl Writer {
    /// Serves until it is told to close, and then what was asked before.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.inbox.recv() {
            if self.serve(first) {
                break;
            }
        }
        self.checkpoints.at_end(&self.batch.sql);
    }

    /// Writes one batch, `first` in it. True: it is to close.
    pub(super) fn serve(&mut self, first: Request) -> bool {
        let group = self.gather(first);
        let closing = group.closing;
        self.commit(group.members, group.changes);
        self.checkpoints.after_commit(&self.batch.sql);
        closing
    }

    fn gather(&self, first: Request) -> Group {
        let mut group = Group::default();
        group.add(first);
        let until = Instant::now() + self.lazy_wait;
        while !group.urgent && !group.closing && group.changes < self.max_batch {
            match self
                .inbox
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(request) => group.add(request),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        while group.changes < self.max_batch || group.closing {
            match self.inbox.try_recv() {
                Ok(request) => group.add(request),
                Err(_) => break,
            }
        }
        self.gate.took(group.members.len());
        group
    }

    fn commit(&mut self, mut members: Vec<Box<dyn Member>>, changes: usize) {
        if members.is_empty() {
            return;
        }
        match self.attempt(&mut members, changes) {
            Ok(()) => members.into_iter().for_each(|member| member.answer(Ok(()))),
            Err(Undone::Within(failure)) if members.len() > 1 => {
                tracing::warn!(%failure, members = members.len(), "a batch failed, trying its members one by one");
                add(&self.stats.replays, 1);
                members
                    .into_iter()
                    .for_each(|member| self.commit(vec![member], 1));
            }
            Err(Undone::Within(failure) | Undone::Whole(failure)) => {
                tracing::error!(%failure, members = members.len(), "the store failed");
                add(&self.stats.failures, members.len() as u64);
                self.stats.damage.note(&failure);
                members
                    .into_iter()
                    .for_each(|member| member.answer(Err(failure.to_store_error())));
            }
        }
    }

    fn attempt(&mut self, members: &mut [Box<dyn Member>], changes: usize) -> Result<(), Undone> {
        let began = Instant::now();
        let outcome = self.transact(members);
        match &outcome {
            Ok(committing) => {
                self.batch.committed();
                add(&self.stats.commits, 1);
                add(&self.stats.changes, changes as u64);
                add(&self.stats.requests, members.len() as u64);
                add(&self.stats.commit_micros, micros(*committing));
                add(&self.stats.batch_micros, micros(began.elapsed()));
            }
            Err(_) => self.undo(),
        }
        // Before the answers, so that a caller that was answered reads its own change; also when it is not known
        // whether the commit was kept.
        self.devices
            .changed(std::mem::take(&mut self.batch.changed_devices));
        if std::mem::take(&mut self.batch.products_changed) {
            self.product_changes.fetch_add(1, Ordering::Release);
        }
        outcome.map(|_| ())
    }

    /// Gives the time the commit took.
    fn transact(&mut self, members: &mut [Box<dyn Member>]) -> Result<Duration, Undone> {
        execute(&self.batch, "BEGIN IMMEDIATE").map_err(Undone::Whole)?;
        for member in members {
            member.run(&mut self.batch).map_err(Undone::Within)?;
        }
        self.batch.flush().map_err(Undone::Within)?;
        let began = Instant::now();
        #[cfg(feature = "simulation")]
        self.fate.meet(&self.batch.sql).map_err(Undone::Whole)?;
        execute(&self.batch, "COMMIT").map_err(Undone::Whole)?;
        Ok(began.elapsed())
    }

    fn undo(&mut self) {
        if !self.batch.sql.is_autocommit()
            && let Err(failure) = execute(&self.batch, "ROLLBACK")
        {
            tracing::error!(%failure, "a transaction could not be rolled back");
        }
        self.batch.forget_all();
    }
}

impl Group {
    fn add(&mut self, request: Request) {
        match request {
            Request::Member(member, weight) => {
                self.members.push(member);
                self.changes += weight.changes;
                self.urgent |= weight.urgent;
            }
            Request::Close => self.closing = true,
        }
    }
}

fn execute(batch: &Batch, statement: &str) -> Result<(), Failure> {
    batch.sql.prepare_cached(statement)?.execute([])?;
    Ok(())
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
