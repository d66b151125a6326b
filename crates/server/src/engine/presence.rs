//! Telling applications whether devices are there. What could not be kept, because the disk was full, say, is told again
//! until it is, so that the last word is right; a crash loses it with the connection that it was of.
//!
//! Sessions of one device end and begin at the same time, so what is told of them is not what happened to one but whether
//! the device has one; it is looked at again after each telling.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use downlink_core::{AppKey, DeviceKey};
use downlink_store::{NotifyType, StoreError};

use super::Engine;
use crate::clock;

/// Looks and tellings at the most; whoever changes it meanwhile tells it too.
const LOOKS: usize = 4;
/// Devices of which something is being told, or has to be told again, at the most; of more it is told once and not again.
const MOST: usize = 100_000;
/// Words told again in one round.
const AT_ONCE: usize = 256;

/// What is told of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Whether it has a session, as that is when it is told.
    Session,
    /// It came, or went, whatever sessions there are.
    There(bool),
}

/// The newest word of a device.
#[derive(Debug)]
struct Telling {
    app: AppKey,
    word: Word,
    under_way: u32,
    /// It has to be told again: it was not kept, or may have been overtaken by an older one.
    again: bool,
}

/// What is being told, and what has to be told again.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<BTreeMap<DeviceKey, Telling>>);

impl Presence {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceKey, Telling>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: there is no room to keep it in mind, and nothing to end.
    fn begin(&self, app: AppKey, device: DeviceKey, word: Word) -> bool {
        let mut all = self.lock();
        if all.len() >= MOST && !all.contains_key(&device) {
            return false;
        }
        let fresh = Telling {
            app,
            word,
            under_way: 0,
            again: false,
        };
        let telling = all.entry(device).or_insert(fresh);
        telling.word = word;
        // Two at once are kept in an order that nobody here knows. Of sessions each looks again.
        telling.again |= telling.under_way > 0 && word != Word::Session;
        telling.under_way += 1;
        true
    }

    fn end(&self, device: DeviceKey, kept: bool) {
        let mut all = self.lock();
        if let Some(telling) = all.get_mut(&device) {
            telling.under_way -= 1;
            telling.again |= !kept;
            if telling.under_way == 0 && !telling.again {
                all.remove(&device);
            }
        }
    }

    /// What has to be told again and nobody is telling; it is under way from here on.
    fn take(&self) -> Vec<(DeviceKey, AppKey, Word)> {
        let mut all = self.lock();
        let due = all
            .iter_mut()
            .filter(|(_, telling)| telling.again && telling.under_way == 0);
        let taken = due.take(AT_ONCE).map(|(device, telling)| {
            (telling.again, telling.under_way) = (false, 1);
            (*device, telling.app, telling.word)
        });
        taken.collect()
    }
}

impl Engine {
    /// Tells the application a word of its device, if it wants to know.
    pub(crate) async fn tell_presence(&self, app: AppKey, device: DeviceKey, word: Word) {
        if !self.wants_presence(app) {
            return;
        }
        let minded = self.presence.begin(app, device, word);
        let kept = self.say_presence(app, device, word).await;
        if minded {
            self.presence.end(device, kept.is_ok());
        }
        if let Err(error) = kept {
            tracing::warn!(%error, ?word, again = minded, "a device's coming or going could not be told");
        }
    }

    /// Tells again what was not kept. Once it fails, the rest waits for the next time.
    pub(crate) async fn tell_presence_again(&self) -> Result<(), StoreError> {
        let mut so_far = Ok(());
        for (device, app, word) in self.presence.take() {
            if so_far.is_ok() {
                so_far = self.say_presence(app, device, word).await;
            }
            self.presence.end(device, so_far.is_ok());
        }
        so_far
    }

    /// Whether something has to be told again that nobody is telling.
    #[cfg(test)]
    pub(crate) fn is_presence_owed(&self) -> bool {
        let all = self.presence.lock();
        all.values()
            .any(|telling| telling.again && telling.under_way == 0)
    }

    fn wants_presence(&self, app: AppKey) -> bool {
        self.store.wants(app, &[NotifyType::DeviceInfoChanged])
    }

    async fn say_presence(&self, app: AppKey, device: DeviceKey, word: Word) -> Result<(), StoreError> {
        let there = || match word {
            Word::Session => self.sessions.of(device).is_some(),
            Word::There(there) => there,
        };
        for _ in 0..LOOKS {
            if !self.wants_presence(app) {
                return Ok(());
            }
            let online = there();
            self.store.presence(device, online, clock::now()).await?;
            if there() == online {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AppKey = AppKey(1);
    const DEVICE: DeviceKey = DeviceKey(7);

    #[test]
    fn what_was_kept_is_not_told_again() {
        let presence = Presence::default();
        presence.begin(APP, DEVICE, Word::There(true));
        assert_eq!(presence.take(), [], "it is under way");
        presence.end(DEVICE, true);
        assert_eq!(presence.take(), []);
        assert!(presence.lock().is_empty());
    }

    #[test]
    fn of_what_was_not_kept_the_newest_is_told_again() {
        let presence = Presence::default();
        for there in [true, false] {
            presence.begin(APP, DEVICE, Word::There(there));
            presence.end(DEVICE, false);
        }
        assert_eq!(presence.take(), [(DEVICE, APP, Word::There(false))]);
        presence.end(DEVICE, false);
        assert_eq!(presence.take(), [(DEVICE, APP, Word::There(false))]);
        presence.end(DEVICE, true);
        assert_eq!(presence.take(), []);
    }

    #[test]
    fn two_at_once_are_followed_by_the_newest() {
        let presence = Presence::default();
        presence.begin(APP, DEVICE, Word::There(true));
        presence.begin(APP, DEVICE, Word::There(false));
        presence.end(DEVICE, true);
        assert_eq!(presence.take(), []);
        presence.end(DEVICE, true);
        assert_eq!(presence.take(), [(DEVICE, APP, Word::There(false))]);
    }
}
