//! Writing of a message.

use super::{Code, Kind, Token};

const VERSION: u8 = 0b0100_0000;
/// From here on a delta or length has a byte of its own, from the second on two.
const ONE_BYTE: u32 = 13;
const TWO_BYTES: u32 = 269;

/// A message in the making. Options must be added in the order of their numbers.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    number: u16,
}

impl Builder {
    /// Begins a message.
    pub fn new(kind: Kind, code: Code, mid: u16, token: Token) -> Self {
        let token = token.as_slice();
        let mut bytes = Vec::with_capacity(32);
        bytes.extend([VERSION | (kind.bits() << 4) | token.len() as u8, code.0]);
        bytes.extend(mid.to_be_bytes());
        bytes.extend(token);
        Self { bytes, number: 0 }
    }

    /// An empty message: an ACK or RST to the message with this id.
    pub fn empty(kind: Kind, mid: u16) -> Vec<u8> {
        Self::new(kind, Code::EMPTY, mid, Token::default()).done()
    }

    /// Adds an option of at most 65,804 bytes. What is smaller than the one before is a fault of the program.
    #[must_use]
    pub fn option(mut self, number: u16, value: &[u8]) -> Self {
        debug_assert!(number >= self.number, "option {number} after {}", self.number);
        debug_assert!(
            value.len() <= usize::from(u16::MAX) + 269,
            "an option of {} bytes",
            value.len()
        );
        let (delta, delta_bytes) = split(u32::from(number.saturating_sub(self.number)));
        let (length, length_bytes) = split(value.len() as u32);
        self.bytes.push((delta << 4) | length);
        self.bytes
            .extend(delta_bytes.iter().chain(&length_bytes).flatten());
        self.bytes.extend(value);
        self.number = number;
        self
    }

    /// Adds a number in as few bytes as it needs, none for zero (RFC 7252 §3.2).
    #[must_use]
    pub fn uint(self, number: u16, value: u32) -> Self {
        let bytes = value.to_be_bytes();
        let zeros = value.leading_zeros() as usize / 8;
        self.option(number, &bytes[zeros..])
    }

    /// Adds an option for each segment or argument.
    #[must_use]
    pub fn each(self, number: u16, values: &[&str]) -> Self {
        values
            .iter()
            .fold(self, |message, value| message.option(number, value.as_bytes()))
    }

    /// Ends the message with this payload, if it is not empty.
    pub fn payload(mut self, payload: &[u8]) -> Vec<u8> {
        if !payload.is_empty() {
            self.bytes.push(0xff);
            self.bytes.extend(payload);
        }
        self.bytes
    }

    /// Ends the message without payload.
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}

/// The four bits of a delta or length, and up to two bytes that extend them.
fn split(number: u32) -> (u8, [Option<u8>; 2]) {
    if number < ONE_BYTE {
        (number as u8, [None, None])
    } else if number < TWO_BYTES {
        (13, [Some((number - ONE_BYTE) as u8), None])
    } else {
        let [high, low] = ((number - TWO_BYTES) as u16).to_be_bytes();
        (14, [Some(high), Some(low)])
    }
}
