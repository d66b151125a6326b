//! What is desired of devices, the commands that tell it, and what became of it.
//!
//! Which commands tell of a change that is not over is known in memory, so that other commands cost nothing here.

use std::collections::HashSet;
use std::sync::Arc;

use downlink_core::{CommandId, DeviceKey, Event, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::batch::Batch;
use super::super::failure::Failure;
use super::DESIRED;
use crate::{CreateRefused, Created, Desire, DesireRefused, DesiredStatus, Notice, Submission};

/// A desire, as the batch shares it; made once, whatever is tried again.
pub(super) struct Shared {
    service: String,
    set: Vec<(String, String)>,
    unset: Vec<String>,
    tell: Option<Arc<Submission>>,
}

impl From<Desire> for Shared {
    fn from(desire: Desire) -> Self {
        Self {
            service: desire.service,
            set: desire.set,
            unset: desire.unset,
            tell: desire.tell.map(Arc::new),
        }
    }
}

/// The batch's part on what is desired.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct Desires {
    /// Commands that tell of a change under way. As many as wait in the queues of devices, which are bounded.
    open: HashSet<CommandId>,
    /// Those that this transaction added, and ended.
    added: Vec<CommandId>,
    ended: Vec<CommandId>,
    /// How commands ended in this transaction, not written yet.
    news: Vec<(CommandId, DesiredStatus, Timestamp)>,
}

