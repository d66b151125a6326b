//! Reading commands: records, lists, and what the sweeps look for. Used by the readers, and by the writer for the
//! little it has to read itself.

use std::sync::Arc;

use downlink_core::lifecycle::{DeadlineKind, deadline};
use downlink_core::{AppKey, CommandBody, CommandId, DeviceId, DeviceKey, Event, Policy, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::damage::DamageMet;
use super::events::Events;
use super::failure::Failure;
use super::state;
use super::tail::Queued;
use super::work_row::{WorkRow, stored_result};
use crate::{OpenCommand, PushDuty, Record};

/// A row of `command`.
pub(super) struct Kept {
    record: Record,
    /// The end, once there is one.
    state: Option<u8>,
}

/// The row of `command` with this id.
pub(super) fn kept(sql: &Connection, id: CommandId) -> Result<Option<Kept>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT c.id, c.app, c.device, d.id, c.service, c.method, c.paras, c.callback, c.expire_time, \
         c.max_retransmit, c.created_at, c.state, c.sends, c.delivered_at, c.events, c.result \
         FROM command c JOIN device d ON d.key = c.device WHERE c.id = ?1",
    )?;
    let mut rows = statement.query([id.to_bytes()])?;
    rows.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<Kept, Failure> {
    let events = row
        .get::<_, Option<Vec<u8>>>(14)?
        .map(Events::from_packed)
        .transpose()?;
    let device_id: Arc<str> = row.get(3)?;
    let body = CommandBody {
        service: row.get(4)?,
        method: row.get(5)?,
        paras: row.get(6)?,
    };
    let record = Record {
        id: CommandId::from_bytes(row.get(0)?),
        app: AppKey(row.get(1)?),
        device: DeviceKey(row.get(2)?),
        device_id: DeviceId::new(device_id),
        body: Arc::new(body),
        callback: row.get(7)?,
        expire_time: row.get::<_, i64>(8)?.cast_unsigned(),
        max_retransmit: row.get(9)?,
        status: Status::Pending,
        sends: row.get::<_, Option<u8>>(12)?.unwrap_or(0),
        created_at: Timestamp::from_millis(row.get(10)?),
        sent_at: None,
        delivered_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_millis),
        executed_at: None,
        result: row.get(15)?,
        events: events.map(|events| events.to_vec()).unwrap_or_default(),
    };
    Ok(Kept {
        record,
        state: row.get(11)?,
    })
}

/// The record: as the working row says while there is one, else as it ended.
pub(super) fn compose(
    kept: Kept,
    work: Option<&WorkRow>,
    result: Option<Arc<str>>,
) -> Result<Record, Failure> {
    let mut record = kept.record;
    match (work, kept.state) {
        (Some(row), _) => overlay(&mut record, row, result),
        (None, Some(code)) => {
            // An end carries no instant that the record shows, so any will do to know the state.
            let columns = state::Columns {
                code,
                due: Some(0),
                ..state::Columns::default()
            };
            let end = state::decode(columns, record.sends)?;
            let end_status = end.status();
            finish(&mut record, end_status, state::is_answered(&end));
        }
        (None, None) => return Err(Failure::corrupt(format!("command {} is nowhere", record.id))),
    }
    Ok(record)
}

/// Puts what the working row says over the record.
pub(super) fn overlay(record: &mut Record, row: &WorkRow, result: Option<Arc<str>>) {
    record.sends = row.sends;
    record.delivered_at = row.delivered_at;
    record.events = row.events.to_vec();
    if let Some(result) = result {
        record.result = Some(result.as_ref().to_owned());
    }
    finish(record, row.status(), state::is_answered(&row.progress.state));
}

fn finish(record: &mut Record, status: Status, answered: bool) {
    let at = |event: &Event| event.at;
    record.status = status;
    record.sent_at = record
        .events
        .iter()
        .find(|event| event.status == Status::Sent)
        .map(at);
    record.executed_at = record.events.last().filter(|_| answered).map(at);
}

