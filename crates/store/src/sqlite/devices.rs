//! Devices: the rows, and the port's verbs on them.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::product::WorkMode;
use downlink_core::{AppKey, DeviceId, DeviceKey, ProductRef, Timestamp, TopicFamily};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::products::{mode_columns, mode_of};
use crate::{
    Device, DeviceFilter, DeviceName, Devices, NewDevice, NoticeDevice, Page, RegisterRefused, StoreError,
};

/// A member of what the application said of a device.
macro_rules! info_member {
    ($name:literal) => {
        concat!("CASE WHEN json_valid(info) THEN info ->> '$.", $name, "' END")
    };
}

macro_rules! select_device {
    ($rest:literal) => {
        concat!(
            "SELECT key, app, id, node_id, secret, verify_code, info, created_at, modified_at, activated_at, \
             bind_until, family, ",
            info_member!("productId"),
            ", ",
            info_member!("manufacturerId"),
            ", ",
            info_member!("model"),
            ", ",
            info_member!("deviceType"),
            ", work_mode, cycle_secs FROM device WHERE removed_at IS NULL ",
            $rest
        )
    };
}

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
        let generation = self.devices.generation();
        let found = match name {
            DeviceName::Id(id) => {
                let id = id.clone();
                self.read(move |sql| one(sql, select_device!("AND id = ?1"), id.as_str()))
                    .await?
            }
            DeviceName::Node(node) => {
                let node = node.to_owned();
                self.read(move |sql| one(sql, select_device!("AND node_id = ?1"), &node))
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
        self.read(move |sql| list(sql, app, &filter, skip, limit)).await
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

    async fn remove(&self, device: DeviceKey, now: Timestamp) -> Result<bool, StoreError> {
        self.write(WhenFull::Wait, move |batch| batch.remove_device(device, now))
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
        if count(&self.sql, new.app)? >= limit {
            return Ok(Err(RegisterRefused::TooMany));
        }
        let key = self.insert_device(new)?;
        self.count_devices(new.app, 1)?;
        let shown = NoticeDevice {
            id: new.id.clone(),
            node_id: new.node_id.clone(),
            info: new.info.clone(),
        };
        self.tell_added(new.app, key, &shown, new.created_at)?;
        let registered = one(&self.sql, select_device!("AND id = ?1"), new.id.as_str())?;
        let registered =
            registered.ok_or_else(|| Failure::corrupt("a device that was just registered is gone"))?;
        Ok(Ok(registered))
    }

    fn exists(&self, query: &str, value: &str) -> Result<bool, Failure> {
        Ok(self.sql.prepare_cached(query)?.exists([value])?)
    }

    fn insert_device(&self, new: &NewDevice) -> Result<DeviceKey, Failure> {
        let mut statement = self.sql.prepare_cached(
            "INSERT INTO device (app, id, node_id, secret, verify_code, info, created_at, modified_at, bind_until) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
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

    fn set_work_mode(
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

    fn remove_device(&mut self, device: DeviceKey, now: Timestamp) -> Result<bool, Failure> {
        let removed: Option<(i64, Arc<str>)> = self
            .sql
            .prepare_cached(
                "UPDATE device SET removed_at = ?2, modified_at = ?2 WHERE key = ?1 AND removed_at IS NULL \
                 RETURNING app, id",
            )?
            .query_row(params![device.0, now.as_millis()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((app, id)) = removed else {
            return Ok(false);
        };
        self.end_registration(device)?;
        self.count_devices(AppKey(app), -1)?;
        self.facts.forget(&device);
        let id = DeviceId::new(id);
        self.tell_deleted(AppKey(app), device, &id, now)?;
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
            self.remove_device(*key, now)?;
        }
        Ok(keys.into_iter().map(|(key, _)| key).collect())
    }

    /// Removes all devices of an application; gives their keys.
    pub(super) fn remove_devices(&mut self, app: AppKey, now: Timestamp) -> Result<Vec<DeviceKey>, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT key FROM device WHERE app = ?1 AND removed_at IS NULL")?;
        let keys = statement
            .query_map([app.0], |row| row.get(0).map(DeviceKey))?
            .collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        for key in &keys {
            self.remove_device(*key, now)?;
        }
        Ok(keys)
    }
}

/// The device with this key.
pub(super) fn by_key(sql: &Connection, key: DeviceKey) -> Result<Option<Device>, Failure> {
    let mut statement = sql.prepare_cached(select_device!("AND key = ?1"))?;
    Ok(statement.query_row([key.0], read).optional()?)
}

fn one(sql: &Connection, query: &str, value: &str) -> Result<Option<Device>, Failure> {
    Ok(sql.prepare_cached(query)?.query_row([value], read).optional()?)
}

fn list(
    sql: &Connection,
    app: AppKey,
    filter: &DeviceFilter,
    skip: u64,
    limit: u32,
) -> Result<Page<Device>, Failure> {
    let from = filter.from.map_or(i64::MIN, Timestamp::as_millis);
    let to = filter.to.map_or(i64::MAX, Timestamp::as_millis);
    let total = if filter.from.is_none() && filter.to.is_none() {
        count(sql, app)?
    } else {
        let mut statement = sql.prepare_cached(
            "SELECT count(*) FROM device WHERE removed_at IS NULL AND app = ?1 AND created_at BETWEEN ?2 AND ?3",
        )?;
        statement
            .query_row(params![app.0, from, to], |row| row.get(0))
            .map(i64::cast_unsigned)?
    };
    let page = if filter.ascending {
        select_device!(
            "AND app = ?1 AND created_at BETWEEN ?2 AND ?3 ORDER BY created_at, key LIMIT ?4 OFFSET ?5"
        )
    } else {
        select_device!(
            "AND app = ?1 AND created_at BETWEEN ?2 AND ?3 ORDER BY created_at DESC, key DESC LIMIT ?4 OFFSET ?5"
        )
    };
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let mut statement = sql.prepare_cached(page)?;
    let items = statement
        .query_map(params![app.0, from, to, limit, skip], read)?
        .collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// How many devices an application has.
fn count(sql: &Connection, app: AppKey) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT devices FROM tally WHERE app = ?1")?;
    let devices: Option<i64> = statement.query_row([app.0], |row| row.get(0)).optional()?;
    Ok(devices.map_or(0, |devices| devices.max(0).cast_unsigned()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Device> {
    let time = |at: usize| {
        row.get::<_, Option<i64>>(at)
            .map(|ms| ms.map(Timestamp::from_millis))
    };
    let id: Arc<str> = row.get(2)?;
    Ok(Device {
        key: DeviceKey(row.get(0)?),
        app: AppKey(row.get(1)?),
        id: DeviceId::new(id),
        node_id: row.get(3)?,
        secret: row.get(4)?,
        verify_code: row.get(5)?,
        info: row.get(6)?,
        created_at: Timestamp::from_millis(row.get(7)?),
        modified_at: Timestamp::from_millis(row.get(8)?),
        activated_at: time(9)?,
        bind_until: time(10)?,
        family: row.get::<_, Option<u8>>(11)?.and_then(family_of),
        product: product_ref(row)?,
        work_mode: mode_of(row.get(16)?, row.get(17)?),
    })
}

/// What the device says of its product; a member that is no text says nothing.
fn product_ref(row: &Row<'_>) -> rusqlite::Result<Option<Arc<ProductRef>>> {
    let text = |at: usize| {
        row.get_ref(at)
            .map(|value| value.as_str().ok().map(str::to_owned))
    };
    Ok(ProductRef::new(text(12)?, text(13)?, text(14)?, text(15)?).map(Arc::new))
}

fn family_code(family: TopicFamily) -> u8 {
    match family {
        TopicFamily::Legacy => 0,
        TopicFamily::Oc => 1,
    }
}

fn family_of(code: u8) -> Option<TopicFamily> {
    [TopicFamily::Legacy, TopicFamily::Oc]
        .into_iter()
        .find(|family| family_code(*family) == code)
}
