//! Devices: the port's verbs on them. How a row is read stands in `row`, changes of what is known in `change`, lists in
//! `list`.

mod change;
mod list;
mod row;

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::product::WorkMode;
use downlink_core::{AppKey, DeviceId, DeviceKey, Timestamp, TopicFamily};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) use self::row::Run;
use self::row::{family_code, select_device};
use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::writer::Weight;
use crate::{
    Contact, Device, DeviceChange, DeviceFilter, DeviceName, Devices, ModifyRefused, NewDevice, Page,
    RegisterRefused, StoreError,
};

#[async_trait]
impl Devices for SqliteStore {
    async fn register(
        &self,
        device: NewDevice,
        limit: u64,
    ) -> Result<Result<Device, RegisterRefused>, StoreError> {
        self.disk.check()?;
        self.write(WhenFull::Refuse, move |batch| batch.register(&device, limit))
            .await
    }

    async fn device(&self, name: DeviceName<'_>) -> Result<Option<Device>, StoreError> {
        if let Some(device) = self.devices.get(name) {
            return Ok(Some(device.as_ref().clone()));
        }
        let (generation, run) = (self.devices.generation(), Run::of(&self.policy));
        let found = match name {
            DeviceName::Id(id) => {
                let id = id.clone();
                self.read(move |sql| row::one(sql, run, select_device!("AND d.id = ?1"), id.as_str()))
                    .await?
            }
            DeviceName::Node(node) => {
                let node = node.to_owned();
                self.read(move |sql| row::one(sql, run, select_device!("AND d.node_id = ?1"), &node))
                    .await?
            }
        };
        if let Some(device) = &found {
            self.devices.keep(device, generation);
        }
        Ok(found)
    }

    async fn devices(
        &self,
        app: AppKey,
        filter: DeviceFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Device>, StoreError> {
        let run = Run::of(&self.policy);
        self.read(move |sql| list::list(sql, run, app, &filter, skip, limit))
            .await
    }

    async fn seen(
        &self,
        device: DeviceKey,
        family: Option<TopicFamily>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.seen(device, family, now))
            .await
    }

    async fn set_work_mode(
        &self,
        device: DeviceKey,
        mode: Option<WorkMode>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.set_work_mode(device, mode, now)
        })
        .await
    }

    async fn contacts(&self, contacts: Vec<Contact>) -> Result<(), StoreError> {
        let weight = Weight {
            changes: contacts.len(),
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| batch.contacts(&contacts))
            .await
    }

    async fn modify(
        &self,
        device: DeviceKey,
        change: DeviceChange,
        now: Timestamp,
    ) -> Result<Result<(), ModifyRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| {
            batch.modify_device(device, &change, now)
        })
        .await
    }

    async fn remove(
        &self,
        device: DeviceKey,
        cascade: bool,
        now: Timestamp,
    ) -> Result<Vec<DeviceKey>, StoreError> {
        self.write(WhenFull::Wait, move |batch| {
            batch.remove_with_children(device, cascade, now)
        })
        .await
    }

    async fn remove_unbound(&self, now: Timestamp, limit: u32) -> Result<Vec<DeviceKey>, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.remove_unbound(now, limit))
            .await
    }
}

impl Batch {
    fn register(&mut self, new: &NewDevice, limit: u64) -> Result<Result<Device, RegisterRefused>, Failure> {
        if !self.is_app(new.app)? {
            return Ok(Err(RegisterRefused::NoApp));
        }
        if self.exists(
            "SELECT 1 FROM device WHERE node_id = ?1 AND removed_at IS NULL",
            &new.node_id,
        )? {
            return Ok(Err(RegisterRefused::DuplicateNode));
        }
        if self.exists("SELECT 1 FROM device WHERE id = ?1", new.id.as_str())? {
            return Ok(Err(RegisterRefused::DuplicateId));
        }
        if list::count(&self.sql, new.app)? >= limit {
            return Ok(Err(RegisterRefused::TooMany));
        }
        if let Some(gateway) = new.gateway
            && !self.is_gateway(new.app, gateway)?
        {
            return Ok(Err(RegisterRefused::NoGateway));
        }
        let key = self.insert_device(new)?;
        self.count_devices(new.app, 1)?;
        self.tell_added(new.app, key, new.created_at)?;
        let run = Run::of(&self.policy);
        let registered = row::one(&self.sql, run, select_device!("AND d.id = ?1"), new.id.as_str())?;
        let registered =
            registered.ok_or_else(|| Failure::corrupt("a device that was just registered is gone"))?;
        Ok(Ok(registered))
    }