pub(super) fn load(sql: &Connection, id: CommandId) -> Result<Option<Record>, Failure> {
    let Some(kept) = kept(sql, id)? else {
        return Ok(None);
    };
    let work = WorkRow::load(sql, id)?;
    compose(kept, work.as_ref(), None).map(Some)
}

/// What a command asks for.
/// What a command asks for, and how often its transport may repeat it.
pub(super) fn body(sql: &Connection, id: CommandId) -> Result<(Arc<CommandBody>, Option<u8>), Failure> {
    let mut statement =
        sql.prepare_cached("SELECT service, method, paras, max_retransmit FROM command WHERE id = ?1")?;
    let (body, max_retransmit) = statement.query_row([id.to_bytes()], |row| {
        let body = CommandBody {
            service: row.get(0)?,
            method: row.get(1)?,
            paras: row.get(2)?,
        };
        Ok((body, row.get(3)?))
    })?;
    Ok((Arc::new(body), max_retransmit))
}

pub(super) fn load_push(sql: &Connection, id: CommandId) -> Result<Option<PushDuty>, Failure> {
    match WorkRow::load(sql, id)? {
        Some(row) => duty(sql, &row),
        None => Ok(None),
    }
}

fn duty(sql: &Connection, row: &WorkRow) -> Result<Option<PushDuty>, Failure> {
    if row.acked >= row.seq() {
        return Ok(None);
    }
    let device_id: Arc<str> = sql
        .prepare_cached("SELECT id FROM device WHERE key = ?1")?
        .query_row([row.device.0], |row| row.get(0))?;
    let result = if row.owes_result() {
        stored_result(sql, row.id)?
    } else {
        None
    };
    Ok(row.duty(&DeviceId::new(device_id), result))
}

