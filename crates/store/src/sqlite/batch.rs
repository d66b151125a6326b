//! One transaction in the making: the rows its members touched, in memory, and what is to be written at its end.
//!
//! A command's row is read at its first touch and written once, however often it changed; a command that is created
//! and over within one batch never gets a working row. Nothing is written before [`Batch::flush`] (but for the
//! reservation of mids, and the verbs on devices and applications), so the rows on disk are those from before the
//! batch, and what the batch made of them is in `entries`. After a failure [`Batch::forget_all`] makes it as new.
//!
//! After a commit some rows stay in memory: they are what is on disk, since nobody else writes, and the next change
//! of a busy command need not read its row again.

use foldhash::HashMap;
use std::sync::Arc;

use downlink_core::lifecycle::{Transition, deadline};
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Mid, Policy, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use super::entry::{Dirt, Entry};
use super::failure::Failure;
use super::feed::{FeedRow, Feeds};
use super::memo::Memo;
use super::merge::Merge;
use super::mids::{self, Block};
use super::notices::Notices;
use super::queue::QueueView;
use super::shadow::Desires;
use super::stats::StoreStats;
use super::subscriptions::Subscribers;
use super::tail::Tail;
use super::tally::Tallies;
use super::waiting::Waiting;
use super::work_row::{WorkRow, stored_result};
use crate::{Applied, NoticeWriter, ReceiverKey, ShadowLimits, Submission};

/// Rows that stay in memory after a commit, at the most.
const ROWS_REMEMBERED: usize = 8192;
/// What the writer remembers of devices: enough that a busy one is not read again and again.
const DEVICES_REMEMBERED: usize = 16_384;

pub(super) struct Batch {
    pub(super) sql: Connection,
    stats: Arc<StoreStats>,
    pub(super) policy: Policy,
    /// Rows of a device's reports that are kept.
    pub(super) history_rows: u32,
    pub(super) shadow: ShadowLimits,
    pub(super) entries: HashMap<CommandId, Entry>,
    /// Those of `entries` that differ from the disk; some may be named twice.
    dirty: Vec<CommandId>,
    pub(super) queues: HashMap<DeviceKey, QueueView>,
    pub(super) facts: Memo<DeviceKey, Facts>,
    pub(super) mids: Memo<DeviceKey, Block>,
    pub(super) mid_clock: mids::clock::Clock,
    /// Which of `entries` carries a mid: those that were given one here.
    pub(super) mapped: HashMap<(DeviceKey, Mid), CommandId>,
    /// Devices whose row this batch changed: to be dropped from the lookup cache after the commit.
    pub(super) changed_devices: Vec<DeviceId>,
    /// It put or removed a product: to be told after the commit.
    pub(super) products_changed: bool,
    /// The highest `ord` given so far.
    pub(super) last_ord: i64,
    /// The highest id met so far: a higher one is certainly new.
    pub(super) last_id: Option<CommandId>,
    pub(super) tallies: Tallies,
    pub(super) waiting: Waiting,
    pub(super) feeds: Feeds,
    /// The newest commands, which the tables by device do not have yet.
    pub(super) tail: Arc<Tail>,
    pub(super) merge: Merge,
    /// Records that this batch deleted.
    pub(super) dropped: Vec<(DeviceKey, CommandId)>,
    pub(super) subscribers: Subscribers,
    pub(super) notices: Notices,
    pub(super) desires: Desires,
    pub(super) writer: Arc<dyn NoticeWriter>,
}

/// Who is told of what, and how.
pub(super) struct ToldOf {
    pub(super) subscribers: Subscribers,
    pub(super) notices: Notices,
    pub(super) writer: Arc<dyn NoticeWriter>,
    pub(super) history_rows: u32,
    pub(super) shadow: ShadowLimits,
    pub(super) desires: Desires,
}

/// From where a batch goes on.
pub(super) struct WhereItStands {
    pub(super) last_ord: i64,
    pub(super) last_id: Option<CommandId>,
    pub(super) tail: Arc<Tail>,
    pub(super) merge: Merge,
}

/// What never changes of a device, and whether it is still there.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) app: AppKey,
    pub(super) id: DeviceId,
    pub(super) live: bool,
}

impl Batch {
    pub(super) fn new(
        sql: Connection,
        policy: Policy,
        at: WhereItStands,
        told: ToldOf,
        stats: Arc<StoreStats>,
    ) -> Self {
        Self {
            sql,
            stats,
            policy,
            history_rows: told.history_rows,
            shadow: told.shadow,
            entries: HashMap::default(),
            dirty: Vec::new(),
            queues: HashMap::default(),
            facts: Memo::new(DEVICES_REMEMBERED),
            mids: Memo::new(DEVICES_REMEMBERED),
            mid_clock: mids::clock::Clock::new(policy.up_since, at.last_id),
            mapped: HashMap::default(),
            changed_devices: Vec::new(),
            products_changed: false,
            last_ord: at.last_ord,
            last_id: at.last_id,
            tallies: Tallies::new(),
            waiting: Waiting::new(),
            feeds: Feeds::default(),
            tail: at.tail,
            merge: at.merge,
            dropped: Vec::new(),
            subscribers: told.subscribers,
            notices: told.notices,
            desires: told.desires,
            writer: told.writer,
        }
    }

