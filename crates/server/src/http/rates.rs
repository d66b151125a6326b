//! How often an application may call: so many calls in a window, after each other or at once.
//!
//! A bucket for each application that called; it is full again a window after the last call, and then gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use downlink_core::{Span, Timestamp};

/// Buckets at which those that are full again are looked for.
const SWEEP_AT: usize = 1024;

/// See the module. `K`: whose bucket.
pub(crate) struct Rates<K> {
    /// Calls in a window; 0: without limit.
    calls: u32,
    window: Span,
    buckets: Mutex<Buckets<K>>,
}

struct Buckets<K> {
    of: HashMap<K, Bucket>,
    sweep_at: usize,
}

/// What was taken out of a bucket, as the time until it is full again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Timestamp,
}

impl<K: Eq + Hash> Rates<K> {
    pub(crate) fn new(calls: u32, window: Span) -> Self {
        Self {
            calls,
            window,
            buckets: Mutex::new(Buckets {
                of: HashMap::new(),
                sweep_at: SWEEP_AT,
            }),
        }
    }

    /// Counts a call. If it is one too many: how long until there is room for one.
    pub(crate) fn take(&self, whose: K, now: Timestamp) -> Result<(), Span> {
        if self.calls == 0 {
            return Ok(());
        }
        let cost = (self.window.as_millis() / i64::from(self.calls)).max(1);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.sweep(now);
        let bucket = buckets.of.entry(whose).or_insert(Bucket { full_at: now });
        let full_at = bucket.full_at.max(now) + millis(cost);
        match (full_at.as_millis() - now.as_millis()) - self.window.as_millis() {
            over @ 1.. => Err(millis(over)),
            _ => {
                bucket.full_at = full_at;
                Ok(())
            }
        }
    }

    /// Takes the last call back: it was none of those that are counted.
    pub(crate) fn give_back(&self, whose: &K, now: Timestamp) {
        if self.calls == 0 {
            return;
        }
        let cost = (self.window.as_millis() / i64::from(self.calls)).max(1);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.of.get_mut(whose) {
            let back = bucket.full_at.as_millis() - cost;
            bucket.full_at = Timestamp::from_millis(back.max(now.as_millis()));
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn sweep(&mut self, now: Timestamp) {
        if self.of.len() >= self.sweep_at {
            self.of.retain(|_, bucket| bucket.full_at > now);
            self.sweep_at = (self.of.len() * 2).max(SWEEP_AT);
        }
    }
}

fn millis(ms: i64) -> Span {
    Span::from_millis(u32::try_from(ms).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn so_many_at_once_and_then_one_as_room_comes_back() {
        let rates = Rates::new(3, Span::from_secs(60));
        for _ in 0..3 {
            assert_eq!(rates.take(1, at(0)), Ok(()));
        }
        assert_eq!(rates.take(1, at(0)), Err(Span::from_secs(20)));
        assert_eq!(rates.take(2, at(0)), Ok(()), "another has its own");
        assert_eq!(rates.take(1, at(19_999)), Err(Span::from_millis(1)));
        assert_eq!(rates.take(1, at(20_000)), Ok(()));
        assert!(rates.take(1, at(20_000)).is_err());
        for _ in 0..3 {
            assert_eq!(rates.take(1, at(200_000)), Ok(()), "full, and no more than full");
        }
        assert!(rates.take(1, at(200_000)).is_err());
    }

    #[test]
    fn what_is_given_back_may_be_taken_again_and_no_limit_is_none() {
        let rates = Rates::new(1, Span::from_secs(60));
        assert_eq!(rates.take(1, at(0)), Ok(()));
        rates.give_back(&1, at(0));
        assert_eq!(rates.take(1, at(0)), Ok(()));
        rates.give_back(&2, at(0));
        let without = Rates::new(0, Span::from_secs(60));
        assert!((0..1000).all(|_| without.take(1, at(0)).is_ok()));
    }

    #[test]
    fn buckets_that_are_full_again_go() {
        let rates = Rates::new(2, Span::from_secs(1));
        for whose in 0..10 * SWEEP_AT {
            rates.take(whose, at(whose as i64 * 2)).unwrap();
        }
        assert!(rates.buckets.lock().unwrap().of.len() <= 2 * SWEEP_AT);
    }
}
