//! The changes: inputs applied to commands, what receivers accepted, and what is swept away.

use downlink_core::lifecycle::{Input, step};
use downlink_core::{AppKey, CommandId, DeviceKey, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::batch::Batch;
use super::entry::Dirt;
use super::failure::Failure;
use super::work_row::WorkRow;
use crate::{Change, Changed, Record, Target, Told};

impl Batch {
    pub(super) fn apply(&mut self, change: &Change) -> Result<Changed, Failure> {
        let nothing = Changed {
            outcome: None,
            next: None,
        };
        let Some(id) = self.resolve(change.target)? else {
            return Ok(nothing);
        };
        let Some(entry) = self.open(id)? else {
            return Ok(nothing);
        };
        if !concerns(change.target, &entry.row) {
            return Ok(nothing);
        }
        let (device, from, before) = (entry.row.device, entry.row.status(), entry.row.progress);
        let transition = match step(&before, change.input.clone(), change.now, &self.policy) {
            Ok(transition) => transition,
            Err(refusal) => {
                return Ok(Changed {
                    outcome: Some(Err(refusal)),
                    next: None,
                });
            }
        };
        if let Input::Send(offer) = change.input {
            self.map_mid(id, offer, change.now)?;
        }
        self.advance(id, transition, change.now)?;
        let applied = self.applied(id, from)?;
        let leaves = before.is_queued() && self.entries.get(&id).is_some_and(|e| !e.row.progress.is_queued());
        let next = match change.then_send.filter(|_| leaves) {
            Some(offer) => self.send_next(device, offer, change.now)?,
            None => None,
        };
        Ok(Changed {
            outcome: Some(Ok(applied)),
            next,
        })
    }

    pub(super) fn apply_and_load(
        &mut self,
        app: AppKey,
        change: &Change,
    ) -> Result<(Changed, Option<Record>), Failure> {
        let changed = self.apply(change)?;
        let Some(Ok(applied)) = &changed.outcome else {
            return Ok((changed, None));
        };
        let record = match self.record(applied.command) {
            Ok(record) => record.filter(|record| record.app == app),
            // The command has changed all the same: whoever reads the record is told what is wrong with it.
            Err(failure) if failure.is_of_a_row() => None,
            Err(failure) => return Err(failure),
        };
        Ok((changed, record))
    }

    fn resolve(&mut self, target: Target) -> Result<Option<CommandId>, Failure> {
        match target {
            Target::Command(id) | Target::OfDevice(_, id) | Target::OfApp(_, id) => Ok(Some(id)),
            Target::Mid(device, mid) => self.by_mid(device, mid),
        }
    }

    pub(super) fn told(&mut self, told: Told) -> Result<(), Failure> {
        if let Some(entry) = self.open(told.command)?
            && told.seq > entry.row.acked
        {
            self.settle(told.command, told.seq);
        }
        Ok(())
    }

    /// Drops working rows that only waited for a late result, until `now`.
    pub(super) fn drop_waited(&mut self, now: Timestamp, limit: u32) -> Result<u64, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id FROM work WHERE prune_at IS NOT NULL AND prune_at < ?1 ORDER BY prune_at LIMIT ?2",
        )?;
        let ids = statement
            .query_map(params![now.as_millis(), limit], |row| row.get(0))?
            .collect::<Result<Vec<[u8; 16]>, _>>()?;
        drop(statement);
        let mut dropped = 0;
        for id in ids.into_iter().map(CommandId::from_bytes) {
            if self
                .entries
                .get(&id)
                .is_none_or(|entry| entry.dirt == Dirt::Clean)
            {
                WorkRow::delete(&self.sql, id)?;
                self.entries.remove(&id);
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Drops records that are final and told and have no stored push, of those named.
    pub(super) fn drop_records(&mut self, ids: &[CommandId]) -> Result<u64, Failure> {
        let mut dropped = 0;
        for id in ids {
            if self.entries.contains_key(id) {
                continue;
            }
            let of: Option<(i64, i64)> = self
                .sql
                .prepare_cached(
                    "DELETE FROM command WHERE id = ?1 AND state IS NOT NULL \
                     AND NOT EXISTS (SELECT 1 FROM work WHERE work.id = ?1) \
                     AND NOT EXISTS (SELECT 1 FROM push WHERE order_key = ?1) RETURNING app, device",
                )?
                .query_row([id.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((app, device)) = of {
                self.sql
                    .prepare_cached("DELETE FROM of_device WHERE device = ?1 AND id = ?2")?
                    .execute(params![device, id.to_bytes()])?;
                self.count_dropped(AppKey(app), DeviceKey(device), *id);
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}

fn concerns(target: Target, row: &WorkRow) -> bool {
    match target {
        Target::Command(_) => true,
        Target::OfDevice(device, _) | Target::Mid(device, _) => device == row.device,
        Target::OfApp(app, _) => app == row.app,
    }
}