    /// The open command with this id, read at its first touch.
    pub(super) fn open(&mut self, id: CommandId) -> Result<Option<&mut Entry>, Failure> {
        if !self.entries.contains_key(&id) {
            let row = match WorkRow::load(&self.sql, id) {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(None),
                // As if it were not open: nothing else waits for it.
                Err(failure) if failure.is_of_a_row() => {
                    self.stats.damage.note(&failure);
                    tracing::error!(command = %id, %failure, "a command cannot be read");
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
            };
            // If it is in the tail this is not so, and does not matter until it is moved from there.
            let in_queue_table = row.progress.is_queued();
            self.entries.insert(id, Entry::stored(row, in_queue_table));
        }
        Ok(self.entries.get_mut(&id).filter(|entry| !entry.is_over()))
    }

    /// What does not change of a device; `None` if there never was one.
    pub(super) fn facts(&mut self, device: DeviceKey) -> Result<Option<&Facts>, Failure> {
        if self.facts.get(&device).is_none() {
            let facts = self
                .sql
                .prepare_cached("SELECT app, id, removed_at IS NULL FROM device WHERE key = ?1")?
                .query_row([device.0], |row| {
                    let id: Arc<str> = row.get(1)?;
                    Ok(Facts {
                        app: AppKey(row.get(0)?),
                        id: DeviceId::new(id),
                        live: row.get(2)?,
                    })
                })
                .optional()?;
            if let Some(facts) = facts {
                self.facts.put(device, facts);
            }
        }
        Ok(self.facts.get(&device).map(|facts| &*facts))
    }

    pub(super) fn device_id(&mut self, device: DeviceKey) -> Result<DeviceId, Failure> {
        let facts = self.facts(device)?;
        let facts = facts.ok_or_else(|| Failure::corrupt(format!("no device {}", device.0)))?;
        Ok(facts.id.clone())
    }

    /// Puts a transition into the entry of `id`.
    pub(super) fn advance(
        &mut self,
        id: CommandId,
        transition: Transition,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some(entry) = self.entries.get_mut(&id) else {
            return Ok(());
        };
        let row = &mut entry.row;
        let before = row.progress;
        row.progress.state = transition.state;
        self.waiting.note(row.device, Some(&before), Some(&row.progress));
        if let downlink_core::lifecycle::State::Sent(sent) = transition.state {
            row.sends = sent.sends;
        }
        for event in &transition.events {
            let pushed = row.pushes(event.status);
            row.events.push(event, pushed);
            self.feeds.note(FeedRow {
                app: row.app,
                command: id,
                device: row.device,
                seq: row.events.len(),
                status: event.status,
                with_result: transition.result.is_some() && event.status.is_end(),
                at: event.at,
            });
        }
        if transition.proves_delivery {
            row.delivered_at.get_or_insert(now);
        }
        row.settle(0);
        if let Some(result) = transition.result {
            entry.result = Some(result.into());
        }
        if entry.dirt == Dirt::Clean {
            self.dirty.push(id);
        }
        entry.dirt = Dirt::State;
        entry.ended |= row.progress.state.is_final();
        let (app, device, outbox) = (row.app, row.device, row.outbox);
        if !before.state.is_final() && row.progress.state.is_final() {
            self.tallies.add_open(app, -1);
        }
        self.queues.entry(device).or_default().touch(id);
        self.note_news(app, id, &transition.events, &transition.state);
        match outbox {
            Some(receiver) => self.join_stored(id, receiver, now),
            None => Ok(()),
        }
    }

    /// Notes whether an open command has stored pushes that wait, and with which receiver.
    pub(super) fn set_outbox(&mut self, id: CommandId, outbox: Option<ReceiverKey>) {
        let Some(entry) = self
            .entries
            .get_mut(&id)
            .filter(|entry| entry.row.outbox != outbox)
        else {
            return;
        };
        (entry.row.outbox, entry.new_outbox) = (outbox, true);
        if entry.dirt == Dirt::Clean {
            self.dirty.push(id);
            entry.dirt = Dirt::Told;
        }
    }

    /// Adds a command that this batch creates.
    pub(super) fn add(&mut self, row: WorkRow, submission: &Arc<Submission>) {
        self.tallies.add_record(row.app, row.id, 1);
        self.tallies.add_open(row.app, 1);
        self.waiting.note(row.device, None, Some(&row.progress));
        self.queues.entry(row.device).or_default().touch(row.id);
        let entry = Entry {
            fresh: Some(Arc::clone(submission)),
            dirt: Dirt::State,
            ..Entry::stored(row, false)
        };
        self.dirty.push(entry.row.id);
        self.entries.insert(entry.row.id, entry);
    }

    /// Notes what the receiver accepted of an open command.
    pub(super) fn settle(&mut self, id: CommandId, told: u16) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.row.settle(told);
        if entry.dirt == Dirt::Clean {
            self.dirty.push(id);
            entry.dirt = Dirt::Told;
        }
    }

