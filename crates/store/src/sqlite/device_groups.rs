//! Device groups: the rows, and the port's verbs on them. How many devices are in a group is counted where that changes.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, DeviceId, DeviceKey};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::list::Part;
use crate::{DeviceGroup, DeviceGroupChange, DeviceGroups, GroupRefused, NewDeviceGroup, Page, StoreError};

/// A group as the writer needs it.
struct Kept {
    key: i64,
    max_devices: i64,
    devices: i64,
}

impl Kept {
    /// The most devices that may be in it.
    fn limit(&self, of_any: u64) -> u64 {
        match self.max_devices {
            0 => of_any,
            own => own.cast_unsigned().min(of_any),
        }
    }
}

impl Batch {
    fn create_group(&mut self, new: &NewDeviceGroup) -> Result<Result<DeviceGroup, GroupRefused>, Failure> {
        if key_of(&self.sql, new.app, &new.name, Naming::Name)?.is_some() {
            return Ok(Err(GroupRefused::NameTaken));
        }
        if count(&self.sql, new.app)? >= new.group_limit {
            return Ok(Err(GroupRefused::TooManyGroups));
        }
        // What is refused must leave nothing, so all is looked at before.
        let devices = match self.devices_of(new.app, &new.devices)? {
            Ok(devices) => devices,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut group = Kept {
            key: 0,
            max_devices: i64::try_from(new.max_devices).unwrap_or(i64::MAX),
            devices: 0,
        };
        if devices.len() as u64 > group.limit(new.device_limit) {
            return Ok(Err(GroupRefused::TooManyDevices));
        }
        self.sql
            .prepare_cached(
                "INSERT INTO device_group (id, app, name, description, max_devices, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                new.id,
                new.app.0,
                new.name,
                new.description,
                group.max_devices,
                new.created_at.as_millis(),
            ])?;
        group.key = self.sql.last_insert_rowid();
        self.put_members(group.key, &devices)?;
        let made = by_id(&self.sql, new.app, &new.id)?;
        made.map(Ok)
            .ok_or_else(|| Failure::corrupt("a group that was just made"))
    }

