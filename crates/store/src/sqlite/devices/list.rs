//! Lists of devices: whatever they are narrowed by, what is counted and skipped is read from one index.

use downlink_core::{AppKey, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::failure::Failure;
use super::row::{self, Run, select_device};
use crate::{Device, DeviceFilter, Page, Silence, Standing};

/// See the port.
pub(super) fn list(
    sql: &Connection,
    run: Run,
    app: AppKey,
    filter: &DeviceFilter,
    skip: u64,
    limit: u32,
) -> Result<Page<Device>, Failure> {
    let narrowed = Narrowed::of(app, filter, run);
    let total = match narrowed.is_all {
        true => count(sql, app)?,
        false => narrowed.count(sql)?,
    };
    let keys = match skip < total {
        true => narrowed.keys(sql, filter.ascending, skip, limit)?,
        false => Vec::new(),
    };
    let read = |key: &i64| row::one(sql, run, select_device!("AND d.key = ?1"), *key).transpose();
    let items = keys.iter().filter_map(read).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// How many devices an application has.
pub(super) fn count(sql: &Connection, app: AppKey) -> Result<u64, Failure> {
    let mut statement = sql.prepare_cached("SELECT devices FROM tally WHERE app = ?1")?;
    let devices: Option<i64> = statement.query_row([app.0], |row| row.get(0)).optional()?;
    Ok(devices.map_or(0, |devices| devices.max(0).cast_unsigned()))
}

/// A filter as a condition, and the index that it is looked up in: of those that fit, the one that most likely leaves the
/// fewest.
struct Narrowed {
    index: &'static str,
    conditions: String,
    values: Vec<Value>,
    /// It lets every device of the application through.
    is_all: bool,
}

impl Narrowed {
    fn of(app: AppKey, filter: &DeviceFilter, run: Run) -> Self {
        let mut narrowed = Self {
            index: index(filter),
            conditions: "removed_at IS NULL AND app = ?".to_owned(),
            values: vec![Value::Integer(app.0)],
            is_all: true,
        };
        let texts = [
            ("name", &filter.name),
            ("location", &filter.location),
            ("device_type", &filter.device_type),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                narrowed.add(&format!("{column} = ?"), [Value::Text(text.clone())]);
            }
        }
        for (condition, at) in [("created_at >= ?", filter.from), ("created_at <= ?", filter.to)] {
            if let Some(at) = at {
                narrowed.add(condition, [Value::Integer(at.as_millis())]);
            }
        }
        if let Some(gateway) = filter.gateway {
            let own = "key IN (SELECT ? UNION ALL SELECT key FROM device INDEXED BY device_by_gateway \
                       WHERE gateway = ? AND removed_at IS NULL)";
            narrowed.add(own, [Value::Integer(gateway.0), Value::Integer(gateway.0)]);
        }
        match filter.direct {
            None => {}
            Some(true) => narrowed.add("gateway IS NULL", []),
            Some(false) => narrowed.add("gateway IS NOT NULL", []),
        }
        if let Some((standing, silence)) = filter.standing {
            narrowed.stand(standing, silence, run);
        }
        narrowed
    }

    fn add<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.extend(values);
        self.is_all = false;
    }

    /// As [`Device::standing`] has it.
    fn stand(&mut self, standing: Standing, silence: Silence, run: Run) {
        let at = |at: Timestamp| Value::Integer(at.as_millis());
        let (run, abnormal, offline) = (Value::Integer(run.0), at(silence.abnormal), at(silence.offline));
        match standing {
            Standing::Online => self.add("(link = ? OR (link = 0 AND heard_at > ?))", [run, abnormal]),
            Standing::Abnormal => {
                self.add("link = 0 AND heard_at <= ? AND heard_at > ?", [abnormal, offline])
            }
            Standing::Offline => self.add(
                "link IS NOT ? AND NOT (link IS 0 AND heard_at > ?)",
                [run, offline],
            ),
            Standing::Inactive => self.add(
                "activated_at IS NULL AND link IS NOT ? AND NOT (link IS 0 AND heard_at > ?)",
                [run, offline],
            ),
        }
    }

    fn count(&self, sql: &Connection) -> Result<u64, Failure> {
        let query = format!(
            "SELECT count(*) FROM device {} WHERE {}",
            self.index, self.conditions
        );
        let mut statement = sql.prepare_cached(&query)?;
        let count = statement.query_row(params_from_iter(&self.values), |row| row.get::<_, i64>(0))?;
        Ok(count.max(0).cast_unsigned())
    }

    fn keys(&self, sql: &Connection, ascending: bool, skip: u64, limit: u32) -> Result<Vec<i64>, Failure> {
        let order = match ascending {
            true => "created_at, key",
            false => "created_at DESC, key DESC",
        };
        let query = format!(
            "SELECT key FROM device {} WHERE {} ORDER BY {order} LIMIT ? OFFSET ?",
            self.index, self.conditions
        );
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        let page = [Value::Integer(i64::from(limit)), Value::Integer(skip)];
        let mut statement = sql.prepare_cached(&query)?;
        let keys = statement.query_map(params_from_iter(self.values.iter().chain(&page)), |row| {
            row.get(0)
        })?;
        Ok(keys.collect::<Result<_, _>>()?)
    }
}

fn index(filter: &DeviceFilter) -> &'static str {
    if filter.gateway.is_some() {
        // Looked up by key.
        "NOT INDEXED"
    } else if filter.name.is_some() {
        "INDEXED BY device_by_name"
    } else if filter.location.is_some() {
        "INDEXED BY device_by_location"
    } else if filter.device_type.is_some() {
        "INDEXED BY device_by_type"
    } else {
        "INDEXED BY device_list"
    }
}
