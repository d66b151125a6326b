//! All registered devices, found by number, location, token, or message in flight; and when each is next looked at.

use crate::device::Device;
use crate::location::Location;
use crate::peer::{DeviceNumber, Peer};
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Place of a device in the registry, until it is removed.
pub(crate) type Slot = u32;

#[derive(Default)]
pub(crate) struct Registry {
    slots: Vec<Option<Device>>,
    free: Vec<Slot>,
    numbers: BTreeMap<DeviceNumber, Slot>,
    locations: BTreeMap<Location, Slot>,
    /// Tokens of observations and of messages in flight.
    tokens: BTreeMap<u64, Slot>,
    /// Messages in flight.
    flights: BTreeMap<(Peer, u16), Slot>,
    timers: BTreeSet<(Millis, Slot)>,
}

impl Registry {
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Device> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Device> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn by_number(&self, number: DeviceNumber) -> Option<Slot> {
        self.numbers.get(&number).copied()
    }

    pub(crate) fn by_location(&self, location: Location) -> Option<Slot> {
        self.locations.get(&location).copied()
    }

    pub(crate) fn by_token(&self, token: u64) -> Option<Slot> {
        self.tokens.get(&token).copied()
    }

    pub(crate) fn by_flight(&self, peer: Peer, mid: u16) -> Option<Slot> {
        self.flights.get(&(peer, mid)).copied()
    }

    /// Whether a new device may have these.
    pub(crate) fn is_free(&self, location: Location, token: u64) -> bool {
        !self.locations.contains_key(&location) && !self.tokens.contains_key(&token)
    }

    /// Adds a device whose number, location and token are free.
    pub(crate) fn insert(&mut self, device: Device) -> Slot {
        let slot = self.free.pop().unwrap_or(self.slots.len() as Slot);
        self.numbers.insert(device.number, slot);
        self.locations.insert(device.location, slot);
        self.tokens.insert(device.token, slot);
        self.timers.insert((device.due, slot));
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(device),
            None => self.slots.push(Some(device)),
        }
        slot
    }

    /// Takes a device out, and all that leads to it.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Device> {
        self.unlist_flight(slot);
        let device = self.slots.get_mut(slot as usize)?.take()?;
        self.numbers.remove(&device.number);
        self.locations.remove(&device.location);
        self.tokens.remove(&device.token);
        self.timers.remove(&(device.due, slot));
        self.free.push(slot);
        Some(device)
    }

    /// Makes the device's message in flight known by token and id.
    pub(crate) fn list_flight(&mut self, slot: Slot) {
        let Some(device) = self.slots.get(slot as usize).and_then(Option::as_ref) else {
            return;
        };
        let Some(flight) = device.flight() else { return };
        self.tokens.insert(flight.token, slot);
        self.flights.insert((device.peer, flight.mid), slot);
    }

    /// Undoes `list_flight`; to be called while the flight is still there.
    pub(crate) fn unlist_flight(&mut self, slot: Slot) {
        let Some(device) = self.slots.get(slot as usize).and_then(Option::as_ref) else {
            return;
        };
        let Some(flight) = device.flight() else { return };
        if flight.token != device.token {
            self.tokens.remove(&flight.token);
        }
        let key = (device.peer, flight.mid);
        if self.flights.get(&key) == Some(&slot) {
            self.flights.remove(&key);
        }
    }

    /// Moves a device to another peer, with what is in flight; false if it is there already.
    pub(crate) fn relocate(&mut self, slot: Slot, peer: Peer) -> bool {
        if self
            .get(slot)
            .is_none_or(|device| device.peer == peer && device.hearing.linked)
        {
            return false;
        }
        self.unlist_flight(slot);
        if let Some(device) = self.get_mut(slot) {
            device.peer = peer;
            device.hearing.linked = true;
        }
        self.list_flight(slot);
        true
    }

    /// Sets the device's timer anew; to be called after anything was done with it.
    pub(crate) fn reschedule(&mut self, slot: Slot) {
        let Some(device) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let due = device.next_due();
        if due != device.due {
            self.timers.remove(&(device.due, slot));
            self.timers.insert((due, slot));
            device.due = due;
        }
    }

    /// The device that is due first, and when.
    pub(crate) fn first_due(&self) -> Option<(Millis, Slot)> {
        self.timers.first().copied()
    }
}
