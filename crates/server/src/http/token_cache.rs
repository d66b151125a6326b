//! Access tokens that were checked lately, so that a request costs no read of the store.
//!
//! Bounded: two generations, the older dropped when the younger is full. Whoever revokes tokens in the store calls
//! [`TokenCache::forget_app`] or [`TokenCache::forget`] afterwards; an entry read from the store before that is not
//! taken in after it. Entries end with the token, and after a minute at the latest.

use foldhash::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downlink_core::{AppKey, Span, Timestamp};
use downlink_store::App;

use crate::secrets::TokenHash;

/// Entries of one generation.
const GENERATION: usize = 8192;
/// How long an entry is believed without asking the store again.
const FRESH: Span = Span::from_secs(60);

/// The cache.
pub(crate) struct TokenCache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    young: HashMap<TokenHash, Entry>,
    old: HashMap<TokenHash, Entry>,
    revocations: Revocations,
}

#[derive(Clone)]
struct Entry {
    app: Arc<App>,
    until: Timestamp,
}

/// How many revocations there were: what was read before one is not taken in after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Revocations(u64);

impl TokenCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The application of this access token, if the token is known and good at `now`.
    pub(crate) fn get(&self, token: TokenHash, now: Timestamp) -> Option<Arc<App>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.young.get(&token) {
            return (now < entry.until).then(|| Arc::clone(&entry.app));
        }
        let entry = entries.old.remove(&token).filter(|entry| now < entry.until)?;
        let app = Arc::clone(&entry.app);
        entries.put(token, entry);
        Some(app)
    }

    /// To be asked before the store is read.
    pub(crate) fn revocations(&self) -> Revocations {
        self.lock().revocations
    }

    /// Keeps what the store said of a token at `now`, unless something was revoked since `read_at`.
    pub(crate) fn put(
        &self,
        token: TokenHash,
        app: Arc<App>,
        ends: Timestamp,
        now: Timestamp,
        read_at: Revocations,
    ) {
        let mut entries = self.lock();
        if entries.revocations == read_at {
            let until = ends.min(now + FRESH);
            entries.put(token, Entry { app, until });
        }
    }

    /// Forgets one token.
    pub(crate) fn forget(&self, token: TokenHash) {
        let mut entries = self.lock();
        entries.revocations.0 += 1;
        entries.young.remove(&token);
        entries.old.remove(&token);
    }

    /// Forgets all tokens of an application.
    pub(crate) fn forget_app(&self, app: AppKey) {
        let mut entries = self.lock();
        entries.revocations.0 += 1;
        entries.young.retain(|_, entry| entry.app.key != app);
        entries.old.retain(|_, entry| entry.app.key != app);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn put(&mut self, token: TokenHash, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, entry);
    }
}

#[cfg(test)]
mod tests {
    use downlink_core::AppId;
    use downlink_store::AppSettings;

    use super::*;

    fn app(key: i64) -> Arc<App> {
        Arc::new(App {
            key: AppKey(key),
            id: AppId::new(format!("app-{key}")),
            name: String::new(),
            secret_hash: String::new(),
            settings: AppSettings::default(),
            created_at: at(0),
        })
    }

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn token(n: u64) -> TokenHash {
        TokenHash::of(&n.to_string())
    }

    fn put(cache: &TokenCache, n: u64, key: i64, ends: i64) {
        cache.put(token(n), app(key), at(ends), at(0), cache.revocations());
    }

    #[test]
    fn an_entry_ends_with_its_token_or_after_a_minute() {
        let cache = TokenCache::new();
        put(&cache, 1, 1, 10);
        put(&cache, 2, 1, 3600);
        assert!(cache.get(token(1), at(9)).is_some());
        assert!(cache.get(token(1), at(10)).is_none());
        assert!(cache.get(token(2), at(59)).is_some());
        assert!(cache.get(token(2), at(60)).is_none());
        assert!(cache.get(token(3), at(0)).is_none());
    }

    #[test]
    fn what_is_revoked_is_forgotten() {
        let cache = TokenCache::new();
        for (n, key) in [(1, 1), (2, 1), (3, 2)] {
            put(&cache, n, key, 3600);
        }
        cache.forget(token(1));
        assert!(cache.get(token(1), at(0)).is_none() && cache.get(token(2), at(0)).is_some());
        cache.forget_app(AppKey(1));
        assert!(cache.get(token(2), at(0)).is_none() && cache.get(token(3), at(0)).is_some());
    }

    #[test]
    fn what_was_read_before_a_revocation_is_not_taken_in_after_it() {
        let cache = TokenCache::new();
        let read_at = cache.revocations();
        cache.forget_app(AppKey(1));
        cache.put(token(1), app(1), at(3600), at(0), read_at);
        assert!(cache.get(token(1), at(0)).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::new();
        put(&cache, 0, 1, 3600);
        for n in 1..3 * GENERATION as u64 {
            put(&cache, n, 1, 3600);
            if n % 1000 == 0 {
                assert!(cache.get(token(0), at(0)).is_some(), "{n}");
            }
        }
        let entries = cache.lock();
        assert!(entries.young.len() + entries.old.len() <= 2 * GENERATION);
    }
}
