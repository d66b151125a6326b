//! Sending given-up pushes again, each key in order from the first one selected.

use downlink_core::{AppKey, CommandId, Timestamp};
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::filter::Condition;
use super::receivers::{self, Clock};
use super::rows::{NewChange, Owed, RowState};
use crate::sqlite::batch::Batch;
use crate::sqlite::events::Events;
use crate::sqlite::failure::Failure;
use crate::sqlite::state::is_answered_code;
use crate::{OrderKey, PushFilter, PushState, ReceiverKey};

/// What of one key is sent again.
struct Again {
    key: OrderKey,
    from: u32,
    app: AppKey,
    receiver: ReceiverKey,
    url: String,
}

impl Batch {
    pub(super) fn replay(
        &mut self,
        filter: &PushFilter,
        now: Timestamp,
        limit: u32,
    ) -> Result<(u64, Vec<ReceiverKey>), Failure> {
        if !matches!(filter.state, None | Some(PushState::Dead)) {
            return Ok((0, Vec::new()));
        }
        let (mut pushes, mut receivers) = (0, Vec::new());
        for key in self.dead_keys(filter, limit)? {
            let Some(again) = self.again(filter, key)? else {
                continue;
            };
            pushes += self.send_again(&again, now)?;
            receivers.push(again.receiver);
        }
        receivers.sort_unstable();
        receivers.dedup();
        Ok((pushes, receivers))
    }

    fn dead_keys(&self, filter: &PushFilter, limit: u32) -> Result<Vec<OrderKey>, Failure> {
        let condition = Condition::of(filter);
        let query = format!(
            "SELECT p.order_key FROM push p CROSS JOIN receiver r WHERE {} AND p.state = 2 ORDER BY p.id LIMIT {limit}",
            condition.text
        );
        let mut statement = self.sql.prepare_cached(&query)?;
        let rows = statement.query_map(params_from_iter(condition.values), |row| {
            row.get(0).map(OrderKey::from_bytes)
        })?;
        let mut keys = rows.collect::<Result<Vec<_>, _>>()?;
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// The first selected one of a key.
    fn again(&self, filter: &PushFilter, key: OrderKey) -> Result<Option<Again>, Failure> {
        let mut condition = Condition::of(filter);
        condition.and("p.order_key =", Some(key.to_bytes().to_vec().into()));
        let query = format!(
            "SELECT p.seq, p.app, p.receiver, p.url FROM push p CROSS JOIN receiver r WHERE {} AND p.state = 2 \
             ORDER BY p.seq LIMIT 1",
            condition.text
        );
        let mut statement = self.sql.prepare_cached(&query)?;
        let first = statement.query_row(params_from_iter(condition.values), |row| {
            Ok(Again {
                key,
                from: row.get(0)?,
                app: AppKey(row.get(1)?),
                receiver: ReceiverKey(row.get(2)?),
                url: row.get(3)?,
            })
        });
        Ok(first.optional()?)
    }

    /// Gives how many pushes wait again.
    fn send_again(&mut self, again: &Again, now: Timestamp) -> Result<u64, Failure> {
        let Some(clock) = Clock::of(&self.sql, again.receiver)? else {
            return Ok(0);
        };
        let born = clock.at(now);
        // What waits behind it has the same new life: else it would be given up before what it waits for.
        self.sql
            .prepare_cached("UPDATE push SET born = ?3 WHERE order_key = ?1 AND seq >= ?2 AND state < 2")?
            .execute(params![again.key.to_bytes(), again.from, born])?;
        // Its receiver may know it by its id: what it says stays.
        let risen = self
            .sql
            .prepare_cached(
                "UPDATE push SET state = 1, tries = 0, born = ?3, next_at = ?4, dead_because = NULL, replaceable = NULL \
                 WHERE order_key = ?1 AND seq >= ?2 AND state = 2",
            )?
            .execute(params![again.key.to_bytes(), again.from, born, now.as_millis()])?
            as i64;
        let added = match again.key.command() {
            Some(command) => self.add_missing(again, command, (born, now))?,
            None => 0,
        };
        receivers::count(&self.sql, again.receiver, risen + added, -risen)?;
        self.put_in_order(again.key, now)?;
        Ok((risen + added).cast_unsigned())
    }

    /// Adds the changes that were accepted after the one given up, or not stored yet.
    fn add_missing(
        &mut self,
        again: &Again,
        command: CommandId,
        (born, now): (i64, Timestamp),
    ) -> Result<i64, Failure> {
        let mut added = 0;
        for change in self.changes_of(command)? {
            let is_stored = || {
                let mut statement = self
                    .sql
                    .prepare_cached("SELECT 1 FROM push WHERE order_key = ?1 AND seq = ?2")?;
                statement.exists(params![again.key.to_bytes(), change.seq])
            };
            if u32::from(change.seq) < again.from || is_stored()? {
                continue;
            }
            NewChange {
                command,
                app: again.app,
                receiver: again.receiver,
                url: &again.url,
                change,
                state: RowState::Behind,
                born,
                next_at: now,
                attempt: None,
                dead_because: None,
            }
            .insert(&self.sql)?;
            added += 1;
        }
        if self.open(command)?.is_some() {
            self.settle(command, u16::MAX);
            self.set_outbox(command, Some(again.receiver));
        }
        Ok(added)
    }

    /// All changes of a command that are pushed.
    fn changes_of(&mut self, command: CommandId) -> Result<Vec<Owed>, Failure> {
        self.open(command)?;
        if let Some(entry) = self.entries.get(&command) {
            return Ok(Owed::among(&entry.row.events, entry.row.is_answered(), 0));
        }
        let mut statement = self
            .sql
            .prepare_cached("SELECT events, state FROM command WHERE id = ?1 AND events IS NOT NULL")?;
        let kept: Option<(Vec<u8>, u8)> = statement
            .query_row([command.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match kept {
            Some((events, code)) => Ok(Owed::among(
                &Events::from_packed(events)?,
                is_answered_code(code),
                0,
            )),
            None => Ok(Vec::new()),
        }
    }

    /// Of what waits, the first is ready and all others are behind.
    fn put_in_order(&self, key: OrderKey, now: Timestamp) -> Result<(), Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, state FROM push WHERE order_key = ?1 AND state < 2 ORDER BY seq LIMIT 1",
        )?;
        let first: Option<(i64, u8)> = statement
            .query_row([key.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((id, 1)) = first {
            // That one may be under way.
            self.sql
                .prepare_cached(
                    "UPDATE push SET state = 1, replaceable = NULL WHERE order_key = ?1 AND state = 0",
                )?
                .execute([key.to_bytes()])?;
            self.sql
                .prepare_cached("UPDATE push SET state = 0, next_at = ?2 WHERE id = ?1")?
                .execute(params![id, now.as_millis()])?;
        }
        Ok(())
    }
}
