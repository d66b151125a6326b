//! A bounded memory of what was looked up lately.

use foldhash::HashMap;
use std::borrow::Borrow;
use std::hash::Hash;

/// A map of at the most `2 * half` entries that forgets what was not asked for lately: two generations, the older
/// one dropped whole when the younger is full.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    half: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Memo<K, V> {
    pub(super) fn new(half: usize) -> Self {
        Self {
            half: half.max(1),
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }

    /// The value of `key`, which counts as asked for.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.young.contains_key(key)
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.put(key, value);
        }
        self.young.get_mut(key)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn forget<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Does something to all that is remembered.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut V)) {
        self.young
            .values_mut()
            .chain(self.old.values_mut())
            .for_each(&mut act);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_keeps_what_is_asked_for() {
        let mut memo = Memo::new(10);
        memo.put(0, 'x');
        for key in 1..1000 {
            memo.put(key, 'y');
            assert_eq!(memo.get(&0), Some(&mut 'x'), "after {key}");
            assert!(memo.young.len() + memo.old.len() <= 20);
        }
        assert_eq!(memo.get(&1), None);
        memo.forget(&0);
        assert_eq!(memo.get(&0), None);
    }
}
