//! Lists of cancel tasks. An application keeps a bounded number of them, so one pass over its own is cheap.

use std::sync::Arc;

use downlink_core::{AppKey, CommandId, DeviceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::failure::Failure;
use super::list::Part;
use super::records::load;
use crate::{CancelTask, CancelTaskFilter, CancelTaskKey, CancelTaskState, Page, ShownCancelTask};

/// The tasks of an application that match, newest first.
pub(super) fn list(
    sql: &Connection,
    app: AppKey,
    filter: &CancelTaskFilter,
    part: Part,
    max_records: u32,
) -> Result<Page<ShownCancelTask>, Failure> {
    let (condition, mut values) = condition(app, filter);
    let mut count = sql.prepare_cached(&format!("SELECT count(*) FROM cancel_task t WHERE {condition}"))?;
    let total: i64 = count.query_row(params_from_iter(&values), |row| row.get(0))?;
    values.push(Value::Integer(part.limit.into()));
    values.push(Value::Integer(i64::try_from(part.skip).unwrap_or(i64::MAX)));
    let mut statement = sql.prepare_cached(&format!(
        "SELECT t.key, t.id, d.id, t.state, t.total, t.canceled, t.created_at, t.commands \
         FROM cancel_task t JOIN device d ON d.key = t.device \
         WHERE {condition} ORDER BY t.key DESC LIMIT ? OFFSET ?"
    ))?;
    let mut rows = statement.query(params_from_iter(&values))?;
    let (mut items, mut room) = (Vec::new(), max_records as usize);
    while let Some(row) = rows.next()? {
        let task = read(row)?;
        let shown = task.commands.iter().take(room).map(|id| load(sql, *id));
        let records = shown
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>, _>>()?;
        room -= task.commands.len().min(room);
        items.push(ShownCancelTask { task, records });
    }
    Ok(Page {
        items,
        total: total.cast_unsigned(),
    })
}

fn condition(app: AppKey, filter: &CancelTaskFilter) -> (String, Vec<Value>) {
    let (mut text, mut values) = ("t.app = ?".to_owned(), vec![Value::Integer(app.0)]);
    let millis = |at: Timestamp| Value::Integer(at.as_millis());
    let more = [
        (
            " AND t.id = ?",
            filter.id.as_deref().map(|id| Value::Text(id.to_owned())),
        ),
        (
            " AND t.device = ?",
            filter.device.map(|device| Value::Integer(device.0)),
        ),
        (
            " AND t.state = ?",
            filter.state.map(|state| Value::Integer(state.code().into())),
        ),
        (" AND t.created_at >= ?", filter.from.map(millis)),
        (" AND t.created_at <= ?", filter.to.map(millis)),
    ];
    for (part, value) in more {
        if let Some(value) = value {
            text.push_str(part);
            values.push(value);
        }
    }
    (text, values)
}

fn read(row: &Row<'_>) -> Result<CancelTask, Failure> {
    let (id, device_id): (Arc<str>, Arc<str>) = (row.get(1)?, row.get(2)?);
    let state: u8 = row.get(3)?;
    let state = CancelTaskState::ALL.get(usize::from(state));
    let packed: Vec<u8> = row.get(7)?;
    let ids = packed.as_chunks::<16>().0.iter();
    Ok(CancelTask {
        key: CancelTaskKey(row.get(0)?),
        id,
        device_id: DeviceId::new(device_id),
        state: *state.ok_or_else(|| Failure::corrupt("a cancel task in no state"))?,
        total: row.get::<_, i64>(4)?.cast_unsigned(),
        canceled: row.get::<_, i64>(5)?.cast_unsigned(),
        created_at: Timestamp::from_millis(row.get(6)?),
        commands: ids.map(|id| CommandId::from_bytes(*id)).collect(),
    })
}

/// Tasks that are not over, after this one.
pub(super) fn open(
    sql: &Connection,
    after: Option<CancelTaskKey>,
    limit: u32,
) -> Result<Vec<CancelTaskKey>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT key FROM cancel_task WHERE ended_at IS NULL AND key > ?1 ORDER BY key LIMIT ?2",
    )?;
    let after = after.map_or(0, |key| key.0);
    let keys = statement.query_map(params![after, limit], |row| row.get(0).map(CancelTaskKey))?;
    Ok(keys.collect::<Result<_, _>>()?)
}
