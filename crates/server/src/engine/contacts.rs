//! Which devices are there: noted when it happens, in memory, and written many at once.
//!
//! A device that sleeps is noted again only when its last note is old: how long devices are silent is told in hours. Notes
//! that a crash loses are made again with the next message; of connections it loses all, and they are gone then.

use std::sync::{Mutex, MutexGuard, PoisonError};

use downlink_core::{DeviceKey, Span, Timestamp};
use downlink_store::{Contact, Device, Link, Silence, Standing, StoreError};
use foldhash::HashMap;

use super::Engine;
use crate::clock;

/// Notes written in one transaction.
const AT_ONCE: usize = 1000;
/// Notes of devices that sleep that may wait to be written; more are dropped, and made again with the next message.
const MOST_WAITING: usize = 100_000;
/// Devices whose last note is remembered; beyond it all are forgotten, which costs a few writes too many.
const MOST_REMEMBERED: usize = 1_000_000;

/// What a note is of.
#[derive(Debug, Clone, Copy)]
enum Note {
    /// A connection began or ended: which one it was is looked at when it is written.
    Connection,
    /// A device that sleeps was heard.
    Heard,
    /// A device that sleeps took its leave.
    Gone,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    notes: Mutex<Notes>,
    /// One writes at a time, so that notes of a device are written in order.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Notes {
    waiting: HashMap<DeviceKey, (Note, Timestamp)>,
    /// When devices that sleep were last noted.
    heard: HashMap<DeviceKey, Timestamp>,
}

impl Contacts {
    /// A connection of the device began or ended.
    pub(crate) fn connection(&self, device: DeviceKey, now: Timestamp) {
        self.put(device, Note::Connection, now);
    }

    /// A device that sleeps took its leave, or its registration ended.
    pub(crate) fn gone(&self, device: DeviceKey, now: Timestamp) {
        self.put(device, Note::Gone, now);
    }

    fn put(&self, device: DeviceKey, note: Note, now: Timestamp) {
        let mut notes = self.lock();
        notes.heard.remove(&device);
        notes.waiting.insert(device, (note, now));
    }

    /// A device that sleeps was heard; noted if its last note is older than `every`.
    pub(crate) fn heard(&self, device: DeviceKey, every: Span, now: Timestamp) {
        let mut notes = self.lock();
        let lately = |last: &Timestamp| now < *last + every;
        if notes.heard.get(&device).is_some_and(lately) || notes.waiting.len() >= MOST_WAITING {
            return;
        }
        if notes.heard.len() >= MOST_REMEMBERED {
            notes.heard.clear();
        }
        notes.heard.insert(device, now);
        notes.waiting.insert(device, (Note::Heard, now));
    }

    fn waiting(&self, device: DeviceKey) -> Option<(Note, Timestamp)> {
        self.lock().waiting.get(&device).copied()
    }

    fn take(&self) -> Vec<(DeviceKey, (Note, Timestamp))> {
        let mut notes = self.lock();
        std::mem::take(&mut notes.waiting).into_iter().collect()
    }

    /// Takes back what could not be written, but for what is newer.
    fn put_back(&self, notes: &[(DeviceKey, (Note, Timestamp))]) {
        let mut inner = self.lock();
        for (device, note) in notes {
            inner.waiting.entry(*device).or_insert(*note);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Who is there.
    pub(crate) fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// A device that sleeps was heard.
    pub(crate) fn heard(&self, device: DeviceKey) {
        let every = Span::from_secs(self.settings.heard_every_secs);
        self.contacts.heard(device, every, clock::now());
    }

    /// Writes what was noted so far.
    pub(crate) async fn write_contacts(&self) -> Result<(), StoreError> {
        let _turn = self.contacts.writing.lock().await;
        let notes = self.contacts.take();
        let mut written = 0;
        for some in notes.chunks(AT_ONCE) {
            let contact = |&(device, (note, at)): &(DeviceKey, (Note, Timestamp))| Contact {
                device,
                link: self.link(device, note),
                at,
            };
            let contacts = some.iter().map(contact).collect();
            if let Err(error) = self.store.contacts(contacts).await {
                self.contacts.put_back(&notes[written..]);
                return Err(error);
            }
            written += some.len();
        }
        Ok(())
    }

    fn link(&self, device: DeviceKey, note: Note) -> Link {
        match note {
            Note::Connection if self.sessions.of(device).is_some() => Link::Connected,
            Note::Connection | Note::Gone => Link::None,
            Note::Heard => Link::Sleeps,
        }
    }

    /// From when on devices that sleep count as silent.
    pub(crate) fn silence(&self, now: Timestamp) -> Silence {
        Silence {
            abnormal: now - Span::from_secs(self.settings.abnormal_after_secs),
            offline: now - Span::from_secs(self.settings.offline_after_secs),
        }
    }

    /// Tells of up to `limit` devices that sleep and fell silent. Gives of how many.
    pub(crate) async fn tell_silent(&self, limit: u32) -> Result<u64, StoreError> {
        let now = clock::now();
        self.store.tell_silent(self.silence(now), limit, now).await
    }

    /// How a device stands, with what is not written yet.
    pub(crate) fn standing(&self, device: &Device, now: Timestamp) -> Standing {
        let mut known = device.clone();
        if let Some((note, at)) = self.contacts.waiting(device.key) {
            (known.link, known.heard_at) = (self.link(device.key, note), Some(at));
        }
        known.link = match known.link {
            // That it can be written to does not say that it is there: only its word does.
            Link::Sleeps => Link::Sleeps,
            Link::Connected | Link::None if self.sessions.of(device.key).is_some() => Link::Connected,
            Link::Connected | Link::None => Link::None,
        };
        known.standing(self.silence(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_sleeps_is_noted_now_and_then() {
        let contacts = Contacts::default();
        let (device, every) = (DeviceKey(1), Span::from_secs(300));
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let mut written = Vec::new();
        for secs in 0..1000 {
            contacts.heard(device, every, at(secs));
            written.extend(contacts.take().into_iter().map(|(_, (_, at))| at));
        }
        assert_eq!(written, [at(0), at(300), at(600), at(900)]);
        contacts.gone(device, at(1000));
        let gone = contacts.take();
        contacts.heard(device, every, at(1001));
        contacts.put_back(&gone);
        assert!(
            matches!(contacts.take()[..], [(_, (Note::Heard, _))]),
            "the last word"
        );
    }
}
