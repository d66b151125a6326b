//! Checks of applications' secrets: what they may cost, and how often they may go wrong.
//!
//! A check costs CPU on purpose, so only a few run at once, never on the runtime's own threads, and only so many may go wrong
//! in a minute: for one application, whether it exists or not, and in all. A secret that was right before is known
//! again without the check, by a keyed digest in memory: whoever has it gets in while others guess.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use downlink_core::{AppKey, Span, Timestamp};
use downlink_store::App;
use ring::hmac;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::rates::Rates;
use crate::config;
use crate::secrets::random;

/// How long a login waits for its turn.
const WAIT: Duration = Duration::from_secs(5);
/// Logins that may wait, for each that may run; the rest are told to come again at once.
const WAITING_FOR_EACH: usize = 64;
const MINUTE: Span = Span::from_secs(60);

/// Checks that may go wrong in all, for each that may of one application.
const APPS: u32 = 10;

/// See the module.
pub(super) struct Logins {
    turns: Semaphore,
    places: Semaphore,
    tries: Rates<String>,
    wrong: Rates<String>,
    all_wrong: Rates<()>,
    key: hmac::Key,
    right: Mutex<HashMap<AppKey, [u8; 32]>>,
}

/// Leave to check a secret, for as long as it is held.
pub(super) struct Turn<'a> {
    _place: SemaphorePermit<'a>,
    _turn: SemaphorePermit<'a>,
}

impl Logins {
    pub(super) fn new(auth: &config::Auth) -> Self {
        let at_once = auth.max_logins_at_once.min(Semaphore::MAX_PERMITS);
        let places = at_once.saturating_mul(WAITING_FOR_EACH);
        Self {
            turns: Semaphore::new(at_once),
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            tries: Rates::new(auth.logins_per_minute, MINUTE),
            wrong: Rates::new(auth.wrong_logins_per_minute, MINUTE),
            all_wrong: Rates::new(auth.wrong_logins_per_minute.saturating_mul(APPS), MINUTE),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()),
            right: Mutex::default(),
        }
    }

    /// Counts a login to the application that has, or would have, this id. Too many: how long until the next may come.
    pub(super) fn begin(&self, id: &str, now: Timestamp) -> Result<(), Span> {
        self.tries.take(id.to_owned(), now)
    }

    /// Counts a check, as one that goes wrong until [`right`](Self::right) says otherwise.
    pub(super) fn risk(&self, id: &str, now: Timestamp) -> Result<(), Span> {
        self.all_wrong.take((), now)?;
        self.wrong.take(id.to_owned(), now)
    }

    /// Waits for a turn; none if too many wait, or it takes too long.
    pub(super) async fn turn(&self) -> Option<Turn<'_>> {
        let place = self.places.try_acquire().ok()?;
        let turn = tokio::time::timeout(WAIT, self.turns.acquire()).await;
        Some(Turn {
            _place: place,
            _turn: turn.ok()?.ok()?,
        })
    }

    /// Whether this was found to be the application's secret before, and is still the one.
    pub(super) fn knows(&self, app: &App, secret: &str) -> bool {
        let digest = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(digest) = digest.get(&app.key).copied() else {
            return false;
        };
        hmac::verify(&self.key, &said(app, secret), &digest).is_ok()
    }

    /// It was the application's secret.
    pub(super) fn right(&self, app: &App, secret: &str, now: Timestamp) {
        self.all_wrong.give_back(&(), now);
        self.wrong.give_back(&app.id.as_str().to_owned(), now);
        let tag = hmac::sign(&self.key, &said(app, secret));
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.insert(app.key, digest);
    }
}

/// With the stored hash, so that a secret that was changed is not known any more.
fn said(app: &App, secret: &str) -> Vec<u8> {
    [app.secret_hash.as_bytes(), &[0], secret.as_bytes()].concat()
}