    fn kept_group(&self, app: AppKey, id: &str) -> Result<Option<Kept>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT key, max_devices, devices FROM device_group WHERE id = ?1 AND app = ?2",
        )?;
        let kept = statement.query_row(params![id, app.0], |row| {
            Ok(Kept {
                key: row.get(0)?,
                max_devices: row.get(1)?,
                devices: row.get(2)?,
            })
        });
        Ok(kept.optional()?)
    }

    fn modify_group(
        &mut self,
        app: AppKey,
        id: &str,
        change: &DeviceGroupChange,
    ) -> Result<Result<DeviceGroup, GroupRefused>, Failure> {
        let Some(group) = self.kept_group(app, id)? else {
            return Ok(Err(GroupRefused::NoGroup));
        };
        if let Some(name) = &change.name
            && key_of(&self.sql, app, name, Naming::Name)?.is_some_and(|other| other != group.key)
        {
            return Ok(Err(GroupRefused::NameTaken));
        }
        let max_devices = change
            .max_devices
            .map(|max| i64::try_from(max).unwrap_or(i64::MAX));
        if max_devices.is_some_and(|max| max != 0 && max < group.devices) {
            return Ok(Err(GroupRefused::TooManyDevices));
        }
        self.sql
            .prepare_cached(
                "UPDATE device_group SET name = coalesce(?2, name), description = coalesce(?3, description), \
                 max_devices = coalesce(?4, max_devices) WHERE key = ?1",
            )?
            .execute(params![group.key, change.name, change.description, max_devices])?;
        Ok(by_id(&self.sql, app, id)?.ok_or(GroupRefused::NoGroup))
    }

    fn remove_group(&mut self, app: AppKey, id: &str) -> Result<bool, Failure> {
        let key: Option<i64> = self
            .sql
            .prepare_cached("DELETE FROM device_group WHERE id = ?1 AND app = ?2 RETURNING key")?
            .query_row(params![id, app.0], |row| row.get(0))
            .optional()?;
        let Some(key) = key else { return Ok(false) };
        self.sql
            .prepare_cached("DELETE FROM group_member WHERE grp = ?1")?
            .execute([key])?;
        Ok(true)
    }

    fn add_to_group(
        &mut self,
        app: AppKey,
        id: &str,
        devices: &[DeviceId],
        device_limit: u64,
    ) -> Result<Result<(), GroupRefused>, Failure> {
        let Some(group) = self.kept_group(app, id)? else {
            return Ok(Err(GroupRefused::NoGroup));
        };
        let mut new = match self.devices_of(app, devices)? {
            Ok(devices) => devices,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut find = self
            .sql
            .prepare_cached("SELECT 1 FROM group_member WHERE grp = ?1 AND device = ?2")?;
        let mut is_new = Vec::with_capacity(new.len());
        for device in &new {
            is_new.push(!find.exists(params![group.key, device.0])?);
        }
        drop(find);
        let mut is_new = is_new.into_iter();
        new.retain(|_| is_new.next().unwrap_or_default());
        let after = group.devices.cast_unsigned() + new.len() as u64;
        if !new.is_empty() && after > group.limit(device_limit) {
            return Ok(Err(GroupRefused::TooManyDevices));
        }
        self.put_members(group.key, &new)?;
        Ok(Ok(()))
    }

    /// The keys of an application's devices, each once.
    fn devices_of(
        &self,
        app: AppKey,
        ids: &[DeviceId],
    ) -> Result<Result<Vec<DeviceKey>, GroupRefused>, Failure> {
        let mut find = self
            .sql
            .prepare_cached("SELECT key FROM device WHERE id = ?1 AND app = ?2 AND removed_at IS NULL")?;
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            let key = find.query_row(params![id.as_str(), app.0], |row| row.get(0).map(DeviceKey));
            match key.optional()? {
                Some(key) => keys.push(key),
                None => return Ok(Err(GroupRefused::NoDevice(id.clone()))),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(Ok(keys))
    }

    /// Puts in devices that are not in it.
    fn put_members(&self, group: i64, devices: &[DeviceKey]) -> Result<(), Failure> {
        let mut insert = self
            .sql
            .prepare_cached("INSERT INTO group_member (grp, device) VALUES (?1, ?2)")?;
        for device in devices {
            insert.execute(params![group, device.0])?;
        }
        drop(insert);
        self.count_members(group, devices.len() as i64)
    }

    fn count_members(&self, group: i64, by: i64) -> Result<(), Failure> {
        self.sql
            .prepare_cached("UPDATE device_group SET devices = devices + ?2 WHERE key = ?1")?
            .execute([group, by])?;
        Ok(())
    }

    fn take_from_group(
        &mut self,
        app: AppKey,
        id: &str,
        devices: &[DeviceId],
    ) -> Result<Result<(), GroupRefused>, Failure> {
        let Some(group) = self.kept_group(app, id)? else {
            return Ok(Err(GroupRefused::NoGroup));
        };
        let mut delete = self.sql.prepare_cached(
            "DELETE FROM group_member WHERE grp = ?1 AND device = (SELECT key FROM device WHERE id = ?2)",
        )?;
        let mut gone = 0;
        for device in devices {
            gone += delete.execute(params![group.key, device.as_str()])? as i64;
        }
        drop(delete);
        self.count_members(group.key, -gone)?;
        Ok(Ok(()))
    }

    /// Takes a device that is removed out of its groups.
    pub(super) fn leave_groups(&self, device: DeviceKey) -> Result<(), Failure> {
        let mut delete = self
            .sql
            .prepare_cached("DELETE FROM group_member WHERE device = ?1 RETURNING grp")?;
        let groups = delete
            .query_map([device.0], |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        drop(delete);
        for group in groups {
            self.count_members(group, -1)?;
        }
        Ok(())
    }

    /// Removes the groups of an application whose devices are removed.
    pub(super) fn remove_groups(&self, app: AppKey) -> Result<(), Failure> {
        self.sql
            .prepare_cached("DELETE FROM device_group WHERE app = ?1")?
            .execute([app.0])?;
        Ok(())
    }
}

/// By what a group is named.
#[derive(Debug, Clone, Copy)]
pub(super) enum Naming {
    /// Its name.
    Name,
    /// Its id.
    Id,
}

/// The key of an application's group.
pub(super) fn key_of(
    sql: &Connection,
    app: AppKey,
    text: &str,
    naming: Naming,
) -> Result<Option<i64>, Failure> {
    let query = match naming {
        Naming::Name => "SELECT key FROM device_group WHERE app = ?1 AND name = ?2",
        Naming::Id => "SELECT key FROM device_group WHERE app = ?1 AND id = ?2",
    };
    let mut statement = sql.prepare_cached(query)?;
    Ok(statement
        .query_row(params![app.0, text], |row| row.get(0))
        .optional()?)
}

/// Up to `limit` devices of a group with keys after `after` and no later than `upto`, in order.
pub(super) fn members_after(
    sql: &Connection,
    group: i64,
    after: i64,
    upto: i64,
    limit: u32,
) -> Result<Vec<i64>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT device FROM group_member WHERE grp = ?1 AND device > ?2 AND device <= ?3 ORDER BY device LIMIT ?4",
    )?;
    let keys = statement.query_map(params![group, after, upto, limit], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

fn count(sql: &Connection, app: AppKey) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT count(*) FROM device_group WHERE app = ?1")?;
    let groups: i64 = statement.query_row([app.0], |row| row.get(0))?;
    Ok(groups.cast_unsigned())
}

macro_rules! select_group {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, max_devices, devices FROM device_group WHERE ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> rusqlite::Result<DeviceGroup> {
    let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(DeviceGroup {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        max_devices: number(3)?,
        devices: number(4)?,
    })
}

fn by_id(sql: &Connection, app: AppKey, id: &str) -> Result<Option<DeviceGroup>, Failure> {
    let mut statement = sql.prepare_cached(select_group!("id = ?1 AND app = ?2"))?;
    Ok(statement.query_row(params![id, app.0], read).optional()?)
}

fn list(sql: &Connection, app: AppKey, name: Option<&str>, part: Part) -> Result<Page<DeviceGroup>, Failure> {
    let skip = i64::try_from(part.skip).unwrap_or(i64::MAX);
    let Some(name) = name else {
        let mut statement = sql.prepare_cached(select_group!("app = ?1 ORDER BY key LIMIT ?2 OFFSET ?3"))?;
        let items = statement.query_map(params![app.0, part.limit, skip], read)?;
        return Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            total: count(sql, app)?,
        });
    };
    let mut statement = sql.prepare_cached(select_group!("app = ?1 AND name = ?2"))?;
    let found = statement.query_row(params![app.0, name], read).optional()?;
    let total = u64::from(found.is_some());
    let items = found.into_iter().filter(|_| skip == 0 && part.limit > 0);
    Ok(Page {
        items: items.collect(),
        total,
    })
}

