//! Batch tasks: made, worked off and settled by the writer.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::batch::Batch;
use super::batch_gather;
use super::batch_list::{self, is_name_taken};
use super::failure::Failure;
use super::gate::WhenFull;
use super::list::Part;
use super::writer::Weight;
use crate::{
    BatchRefused, BatchStep, BatchTargets, BatchTask, BatchTaskKey, BatchTasks, CreateRefused, NewBatchTask,
    Page, RefusalText, StoreError, Submission, Subtask, SubtaskFilter, SubtaskState, Turn,
};

/// A turn with its submission as the batch shares it; made once, whatever is tried again.
type Shared = Result<Arc<Submission>, String>;

impl Batch {
    fn create_batch_task(
        &mut self,
        new: &NewBatchTask,
    ) -> Result<Result<BatchTaskKey, BatchRefused>, Failure> {
        if is_name_taken(&self.sql, new.app, &new.name)? {
            return Ok(Err(BatchRefused::NameTaken));
        }
        let count = |query: &str| -> Result<u32, Failure> {
            let mut statement = self.sql.prepare_cached(query)?;
            Ok(statement.query_row([new.app.0], |row| row.get(0))?)
        };
        if count("SELECT count(*) FROM batch_task WHERE app = ?1 AND ended_at IS NULL")? >= new.open_limit {
            return Ok(Err(BatchRefused::TooManyOpen));
        }
        if count("SELECT count(*) FROM batch_task WHERE app = ?1")? >= new.kept_limit {
            return Ok(Err(BatchRefused::TooManyKept));
        }
        let (kind, targets) = match batch_gather::encode(&self.sql, new.app, &new.targets)? {
            Ok(encoded) => encoded,
            Err(unknown) => return Ok(Err(BatchRefused::NoGroup(unknown))),
        };
        let upto: i64 = match &new.targets {
            BatchTargets::List(_) => targets.len() as i64,
            BatchTargets::Type { .. }
            | BatchTargets::Area(_)
            | BatchTargets::Groups { .. }
            | BatchTargets::All => self
                .sql
                .prepare_cached("SELECT coalesce(max(key), 0) FROM device")?
                .query_row([], |row| row.get(0))?,
        };
        let timeout_at = new.created_at.as_millis() + i64::from(new.minutes) * 60_000;
        self.sql
            .prepare_cached(
                "INSERT INTO batch_task (id, app, name, kind, targets, service, method, paras, callback, \
                 max_retransmit, tags, minutes, created_at, timeout_at, upto) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                new.id,
                new.app.0,
                new.name,
                kind,
                targets,
                new.body.service,
                new.body.method,
                new.body.paras,
                new.callback,
                new.max_retransmit,
                new.tags,
                new.minutes,
                new.created_at.as_millis(),
                timeout_at,
                upto,
            ])?;
        let key = BatchTaskKey(self.sql.last_insert_rowid());
        self.end_batch_if_over(key, new.created_at)?;
        Ok(Ok(key))
    }

    /// Notes the end of a task of which nothing is left.
    pub(super) fn end_batch_if_over(&self, task: BatchTaskKey, now: Timestamp) -> Result<(), Failure> {
        self.sql
            .prepare_cached(
                "UPDATE batch_task SET ended_at = ?2 WHERE key = ?1 AND ended_at IS NULL AND place >= upto \
                 AND success + fail + timeout + expired >= total",
            )?
            .execute(params![task.0, now.as_millis()])?;
        Ok(())
    }

    fn step_batch(
        &mut self,
        task: BatchTaskKey,
        first: u64,
        turns: &[Shared],
        text: &RefusalText,
        now: Timestamp,
    ) -> Result<BatchStep, Failure> {
        let mut step = BatchStep {
            created: Vec::new(),
            is_held: false,
        };
        if self.next_turn(task)? != Some(first) {
            return Ok(step);
        }
        let (mut n, mut failed) = (first, 0_i64);
        for turn in turns {
            let made = match turn {
                Err(error) => Err(error.clone()),
                Ok(submission) => match self.create(submission)? {
                    Ok(created) => Ok(created),
                    Err(CreateRefused::TooManyOpen) => {
                        step.is_held = true;
                        break;
                    }
                    Err(refused) => Err(text(refused)),
                },
            };
            failed += i64::from(made.is_err());
            self.note_turn(task, n, made.as_ref().map(|created| created.record.id))?;
            step.created.extend(made.ok());
            n += 1;
        }
        self.sql
            .prepare_cached("UPDATE batch_task SET tried = ?2, fail = fail + ?3 WHERE key = ?1")?
            .execute(params![task.0, n.cast_signed(), failed])?;
        self.end_batch_if_over(task, now)?;
        Ok(step)
    }

    /// The place of the sub-task whose turn is next; none: no more, or the task is not there.
    fn next_turn(&self, task: BatchTaskKey) -> Result<Option<u64>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT tried FROM batch_task WHERE key = ?1 AND tried < total AND ended_at IS NULL",
        )?;
        let tried: Option<i64> = statement.query_row([task.0], |row| row.get(0)).optional()?;
        Ok(tried.map(i64::cast_unsigned))
    }

    fn note_turn(&self, task: BatchTaskKey, n: u64, made: Result<CommandId, &String>) -> Result<(), Failure> {
        let (state, command, error) = match made {
            Ok(id) => (SubtaskState::WaitResult, Some(id.to_bytes()), None),
            Err(error) => (SubtaskState::Fail, None, Some(error)),
        };
        self.sql
            .prepare_cached(
                "UPDATE batch_subtask SET state = ?3, command = ?4, error = ?5 WHERE task = ?1 AND n = ?2",
            )?
            .execute(params![task.0, n.cast_signed(), state.code(), command, error])?;
        Ok(())
    }

    fn expire_batch(
        &self,
        task: BatchTaskKey,
        limit: u32,
        error: &str,
        now: Timestamp,
    ) -> Result<u64, Failure> {
        let Some(first) = self.next_turn(task)? else {
            return Ok(0);
        };
        let ended = self
            .sql
            .prepare_cached(
                "UPDATE batch_subtask SET state = ?4, error = ?5 WHERE task = ?1 AND n >= ?2 AND n < ?2 + ?3",
            )?
            .execute(params![
                task.0,
                first.cast_signed(),
                limit,
                SubtaskState::Timeout.code(),
                error
            ])?;
        self.sql
            .prepare_cached(
                "UPDATE batch_task SET tried = tried + ?2, timeout = timeout + ?2 WHERE key = ?1",
            )?
            .execute(params![task.0, ended as i64])?;
        self.end_batch_if_over(task, now)?;
        Ok(ended as u64)
    }

    fn settle_batch(
        &self,
        task: BatchTaskKey,
        over: &[(i64, SubtaskState)],
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut added = [0_i64; SubtaskState::ALL.len()];
        for (n, end) in over {
            // Once each, whoever looks beside this one.
            let settled = self
                .sql
                .prepare_cached(
                    "UPDATE batch_subtask SET state = ?3 WHERE task = ?1 AND n = ?2 AND state = 1",
                )?
                .execute(params![task.0, n, end.code()])?;
            added[usize::from(end.code())] += settled as i64;
        }
        let of = |state: SubtaskState| added[usize::from(state.code())];
        self.sql
            .prepare_cached(
                "UPDATE batch_task SET success = success + ?2, fail = fail + ?3, timeout = timeout + ?4, \
                 expired = expired + ?5 WHERE key = ?1",
            )?
            .execute(params![
                task.0,
                of(SubtaskState::Success),
                of(SubtaskState::Fail),
                of(SubtaskState::Timeout),
                of(SubtaskState::Expired),
            ])?;
        self.end_batch_if_over(task, now)
    }

    fn prune_batch_tasks(&self, before: Timestamp, limit: u32) -> Result<u64, Failure> {
        let oldest: Option<i64> = self
            .sql
            .prepare_cached(
                "SELECT key FROM batch_task WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT 1",
            )?
            .query_row([before.as_millis()], |row| row.get(0))
            .optional()?;
        let Some(task) = oldest else { return Ok(0) };
        let gone = self
            .sql
            .prepare_cached(
                "DELETE FROM batch_subtask WHERE task = ?1 \
                 AND n IN (SELECT n FROM batch_subtask WHERE task = ?1 LIMIT ?2)",
            )?
            .execute(params![task, limit])? as u64;
        if gone >= u64::from(limit.max(1)) {
            return Ok(gone);
        }
        self.sql
            .prepare_cached("DELETE FROM batch_task WHERE key = ?1")?
            .execute([task])?;
        Ok(gone + 1)
    }
}

