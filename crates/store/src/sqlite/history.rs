//! What devices reported: rows by device, the oldest of which give way.

use async_trait::async_trait;
use downlink_core::{DeviceKey, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::writer::Weight;
use crate::{History, HistoryFilter, Page, ServiceData, StoreError};

#[async_trait]
impl History for SqliteStore {
    fn keeps_history(&self) -> bool {
        self.history_rows > 0
    }

    async fn history(
        &self,
        device: DeviceKey,
        filter: HistoryFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<ServiceData>, StoreError> {
        self.read(move |sql| list(sql, device, &filter, skip, limit))
            .await
    }

    async fn latest_data(
        &self,
        devices: Vec<DeviceKey>,
    ) -> Result<Vec<(DeviceKey, ServiceData)>, StoreError> {
        self.read(move |sql| latest(sql, &devices)).await
    }

    async fn prune_history(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let weight = Weight {
            changes: limit as usize,
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| {
            batch.prune_history(before, limit)
        })
        .await
    }
}

impl Batch {
    /// Keeps what a device reported; its oldest rows give way.
    pub(super) fn keep_data(
        &self,
        device: DeviceKey,
        services: &[ServiceData],
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.history_rows == 0 || services.is_empty() {
            return Ok(());
        }
        let last: Option<i64> = self
            .sql
            .prepare_cached("SELECT max(n) FROM device_data WHERE device = ?1")?
            .query_row([device.0], |row| row.get(0))?;
        let mut n = last.unwrap_or(0);
        let mut insert = self.sql.prepare_cached(
            "INSERT INTO device_data (device, n, at, arrived_at, service, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for service in services {
            n += 1;
            insert.execute(params![
                device.0,
                n,
                service.at.as_millis(),
                now.as_millis(),
                service.service,
                service.data
            ])?;
        }
        self.sql
            .prepare_cached("DELETE FROM device_data WHERE device = ?1 AND n <= ?2")?
            .execute(params![device.0, n - i64::from(self.history_rows)])?;
        Ok(())
    }

    /// A device is gone, and so is what it reported.
    pub(super) fn drop_data(&self, device: DeviceKey) -> Result<(), Failure> {
        self.sql
            .prepare_cached("DELETE FROM device_data WHERE device = ?1")?
            .execute([device.0])?;
        Ok(())
    }

    fn prune_history(&self, before: Timestamp, limit: u32) -> Result<u64, Failure> {
        let mut statement = self.sql.prepare_cached(
            "DELETE FROM device_data WHERE (device, n) IN \
             (SELECT device, n FROM device_data WHERE arrived_at < ?1 ORDER BY arrived_at LIMIT ?2)",
        )?;
        Ok(statement.execute(params![before.as_millis(), limit])? as u64)
    }
}

fn list(
    sql: &Connection,
    device: DeviceKey,
    filter: &HistoryFilter,
    skip: u64,
    limit: u32,
) -> Result<Page<ServiceData>, Failure> {
    let (condition, values) = condition(device, filter, "data");
    let total = sql
        .prepare_cached(&format!("SELECT count(*) FROM device_data WHERE {condition}"))?
        .query_row(params_from_iter(&values), |row| row.get::<_, i64>(0))?;
    let query = format!(
        "SELECT service, data, at FROM device_data WHERE {condition} ORDER BY at DESC, n DESC LIMIT ? OFFSET ?"
    );
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let page = [Value::Integer(i64::from(limit)), Value::Integer(skip)];
    let mut statement = sql.prepare_cached(&query)?;
    let items = statement.query_map(params_from_iter(values.iter().chain(&page)), read)?;
    Ok(Page {
        items: items.collect::<Result<_, _>>()?,
        total: total.max(0).cast_unsigned(),
    })
}

/// The filter on rows of a device whose JSON stands in `column`.
pub(super) fn condition(device: DeviceKey, filter: &HistoryFilter, column: &str) -> (String, Vec<Value>) {
    let (mut condition, mut values) = ("device = ?".to_owned(), vec![Value::Integer(device.0)]);
    let mut add = |more: &str, value| {
        condition.push_str(" AND ");
        condition.push_str(more);
        values.push(value);
    };
    if let Some(service) = &filter.service {
        add("service = ?", Value::Text(service.clone()));
    }
    if let Some(property) = &filter.property {
        let has = format!(
            "json_valid({column}) AND EXISTS (SELECT 1 FROM json_each({column}) WHERE json_each.key = ?)"
        );
        add(&has, Value::Text(property.clone()));
    }
    if let Some(from) = filter.from {
        add("at >= ?", Value::Integer(from.as_millis()));
    }
    if let Some(to) = filter.to {
        add("at <= ?", Value::Integer(to.as_millis()));
    }
    (condition, values)
}

fn latest(sql: &Connection, devices: &[DeviceKey]) -> Result<Vec<(DeviceKey, ServiceData)>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT service, data, at, max(n) FROM device_data WHERE device = ?1 GROUP BY service ORDER BY service",
    )?;
    let mut found = Vec::new();
    for device in devices {
        for item in statement.query_map([device.0], read)? {
            found.push((*device, item?));
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ServiceData> {
    Ok(ServiceData {
        service: row.get(0)?,
        data: row.get(1)?,
        at: Timestamp::from_millis(row.get(2)?),
    })
}