    /// Takes back [`add`](Self::add): it is not created after all.
    pub(super) fn drop_unsent(&mut self, id: CommandId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.tallies.add_record(entry.row.app, id, -1);
            self.tallies.add_open(entry.row.app, -1);
            self.waiting
                .note(entry.row.device, Some(&entry.row.progress), None);
        }
    }

    /// A record was deleted.
    pub(super) fn count_dropped(&mut self, app: AppKey, device: DeviceKey, id: CommandId) {
        self.tallies.add_record(app, id, -1);
        self.dropped.push((device, id));
    }

    /// What this batch created for the tail.
    pub(super) fn created_in_tail(&self) -> Vec<CommandId> {
        let fresh = |id: &CommandId| self.entries.get(id).is_some_and(|entry| entry.fresh.is_some());
        let created = self.dirty.iter().copied().filter(fresh);
        created.filter(|id| self.merge.goes_to_tail(*id)).collect()
    }

    /// What to tell of a command after a change.
    pub(super) fn applied(&mut self, id: CommandId, from: downlink_core::Status) -> Result<Applied, Failure> {
        let Some(entry) = self.entries.get_mut(&id) else {
            return Err(Failure::corrupt(format!("command {id} was not loaded")));
        };
        if entry.row.owes_result() && entry.result.is_none() && !entry.ended {
            entry.result = stored_result(&self.sql, id)?;
        }
        let (row, result) = (&entry.row, entry.result.clone());
        let mut applied = Applied {
            command: id,
            app: row.app,
            device: row.device,
            from,
            status: row.status(),
            seq: row.seq(),
            deadline: deadline(&row.progress, &self.policy),
            push: None,
        };
        if row.acked < row.seq() {
            let device_id = self.device_id(applied.device)?;
            applied.push = self
                .entries
                .get(&id)
                .and_then(|entry| entry.row.duty(&device_id, result));
        }
        Ok(applied)
    }

    /// Writes what the members changed.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for entry in self.dirty.iter().filter_map(|id| self.entries.get(id)) {
            let row = &entry.row;
            let in_tail = match entry.fresh {
                Some(_) => self.merge.goes_to_tail(row.id),
                None => self.tail.lock().holds(row.device, row.id),
            };
            entry.write(&self.sql, in_tail)?;
        }
        self.tell_news()?;
        self.settle_desires()?;
        self.feeds.write(&self.sql)?;
        self.merge()?;
        self.tallies.write(&self.sql)
    }

    /// The transaction is over and kept.
    pub(super) fn committed(&mut self) {
        self.move_tail();
        for id in self.dirty.drain(..) {
            if self.entries.get_mut(&id).is_some_and(|entry| !entry.settle())
                && let Some(entry) = self.entries.remove(&id)
                && let Some(mid) = entry.row.mid
            {
                self.mapped.remove(&(entry.row.device, mid));
            }
        }
        if self.entries.len() > ROWS_REMEMBERED {
            self.entries.clear();
            self.mapped.clear();
        }
        self.queues.clear();
        self.tallies.committed();
        self.subscribers.committed();
        self.notices.committed();
        self.desires.committed();
    }

    /// Has the tail say what the transaction made of it.
    fn move_tail(&mut self) {
        let mut newest = self.tail.lock();
        for id in &self.dirty {
            let Some(entry) = self.entries.get_mut(id) else {
                continue;
            };
            let (device, queued) = (entry.row.device, entry.is_queued());
            if entry.fresh.is_some() && self.merge.goes_to_tail(*id) {
                newest.add(device, *id);
            }
            let in_tail = newest.set_queued(device, (entry.row.ord, *id), queued);
            entry.in_queue_table = queued && !in_tail;
        }
        for (device, id) in self.merge.committed() {
            newest.remove(device, id);
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.in_queue_table = entry.is_queued();
            }
        }
        for (device, id) in self.dropped.drain(..) {
            newest.remove(device, id);
        }
    }

    /// The transaction is over and undone: whatever was read or given in it may be wrong.
    pub(super) fn forget_all(&mut self) {
        self.entries.clear();
        self.mapped.clear();
        self.dirty.clear();
        self.queues.clear();
        self.tallies.forget_all();
        self.waiting.forget_all();
        self.feeds.forget_all();
        self.facts.clear();
        self.mids.each(Block::retire);
        self.dropped.clear();
        self.merge.undone();
        self.subscribers.undone();
        self.notices.undone();
        self.desires.undone();
    }
}
