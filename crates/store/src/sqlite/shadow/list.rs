//! Shadows as they are asked for.

use downlink_core::{DeviceKey, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::super::failure::Failure;
use super::super::history::condition;
use super::{REPORTED, desires};
use crate::{DesiredChange, HistoryFilter, Page, ShadowProperty, ShadowService};

pub(super) fn shadow(sql: &Connection, device: DeviceKey) -> Result<Vec<ShadowService>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT service, side, property, value, at FROM shadow WHERE device = ?1 ORDER BY service, side, property",
    )?;
    let mut rows = statement.query([device.0])?;
    let mut services: Vec<ShadowService> = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if services.last().is_none_or(|last| last.service != name) {
            services.push(ShadowService {
                service: name,
                ..ShadowService::default()
            });
        }
        let Some(service) = services.last_mut() else {
            continue;
        };
        let side = match row.get::<_, u8>(1)? {
            REPORTED => &mut service.reported,
            _ => &mut service.desired,
        };
        side.push(ShadowProperty {
            name: row.get(2)?,
            value: row.get(3)?,
            at: Timestamp::from_millis(row.get(4)?),
        });
    }
    Ok(services)
}

pub(super) fn changes(
    sql: &Connection,
    device: DeviceKey,
    filter: &HistoryFilter,
    skip: u64,
    limit: u32,
) -> Result<Page<DesiredChange>, Failure> {
    let (condition, values) = condition(device, filter, "properties");
    let total = sql
        .prepare_cached(&format!("SELECT count(*) FROM desired_change WHERE {condition}"))?
        .query_row(params_from_iter(&values), |row| row.get::<_, i64>(0))?;
    let query = format!(
        "SELECT service, properties, status, at FROM desired_change WHERE {condition} ORDER BY n DESC LIMIT ? OFFSET ?"
    );
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let page = [Value::Integer(i64::from(limit)), Value::Integer(skip)];
    let mut statement = sql.prepare_cached(&query)?;
    let items = statement.query_map(params_from_iter(values.iter().chain(&page)), change)?;
    Ok(Page {
        items: items.collect::<Result<_, _>>()?,
        total: total.max(0).cast_unsigned(),
    })
}

fn change(row: &Row<'_>) -> rusqlite::Result<DesiredChange> {
    Ok(DesiredChange {
        service: row.get(0)?,
        properties: row.get(1)?,
        status: desires::status(row.get(2)?),
        at: Timestamp::from_millis(row.get(3)?),
    })
}
