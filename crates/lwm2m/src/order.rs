//! Which of two reports is the newer one (RFC 7641 §3.4).

use crate::time::Millis;

/// After this many milliseconds without a report, any number is new.
const FORGET_MS: u64 = 128_000;

/// The newest observe number of a device, and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newest {
    number: u32,
    at: Millis,
}

impl Newest {
    pub(crate) const fn new(number: u32, at: Millis) -> Self {
        Self { number, at }
    }

    /// Whether a report with this number, come now, is newer. `bits` is how wide the device's counter is.
    pub(crate) const fn is_before(&self, number: u32, now: Millis, bits: u32) -> bool {
        let mask = (1 << bits) - 1;
        let ahead = number.wrapping_sub(self.number) & mask;
        (ahead > 0 && ahead < 1 << (bits - 1)) || now.since(self.at) > FORGET_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newer(before: u32, number: u32, bits: u32) -> bool {
        Newest::new(before, Millis(0)).is_before(number, Millis(1), bits)
    }

    #[test]
    fn numbers_of_24_bits_wrap() {
        assert!(newer(1, 2, 24) && !newer(2, 1, 24) && !newer(2, 2, 24));
        assert!(newer(0xff_ffff, 0, 24) && !newer(0, 0xff_ffff, 24));
        assert!(newer(0, (1 << 23) - 1, 24) && !newer(0, 1 << 23, 24));
    }

    #[test]
    fn numbers_of_8_bits_wrap() {
        assert!(newer(255, 0, 8) && newer(250, 3, 8) && !newer(3, 250, 8) && !newer(9, 9, 8));
    }

    #[test]
    fn after_128_seconds_any_number_is_new() {
        let newest = Newest::new(9, Millis(1000));
        assert!(!newest.is_before(8, Millis(129_000), 24));
        assert!(newest.is_before(8, Millis(129_001), 24));
    }
}
