//! Cancel tasks: made and worked off by the writer.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::lifecycle::{Input, State, step};
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::batch::Batch;
use super::cancel_list;
use super::failure::Failure;
use super::gate::WhenFull;
use super::list::Part;
use super::writer::Weight;
use crate::cancel_task::SHOWN_OF_A_TASK;
use crate::{
    Applied, CancelStep, CancelTask, CancelTaskFilter, CancelTaskKey, CancelTaskRefused, CancelTaskState,
    CancelTasks, NewCancelTask, Page, ShownCancelTask, StoreError,
};

/// What may stand in a queue beside what waits: a command that holds the slot; more only where rows cannot be read.
const BESIDE: usize = 8;

/// A task that is not over.
struct Open {
    id: String,
    device: DeviceKey,
    upto: i64,
    total: u64,
    canceled: u64,
}

impl Batch {
    fn create_cancel_task(
        &mut self,
        new: &NewCancelTask,
    ) -> Result<Result<CancelTask, CancelTaskRefused>, Failure> {
        let device_id: DeviceId = match self.facts(new.device)? {
            Some(facts) if facts.live && facts.app == new.app => facts.id.clone(),
            Some(_) | None => return Ok(Err(CancelTaskRefused::NoDevice)),
        };
        if !self.make_room_for_task(new.app, new.limit)? {
            return Ok(Err(CancelTaskRefused::TooMany));
        }
        let total = self.waiting_of(new.device)?;
        let commands = self.pending_upto(new.device, i64::MAX, SHOWN_OF_A_TASK)?;
        let packed: Vec<u8> = commands.iter().flat_map(|id| id.to_bytes()).collect();
        // With nothing to do it is over when a step finds that out, like any other.
        self.sql
            .prepare_cached(
                "INSERT INTO cancel_task (id, app, device, state, upto, total, created_at, commands) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                new.id,
                new.app.0,
                new.device.0,
                CancelTaskState::Waiting.code(),
                self.last_ord,
                total.cast_signed(),
                new.created_at.as_millis(),
                packed,
            ])?;
        Ok(Ok(CancelTask {
            key: CancelTaskKey(self.sql.last_insert_rowid()),
            id: Arc::clone(&new.id),
            device_id,
            state: CancelTaskState::Waiting,
            total,
            canceled: 0,
            created_at: new.created_at,
            commands,
        }))
    }

    /// Whether one more task may be kept; the oldest that is over gives way.
    fn make_room_for_task(&self, app: AppKey, limit: u32) -> Result<bool, Failure> {
        let kept: u32 = self
            .sql
            .prepare_cached("SELECT count(*) FROM cancel_task WHERE app = ?1")?
            .query_row([app.0], |row| row.get(0))?;
        if kept < limit {
            return Ok(true);
        }
        let gone = self
            .sql
            .prepare_cached(
                "DELETE FROM cancel_task WHERE key = (SELECT key FROM cancel_task \
                 WHERE app = ?1 AND ended_at IS NOT NULL ORDER BY key LIMIT 1)",
            )?
            .execute([app.0])?;
        Ok(gone > 0)
    }

    /// The first PENDING commands of a device, no later than `upto`; fewer than `limit` only if there are no more.
    fn pending_upto(
        &mut self,
        device: DeviceKey,
        upto: i64,
        limit: usize,
    ) -> Result<Vec<CommandId>, Failure> {
        let mut want = limit + BESIDE;
        loop {
            let queue = self.queue_of(device, want)?;
            let (mut found, mut is_past) = (Vec::new(), queue.len() < want);
            for id in queue {
                let Some(entry) = self.open(id)? else { continue };
                if entry.row.ord > upto || found.len() == limit {
                    is_past = true;
                    break;
                }
                if entry.row.progress.state == State::Pending {
                    found.push(id);
                }
            }
            if is_past || found.len() == limit {
                return Ok(found);
            }
            want = want.saturating_mul(8);
        }
    }

    fn step_cancel_task(
        &mut self,
        key: CancelTaskKey,
        limit: u32,
        now: Timestamp,
    ) -> Result<CancelStep, Failure> {
        let Some(task) = self.open_cancel_task(key)? else {
            return Ok(CancelStep {
                applied: Vec::new(),
                is_over: true,
            });
        };
        let pending = self.pending_upto(task.device, task.upto, limit as usize)?;
        let is_over = pending.len() < limit as usize;
        let why = format!("cancel task {}", task.id);
        let mut applied = Vec::new();
        for id in pending {
            applied.extend(self.cancel(id, &why, now)?);
        }
        let canceled = task.canceled + applied.len() as u64;
        let state = match is_over {
            true => CancelTaskState::end(canceled, task.total),
            false => CancelTaskState::Running,
        };
        self.sql
            .prepare_cached("UPDATE cancel_task SET state = ?2, canceled = ?3, ended_at = ?4 WHERE key = ?1")?
            .execute(params![
                key.0,
                state.code(),
                canceled.cast_signed(),
                is_over.then_some(now.as_millis()),
            ])?;
        Ok(CancelStep { applied, is_over })
    }

    fn open_cancel_task(&self, key: CancelTaskKey) -> Result<Option<Open>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, device, upto, total, canceled FROM cancel_task WHERE key = ?1 AND ended_at IS NULL",
        )?;
        let open = statement.query_row([key.0], |row| {
            Ok(Open {
                id: row.get(0)?,
                device: DeviceKey(row.get(1)?),
                upto: row.get(2)?,
                total: row.get::<_, i64>(3)?.cast_unsigned(),
                canceled: row.get::<_, i64>(4)?.cast_unsigned(),
            })
        });
        Ok(open.optional()?)
    }

    fn cancel(&mut self, id: CommandId, why: &str, now: Timestamp) -> Result<Option<Applied>, Failure> {
        let Some(entry) = self.open(id)? else {
            return Ok(None);
        };
        let (progress, from) = (entry.row.progress, entry.row.status());
        match step(&progress, Input::Cancel(why.to_owned()), now, &self.policy) {
            Ok(transition) => {
                self.advance(id, transition, now)?;
                self.applied(id, from).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    fn prune_cancel_tasks(&mut self, before: Timestamp, limit: u32) -> Result<u64, Failure> {
        let mut delete = self.sql.prepare_cached(
            "DELETE FROM cancel_task WHERE key IN (SELECT key FROM cancel_task \
             WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2)",
        )?;
        Ok(delete.execute(params![before.as_millis(), limit])? as u64)
    }
}

#[async_trait]
impl CancelTasks for SqliteStore {
    async fn create_cancel_task(
        &self,
        new: NewCancelTask,
    ) -> Result<Result<CancelTask, CancelTaskRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| batch.create_cancel_task(&new))
            .await
    }

    async fn cancel_tasks(
        &self,
        app: AppKey,
        filter: CancelTaskFilter,
        skip: u64,
        limit: u32,
        max_records: u32,
    ) -> Result<Page<ShownCancelTask>, StoreError> {
        let part = Part { skip, limit };
        self.read(move |sql| cancel_list::list(sql, app, &filter, part, max_records))
            .await
    }

    async fn open_cancel_tasks(
        &self,
        after: Option<CancelTaskKey>,
        limit: u32,
    ) -> Result<Vec<CancelTaskKey>, StoreError> {
        self.read(move |sql| cancel_list::open(sql, after, limit)).await
    }

    async fn step_cancel_task(
        &self,
        task: CancelTaskKey,
        limit: u32,
        now: Timestamp,
    ) -> Result<CancelStep, StoreError> {
        let weight = Weight {
            changes: limit as usize,
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| {
            batch.step_cancel_task(task, limit, now)
        })
        .await
    }

    async fn prune_cancel_tasks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let lazy = Weight {
            changes: 1,
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, lazy, move |batch| {
            batch.prune_cancel_tasks(before, limit)
        })
        .await
    }
}
