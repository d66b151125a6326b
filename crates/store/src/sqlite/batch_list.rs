//! Reads of batch tasks and their sub-tasks.

use std::sync::Arc;

use downlink_core::{AppKey, CommandBody, CommandId, DeviceId, Status, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::batch_gather;
use super::failure::Failure;
use super::list::Part;
use super::state;
use crate::{BatchTask, BatchTaskKey, Page, Subtask, SubtaskFilter, SubtaskState};

const COLUMNS: &str = "key, id, app, name, kind, CASE kind WHEN 0 THEN '' ELSE targets END, service, method, paras, \
                       callback, max_retransmit, tags, minutes, created_at, ended_at, place >= upto, \
                       total, tried, success, fail, timeout, expired";

/// An application's task.
pub(super) fn one(sql: &Connection, app: AppKey, id: &str) -> Result<Option<BatchTask>, Failure> {
    let query = format!("SELECT {COLUMNS} FROM batch_task WHERE id = ?1 AND app = ?2");
    let mut statement = sql.prepare_cached(&query)?;
    let mut rows = statement.query(params![id, app.0])?;
    rows.next()?.map(read).transpose()
}

/// Tasks that are not over, after this one.
pub(super) fn open(
    sql: &Connection,
    after: Option<BatchTaskKey>,
    limit: u32,
) -> Result<Vec<BatchTask>, Failure> {
    // There are few of them: each application has its limit.
    let query = format!(
        "SELECT {COLUMNS} FROM batch_task INDEXED BY batch_task_open \
         WHERE ended_at IS NULL AND key > ?1 ORDER BY key LIMIT ?2"
    );
    let mut statement = sql.prepare_cached(&query)?;
    let mut rows = statement.query(params![after.map_or(0, |key| key.0), limit])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(read(row)?);
    }
    Ok(tasks)
}

fn read(row: &Row<'_>) -> Result<BatchTask, Failure> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let targets: String = row.get(5)?;
    Ok(BatchTask {
        key: BatchTaskKey(row.get(0)?),
        id: row.get(1)?,
        app: AppKey(row.get(2)?),
        name: row.get(3)?,
        targets: batch_gather::decode(row.get(4)?, &targets)?,
        body: CommandBody {
            service: row.get(6)?,
            method: row.get(7)?,
            paras: row.get(8)?,
        },
        callback: row.get(9)?,
        max_retransmit: row.get(10)?,
        tags: row.get(11)?,
        minutes: row.get(12)?,
        created_at: Timestamp::from_millis(row.get(13)?),
        ended_at: row.get::<_, Option<i64>>(14)?.map(Timestamp::from_millis),
        is_gathered: row.get(15)?,
        total: count(16)?,
        tried: count(17)?,
        success: count(18)?,
        fail: count(19)?,
        timeout: count(20)?,
        expired: count(21)?,
    })
}

/// The devices whose turn is next.
pub(super) fn turns(sql: &Connection, task: BatchTaskKey, limit: u32) -> Result<Vec<DeviceId>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT device FROM batch_subtask WHERE task = ?1 \
         AND n >= (SELECT tried FROM batch_task WHERE key = ?1) ORDER BY n LIMIT ?2",
    )?;
    let ids = statement.query_map(params![task.0, limit], |row| {
        row.get::<_, Arc<str>>(0).map(DeviceId::new)
    })?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Sub-tasks, narrowed.
pub(super) fn subtasks(
    sql: &Connection,
    task: BatchTaskKey,
    filter: &SubtaskFilter,
    part: Part,
) -> Result<Page<Subtask>, Failure> {
    let (condition, mut values) = condition(task, filter);
    let mut count = sql.prepare_cached(&format!("SELECT count(*) FROM batch_subtask s WHERE {condition}"))?;
    let total: i64 = count.query_row(params_from_iter(&values), |row| row.get(0))?;
    values.push(Value::Integer(part.limit.into()));
    values.push(Value::Integer(i64::try_from(part.skip).unwrap_or(i64::MAX)));
    // The page is found before what is shown of it is read.
    let mut statement = sql.prepare_cached(&format!(
        "SELECT s.n, s.device, s.state, s.command, s.error, c.result FROM \
         (SELECT n FROM batch_subtask s WHERE {condition} ORDER BY n LIMIT ? OFFSET ?) p \
         JOIN batch_subtask s ON s.task = {} AND s.n = p.n LEFT JOIN command c ON c.id = s.command ORDER BY s.n",
        task.0
    ))?;
    let mut rows = statement.query(params_from_iter(&values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read_subtask(row)?);
    }
    Ok(Page {
        items,
        total: total.cast_unsigned(),
    })
}

