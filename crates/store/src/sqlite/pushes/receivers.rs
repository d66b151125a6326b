//! Rows of `receiver`: found or made, held and released, and their sums kept.

use std::sync::Arc;

use downlink_core::{AppKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::failure::Failure;
use crate::{ReceiverKey, StoredReceiver};

/// The columns that [`read`] expects.
macro_rules! columns {
    () => {
        "key, app, origin, held_at, rate, waiting, dead"
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredReceiver> {
    Ok(StoredReceiver {
        key: ReceiverKey(row.get(0)?),
        app: AppKey(row.get(1)?),
        origin: row.get(2)?,
        held_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
        rate: row.get(4)?,
        waiting: row.get::<_, i64>(5)?.cast_unsigned(),
        dead: row.get::<_, i64>(6)?.cast_unsigned(),
    })
}

pub(super) fn receiver(sql: &Connection, key: ReceiverKey) -> Result<Option<StoredReceiver>, Failure> {
    let mut statement =
        sql.prepare_cached(concat!("SELECT ", columns!(), " FROM receiver WHERE key = ?1"))?;
    Ok(statement.query_row([key.0], read).optional()?)
}

pub(super) fn receivers(
    sql: &Connection,
    after: Option<ReceiverKey>,
    busy: bool,
    limit: u32,
) -> Result<Vec<StoredReceiver>, Failure> {
    let mut statement = sql.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM receiver WHERE key > ?1 AND (NOT ?2 OR waiting > 0 OR held_at IS NOT NULL OR rate IS NOT NULL) \
         ORDER BY key LIMIT ?3"
    ))?;
    let after = after.map_or(i64::MIN, |key| key.0);
    let rows = statement.query_map(params![after, busy, limit], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The receiver of an application with this origin; made if there is none.
pub(super) fn find_or_make(
    sql: &Connection,
    app: AppKey,
    origin: &Arc<str>,
) -> Result<StoredReceiver, Failure> {
    let mut statement = sql.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM receiver WHERE app = ?1 AND origin = ?2"
    ))?;
    if let Some(found) = statement.query_row(params![app.0, origin], read).optional()? {
        return Ok(found);
    }
    let mut statement = sql.prepare_cached(concat!(
        "INSERT INTO receiver (app, origin) VALUES (?1, ?2) RETURNING ",
        columns!()
    ))?;
    Ok(statement.query_row(params![app.0, origin], read)?)
}

pub(super) fn set_held(
    sql: &Connection,
    app: AppKey,
    origin: &Arc<str>,
    held: bool,
    now: Timestamp,
) -> Result<StoredReceiver, Failure> {
    let key = find_or_make(sql, app, origin)?.key;
    let query = match held {
        true => concat!(
            "UPDATE receiver SET held_at = coalesce(held_at, ?2) WHERE key = ?1 RETURNING ",
            columns!()
        ),
        // The time of this hold joins that of all before it.
        false => concat!(
            "UPDATE receiver SET held_ms = held_ms + max(0, ?2 - coalesce(held_at, ?2)), held_at = NULL \
             WHERE key = ?1 RETURNING ",
            columns!()
        ),
    };
    Ok(sql
        .prepare_cached(query)?
        .query_row(params![key.0, now.as_millis()], read)?)
}

pub(super) fn set_rate(
    sql: &Connection,
    app: AppKey,
    origin: &Arc<str>,
    rate: Option<u32>,
) -> Result<StoredReceiver, Failure> {
    let key = find_or_make(sql, app, origin)?.key;
    let query = concat!(
        "UPDATE receiver SET rate = ?2 WHERE key = ?1 RETURNING ",
        columns!()
    );
    Ok(sql.prepare_cached(query)?.query_row(params![key.0, rate], read)?)
}

/// A receiver's own clock, by which its pushes age: it stands still while the receiver is held.
#[derive(Debug, Clone, Copy)]
pub(in crate::sqlite) struct Clock {
    pub(in crate::sqlite) held_at: Option<i64>,
    pub(in crate::sqlite) held_ms: i64,
}

impl Clock {
    /// The clock of this receiver; none: there is no such receiver.
    pub(super) fn of(sql: &Connection, key: ReceiverKey) -> Result<Option<Self>, Failure> {
        let mut statement = sql.prepare_cached("SELECT held_at, held_ms FROM receiver WHERE key = ?1")?;
        let clock = statement.query_row([key.0], |row| {
            Ok(Self {
                held_at: row.get(0)?,
                held_ms: row.get(1)?,
            })
        });
        Ok(clock.optional()?)
    }

    /// What it showed at this instant.
    pub(in crate::sqlite) fn at(&self, at: Timestamp) -> i64 {
        let at = self
            .held_at
            .map_or(at.as_millis(), |held| held.min(at.as_millis()));
        at.saturating_sub(self.held_ms)
    }
}

/// Adds to a receiver's sums.
pub(super) fn count(sql: &Connection, key: ReceiverKey, waiting: i64, dead: i64) -> Result<(), Failure> {
    if (waiting, dead) != (0, 0) {
        sql.prepare_cached("UPDATE receiver SET waiting = waiting + ?2, dead = dead + ?3 WHERE key = ?1")?
            .execute(params![key.0, waiting, dead])?;
    }
    Ok(())
}
