//! Numbers that nobody outside can guess, from a secret seed: tokens, locations, message ids, spread of waits.

use sha2::{Digest, Sha256};

/// A generator: SHA-256 of the seed and a count. Who sees some of its numbers cannot tell the others, which matters
/// because every device sees the token that it was given.
pub(crate) struct Random {
    seed: [u8; 32],
    count: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            count: 0,
            block: [0; 32],
            used: 32,
        }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        if self.used >= self.block.len() {
            self.refill();
        }
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.block[self.used..self.used + 8]);
        self.used += 8;
        u64::from_be_bytes(eight)
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = high.saturating_sub(low).saturating_add(1);
        low + self.next_u64() % width
    }

    fn refill(&mut self) {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.count.to_be_bytes());
        self.block = hash.finalize().into();
        self.count += 1;
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_series_and_no_number_twice() {
        let (mut one, mut same, mut other) =
            (Random::new([1; 32]), Random::new([1; 32]), Random::new([2; 32]));
        let series: Vec<u64> = (0..1000).map(|_| one.next_u64()).collect();
        assert!(series.iter().all(|&n| n == same.next_u64()));
        assert!(series.iter().all(|&n| n != other.next_u64()));
        let distinct: std::collections::BTreeSet<_> = series.iter().collect();
        assert_eq!(distinct.len(), series.len());
    }

    #[test]
    fn between_has_both_ends() {
        let mut random = Random::new([3; 32]);
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| random.between(5, 7)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7]);
    }
}
