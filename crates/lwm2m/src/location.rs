//! The name of a registration in its location `/rd/{name}`: ten characters that nobody can guess, as whoever knows
//! it can move the registration of a plain device to another address.

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LENGTH: u32 = 10;

/// Fifty bits of a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location(u64);

impl Location {
    pub(crate) const fn from_random(number: u64) -> Self {
        Self(number >> (64 - 5 * LENGTH))
    }

    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number & ((1 << (5 * LENGTH)) - 1))
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn text(self) -> String {
        (0..LENGTH)
            .rev()
            .map(|place| char::from(ALPHABET[(self.0 >> (5 * place)) as usize & 31]))
            .collect()
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != LENGTH as usize {
            return None;
        }
        text.iter()
            .try_fold(0u64, |sum, byte| {
                let digit = ALPHABET.iter().position(|letter| letter == byte)?;
                Some((sum << 5) | digit as u64)
            })
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for number in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
            let location = Location::from_random(number);
            assert_eq!(location.text().len(), 10);
            assert_eq!(Location::parse(location.text().as_bytes()), Some(location));
        }
        for text in ["", "aaaaaaaaa", "aaaaaaaaaaa", "aaaaaaaaal", "AAAAAAAAAA"] {
            assert_eq!(Location::parse(text.as_bytes()), None, "{text}");
        }
    }
}