fn condition(task: BatchTaskKey, filter: &SubtaskFilter) -> (String, Vec<Value>) {
    let (mut text, mut values) = ("s.task = ?".to_owned(), vec![Value::Integer(task.0)]);
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(", ");
        text.push_str(&format!(" AND s.state IN ({marks})"));
        values.extend(
            filter
                .states
                .iter()
                .map(|state| Value::Integer(state.code().into())),
        );
    }
    if let Some(device) = &filter.device {
        text.push_str(" AND s.device = ?");
        values.push(Value::Text(device.as_str().to_owned()));
    }
    if let Some(command) = filter.command {
        text.push_str(" AND s.command = ?");
        values.push(Value::Blob(command.to_bytes().to_vec()));
    }
    (text, values)
}

fn read_subtask(row: &Row<'_>) -> Result<Subtask, Failure> {
    let state: u8 = row.get(2)?;
    let state = SubtaskState::ALL.get(usize::from(state));
    let device: Arc<str> = row.get(1)?;
    Ok(Subtask {
        n: row.get::<_, i64>(0)?.cast_unsigned(),
        device_id: DeviceId::new(device),
        state: *state.ok_or_else(|| Failure::corrupt("a sub-task in no state"))?,
        command: row.get::<_, Option<[u8; 16]>>(3)?.map(CommandId::from_bytes),
        error: row.get(4)?,
        result: row.get(5)?,
    })
}

/// What was found among sub-tasks whose commands were not over.
pub(super) struct Looked {
    /// Those that are to be settled now.
    pub(super) over: Vec<(i64, SubtaskState)>,
    /// From where to go on; none: that were all.
    pub(super) next: Option<u64>,
}

/// Looks at some sub-tasks that wait for their commands.
pub(super) fn look(sql: &Connection, task: BatchTaskKey, from: u64, limit: u32) -> Result<Looked, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT s.n, c.id IS NULL, c.state FROM batch_subtask s LEFT JOIN command c ON c.id = s.command \
         WHERE s.task = ?1 AND s.state = 1 AND s.n >= ?2 ORDER BY s.n LIMIT ?3",
    )?;
    let mut rows = statement.query(params![task.0, from.cast_signed(), limit])?;
    let (mut over, mut seen, mut last) = (Vec::new(), 0, 0);
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, row.get::<_, i64>(0)?);
        let end = match row.get(1)? {
            // Its record is kept no longer, so it is over, and how is not known.
            true => Some(SubtaskState::Fail),
            false => row
                .get::<_, Option<u8>>(2)?
                .and_then(state::end_of_code)
                .and_then(settled),
        };
        over.extend(end.map(|end| (last, end)));
    }
    let next = (seen >= limit).then(|| last.cast_unsigned() + 1);
    Ok(Looked { over, next })
}

/// What the end of a command makes of its sub-task.
fn settled(end: Status) -> Option<SubtaskState> {
    match end {
        Status::Pending | Status::Sent => None,
        Status::Delivered | Status::Successful => Some(SubtaskState::Success),
        Status::Failed | Status::Canceled => Some(SubtaskState::Fail),
        Status::Timeout => Some(SubtaskState::Timeout),
        Status::Expired => Some(SubtaskState::Expired),
    }
}

/// Whether a task of this name is kept of the application.
pub(super) fn is_name_taken(sql: &Connection, app: AppKey, name: &str) -> Result<bool, Failure> {
    let mut statement = sql.prepare_cached("SELECT 1 FROM batch_task WHERE app = ?1 AND name = ?2")?;
    let found: Option<i64> = statement
        .query_row(params![app.0, name], |row| row.get(0))
        .optional()?;
    Ok(found.is_some())
}
