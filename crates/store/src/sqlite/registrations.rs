//! Registrations of devices over LwM2M: the rows, and the port's verbs on them.

use async_trait::async_trait;
use downlink_core::{DeviceKey, Timestamp};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::batch::Batch;
use super::devices::{Run, by_key};
use super::failure::Failure;
use super::gate::WhenFull;
use super::writer::Weight;
use crate::{Device, KeptRegistration, Registrations, StoreError};

#[async_trait]
impl Registrations for SqliteStore {
    async fn keep_registrations(
        &self,
        kept: Vec<KeptRegistration>,
        ended: Vec<DeviceKey>,
    ) -> Result<(), StoreError> {
        let weight = Weight {
            changes: kept.len() + ended.len(),
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| {
            kept.iter().try_for_each(|kept| batch.keep_registration(kept))?;
            ended
                .iter()
                .try_for_each(|device| batch.end_registration(*device))
        })
        .await
    }

    async fn kept_registrations(
        &self,
        after: DeviceKey,
        limit: u32,
    ) -> Result<Vec<(Device, KeptRegistration)>, StoreError> {
        let run = Run::of(&self.policy);
        self.read(move |sql| list(sql, run, after, limit)).await
    }
}

impl Batch {
    fn keep_registration(&mut self, kept: &KeptRegistration) -> Result<(), Failure> {
        self.sql
            .prepare_cached(
                "INSERT INTO registration (device, ends_at, kept) SELECT ?1, ?2, ?3 \
                 WHERE EXISTS (SELECT 1 FROM device WHERE key = ?1 AND removed_at IS NULL) \
                 ON CONFLICT (device) DO UPDATE SET ends_at = ?2, kept = ?3",
            )?
            .execute(params![kept.device.0, kept.ends_at.as_millis(), kept.bytes])?;
        Ok(())
    }

    pub(super) fn end_registration(&mut self, device: DeviceKey) -> Result<(), Failure> {
        self.sql
            .prepare_cached("DELETE FROM registration WHERE device = ?1")?
            .execute([device.0])?;
        Ok(())
    }
}

fn list(
    sql: &Connection,
    run: Run,
    after: DeviceKey,
    limit: u32,
) -> Result<Vec<(Device, KeptRegistration)>, Failure> {
    let mut statement = sql.prepare_cached(
        "SELECT device, ends_at, kept FROM registration WHERE device > ?1 ORDER BY device LIMIT ?2",
    )?;
    let rows = statement
        .query_map(params![after.0, limit], read)?
        .collect::<Result<Vec<_>, _>>()?;
    let with_device = |kept: KeptRegistration| {
        let device = by_key(sql, run, kept.device)?;
        let device = device
            .ok_or_else(|| Failure::corrupt(format!("the registration of no device {}", kept.device.0)))?;
        Ok((device, kept))
    };
    rows.into_iter().map(with_device).collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptRegistration> {
    Ok(KeptRegistration {
        device: DeviceKey(row.get(0)?),
        ends_at: Timestamp::from_millis(row.get(1)?),
        bytes: row.get(2)?,
    })
}
