//! The rate at which strangers are answered.

use crate::time::Millis;

/// Lets so many through in a second, and as many at once after a quiet second.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_sec: u64,
    /// In thousandths of one.
    left: u64,
    at: Millis,
}

impl Bucket {
    pub(crate) const fn new(per_sec: u32) -> Self {
        Self {
            per_sec: per_sec as u64,
            left: per_sec as u64 * 1000,
            at: Millis(0),
        }
    }

    pub(crate) fn take(&mut self, now: Millis) -> bool {
        let gained = now.since(self.at).saturating_mul(self.per_sec);
        self.left = self.left.saturating_add(gained).min(self.per_sec * 1000);
        self.at = self.at.max(now);
        let enough = self.left >= 1000;
        if enough {
            self.left -= 1000;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate() {
        let mut bucket = Bucket::new(10);
        assert_eq!((0..100).filter(|_| bucket.take(Millis(0))).count(), 10);
        assert_eq!((0..100).filter(|_| bucket.take(Millis(500))).count(), 5);
        assert_eq!((0..100).filter(|_| bucket.take(Millis(9000))).count(), 10);
    }
}
