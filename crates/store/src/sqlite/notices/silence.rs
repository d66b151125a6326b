//! Devices that sleep and fell silent: what was told of them, so that it is told once.
//!
//! `silence` of a device is set in the transaction of the notice, whether or not anybody is subscribed: who subscribes later is
//! told of what changes then. It is over when the device is heard again.

use std::sync::Arc;

use downlink_core::{AppKey, DeviceId, DeviceKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::batch::Batch;
use super::super::failure::Failure;
use crate::{Silence, Standing};

/// Codes of `silence`. Never change one.
const ABNORMAL: i64 = 1;
const OFFLINE: i64 = 2;

/// A device that counts as silent.
#[derive(Debug)]
pub(in crate::sqlite) struct Silent {
    device: DeviceKey,
    standing: Standing,
    code: i64,
    /// It was not heard since.
    since: Timestamp,
}

/// Devices of which it is to be told that they are silent, those that were heard longest ago first.
pub(in crate::sqlite) fn silent(
    sql: &Connection,
    silence: Silence,
    limit: u32,
) -> Result<Vec<Silent>, Failure> {
    let mut found = Vec::new();
    for (told, since) in [(ABNORMAL, silence.offline), (0, silence.abnormal)] {
        let mut statement = sql.prepare_cached(
            "SELECT key, heard_at FROM device INDEXED BY device_silent \
             WHERE link = 0 AND removed_at IS NULL AND silence = ?1 AND heard_at <= ?2 ORDER BY heard_at LIMIT ?3",
        )?;
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let rows = statement.query_map(params![told, since.as_millis(), left], |row| {
            let since = Timestamp::from_millis(row.get(1)?);
            let (standing, code) = match since <= silence.offline {
                true => (Standing::Offline, OFFLINE),
                false => (Standing::Abnormal, ABNORMAL),
            };
            Ok(Silent {
                device: DeviceKey(row.get(0)?),
                standing,
                code,
                since,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

impl Batch {
    /// Tells that devices are silent, if they are still.
    pub(in crate::sqlite) fn tell_silent(
        &mut self,
        devices: &[Silent],
        now: Timestamp,
    ) -> Result<(), Failure> {
        for silent in devices {
            let still: Option<(i64, Arc<str>)> = self
                .sql
                .prepare_cached(
                    "UPDATE device SET silence = ?2 WHERE key = ?1 AND link = 0 AND removed_at IS NULL \
                     AND silence < ?2 AND heard_at <= ?3 RETURNING app, id",
                )?
                .query_row(
                    params![silent.device.0, silent.code, silent.since.as_millis()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            if let Some((app, id)) = still {
                self.tell_standing(
                    AppKey(app),
                    silent.device,
                    &DeviceId::new(id),
                    silent.standing,
                    now,
                )?;
            }
        }
        Ok(())
    }

    /// What was told of a device's silence; if it is `over`, nothing is from now on.
    pub(in crate::sqlite) fn forget_silence(
        &self,
        device: DeviceKey,
        over: bool,
    ) -> Result<Option<Standing>, Failure> {
        let told: Option<i64> = self
            .sql
            .prepare_cached("SELECT silence FROM device WHERE key = ?1")?
            .query_row([device.0], |row| row.get(0))
            .optional()?;
        let told = told.and_then(standing_of);
        if over && told.is_some() {
            self.sql
                .prepare_cached("UPDATE device SET silence = 0 WHERE key = ?1")?
                .execute([device.0])?;
        }
        Ok(told)
    }
}

/// What a code tells; 0: nothing.
const fn standing_of(code: i64) -> Option<Standing> {
    match code {
        ABNORMAL => Some(Standing::Abnormal),
        OFFLINE => Some(Standing::Offline),
        _ => None,
    }
}
