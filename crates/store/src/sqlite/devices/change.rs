//! Changes of what is known of a device: what was said of it, its credentials, and whether it is there.

use std::sync::Arc;

use downlink_core::product::WorkMode;
use downlink_core::{AppKey, DeviceId, DeviceKey, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::super::batch::Batch;
use super::super::failure::Failure;
use super::super::products::mode_columns;
use super::row::Run;
use crate::{Contact, DeviceChange, Link, ModifyRefused, Standing};

/// What a change is made to.
struct Before {
    app: AppKey,
    id: DeviceId,
    node_id: String,
    info: String,
}

impl Batch {
    /// See the port.
    pub(super) fn set_work_mode(
        &mut self,
        device: DeviceKey,
        mode: Option<WorkMode>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let (mode, cycle_secs) = mode_columns(mode);
        let id: Option<Arc<str>> = self
            .sql
            .prepare_cached(
                "UPDATE device SET work_mode = ?3, cycle_secs = ?4, modified_at = ?2 \
                 WHERE key = ?1 AND removed_at IS NULL RETURNING id",
            )?
            .query_row(params![device.0, now.as_millis(), mode, cycle_secs], |row| {
                row.get(0)
            })
            .optional()?;
        let is_there = id.is_some();
        self.changed_devices.extend(id.map(DeviceId::new));
        Ok(is_there)
    }

    /// See the port.
    pub(super) fn contacts(&mut self, contacts: &[Contact]) -> Result<(), Failure> {
        let run = Run::of(&self.policy);
        for contact in contacts {
            let was_asleep = self.is_asleep(contact.device)?;
            let values = params![contact.device.0, run.code(contact.link), contact.at.as_millis()];
            let changed: Option<(i64, Arc<str>)> = self
                .sql
                .prepare_cached(
                    "UPDATE device SET link = ?2, heard_at = max(?3, coalesce(heard_at, ?3)) \
                     WHERE key = ?1 AND removed_at IS NULL RETURNING app, id",
                )?
                .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((app, id)) = changed else { continue };
            let id = DeviceId::new(id);
            // One that went keeps what was told of it, so that it is not told again.
            let told = match contact.link {
                Link::None => None,
                Link::Sleeps | Link::Connected => self.forget_silence(contact.device, true)?,
            };
            // One that comes anew is told of as that.
            if told.is_some() && was_asleep && contact.link == Link::Sleeps {
                self.tell_standing(AppKey(app), contact.device, &id, Standing::Online, contact.at)?;
            }
            self.changed_devices.push(id);
        }
        Ok(())
    }

    fn is_asleep(&self, device: DeviceKey) -> Result<bool, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT 1 FROM device WHERE key = ?1 AND link = 0")?;
        Ok(statement.exists([device.0])?)
    }

    /// See the port.
    pub(super) fn modify_device(
        &mut self,
        device: DeviceKey,
        change: &DeviceChange,
        now: Timestamp,
    ) -> Result<Result<(), ModifyRefused>, Failure> {
        let Some(before) = self.before(device)? else {
            return Ok(Err(ModifyRefused::NoDevice));
        };
        let moves = change.node_id.as_ref().filter(|node| **node != before.node_id);
        if let Some(node) = moves
            && self.exists(
                "SELECT 1 FROM device WHERE node_id = ?1 AND removed_at IS NULL",
                node,
            )?
        {
            return Ok(Err(ModifyRefused::DuplicateNode));
        }
        let info = self.write_change(device, change, now)?;
        self.changed_devices.push(before.id);
        if let Some(service) = &change.service {
            self.tell_service_changed(before.app, device, service, now)?;
        } else if info != before.info || moves.is_some() {
            let node_before = moves.map(|_| before.node_id.as_str());
            self.tell_changed(before.app, device, (node_before, &before.info), now)?;
        }
        Ok(Ok(()))
    }

    fn before(&self, device: DeviceKey) -> Result<Option<Before>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT app, id, node_id, info FROM device WHERE key = ?1 AND removed_at IS NULL",
        )?;
        let before = statement.query_row([device.0], |row| {
            let id: Arc<str> = row.get(1)?;
            Ok(Before {
                app: AppKey(row.get(0)?),
                id: DeviceId::new(id),
                node_id: row.get(2)?,
                info: row.get(3)?,
            })
        });
        Ok(before.optional()?)
    }

    /// Gives its `info` from then on.
    fn write_change(
        &self,
        device: DeviceKey,
        change: &DeviceChange,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let mut statement = self.sql.prepare_cached(
            "UPDATE device SET node_id = coalesce(?3, node_id), secret = coalesce(?4, secret), \
             verify_code = coalesce(?5, verify_code), modified_at = ?6, \
             info = CASE WHEN ?2 IS NULL THEN info \
             ELSE json_patch(CASE WHEN json_valid(info) THEN info ELSE '{}' END, ?2) END \
             WHERE key = ?1 RETURNING info",
        )?;
        let info: String = statement.query_row(
            params![
                device.0,
                change.info,
                change.node_id,
                change.secret,
                change.verify_code,
                now.as_millis()
            ],
            |row| row.get(0),
        )?;
        drop(statement);
        let mut statement = self.sql.prepare_cached(
            "UPDATE device SET name = info ->> '$.name', location = info ->> '$.location', \
             device_type = info ->> '$.deviceType' WHERE key = ?1 AND json_valid(info)",
        )?;
        statement.execute([device.0])?;
        Ok(info)
    }
}
