//! What is packed into rows: states and events, unpacked one by one.

use downlink_core::{CommandId, Status};
use rusqlite::{Connection, Row};

use super::{Findings, Invariant};
use crate::OrderKey;
use crate::sqlite::events::Events;
use crate::sqlite::failure::Failure;
use crate::sqlite::state;
use crate::sqlite::work_row::WorkRow;

static WORK: Invariant = Invariant {
    name: "working-row",
    promise: "a working row can be read, what it is found by is what its state says, and it is not over",
};
static TOLD: Invariant = Invariant {
    name: "told",
    promise: "of an open command what was told is part of what happened, and no more than that is passed over",
};
static LIFE: Invariant = Invariant {
    name: "life",
    promise: "events are what the life cycle allows: one end, amended by the device's result at most once, and the state is the last one's",
};
static PUSHED: Invariant = Invariant {
    name: "told-is-recorded",
    promise: "a stored push and a change in a feed tell what the record of their command says",
};

pub(super) const ALL: &[&Invariant] = &[&WORK, &TOLD, &LIFE, &PUSHED];

pub(super) fn look(sql: &Connection, found: &mut Findings) {
    let looked = work(sql, found);
    found.unreadable(&WORK, looked);
    let looked = ends(sql, found);
    found.unreadable(&LIFE, looked);
    let looked = pushes(sql, found);
    found.unreadable(&PUSHED, looked);
    let looked = feed(sql, found);
    found.unreadable(&PUSHED, looked);
}

/// The working rows.
fn work(sql: &Connection, found: &mut Findings) -> Result<(), Failure> {
    let mut statement = sql.prepare(WorkRow::ALL)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match WorkRow::read(row) {
            Ok(work) => one_work(&work, row, found)?,
            Err(failure) => found.note(&WORK, format!("{}: {failure}", named(row)?)),
        }
    }
    Ok(())
}

fn one_work(work: &WorkRow, row: &Row<'_>, found: &mut Findings) -> Result<(), Failure> {
    let (seq, queued, lapse_at, prune_at): (i64, bool, Option<i64>, Option<i64>) =
        (row.get(18)?, row.get(19)?, row.get(20)?, row.get(21)?);
    let says = (i64::from(work.seq()), work.progress.is_queued());
    if (seq, queued) != says || (lapse_at, prune_at) != (work.lapse_at(), work.prune_at()) || work.is_over() {
        found.note(&WORK, work.id.to_string());
    }
    let next = work.events.iter().find(|event| event.seq > work.acked);
    let told = match next {
        Some(event) => event.pushed && work.outbox.is_none(),
        None => work.acked == work.seq(),
    };
    if !told {
        found.note(&TOLD, work.id.to_string());
    }
    if !is_life(&work.events, work.status()) {
        found.note(&LIFE, work.id.to_string());
    }
    Ok(())
}

fn named(row: &Row<'_>) -> Result<String, Failure> {
    let id: Vec<u8> = row.get(0)?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The records of what ended.
fn ends(sql: &Connection, found: &mut Findings) -> Result<(), Failure> {
    let mut statement =
        sql.prepare("SELECT id, events, state FROM command WHERE state IS NOT NULL AND events IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let events = Events::from_packed(row.get(1)?);
        let end = state::end_of_code(row.get(2)?);
        let lived = matches!((&events, end), (Ok(events), Some(end)) if is_life(events, end));
        if !lived {
            found.note(&LIFE, named(row)?);
        }
    }
    Ok(())
}

/// Whether a command can have had these events and be there now.
fn is_life(events: &Events, now: Status) -> bool {
    let mut before = None;
    let mut ends = 0;
    for event in events.iter() {
        let from = before.replace(event.status);
        if !may_follow(from, event.status) {
            return false;
        }
        ends += u8::from(is_end(event.status));
    }
    before == Some(now) && ends <= 2
}

fn is_end(status: Status) -> bool {
    match status {
        Status::Pending | Status::Sent | Status::Delivered => false,
        Status::Successful | Status::Failed | Status::Timeout | Status::Expired | Status::Canceled => true,
    }
}

/// Whether the life cycle leads from one status to another in one event. After FAILED and TIMEOUT there may still come
/// the device's own result; that there is no more after it is counted by the caller.
fn may_follow(from: Option<Status>, to: Status) -> bool {
    match from {
        None => to == Status::Pending,
        Some(Status::Pending) => matches!(
            to,
            Status::Sent | Status::Expired | Status::Canceled | Status::Failed
        ),
        Some(Status::Sent) => matches!(to, Status::Delivered | Status::Failed | Status::Timeout),
        Some(Status::Delivered) => matches!(to, Status::Successful | Status::Failed | Status::Timeout),
        Some(Status::Failed | Status::Timeout) => matches!(to, Status::Successful | Status::Failed),
        Some(Status::Successful | Status::Expired | Status::Canceled) => false,
    }
}

/// What stored pushes tell of commands.
fn pushes(sql: &Connection, found: &mut Findings) -> Result<(), Failure> {
    let mut statement = sql.prepare(
        "SELECT p.id, p.order_key, p.seq, p.status, coalesce(w.events, c.events) FROM push p \
         LEFT JOIN work w ON w.id = p.order_key LEFT JOIN command c ON c.id = p.order_key WHERE p.kind IS NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = row.get::<_, [u8; 16]>(1).map(OrderKey::from_bytes)?;
        let events: Option<Vec<u8>> = row.get(4)?;
        let recorded = events.is_some_and(|events| has(events, row.get(2), row.get(3), true));
        if key.command().is_none() || !recorded {
            found.note(&PUSHED, format!("push {}", row.get::<_, i64>(0)?));
        }
    }
    Ok(())
}

/// What feeds tell; of a record that is gone there is nothing to compare with.
fn feed(sql: &Connection, found: &mut Findings) -> Result<(), Failure> {
    let mut statement = sql.prepare(
        "SELECT f.command, f.seq, f.status, coalesce(w.events, c.events) FROM feed f \
         JOIN command c ON c.id = f.command LEFT JOIN work w ON w.id = f.command",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let events: Option<Vec<u8>> = row.get(3)?;
        let recorded = events.is_some_and(|events| has(events, row.get(1), row.get(2), false));
        if !recorded {
            let id = CommandId::from_bytes(row.get(0)?);
            found.note(&PUSHED, format!("{id} in the feed"));
        }
    }
    Ok(())
}

/// Whether there is such an event; `pushed`: it is one that is pushed.
fn has(
    events: Vec<u8>,
    seq: rusqlite::Result<u32>,
    status: rusqlite::Result<Option<u8>>,
    pushed: bool,
) -> bool {
    let (Ok(events), Ok(seq), Ok(Some(code))) = (Events::from_packed(events), seq, status) else {
        return false;
    };
    events
        .iter()
        .any(|event| u32::from(event.seq) == seq && event.status.code() == code && (event.pushed || !pushed))
}
