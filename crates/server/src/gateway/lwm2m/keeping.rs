//! Registrations in the store: written after they changed, read at start, before the sockets are.
//!
//! No device waits for it: one that registered is answered first. What was not written when the process died costs its
//! device time, which has to register anew, but no command: the queues are in the store. One write is under way at a
//! time; what changes meanwhile goes with the next one, each device once.

use std::collections::BTreeSet;

use downlink_core::DeviceKey;
use downlink_lwm2m::DeviceNumber;
use downlink_store::{KeptRegistration, StoreError};

use super::admission::{Admitted, must_be_secure};
use super::kept::{self, Mark};
use super::known::Known;
use super::owner::Owner;
use crate::clock;

/// Registrations in one write, and in one page that is read.
const AT_ONCE: usize = 512;

/// A row of the store, and the device that it is of.
pub(super) struct Row {
    pub(super) of: Admitted,
    pub(super) kept: KeptRegistration,
}

/// See the module.
pub(super) struct Keeping {
    /// Devices whose registration the store has to be told of.
    unkept: BTreeSet<DeviceKey>,
    /// Of these, in a write that is under way.
    writing: usize,
    reading: Reading,
    restored: usize,
}

/// How far the rows are read.
enum Reading {
    /// The page behind this device is to be asked for.
    After(DeviceKey),
    Asked,
    Over,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            unkept: BTreeSet::new(),
            writing: 0,
            reading: Reading::After(DeviceKey(i64::MIN)),
            restored: 0,
        }
    }
}

impl Keeping {
    /// Whether all that was kept is here again.
    pub(super) const fn is_read(&self) -> bool {
        matches!(self.reading, Reading::Over)
    }

    fn count(&self) -> usize {
        self.unkept.len() + self.writing
    }
}

impl Owner {
    /// The device's registration may have changed, begun or ended.
    pub(super) fn keep(&mut self, device: DeviceKey) {
        let registration = self.station.registration(self.now(), DeviceNumber(device.0));
        let mark = self.devices.get(&device).and_then(|known| known.kept);
        let is_kept = match (registration, mark) {
            (Some(registration), Some(mark)) => mark.does_for(&registration, clock::now()),
            (Some(_), None) | (None, _) => false,
        };
        if !is_kept {
            self.keeping.unkept.insert(device);
            self.show_keeping();
        }
    }

    /// Asks the store for what is to be read, and tells it what has to be written, one call of each at a time.
    pub(super) fn keep_up(&mut self) {
        if !self.stopping
            && self.calls.len() <= self.max_calls / 2
            && let Reading::After(device) = self.keeping.reading
        {
            self.keeping.reading = Reading::Asked;
            self.calls.push(self.shared.read_kept(device, AT_ONCE as u32));
        }
        if self.keeping.writing == 0 && !self.keeping.unkept.is_empty() {
            self.write_kept();
        }
    }

    fn write_kept(&mut self) {
        let (mut rows, mut ended) = (Vec::new(), Vec::new());
        while rows.len() + ended.len() < AT_ONCE
            && let Some(device) = self.keeping.unkept.pop_first()
        {
            match self.station.registration(self.now(), DeviceNumber(device.0)) {
                None => ended.push(device),
                Some(registration) => {
                    let (row, mark) = kept::row(&registration, clock::now());
                    self.mark(device, Some(mark));
                    rows.push(row);
                }
            }
        }
        self.keeping.writing = rows.len() + ended.len();
        self.calls.push(self.shared.keep(rows, ended));
    }

    fn mark(&mut self, device: DeviceKey, mark: Option<Mark>) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.kept = mark;
        }
    }

    /// A write is over. What it could not keep has to be written again.
    pub(super) fn kept(&mut self, outcome: Result<(), Vec<DeviceKey>>) {
        self.keeping.writing = 0;
        for device in outcome.err().filter(|_| !self.stopping).unwrap_or_default() {
            self.mark(device, None);
            self.keeping.unkept.insert(device);
        }
        self.show_keeping();
    }

    /// A page of what was kept; none: it could not be read.
    pub(super) fn read_kept(&mut self, page: Option<Vec<Row>>) {
        let next = page.as_ref().and_then(|page| page.last());
        self.keeping.reading = next.map_or(Reading::Over, |row| Reading::After(row.kept.device));
        page.into_iter().flatten().for_each(|row| self.restore(row));
        if self.keeping.is_read() && self.keeping.restored > 0 {
            tracing::info!(
                registrations = self.keeping.restored,
                "LwM2M: registrations are taken up again"
            );
        }
    }

    fn restore(&mut self, row: Row) {
        let Row { of, kept } = row;
        let wall = clock::now();
        let registration = kept::read(&kept, wall).filter(|registration| {
            let in_clear = registration.address.is_some();
            registration.left_ms > 0 && !(in_clear && must_be_secure(&of.device, of.product.as_deref()))
        });
        let Some(registration) = registration else {
            self.keeping.unkept.insert(kept.device);
            self.calls.push(self.shared.presence(&of.device, false));
            return;
        };
        // Another start may have the door that it came by.
        let has_door = match registration.address {
            Some(_) => self.plain.is_some(),
            None => self.secure.is_some(),
        };
        if has_door && self.station.restore(self.now(), &registration) {
            self.keeping.restored += 1;
            let mut known = Known::new(of);
            known.kept = Some(Mark::of(&registration, kept.ends_at));
            self.devices.insert(kept.device, known);
        }
    }

    fn show_keeping(&self) {
        self.shared
            .engine
            .metrics()
            .lwm2m
            .show_unkept(self.keeping.count());
    }
}

/// Times that a page is asked for before its registrations are given up.
const TRIES: u32 = 5;

/// See [`TRIES`]: the answer to a failure.
pub(super) fn try_again(tried: u32, error: &StoreError) -> bool {
    let again = tried < TRIES;
    match again {
        true => tracing::warn!(%error, "LwM2M: registrations could not be read; they are tried again"),
        false => {
            tracing::error!(%error, "LwM2M: registrations could not be read; their devices have to register anew")
        }
    }
    again
}
