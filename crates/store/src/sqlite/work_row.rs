//! A row of `work`: where an open command stands, and what its receiver was told of it.
//!
//! The row knows which of its columns the indexes go by; reading and writing it is all here.

use std::sync::Arc;

use downlink_core::lifecycle::{Flight, Progress, Sent, State};
use downlink_core::{
    AppKey, CommandId, DeviceId, DeviceKey, Mid, Mode, ResponseRule, Status, StatusSet, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::Events;
use super::failure::Failure;
use super::state;
use crate::{PushDuty, PushEvent, ReceiverKey};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkRow {
    pub(super) id: CommandId,
    pub(super) app: AppKey,
    pub(super) device: DeviceKey,
    pub(super) ord: i64,
    pub(super) progress: Progress,
    pub(super) sends: u8,
    pub(super) mid: Option<Mid>,
    pub(super) push: StatusSet,
    pub(super) receiver: Option<Arc<str>>,
    /// Events up to here were accepted by the receiver, or are not for it.
    pub(super) acked: u16,
    pub(super) delivered_at: Option<Timestamp>,
    pub(super) events: Events,
    /// The receiver under which it has stored pushes that wait. Then nothing is owed by the row itself: `acked` is `seq`.
    pub(super) outbox: Option<ReceiverKey>,
}

/// The columns that [`WorkRow::read`] expects, in its order.
macro_rules! columns {
    () => {
        "id, app, device, ord, expires_at, response, state, sends, session, due, slot_until, mid, push, \
         receiver, acked, delivered_at, events, outbox"
    };
}

impl WorkRow {
    /// The columns that [`read`](Self::read) expects, from `work`.
    pub(super) const AFTER: &'static str = concat!(
        "SELECT ",
        columns!(),
        ", seq FROM work WHERE id > ?1 ORDER BY id LIMIT ?2"
    );

    /// The same of all rows, and behind that what the indexes go by.
    pub(super) const ALL: &'static str = concat!(
        "SELECT ",
        columns!(),
        ", seq, queued, lapse_at, prune_at FROM work ORDER BY id"
    );

    /// The row of this command.
    pub(super) fn load(sql: &Connection, id: CommandId) -> Result<Option<Self>, Failure> {
        let mut statement = sql.prepare_cached(concat!("SELECT ", columns!(), " FROM work WHERE id = ?1"))?;
        let mut rows = statement.query([id.to_bytes()])?;
        rows.next()?.map(Self::read).transpose()
    }

    pub(super) fn read(row: &Row<'_>) -> Result<Self, Failure> {
        let sends = row.get(7)?;
        let state = state::decode(
            state::Columns {
                code: row.get(6)?,
                session: row.get(8)?,
                due: row.get(9)?,
                slot_until: row.get(10)?,
            },
            sends,
        )?;
        let mode = match row.get::<_, Option<i64>>(4)? {
            Some(ms) => Mode::Cached {
                expires_at: Timestamp::from_millis(ms),
            },
            None => Mode::Immediate,
        };
        let response = match row.get::<_, Option<i64>>(5)? {
            Some(ms) => {
                let within = Timestamp::from_millis(ms).since(Timestamp::from_millis(0));
                ResponseRule::Expected { within }
            }
            None => ResponseRule::None,
        };
        Ok(Self {
            id: CommandId::from_bytes(row.get(0)?),
            app: AppKey(row.get(1)?),
            device: DeviceKey(row.get(2)?),
            ord: row.get(3)?,
            progress: Progress {
                state,
                mode,
                response,
            },
            sends,
            mid: row.get::<_, Option<u16>>(11)?.and_then(Mid::new),
            push: StatusSet::from_bits(row.get(12)?),
            receiver: row.get(13)?,
            acked: row.get(14)?,
            delivered_at: row.get::<_, Option<i64>>(15)?.map(Timestamp::from_millis),
            events: Events::from_packed(row.get(16)?)?,
            outbox: row.get::<_, Option<i64>>(17)?.map(ReceiverKey),
        })
    }

    pub(super) fn insert(&self, sql: &Connection) -> Result<(), Failure> {
        let state = state::encode(&self.progress.state);
        let response = match self.progress.response {
            ResponseRule::Expected { within } => Some(within.as_millis()),
            ResponseRule::None => None,
        };
        sql.prepare_cached(
            "INSERT INTO work (id, app, device, ord, expires_at, response, state, sends, session, due, slot_until, \
             mid, push, receiver, acked, delivered_at, events, queued, seq, prune_at, lapse_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        )?
        .execute(params![
            self.id.to_bytes(),
            self.app.0,
            self.device.0,
            self.ord,
            self.progress.mode.expires_at().map(Timestamp::as_millis),
            response,
            state.code,
            self.sends,
            state.session,
            state.due,
            state.slot_until,
            self.mid.map(Mid::number),
            self.push.bits(),
            self.receiver,
            self.acked,
            self.delivered_at.map(Timestamp::as_millis),
            self.events.as_packed(),
            self.progress.is_queued(),
            self.seq(),
            self.prune_at(),
            self.lapse_at(),
        ])?;
        Ok(())
    }

    /// Writes all that can change but the mid.
    pub(super) fn update(&self, sql: &Connection) -> Result<(), Failure> {
        let state = state::encode(&self.progress.state);
        sql.prepare_cached(
            "UPDATE work SET queued = ?2, state = ?3, sends = ?4, session = ?5, due = ?6, slot_until = ?7, \
             acked = ?8, seq = ?9, delivered_at = ?10, prune_at = ?11, events = ?12, lapse_at = ?13 WHERE id = ?1",
        )?
        .execute(params![
            self.id.to_bytes(),
            self.progress.is_queued(),
            state.code,
            self.sends,
            state.session,
            state.due,
            state.slot_until,
            self.acked,
            self.seq(),
            self.delivered_at.map(Timestamp::as_millis),
            self.prune_at(),
            self.events.as_packed(),
            self.lapse_at(),
        ])?;
        Ok(())
    }

    /// Apart from [`update`](Self::update), so that most changes leave the index of mids alone.
    pub(super) fn update_mid(&self, sql: &Connection) -> Result<(), Failure> {
        sql.prepare_cached("UPDATE work SET mid = ?2 WHERE id = ?1")?
            .execute(params![self.id.to_bytes(), self.mid.map(Mid::number)])?;
        Ok(())
    }

    /// Apart from [`update`](Self::update): most commands never have a stored push.
    pub(super) fn update_outbox(&self, sql: &Connection) -> Result<(), Failure> {
        sql.prepare_cached("UPDATE work SET outbox = ?2 WHERE id = ?1")?
            .execute(params![self.id.to_bytes(), self.outbox.map(|key| key.0)])?;
        Ok(())
    }

    /// Writes what the receiver accepted.
    pub(super) fn update_told(&self, sql: &Connection) -> Result<(), Failure> {
        sql.prepare_cached("UPDATE work SET acked = ?2, prune_at = ?3 WHERE id = ?1")?
            .execute(params![self.id.to_bytes(), self.acked, self.prune_at()])?;
        Ok(())
    }

    pub(super) fn delete(sql: &Connection, id: CommandId) -> Result<(), Failure> {
        sql.prepare_cached("DELETE FROM work WHERE id = ?1")?
            .execute([id.to_bytes()])?;
        Ok(())
    }

    pub(super) fn status(&self) -> Status {
        self.progress.state.status()
    }

    pub(super) fn seq(&self) -> u16 {
        self.events.len()
    }

    /// Whether a change to this status is pushed.
    pub(super) fn pushes(&self, status: Status) -> bool {
        self.receiver.is_some() && self.push.contains(status)
    }

    /// Moves `acked` on to `told`, and over what is not pushed.
    pub(super) fn settle(&mut self, told: u16) {
        let from = self.acked.max(told.min(self.seq()));
        let next_push = self.events.iter().find(|event| event.seq > from && event.pushed);
        self.acked = next_push.map_or(self.seq(), |event| event.seq - 1);
    }

    /// Final, and nothing is left to be told.
    fn is_settled(&self) -> bool {
        self.progress.state.is_final() && self.acked >= self.seq()
    }

    /// Nothing will happen to it any more: the row may go.
    pub(super) fn is_over(&self) -> bool {
        self.is_settled() && self.progress.state.amendable_until().is_none()
    }

    /// When the row may go, if only the wait for a late result keeps it.
    pub(super) fn prune_at(&self) -> Option<i64> {
        let until = self
            .progress
            .state
            .amendable_until()
            .filter(|_| self.is_settled())?;
        Some(until.as_millis())
    }

    /// When the end of the lifetime changes it. A send in flight has its ack deadline first, and what is sent at
    /// creation mostly is answered by then: such rows never enter the index.
    pub(super) fn lapse_at(&self) -> Option<i64> {
        let end = self.progress.mode.expires_at()?;
        let at = match self.progress.state {
            State::Pending => end,
            State::Sent(Sent {
                flight: Flight::Lost { due },
                ..
            }) => end.max(due),
            State::Sent(_)
            | State::Delivered { .. }
            | State::Successful
            | State::FailedByDevice
            | State::FailedByTransport(_)
            | State::TimedOut(_)
            | State::Expired
            | State::Canceled => return None,
        };
        Some(at.as_millis())
    }

    /// Whether the device's own result is the last word.
    pub(super) fn is_answered(&self) -> bool {
        state::is_answered(&self.progress.state)
    }

    /// Whether the device's result is among what is still to be pushed.
    pub(super) fn owes_result(&self) -> bool {
        self.acked < self.seq() && state::is_answered(&self.progress.state)
    }

    /// What is still to be pushed. `result` is the device's, needed if [`owes_result`](Self::owes_result).
    pub(super) fn duty(&self, device_id: &DeviceId, result: Option<Arc<str>>) -> Option<PushDuty> {
        if self.acked >= self.seq() {
            return None;
        }
        let last = self.seq();
        let answered = state::is_answered(&self.progress.state);
        let events = self
            .events
            .iter()
            .filter(|event| event.seq > self.acked && event.pushed);
        let events = events.map(|event| PushEvent {
            seq: event.seq,
            status: event.status,
            at: event.at,
            result: result.clone().filter(|_| answered && event.seq == last),
        });
        Some(PushDuty {
            command: self.id,
            app: self.app,
            device_id: device_id.clone(),
            receiver: self.receiver.clone()?,
            events: events.collect(),
        })
    }
}

/// The device's result of a command, where one was kept.
pub(super) fn stored_result(sql: &Connection, id: CommandId) -> Result<Option<Arc<str>>, Failure> {
    let mut statement = sql.prepare_cached("SELECT result FROM command WHERE id = ?1")?;
    let result = statement
        .query_row([id.to_bytes()], |row| row.get(0))
        .optional()?;
    Ok(result.flatten())
}
