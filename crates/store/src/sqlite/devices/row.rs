//! A device's row.

use std::sync::Arc;

use downlink_core::{AppKey, DeviceId, DeviceKey, Policy, ProductRef, Timestamp, TopicFamily};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::super::failure::Failure;
use super::super::products::mode_of;
use crate::{Device, Link};

/// `link` of a device that sleeps.
const SLEEPS: i64 = 0;

/// Which run of the server this is: what was connected to an earlier one is not connected any more.
#[derive(Debug, Clone, Copy)]
pub(in crate::sqlite) struct Run(pub(super) i64);

impl Run {
    pub(in crate::sqlite) fn of(policy: &Policy) -> Self {
        Self(policy.up_since.as_millis())
    }

    /// As it is stored.
    pub(super) fn code(self, link: Link) -> Option<i64> {
        match link {
            Link::None => None,
            Link::Sleeps => Some(SLEEPS),
            Link::Connected => Some(self.0),
        }
    }

    fn link(self, code: Option<i64>) -> Link {
        match code {
            Some(SLEEPS) => Link::Sleeps,
            Some(run) if run == self.0 => Link::Connected,
            Some(_) | None => Link::None,
        }
    }
}

/// A member of what the application said of a device.
macro_rules! info_member {
    ($name:literal) => {
        concat!("CASE WHEN json_valid(d.info) THEN d.info ->> '$.", $name, "' END")
    };
}

/// Selects devices that are there, as `d`.
macro_rules! select_device {
    ($rest:literal) => {
        concat!(
            "SELECT d.key, d.app, d.id, d.node_id, d.secret, d.verify_code, d.info, d.created_at, d.modified_at, \
             d.activated_at, d.bind_until, d.family, d.link, d.heard_at, \
             (SELECT g.id FROM device g WHERE g.key = d.gateway), ",
            crate::sqlite::devices::row::info_member!("productId"),
            ", ",
            crate::sqlite::devices::row::info_member!("manufacturerId"),
            ", ",
            crate::sqlite::devices::row::info_member!("model"),
            ", ",
            crate::sqlite::devices::row::info_member!("deviceType"),
            ", d.work_mode, d.cycle_secs FROM device d WHERE d.removed_at IS NULL ",
            $rest
        )
    };
}

pub(super) use {info_member, select_device};

/// The device that `query` selects by `value`.
pub(super) fn one(
    sql: &Connection,
    run: Run,
    query: &str,
    value: impl ToSql,
) -> Result<Option<Device>, Failure> {
    let mut statement = sql.prepare_cached(query)?;
    Ok(statement.query_row([value], |row| read(row, run)).optional()?)
}

fn read(row: &Row<'_>, run: Run) -> rusqlite::Result<Device> {
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
        link: run.link(row.get(12)?),
        heard_at: time(13)?,
        gateway: row.get::<_, Option<Arc<str>>>(14)?.map(DeviceId::new),
        product: product_ref(row)?,
        work_mode: mode_of(row.get(19)?, row.get(20)?),
    })
}

/// What the device says of its product; a member that is no text says nothing.
fn product_ref(row: &Row<'_>) -> rusqlite::Result<Option<Arc<ProductRef>>> {
    let text = |at: usize| {
        row.get_ref(at)
            .map(|value| value.as_str().ok().map(str::to_owned))
    };
    Ok(ProductRef::new(text(15)?, text(16)?, text(17)?, text(18)?).map(Arc::new))
}

pub(super) fn family_code(family: TopicFamily) -> u8 {
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
