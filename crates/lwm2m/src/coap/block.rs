//! The value of Block1 and Block2 (RFC 7959 §2.2).

/// Which block, whether more follow, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number of the block, 20 bits.
    pub number: u32,
    /// Whether another follows.
    pub more: bool,
    /// Exponent of the size, 0–6: the block has 2^(4+exponent) bytes.
    pub exponent: u8,
}

impl Block {
    /// The largest number of a block.
    pub const LAST: u32 = 0xf_ffff;

    /// Reads a value; `None` for the reserved size and for more than three bytes.
    pub fn from_value(value: &[u8]) -> Option<Self> {
        if value.len() > 3 {
            return None;
        }
        let bits = value.iter().fold(0u32, |sum, &byte| (sum << 8) | u32::from(byte));
        let exponent = (bits & 0b111) as u8;
        (exponent < 7).then_some(Self {
            number: bits >> 4,
            more: bits & 0b1000 != 0,
            exponent,
        })
    }

    /// The value as a number, to be written like any other.
    pub const fn value(self) -> u32 {
        (self.number << 4) | ((self.more as u32) << 3) | self.exponent as u32
    }

    /// Bytes in a full block of this size.
    pub const fn size(self) -> usize {
        16 << self.exponent
    }

    /// Where the block begins in the body.
    pub const fn offset(self) -> usize {
        self.number as usize * self.size()
    }

    /// The largest exponent whose block has at most `bytes` bytes, 0 at the least.
    pub const fn exponent_within(bytes: usize) -> u8 {
        let mut exponent = 6;
        while exponent > 0 && (16 << exponent) > bytes {
            exponent -= 1;
        }
        exponent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_rfc() {
        // RFC 7959 §3.1: 2:0/1/128 is block 0, more, exponent 3.
        let first = Block {
            number: 0,
            more: true,
            exponent: 3,
        };
        assert_eq!(first.value(), 0x0b);
        assert_eq!(Block::from_value(&[0x0b]), Some(first));
        let third = Block {
            number: 3,
            more: false,
            exponent: 3,
        };
        assert_eq!(Block::from_value(&[0x33]), Some(third));
        assert_eq!((third.size(), third.offset()), (128, 384));
        assert_eq!(
            Block::from_value(&[]),
            Some(Block {
                number: 0,
                more: false,
                exponent: 0
            })
        );
    }

    #[test]
    fn the_reserved_size_and_long_values_are_no_blocks() {
        assert_eq!(Block::from_value(&[0x07]), None);
        assert_eq!(Block::from_value(&[0, 0, 0, 0]), None);
    }

    #[test]
    fn the_exponent_fits() {
        assert_eq!(Block::exponent_within(1024), 6);
        assert_eq!(Block::exponent_within(1023), 5);
        assert_eq!(Block::exponent_within(128), 3);
        assert_eq!(Block::exponent_within(0), 0);
    }
}