fn members(sql: &Connection, app: AppKey, id: &str, part: Part) -> Result<Option<Page<DeviceId>>, Failure> {
    let mut statement =
        sql.prepare_cached("SELECT key, devices FROM device_group WHERE id = ?1 AND app = ?2")?;
    let found: Option<(i64, i64)> = statement
        .query_row(params![id, app.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((key, total)) = found else {
        return Ok(None);
    };
    let mut statement = sql.prepare_cached(
        "SELECT d.id FROM (SELECT device FROM group_member WHERE grp = ?1 ORDER BY device LIMIT ?2 OFFSET ?3) m \
         JOIN device d ON d.key = m.device ORDER BY m.device",
    )?;
    let skip = i64::try_from(part.skip).unwrap_or(i64::MAX);
    let ids = statement.query_map(params![key, part.limit, skip], |row| {
        row.get::<_, Arc<str>>(0).map(DeviceId::new)
    })?;
    Ok(Some(Page {
        items: ids.collect::<Result<_, _>>()?,
        total: total.cast_unsigned(),
    }))
}

#[async_trait]
impl DeviceGroups for SqliteStore {
    async fn create_group(
        &self,
        new: NewDeviceGroup,
    ) -> Result<Result<DeviceGroup, GroupRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| batch.create_group(&new))
            .await
    }

    async fn group(&self, app: AppKey, id: Arc<str>) -> Result<Option<DeviceGroup>, StoreError> {
        self.read(move |sql| by_id(sql, app, &id)).await
    }

    async fn groups(
        &self,
        app: AppKey,
        name: Option<String>,
        skip: u64,
        limit: u32,
    ) -> Result<Page<DeviceGroup>, StoreError> {
        let part = Part { skip, limit };
        self.read(move |sql| list(sql, app, name.as_deref(), part)).await
    }

    async fn modify_group(
        &self,
        app: AppKey,
        id: Arc<str>,
        change: DeviceGroupChange,
    ) -> Result<Result<DeviceGroup, GroupRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| {
            batch.modify_group(app, &id, &change)
        })
        .await
    }

    async fn remove_group(&self, app: AppKey, id: Arc<str>) -> Result<bool, StoreError> {
        self.write(WhenFull::Refuse, move |batch| batch.remove_group(app, &id))
            .await
    }

    async fn add_to_group(
        &self,
        app: AppKey,
        id: Arc<str>,
        devices: Vec<DeviceId>,
        device_limit: u64,
    ) -> Result<Result<(), GroupRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| {
            batch.add_to_group(app, &id, &devices, device_limit)
        })
        .await
    }

    async fn take_from_group(
        &self,
        app: AppKey,
        id: Arc<str>,
        devices: Vec<DeviceId>,
    ) -> Result<Result<(), GroupRefused>, StoreError> {
        self.write(WhenFull::Refuse, move |batch| {
            batch.take_from_group(app, &id, &devices)
        })
        .await
    }

    async fn group_members(
        &self,
        app: AppKey,
        id: Arc<str>,
        skip: u64,
        limit: u32,
    ) -> Result<Option<Page<DeviceId>>, StoreError> {
        let part = Part { skip, limit };
        self.read(move |sql| members(sql, app, &id, part)).await
    }
}
