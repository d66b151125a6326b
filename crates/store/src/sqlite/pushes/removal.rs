//! How stored pushes end without an attempt: dropped, given up for their age, or forgotten long after that.

use downlink_core::{AppKey, Span, Timestamp};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::filter::Condition;
use super::receivers;
use crate::sqlite::batch::Batch;
use crate::sqlite::failure::Failure;
use crate::{GivenUp, OrderKey, PushFilter, PushLimits, ReceiverKey};

impl Batch {
    /// Deletes what a filter means.
    pub(super) fn drop_pushes(
        &mut self,
        filter: &PushFilter,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, Failure> {
        let condition = Condition::of(filter);
        let query = format!(
            "SELECT p.id FROM push p CROSS JOIN receiver r WHERE {} ORDER BY p.id LIMIT {limit}",
            condition.text
        );
        let ids = self
            .sql
            .prepare_cached(&query)?
            .query_map(params_from_iter(condition.values), |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        for id in &ids {
            self.drop_push(*id, now)?;
        }
        Ok(ids.len() as u64)
    }

    fn drop_push(&mut self, id: i64, now: Timestamp) -> Result<(), Failure> {
        let gone: Option<(i64, [u8; 16], u32, u8)> = self
            .sql
            .prepare_cached("DELETE FROM push WHERE id = ?1 RETURNING receiver, order_key, seq, state")?
            .query_row([id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((receiver, key, seq, state)) = gone else {
            return Ok(());
        };
        let (waiting, dead) = if state == 2 { (0, -1) } else { (-1, 0) };
        receivers::count(&self.sql, ReceiverKey(receiver), waiting, dead)?;
        match state {
            0 => self
                .promote_after(OrderKey::from_bytes(key), seq, now)
                .map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Gives up what is too old. Receivers share `limit` evenly, so that none waits for another.
    pub(super) fn give_up_old(
        &mut self,
        limits: PushLimits,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GivenUp>, Failure> {
        let mut overdue = overdue(&self.sql, limits, now)?;
        if overdue.is_empty() {
            return Ok(Vec::new());
        }
        // With more receivers than `limit`, others come first the next time.
        let turn = now.as_millis().unsigned_abs() as usize % overdue.len();
        overdue.rotate_left(turn);
        let (mut left, mut others, mut given_up) = (limit as usize, overdue.len(), Vec::new());
        for (receiver, born_until, why) in overdue {
            let share = left.div_ceil(others.max(1));
            others -= 1;
            let pushes = self.give_up_of(receiver, born_until, why, (now, share))?;
            left -= pushes;
            if pushes > 0 {
                given_up.push(GivenUp {
                    receiver,
                    pushes: pushes as u64,
                });
            }
        }
        Ok(given_up)
    }

    fn give_up_of(
        &mut self,
        receiver: ReceiverKey,
        born_until: i64,
        why: &str,
        (now, limit): (Timestamp, usize),
    ) -> Result<usize, Failure> {
        let ids = self
            .sql
            .prepare_cached(
                "SELECT id FROM push WHERE receiver = ?1 AND state < 2 AND born <= ?2 ORDER BY born, seq LIMIT ?3",
            )?
            .query_map(params![receiver.0, born_until, limit as i64], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        receivers::count(&self.sql, receiver, -(ids.len() as i64), ids.len() as i64)?;
        for id in &ids {
            let (key, seq, state, app) = self
                .sql
                .prepare_cached("SELECT order_key, seq, state, app FROM push WHERE id = ?1")?
                .query_row([id], |row| {
                    Ok((
                        OrderKey::from_bytes(row.get(0)?),
                        row.get(1)?,
                        row.get::<_, u8>(2)?,
                        AppKey(row.get(3)?),
                    ))
                })?;
            self.sql
                .prepare_cached("UPDATE push SET state = 2, next_at = ?2, dead_because = ?3 WHERE id = ?1")?
                .execute(params![id, now.as_millis(), why])?;
            if state == 0 {
                self.promote_after(key, seq, now)?;
            }
            self.tell_given_up(app, key, seq, now)?;
        }
        Ok(ids.len())
    }

    /// Deletes what was given up long enough ago, then the receivers that nothing is known of any more.
    pub(super) fn prune_pushes(&self, keep: Span, now: Timestamp, limit: u32) -> Result<u64, Failure> {
        let keys = self
            .sql
            .prepare_cached("SELECT key FROM receiver WHERE dead > 0")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        let mut left = limit;
        for key in keys.into_iter().map(ReceiverKey) {
            let gone = self.forget_dead(key, Some(now - keep), left)?;
            left -= u32::try_from(gone).unwrap_or(left);
        }
        self.sql
            .prepare_cached(
                "DELETE FROM receiver WHERE waiting = 0 AND dead = 0 AND held_at IS NULL AND rate IS NULL",
            )?
            .execute([])?;
        Ok(u64::from(limit - left))
    }

    /// Deletes the oldest that were given up of a receiver, or only those that were before a time.
    pub(super) fn forget_dead(
        &self,
        receiver: ReceiverKey,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<u64, Failure> {
        let before = before.map_or(i64::MAX, Timestamp::as_millis);
        let gone = self
            .sql
            .prepare_cached(
                "DELETE FROM push WHERE id IN (SELECT id FROM push WHERE receiver = ?1 AND state = 2 \
                 AND next_at < ?2 ORDER BY next_at LIMIT ?3)",
            )?
            .execute(params![receiver.0, before, limit])?;
        receivers::count(&self.sql, receiver, 0, -(gone as i64))?;
        Ok(gone as u64)
    }
}

/// The receivers that have something too old: until when that was born, and why it is given up.
pub(super) fn overdue(
    sql: &Connection,
    limits: PushLimits,
    now: Timestamp,
) -> Result<Vec<(ReceiverKey, i64, &'static str)>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT key, until, held FROM (SELECT r.key, r.held_at IS NOT NULL AS held, CASE \
         WHEN r.held_at IS NULL THEN ?1 - r.held_ms - coalesce(a.push_max_age_ms, ?2) \
         WHEN r.held_at <= ?1 - ?3 THEN 9223372036854775807 END AS until \
         FROM receiver r LEFT JOIN app a ON a.key = r.app WHERE r.waiting > 0) f WHERE until IS NOT NULL \
         AND EXISTS (SELECT 1 FROM push p WHERE p.receiver = f.key AND p.state < 2 AND p.born <= f.until)",
    )?;
    let values = params![
        now.as_millis(),
        limits.max_age.as_millis(),
        limits.max_held.as_millis()
    ];
    let rows = statement.query_map(values, |row| {
        let why = if row.get(2)? { "held too long" } else { "too old" };
        Ok((ReceiverKey(row.get(0)?), row.get(1)?, why))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
