//! Rows of `push`: how one is made, and which of a key is ready.

use downlink_core::{AppKey, CommandId, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::attempts;
use crate::sqlite::batch::Batch;
use crate::sqlite::events::Events;
use crate::sqlite::failure::Failure;
use crate::sqlite::work_row::WorkRow;
use crate::{Attempt, OrderKey, ReceiverKey};

/// The stored states. Never change one: the indexes name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    /// The first of its key that waits.
    Ready = 0,
    /// It waits for another of its key.
    Behind = 1,
    /// It was given up.
    Dead = 2,
}

/// A change of a command that becomes a stored push.
#[derive(Debug)]
pub(super) struct NewChange<'a> {
    pub(super) command: CommandId,
    pub(super) app: AppKey,
    pub(super) receiver: ReceiverKey,
    pub(super) url: &'a str,
    pub(super) change: Owed,
    pub(super) state: RowState,
    /// Its age begins here, by the receiver's clock.
    pub(super) born: i64,
    pub(super) next_at: Timestamp,
    /// The attempt that was made at it.
    pub(super) attempt: Option<&'a Attempt>,
    pub(super) dead_because: Option<&'a str>,
}

/// A change that is to be pushed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    pub(super) seq: u16,
    pub(super) status: Status,
    pub(super) at: Timestamp,
    /// The device's result goes with it.
    pub(super) with_result: bool,
}

impl Owed {
    /// What is still to be told of an open command.
    pub(super) fn of(row: &WorkRow) -> Vec<Self> {
        Self::among(&row.events, row.is_answered(), row.acked)
    }

    /// What is pushed of these events after the one at `after`. `answered`: the last one is the device's result.
    pub(super) fn among(events: &Events, answered: bool, after: u16) -> Vec<Self> {
        let owed = events.iter().filter(|event| event.seq > after && event.pushed);
        let owed = owed.map(|event| Self {
            seq: event.seq,
            status: event.status,
            at: event.at,
            with_result: answered && event.seq == events.len(),
        });
        owed.collect()
    }
}

impl NewChange<'_> {
    /// Writes the row. The receiver's sums are the caller's.
    pub(super) fn insert(&self, sql: &Connection) -> Result<(), Failure> {
        let attempts = self.attempt.map(|attempt| attempts::append(None, attempt));
        sql.prepare_cached(
            "INSERT INTO push (app, receiver, order_key, seq, state, url, status, with_result, tries, at, born, \
             next_at, dead_because, attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            self.app.0,
            self.receiver.0,
            OrderKey::of_command(self.command).to_bytes(),
            self.change.seq,
            self.state as u8,
            self.url,
            self.change.status.code(),
            self.change.with_result,
            u8::from(self.attempt.is_some()),
            self.change.at.as_millis(),
            self.born,
            self.next_at.as_millis(),
            self.dead_because,
            attempts,
        ])?;
        Ok(())
    }
}

impl Batch {
    /// The ready one of a key, at place `gone`, is gone or given up: the next becomes ready. Where there is none, an open
    /// command tells from its own row again.
    pub(super) fn promote_after(&mut self, key: OrderKey, gone: u32, now: Timestamp) -> Result<(), Failure> {
        let next: Option<i64> = self
            .sql
            .prepare_cached(
                "SELECT id FROM push WHERE order_key = ?1 AND seq > ?2 AND state = 1 ORDER BY seq LIMIT 1",
            )?
            .query_row(params![key.to_bytes(), gone], |row| row.get(0))
            .optional()?;
        if let Some(id) = next {
            self.sql
                .prepare_cached("UPDATE push SET state = 0, next_at = ?2 WHERE id = ?1")?
                .execute(params![id, now.as_millis()])?;
        } else if let Some(command) = key.command()
            && self.open(command)?.is_some()
        {
            self.set_outbox(command, None);
        }
        Ok(())
    }
}
