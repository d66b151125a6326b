//! The word to an application that a push of its own was given up, in the transaction that gives it up.

use downlink_core::{AppKey, DeviceKey, Status, Timestamp};
use rusqlite::{OptionalExtension, params};

use crate::sqlite::batch::Batch;
use crate::sqlite::failure::Failure;
use crate::{Notice, NotifyType, OrderKey, PushGivenUp, PushSubject};

/// A row of a push that was given up.
struct Lost {
    kind: Option<String>,
    notice_id: Option<String>,
    status: Option<u8>,
    tries: u32,
    at: Timestamp,
    why: String,
    origin: String,
}

impl Batch {
    /// Tells the application, if it is subscribed to that, that the push at this place was given up. Of the notices that are
    /// made here none is made again: they would have no end.
    pub(super) fn tell_given_up(
        &mut self,
        app: AppKey,
        key: OrderKey,
        seq: u32,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if !self.wants(app, NotifyType::PushGivenUp) {
            return Ok(());
        }
        let lost = self.lost(key, seq)?;
        let lost = lost.filter(|lost| lost.kind.as_deref() != Some(NotifyType::PushGivenUp.as_str()));
        let (Some(lost), Some(device)) = (lost, self.device_of(key)?) else {
            return Ok(());
        };
        let Some(told) = lost.told(key, seq) else {
            return Ok(());
        };
        let id = self.device_id(device)?;
        let notice = Notice::GivenUp(PushGivenUp {
            device: &id,
            told,
            origin: &lost.origin,
            why: &lost.why,
            tries: lost.tries,
            at: lost.at,
            now,
        });
        self.tell(app, device, &notice, now)
    }

    fn lost(&self, key: OrderKey, seq: u32) -> Result<Option<Lost>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT p.kind, p.notice_id, p.status, p.tries, p.at, coalesce(p.dead_because, ''), r.origin \
             FROM push p JOIN receiver r ON r.key = p.receiver \
             WHERE p.order_key = ?1 AND p.seq = ?2 AND p.state = 2",
        )?;
        let lost = statement.query_row(params![key.to_bytes(), seq], |row| {
            Ok(Lost {
                kind: row.get(0)?,
                notice_id: row.get(1)?,
                status: row.get(2)?,
                tries: row.get(3)?,
                at: Timestamp::from_millis(row.get(4)?),
                why: row.get(5)?,
                origin: row.get(6)?,
            })
        });
        Ok(lost.optional()?)
    }

    /// The device that pushes of this order tell of; none: the record of their command is gone.
    fn device_of(&mut self, key: OrderKey) -> Result<Option<DeviceKey>, Failure> {
        let Some(command) = key.command() else {
            return Ok(key.device());
        };
        if let Some(entry) = self.entries.get(&command) {
            return Ok(Some(entry.row.device));
        }
        let mut statement = self
            .sql
            .prepare_cached("SELECT device FROM command WHERE id = ?1")?;
        let device = statement.query_row([command.to_bytes()], |row| row.get(0).map(DeviceKey));
        Ok(device.optional()?)
    }
}

impl Lost {
    fn told(&self, key: OrderKey, seq: u32) -> Option<PushSubject<'_>> {
        match key.command() {
            Some(command) => Some(PushSubject::Change {
                command,
                seq,
                status: Status::from_code(self.status?)?,
            }),
            None => Some(PushSubject::Notice {
                id: self.notice_id.as_deref()?,
                kind: self.kind.as_deref()?,
            }),
        }
    }
}