    fn exists(&self, query: &str, value: &str) -> Result<bool, Failure> {
        Ok(self.sql.prepare_cached(query)?.exists([value])?)
    }

    /// Whether devices may be connected by it: it is the application's, and connected directly.
    fn is_gateway(&self, app: AppKey, gateway: DeviceKey) -> Result<bool, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT 1 FROM device WHERE key = ?1 AND app = ?2 AND gateway IS NULL AND removed_at IS NULL",
        )?;
        Ok(statement.exists(params![gateway.0, app.0])?)
    }

    fn insert_device(&self, new: &NewDevice) -> Result<DeviceKey, Failure> {
        let mut statement = self.sql.prepare_cached(
            "INSERT INTO device (app, id, node_id, secret, verify_code, info, created_at, modified_at, bind_until, \
             gateway, name, location, device_type) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, \
             CASE WHEN json_valid(?6) THEN ?6 ->> '$.name' END, \
             CASE WHEN json_valid(?6) THEN ?6 ->> '$.location' END, \
             CASE WHEN json_valid(?6) THEN ?6 ->> '$.deviceType' END)",
        )?;
        let key = statement.insert(params![
            new.app.0,
            new.id.as_str(),
            new.node_id,
            new.secret,
            new.verify_code,
            new.info,
            new.created_at.as_millis(),
            new.bind_until.map(Timestamp::as_millis),
            new.gateway.map(|gateway| gateway.0),
        ])?;
        Ok(DeviceKey(key))
    }

    fn count_devices(&self, app: AppKey, more: i64) -> Result<(), Failure> {
        self.sql
            .prepare_cached(
                "INSERT INTO tally (app, devices, commands, open) VALUES (?1, ?2, 0, 0) \
                 ON CONFLICT (app) DO UPDATE SET devices = devices + ?2",
            )?
            .execute(params![app.0, more])?;
        Ok(())
    }

    fn seen(
        &mut self,
        device: DeviceKey,
        family: Option<TopicFamily>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.activate(device, family, now)? {
            return Ok(());
        }
        let Some(family) = family else {
            return Ok(());
        };
        let id: Option<Arc<str>> = self
            .sql
            .prepare_cached(
                "UPDATE device SET family = ?3, modified_at = ?2 \
                 WHERE key = ?1 AND removed_at IS NULL AND family IS NOT ?3 RETURNING id",
            )?
            .query_row(params![device.0, now.as_millis(), family_code(family)], |row| {
                row.get(0)
            })
            .optional()?;
        self.changed_devices.extend(id.map(DeviceId::new));
        Ok(())
    }

    /// Notes its first connection. False: it was not the first.
    fn activate(
        &mut self,
        device: DeviceKey,
        family: Option<TopicFamily>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let first: Option<(i64, Arc<str>)> = self
            .sql
            .prepare_cached(
                "UPDATE device SET activated_at = ?2, family = coalesce(?3, family), modified_at = ?2 \
                 WHERE key = ?1 AND removed_at IS NULL AND activated_at IS NULL RETURNING app, id",
            )?
            .query_row(
                params![device.0, now.as_millis(), family.map(family_code)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((app, id)) = first else {
            return Ok(false);
        };
        self.changed_devices.push(DeviceId::new(id));
        self.tell_bound(AppKey(app), device, true, now)?;
        Ok(true)
    }

    /// See the port.
    fn remove_with_children(
        &mut self,
        device: DeviceKey,
        cascade: bool,
        now: Timestamp,
    ) -> Result<Vec<DeviceKey>, Failure> {
        if !self.remove_device(device, now)? {
            return Ok(Vec::new());
        }
        self.drop_data(device)?;
        let mut removed = vec![device];
        if !cascade {
            self.set_direct(device, now)?;
            return Ok(removed);
        }
        for child in self.children(device)? {
            if self.remove_device(child, now)? {
                self.drop_data(child)?;
                removed.push(child);
            }
        }
        Ok(removed)
    }

    fn children(&self, gateway: DeviceKey) -> Result<Vec<DeviceKey>, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT key FROM device WHERE gateway = ?1 AND removed_at IS NULL")?;
        let keys = statement.query_map([gateway.0], |row| row.get(0).map(DeviceKey))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// What was connected by `gateway` is connected directly from now on.
    fn set_direct(&mut self, gateway: DeviceKey, now: Timestamp) -> Result<(), Failure> {
        let mut statement = self.sql.prepare_cached(
            "UPDATE device SET gateway = NULL, modified_at = ?2 WHERE gateway = ?1 AND removed_at IS NULL \
             RETURNING id",
        )?;
        let ids = statement
            .query_map(params![gateway.0, now.as_millis()], |row| {
                row.get::<_, Arc<str>>(0)
            })?
            .collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        self.changed_devices.extend(ids.into_iter().map(DeviceId::new));
        Ok(())
    }

    fn remove_device(&mut self, device: DeviceKey, now: Timestamp) -> Result<bool, Failure> {
        let removed: Option<(i64, Arc<str>, Option<Arc<str>>)> = self
            .sql
            .prepare_cached(
                "UPDATE device SET removed_at = ?2, modified_at = ?2 WHERE key = ?1 AND removed_at IS NULL \
                 RETURNING app, id, (SELECT g.id FROM device g WHERE g.key = device.gateway)",
            )?
            .query_row(params![device.0, now.as_millis()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((app, id, gateway)) = removed else {
            return Ok(false);
        };
        self.end_registration(device)?;
        self.leave_groups(device)?;
        self.leave_shadow(device)?;
        self.count_devices(AppKey(app), -1)?;
        self.facts.forget(&device);
        let id = DeviceId::new(id);
        let gateway = gateway.map(DeviceId::new);
        self.tell_deleted(AppKey(app), device, &id, gateway.as_ref(), now)?;
        self.changed_devices.push(id);
        Ok(true)
    }

    fn remove_unbound(&mut self, now: Timestamp, limit: u32) -> Result<Vec<DeviceKey>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT key, app FROM device WHERE removed_at IS NULL AND activated_at IS NULL \
             AND bind_until IS NOT NULL AND bind_until <= ?1 ORDER BY bind_until LIMIT ?2",
        )?;
        let keys = statement
            .query_map(params![now.as_millis(), limit], |row| {
                Ok((DeviceKey(row.get(0)?), AppKey(row.get(1)?)))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        for (key, app) in &keys {
            self.tell_bound(*app, *key, false, now)?;
            self.remove_with_children(*key, false, now)?;
        }
        Ok(keys.into_iter().map(|(key, _)| key).collect())
    }

    /// See the port.
    pub(super) fn remove_left_devices(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DeviceKey>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT d.key FROM app a CROSS JOIN device d INDEXED BY device_list ON d.app = a.key \
             WHERE a.removed_at IS NOT NULL AND d.removed_at IS NULL LIMIT ?1",
        )?;
        let keys = statement
            .query_map([limit], |row| row.get(0).map(DeviceKey))?
            .collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        for key in &keys {
            if self.remove_device(*key, now)? {
                self.set_direct(*key, now)?;
            }
        }
        Ok(keys)
    }
}

/// The device with this key.
pub(super) fn by_key(sql: &Connection, run: Run, key: DeviceKey) -> Result<Option<Device>, Failure> {
    row::one(sql, run, select_device!("AND d.key = ?1"), key.0)
}
