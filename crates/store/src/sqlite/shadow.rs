//! Shadows of devices: a row a property. What tells devices of what is desired stands in `desires`.

mod desires;
mod list;

use async_trait::async_trait;
use downlink_core::{DeviceKey, Timestamp};
use rusqlite::params;

use super::SqliteStore;
use super::batch::Batch;
use super::failure::Failure;
use super::gate::WhenFull;
use super::writer::Weight;
use crate::{
    Created, Desire, DesireRefused, DesiredChange, HistoryFilter, Page, ServiceData, ShadowLimits,
    ShadowService, Shadows, StoreError,
};

pub(super) use self::desires::Desires;
use self::desires::Shared;

/// A row's side of the shadow.
const REPORTED: u8 = 0;
const DESIRED: u8 = 1;

#[async_trait]
impl Shadows for SqliteStore {
    fn keeps_shadow(&self, of_mqtt: bool) -> bool {
        keeps(self.shadow, of_mqtt)
    }

    async fn shadow(&self, device: DeviceKey) -> Result<Vec<ShadowService>, StoreError> {
        self.read(move |sql| list::shadow(sql, device)).await
    }

    async fn desire(
        &self,
        device: DeviceKey,
        desires: Vec<Desire>,
        now: Timestamp,
    ) -> Result<Result<Vec<Created>, DesireRefused>, StoreError> {
        self.disk.check()?;
        let desires: Vec<Shared> = desires.into_iter().map(Shared::from).collect();
        self.write(WhenFull::Refuse, move |batch| batch.desire(device, &desires, now))
            .await
    }

    async fn desired_changes(
        &self,
        device: DeviceKey,
        filter: HistoryFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<DesiredChange>, StoreError> {
        self.read(move |sql| list::changes(sql, device, &filter, skip, limit))
            .await
    }

    async fn prune_shadows(&self, limit: u32) -> Result<u64, StoreError> {
        let weight = Weight {
            changes: limit as usize,
            urgent: false,
        };
        self.write_weighing(WhenFull::Wait, weight, move |batch| batch.prune_shadows(limit))
            .await
    }
}

/// Whether reports go into shadows.
fn keeps(limits: ShadowLimits, of_mqtt: bool) -> bool {
    limits.properties > 0 && (limits.of_mqtt || !of_mqtt)
}

impl Batch {
    /// Keeps the newest value of each property that a device reported.
    pub(super) fn keep_reported(
        &self,
        device: DeviceKey,
        of_mqtt: bool,
        services: &[ServiceData],
        now: Timestamp,
    ) -> Result<(), Failure> {
        if !keeps(self.shadow, of_mqtt) {
            return Ok(());
        }
        let mut read = self.sql.prepare_cached(
            "SELECT key, ?1 -> fullkey FROM json_each(iif(json_valid(?1) AND json_type(?1) = 'object', ?1, '{}')) \
             WHERE octet_length(?1 -> fullkey) <= ?2",
        )?;
        for service in services {
            let mut rows = read.query(params![service.data, self.shadow.value_bytes])?;
            while let Some(row) = rows.next()? {
                let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
                // A time to come would stand in the way of all that is reported until then.
                let at = service.at.min(now);
                self.keep_property(device, &service.service, (&name, &value), at)?;
            }
        }
        Ok(())
    }

    /// One property: a value that is older than the kept one is passed over, and a new property beyond the limit.
    fn keep_property(
        &self,
        device: DeviceKey,
        service: &str,
        (name, value): (&str, &str),
        at: Timestamp,
    ) -> Result<(), Failure> {
        let at = at.as_millis();
        let newer = self
            .sql
            .prepare_cached(
                "UPDATE shadow SET value = ?5, at = ?6 \
                 WHERE device = ?1 AND side = ?2 AND service = ?3 AND property = ?4 AND at <= ?6",
            )?
            .execute(params![device.0, REPORTED, service, name, value, at])?;
        if newer == 0 {
            self.sql
                .prepare_cached(
                    "INSERT INTO shadow (device, side, service, property, value, at) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                     WHERE (SELECT count(*) FROM shadow WHERE device = ?1 AND side = ?2) < ?7 \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    device.0,
                    REPORTED,
                    service,
                    name,
                    value,
                    at,
                    self.shadow.properties
                ])?;
        }
        Ok(())
    }

    /// A device is gone: its shadow is dropped later, step by step.
    pub(super) fn leave_shadow(&self, device: DeviceKey) -> Result<(), Failure> {
        self.sql
            .prepare_cached(
                "INSERT INTO shadow_left (device) SELECT ?1 WHERE EXISTS (SELECT 1 FROM shadow WHERE device = ?1) \
                 OR EXISTS (SELECT 1 FROM desired_change WHERE device = ?1) ON CONFLICT DO NOTHING",
            )?
            .execute([device.0])?;
        Ok(())
    }

    fn prune_shadows(&mut self, limit: u32) -> Result<u64, Failure> {
        let mut dropped = 0;
        for table in [
            "DELETE FROM shadow WHERE (device, side, service, property) IN \
             (SELECT device, side, service, property FROM shadow \
             WHERE device = (SELECT min(device) FROM shadow_left) LIMIT ?1)",
            "DELETE FROM desired_change WHERE (device, n) IN (SELECT device, n FROM desired_change \
             WHERE device = (SELECT min(device) FROM shadow_left) LIMIT ?1)",
        ] {
            dropped += self.sql.prepare_cached(table)?.execute([limit])?;
        }
        if dropped < limit as usize {
            dropped += self
                .sql
                .prepare_cached(
                    "DELETE FROM shadow_left WHERE device = (SELECT min(device) FROM shadow_left)",
                )?
                .execute([])?;
        }
        Ok(dropped as u64)
    }
}