impl Desires {
    /// Reads what is under way.
    pub(in crate::sqlite) fn read(sql: &Connection) -> Result<Self, Failure> {
        let mut statement = sql.prepare("SELECT command FROM desired_change WHERE status = 0")?;
        let open = statement.query_map([], |row| row.get(0).map(CommandId::from_bytes))?;
        Ok(Self {
            open: open.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    fn add(&mut self, command: CommandId) {
        self.open.insert(command);
        self.added.push(command);
    }

    /// Notes how a command ended, if it tells of a change. False: it does not.
    pub(in crate::sqlite) fn note(&mut self, command: CommandId, events: &[Event]) -> bool {
        if !self.open.contains(&command) {
            return false;
        }
        for event in events {
            let status = match event.status {
                Status::Delivered | Status::Successful => DesiredStatus::Delivered,
                Status::Failed | Status::Timeout | Status::Expired | Status::Canceled => {
                    DesiredStatus::Failed
                }
                Status::Pending | Status::Sent => continue,
            };
            self.news.push((command, status, event.at));
        }
        true
    }

    /// The transaction is kept.
    pub(in crate::sqlite) fn committed(&mut self) {
        self.added.clear();
        for command in self.ended.drain(..) {
            self.open.remove(&command);
        }
    }

    /// The transaction is undone.
    pub(in crate::sqlite) fn undone(&mut self) {
        self.news.clear();
        self.ended.clear();
        for command in self.added.drain(..) {
            self.open.remove(&command);
        }
    }
}

impl Batch {
    /// See the port.
    pub(super) fn desire(
        &mut self,
        device: DeviceKey,
        desires: &[Shared],
        now: Timestamp,
    ) -> Result<Result<Vec<Created>, DesireRefused>, Failure> {
        let told: Vec<_> = desires.iter().filter_map(|one| one.tell.as_ref()).collect();
        if let Some(before) = self.desired_before(&told)? {
            return Ok(Ok(before));
        }
        if let Err(refused) = self.may_tell(device, &told)? {
            return Ok(Err(refused.into()));
        }
        if self.desired_with(device, desires)? > self.shadow.properties as usize {
            return Ok(Err(DesireRefused::TooMany));
        }
        let mut created = Vec::with_capacity(told.len());
        for desire in desires {
            self.keep_desired(device, desire, now)?;
            if let Some(submission) = &desire.tell {
                created.push(self.tell_desired(device, submission)?);
            }
        }
        Ok(Ok(created))
    }

    /// The answer to a call that was committed before, and is tried again since that was not certain.
    fn desired_before(&mut self, told: &[&Arc<Submission>]) -> Result<Option<Vec<Created>>, Failure> {
        let mut before = Vec::with_capacity(told.len());
        for submission in told {
            match self.created_before(submission.command.id)? {
                Some(created) => {
                    // The transaction was taken for undone, and forgot it.
                    self.desires.add(submission.command.id);
                    before.push(created);
                }
                None => return Ok(None),
            }
        }
        Ok(Some(before).filter(|before| !before.is_empty()))
    }

    /// Whether all of these commands may be created; what `create` decides for each, before the first is.
    fn may_tell(
        &mut self,
        device: DeviceKey,
        told: &[&Arc<Submission>],
    ) -> Result<Result<(), CreateRefused>, Failure> {
        let app = match self.facts(device)? {
            Some(facts) if facts.live => facts.app,
            Some(_) | None => return Ok(Err(CreateRefused::NoDevice)),
        };
        let Some(first) = told.first() else {
            return Ok(Ok(()));
        };
        if told.iter().any(|one| one.command.app != app) {
            return Ok(Err(CreateRefused::NoDevice));
        }
        let others = u32::try_from(told.len() - 1).unwrap_or(u32::MAX);
        match first.queue_limit.checked_sub(others) {
            Some(limit) if !self.is_full(device, limit)? => {}
            Some(_) | None => return Ok(Err(CreateRefused::QueueFull)),
        }
        if let Some(limit) = first.open_limit
            && self.tallies.open(&self.sql, app)?.cast_unsigned() + u64::from(others) >= limit
        {
            return Ok(Err(CreateRefused::TooManyOpen));
        }
        Ok(Ok(()))
    }

    /// How many properties are desired of the device with these.
    fn desired_with(&self, device: DeviceKey, desires: &[Shared]) -> Result<usize, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT service, property FROM shadow WHERE device = ?1 AND side = ?2")?;
        let mut named = statement
            .query_map(params![device.0, DESIRED], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<HashSet<(String, String)>, _>>()?;
        for desire in desires {
            let of = |name: &String| (desire.service.clone(), name.clone());
            for name in &desire.unset {
                named.remove(&of(name));
            }
            named.extend(desire.set.iter().map(|(name, _)| of(name)));
        }
        Ok(named.len())
    }

    fn keep_desired(&self, device: DeviceKey, desire: &Shared, now: Timestamp) -> Result<(), Failure> {
        let mut drop = self.sql.prepare_cached(
            "DELETE FROM shadow WHERE device = ?1 AND side = ?2 AND service = ?3 AND property = ?4",
        )?;
        for name in &desire.unset {
            drop.execute(params![device.0, DESIRED, desire.service, name])?;
        }
        let mut put = self.sql.prepare_cached(
            "INSERT OR REPLACE INTO shadow (device, side, service, property, value, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for (name, value) in &desire.set {
            let at = now.as_millis();
            put.execute(params![device.0, DESIRED, desire.service, name, value, at])?;
        }
        Ok(())
    }

    /// Creates the command that tells of a change, and notes the change.
    fn tell_desired(&mut self, device: DeviceKey, submission: &Arc<Submission>) -> Result<Created, Failure> {
        let new = &submission.command;
        // Before it is created: it may be sent at once.
        self.desires.add(new.id);
        let created = self.create(submission)?;
        let created = created.map_err(|refused| {
            Failure::corrupt(format!("a command that might be created was refused: {refused}"))
        })?;
        let last: Option<i64> = self
            .sql
            .prepare_cached("SELECT max(n) FROM desired_change WHERE device = ?1")?
            .query_row([device.0], |row| row.get(0))?;
        let n = last.unwrap_or(0) + 1;
        self.sql
            .prepare_cached(
                "INSERT INTO desired_change (device, n, command, service, properties, status, at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
            )?
            .execute(params![
                device.0,
                n,
                new.id.to_bytes(),
                new.body.service,
                new.body.paras,
                new.created_at.as_millis()
            ])?;
        self.sql
            .prepare_cached("DELETE FROM desired_change WHERE device = ?1 AND n <= ?2 AND status <> 0")?
            .execute(params![device.0, n - i64::from(self.shadow.changes)])?;
        Ok(created)
    }

    /// Writes what became of changes, and tells it.
    pub(in crate::sqlite) fn settle_desires(&mut self) -> Result<(), Failure> {
        for (command, status, at) in std::mem::take(&mut self.desires.news) {
            let change: Option<(i64, String, String)> = self
                .sql
                .prepare_cached(
                    "UPDATE desired_change SET status = ?2 WHERE command = ?1 AND status = 0 \
                     RETURNING device, service, properties",
                )?
                .query_row(params![command.to_bytes(), code(status)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()?;
            self.desires.ended.push(command);
            let Some((device, service, properties)) = change else {
                continue;
            };
            let key = DeviceKey(device);
            let Some((app, device)) = self.live(key)? else {
                continue;
            };
            let notice = Notice::Desired {
                device: &device,
                service: &service,
                properties: &properties,
                delivered: status == DesiredStatus::Delivered,
            };
            self.tell(app, key, &notice, at)?;
        }
        Ok(())
    }
}

/// How a status stands in a row.
const fn code(status: DesiredStatus) -> u8 {
    match status {
        DesiredStatus::UnderWay => 0,
        DesiredStatus::Delivered => 1,
        DesiredStatus::Failed => 2,
    }
}

/// The status with this code.
pub(super) fn status(code: u8) -> DesiredStatus {
    match code {
        1 => DesiredStatus::Delivered,
        2 => DesiredStatus::Failed,
        _ => DesiredStatus::UnderWay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_follows_the_transactions() {
        let mut desires = Desires::default();
        let [one, two] = [1, 2].map(|n| CommandId::from_bytes([n; 16]));
        let over = [Event {
            status: Status::Delivered,
            at: Timestamp::from_millis(1),
            detail: String::new(),
        }];
        desires.add(one);
        desires.committed();
        desires.add(two);
        desires.undone();
        assert!(desires.note(one, &over) && !desires.note(two, &over));
        desires.undone();
        assert!(desires.news.is_empty(), "it is not told");
        desires.ended.push(one);
        desires.undone();
        assert!(desires.note(one, &[]), "it is not over");
        desires.ended.push(one);
        desires.committed();
        assert!(!desires.note(one, &over));
    }
}
