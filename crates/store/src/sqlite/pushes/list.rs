//! Stored pushes as they are shown, and their sums.

use downlink_core::{AppKey, Timestamp};
use rusqlite::{Connection, Row, params, params_from_iter};

use super::attempts;
use super::filter::Condition;
use super::ready;
use crate::sqlite::damage::DamageMet;
use crate::sqlite::failure::Failure;
use crate::{OrderKey, PushFilter, PushId, PushState, PushTotals, ReceiverKey, StoredPush};

/// So many receivers are looked at for the oldest one that is due.
const RECEIVERS_LOOKED_AT: u32 = 1000;

pub(super) fn stored_pushes(
    sql: &Connection,
    damage: &DamageMet,
    filter: &PushFilter,
    after: Option<PushId>,
    limit: u32,
) -> Result<Vec<StoredPush>, Failure> {
    let mut condition = Condition::of(filter);
    condition.and("p.id >", after.map(|id| id.0.into()));
    let query = format!(
        "SELECT p.id, p.app, p.receiver, r.origin, p.order_key, p.seq, p.state, r.held_at, p.dead_because, p.tries, \
         p.at, p.next_at, p.attempts, p.status, CASE WHEN p.with_result THEN c.result END, p.notice_id, p.body, d.id \
         FROM push p CROSS JOIN receiver r LEFT JOIN command c ON p.kind IS NULL AND c.id = p.order_key \
         LEFT JOIN device d ON d.key = c.device WHERE {} ORDER BY p.id LIMIT {limit}",
        condition.text
    );
    let mut statement = sql.prepare_cached(&query)?;
    let mut rows = statement.query(params_from_iter(condition.values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(push) => found.push(push),
            // The others are to be seen all the same.
            Err(failure @ Failure::Corrupt(_)) => {
                damage.note(&failure);
                tracing::error!(%failure, "a stored push cannot be read");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<StoredPush, Failure> {
    let (state, held_at): (u8, Option<i64>) = (row.get(6)?, row.get(7)?);
    let attempts: Option<Vec<u8>> = row.get(12)?;
    Ok(StoredPush {
        id: PushId(row.get(0)?),
        app: AppKey(row.get(1)?),
        receiver: ReceiverKey(row.get(2)?),
        origin: row.get(3)?,
        key: OrderKey::from_bytes(row.get(4)?),
        seq: row.get(5)?,
        content: ready::content(row, 13)?,
        state: match (state, held_at) {
            (2, _) => PushState::Dead,
            (_, Some(_)) => PushState::Held,
            (_, None) => PushState::Due,
        },
        behind: state == 1,
        dead_because: row.get(8)?,
        tries: row.get(9)?,
        at: Timestamp::from_millis(row.get(10)?),
        next_at: Timestamp::from_millis(row.get(11)?),
        attempts: attempts.map_or_else(Vec::new, |packed| attempts::unpack(&packed)),
    })
}

pub(super) fn totals(sql: &Connection, now: Timestamp) -> Result<PushTotals, Failure> {
    let mut statement =
        sql.prepare_cached("SELECT coalesce(sum(waiting), 0), coalesce(sum(dead), 0) FROM receiver")?;
    let (waiting, dead) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (waiting, dead): (i64, i64) = (waiting, dead);
    let mut statement = sql.prepare_cached(
        "SELECT min((SELECT next_at FROM push p WHERE p.receiver = r.key AND p.state = 0 ORDER BY next_at LIMIT 1)) \
         FROM (SELECT key FROM receiver WHERE waiting > 0 AND held_at IS NULL LIMIT ?1) r",
    )?;
    let oldest: Option<i64> = statement.query_row(params![RECEIVERS_LOOKED_AT], |row| row.get(0))?;
    Ok(PushTotals {
        waiting: waiting.cast_unsigned(),
        dead: dead.cast_unsigned(),
        oldest_due: oldest.map(Timestamp::from_millis).filter(|due| *due <= now),
    })
}