/// Work that may wait for other work to share a commit with.
const fn lazy(changes: usize) -> Weight {
    Weight {
        changes,
        urgent: false,
    }
}

#[async_trait]
impl BatchTasks for SqliteStore {
    async fn create_batch_task(
        &self,
        new: NewBatchTask,
    ) -> Result<Result<BatchTaskKey, BatchRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| batch.create_batch_task(&new))
            .await
    }

    async fn batch_task(&self, app: AppKey, id: Arc<str>) -> Result<Option<BatchTask>, StoreError> {
        self.read(move |sql| batch_list::one(sql, app, &id)).await
    }

    async fn subtasks(
        &self,
        task: BatchTaskKey,
        filter: SubtaskFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Subtask>, StoreError> {
        let part = Part { skip, limit };
        self.read(move |sql| batch_list::subtasks(sql, task, &filter, part))
            .await
    }

    async fn open_batch_tasks(
        &self,
        after: Option<BatchTaskKey>,
        limit: u32,
    ) -> Result<Vec<BatchTask>, StoreError> {
        self.read(move |sql| batch_list::open(sql, after, limit)).await
    }

    async fn gather_batch(&self, task: BatchTaskKey, limit: u32, now: Timestamp) -> Result<bool, StoreError> {
        self.write_weighing(WhenFull::Wait, lazy(limit as usize), move |batch| {
            batch.gather_batch(task, limit, now)
        })
        .await
    }

    async fn batch_turns(&self, task: BatchTaskKey, limit: u32) -> Result<Vec<DeviceId>, StoreError> {
        self.read(move |sql| batch_list::turns(sql, task, limit)).await
    }

    async fn step_batch(
        &self,
        task: BatchTaskKey,
        first: u64,
        turns: Vec<Turn>,
        text: RefusalText,
        now: Timestamp,
    ) -> Result<BatchStep, StoreError> {
        let turns: Vec<Shared> = turns.into_iter().map(|turn| turn.map(Arc::new)).collect();
        self.write_weighing(WhenFull::Wait, lazy(turns.len()), move |batch| {
            batch.step_batch(task, first, &turns, &text, now)
        })
        .await
    }

    async fn expire_batch(
        &self,
        task: BatchTaskKey,
        limit: u32,
        error: String,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write_weighing(WhenFull::Wait, lazy(limit as usize), move |batch| {
            batch.expire_batch(task, limit, &error, now)
        })
        .await
    }

    async fn settle_batch(
        &self,
        task: BatchTaskKey,
        from: u64,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let looked = self
            .read(move |sql| batch_list::look(sql, task, from, limit))
            .await?;
        let over = looked.over;
        if !over.is_empty() {
            self.write_weighing(WhenFull::Wait, lazy(over.len()), move |batch| {
                batch.settle_batch(task, &over, now)
            })
            .await?;
        }
        Ok(looked.next)
    }

    async fn prune_batch_tasks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write_weighing(WhenFull::Wait, lazy(1), move |batch| {
            batch.prune_batch_tasks(before, limit)
        })
        .await
    }
}