/// See [`Commands::take_expiring`](crate::Commands::take_expiring). A lost send whose ack deadline passed while the
/// server was down is left out until the grace after the start is over, since it does not end before.
pub(super) fn expiring(
    sql: &Connection,
    policy: &Policy,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<CommandId>, Failure> {
    let grace = policy.effective(Timestamp::from_millis(i64::MIN));
    let mut statement = sql.prepare_cached(
        "SELECT id FROM work WHERE lapse_at <= ?1 AND (state = ?2 OR due >= ?3 OR ?4 <= ?1) \
         ORDER BY lapse_at LIMIT ?5",
    )?;
    let values = params![
        now.as_millis(),
        state::PENDING,
        policy.up_since.as_millis(),
        grace.as_millis(),
        limit
    ];
    let ids = statement.query_map(values, |row| row.get(0))?;
    ids.map(|id| Ok(CommandId::from_bytes(id?))).collect()
}

/// The first of a device's queue. `newest` is what the tail has of it.
pub(super) fn queue(
    sql: &Connection,
    device: DeviceKey,
    newest: Vec<Queued>,
    limit: u32,
) -> Result<Vec<CommandId>, Failure> {
    let mut statement =
        sql.prepare_cached("SELECT ord, id FROM queued WHERE device = ?1 ORDER BY ord LIMIT ?2")?;
    let rows = statement.query_map(params![device.0, limit], |row| {
        Ok((row.get(0)?, CommandId::from_bytes(row.get(1)?)))
    })?;
    let mut queue = rows.collect::<Result<Vec<Queued>, _>>()?;
    queue.extend(newest);
    queue.sort_unstable();
    // One that was moved between the two looks is seen twice.
    queue.dedup();
    queue.truncate(limit as usize);
    Ok(queue.into_iter().map(|(_, id)| id).collect())
}

/// Those of the devices that have something in the table of queues.
pub(super) fn with_queue(sql: &Connection, mut devices: Vec<DeviceKey>) -> Result<Vec<DeviceKey>, Failure> {
    let mut statement = sql.prepare_cached("SELECT 1 FROM queued WHERE device = ?1 LIMIT 1")?;
    let mut outcome = Ok(());
    devices.retain(|device| {
        let queued = statement.exists([device.0]);
        queued.unwrap_or_else(|error| {
            outcome = Err(error.into());
            false
        })
    });
    outcome.map(|()| devices)
}

/// Removed devices with a queue: in the table, or among `newest`.
pub(super) fn left_queues(
    sql: &Connection,
    newest: &[DeviceKey],
    limit: u32,
) -> Result<Vec<DeviceKey>, Failure> {
    // From one device of the table to the next, however much waits for each.
    let mut statement = sql.prepare_cached(
        "WITH RECURSIVE waiting (device) AS ( \
             SELECT min(device) FROM queued \
             UNION ALL \
             SELECT (SELECT min(device) FROM queued WHERE device > waiting.device) FROM waiting \
             WHERE waiting.device IS NOT NULL) \
         SELECT d.key FROM waiting w CROSS JOIN device d ON d.key = w.device WHERE d.removed_at IS NOT NULL LIMIT ?1",
    )?;
    let mut left = statement
        .query_map([limit], |row| Ok(DeviceKey(row.get(0)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut removed = sql.prepare_cached("SELECT 1 FROM device WHERE key = ?1 AND removed_at IS NOT NULL")?;
    for device in newest {
        if left.len() < limit as usize && removed.exists([device.0])? && !left.contains(device) {
            left.push(*device);
        }
    }
    Ok(left)
}

pub(super) fn sweep(
    sql: &Connection,
    damage: &DamageMet,
    policy: &Policy,
    after: Option<CommandId>,
    limit: u32,
) -> Result<(Vec<OpenCommand>, Option<CommandId>), Failure> {
    let after = after.map_or(Vec::new(), |id| id.to_bytes().to_vec());
    let mut statement = sql.prepare_cached(WorkRow::AFTER)?;
    let mut rows = statement.query(params![after, limit])?;
    let (mut found, mut seen, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        seen += 1;
        last = Some(CommandId::from_bytes(row.get(0)?));
        // Most rows of a long queue wait for their device only: seen without unpacking them.
        let (state, acked, seq): (u8, u16, u16) = (row.get(6)?, row.get(14)?, row.get(18)?);
        if state == state::PENDING && acked >= seq {
            continue;
        }
        let row = match WorkRow::read(row) {
            Ok(row) => row,
            Err(failure) if failure.is_of_a_row() => {
                damage.note(&failure);
                tracing::error!(command = ?last, %failure, "a command cannot be read");
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let near = deadline(&row.progress, policy).filter(|next| next.kind != DeadlineKind::Lifetime);
        let push = duty(sql, &row)?;
        if near.is_some() || push.is_some() {
            found.push(OpenCommand {
                command: row.id,
                device: row.device,
                deadline: near,
                push,
            });
        }
    }
    Ok((found, last.filter(|_| limit > 0 && seen == limit)))
}

/// Up to `limit` records from before `keep_from` that are final and told and have no stored push.
pub(super) fn outdated(
    sql: &Connection,
    keep_from: Timestamp,
    limit: u32,
) -> Result<Vec<CommandId>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT id FROM command WHERE id < ?1 AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = command.id) \
         AND NOT EXISTS (SELECT 1 FROM push WHERE order_key = command.id) ORDER BY id LIMIT ?2",
    )?;
    let before = CommandId::first_at(keep_from).to_bytes();
    let ids = statement.query_map(params![before, limit], |row| row.get(0))?;
    ids.map(|id| Ok(CommandId::from_bytes(id?))).collect()
}

pub(super) fn last_id(sql: &Connection) -> Result<Option<CommandId>, Failure> {
    let mut statement = sql.prepare_cached("SELECT id FROM command ORDER BY id DESC LIMIT 1")?;
    let id = statement.query_row([], |row| row.get(0)).optional()?;
    Ok(id.map(CommandId::from_bytes))
}

pub(super) fn count_open(sql: &Connection) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT coalesce(sum(open), 0) FROM tally")?;
    Ok(i64::cast_unsigned(statement.query_row([], |row| row.get(0))?))
}
