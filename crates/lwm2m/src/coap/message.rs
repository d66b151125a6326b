//! Reading of a datagram. What is wrong is found before anything is believed.

use super::{Block, Code, Kind, option};

/// The longest token (RFC 7252 §3).
const TOKEN_MAX: usize = 8;
const HEADER: usize = 4;
const PAYLOAD_MARKER: u8 = 0xff;

/// A token of 0 to 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token {
    bytes: [u8; TOKEN_MAX],
    length: u8,
}

impl Token {
    /// A token of these bytes; `None` if there are more than eight.
    pub fn from_slice(slice: &[u8]) -> Option<Self> {
        let mut bytes = [0; TOKEN_MAX];
        bytes.get_mut(..slice.len())?.copy_from_slice(slice);
        Some(Self {
            bytes,
            length: slice.len() as u8,
        })
    }

    /// The token of eight bytes that this number is.
    pub const fn from_number(number: u64) -> Self {
        Self {
            bytes: number.to_be_bytes(),
            length: TOKEN_MAX as u8,
        }
    }

    /// Its number, if it has eight bytes.
    pub const fn number(&self) -> Option<u64> {
        if self.length as usize == TOKEN_MAX {
            Some(u64::from_be_bytes(self.bytes))
        } else {
            None
        }
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a datagram is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too short for a header, or of another version: to be ignored (RFC 7252 §3).
    #[error("no CoAP message")]
    NotCoap,
    /// A message format error: a confirmable one is to be reset, the others ignored (RFC 7252 §4.2, §4.3).
    #[error("a CoAP message with a format error")]
    Malformed {
        /// Its type.
        kind: Kind,
        /// Its message id.
        mid: u16,
    },
}

/// A message, over the bytes that it came in.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its type.
    pub kind: Kind,
    /// Method or status.
    pub code: Code,
    /// Its message id.
    pub mid: u16,
    /// Its token.
    pub token: Token,
    /// What follows the payload marker; empty if there is none.
    pub payload: &'a [u8],
    options: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`Fault`] for everything that RFC 7252 §3 calls a message format error, codes of reserved classes included.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Fault> {
        let &[first, code, high, low, ..] = datagram else {
            return Err(Fault::NotCoap);
        };
        if first >> 6 != 1 {
            return Err(Fault::NotCoap);
        }
        let (kind, code, mid) = (
            Kind::from_bits(first >> 4),
            Code(code),
            u16::from_be_bytes([high, low]),
        );
        let rest = Rest {
            datagram,
            token_length: usize::from(first & 0x0f),
        };
        rest.read(kind, code, mid).ok_or(Fault::Malformed { kind, mid })
    }

    /// Its options in order.
    pub const fn options(&self) -> Options<'a> {
        Options {
            rest: self.options,
            number: 0,
        }
    }

    /// The values of one option, in order.
    pub fn values(&self, number: u16) -> impl Iterator<Item = &'a [u8]> {
        self.options()
            .filter(move |option| option.0 == number)
            .map(|option| option.1)
    }

    /// The first value of an option, read as an unsigned number; `None` if absent or longer than four bytes.
    pub fn uint(&self, number: u16) -> Option<u32> {
        let value = self.values(number).next()?;
        (value.len() <= 4).then(|| value.iter().fold(0, |sum, &byte| (sum << 8) | u32::from(byte)))
    }

    /// The first value of a block option: `Ok(None)` if absent, `Err` if it is no block.
    #[allow(clippy::result_unit_err)]
    pub fn block(&self, number: u16) -> Result<Option<Block>, ()> {
        self.values(number)
            .next()
            .map(|value| Block::from_value(value).ok_or(()))
            .transpose()
    }

    /// Whether the path has exactly these segments.
    pub fn path_is(&self, path: &[&str]) -> bool {
        self.values(option::URI_PATH)
            .eq(path.iter().map(|segment| segment.as_bytes()))
    }
}

/// What comes after the fixed header.
struct Rest<'a> {
    datagram: &'a [u8],
    token_length: usize,
}

impl<'a> Rest<'a> {
    fn read(&self, kind: Kind, code: Code, mid: u16) -> Option<Message<'a>> {
        let body = &self.datagram[HEADER..];
        if self.token_length > TOKEN_MAX || !(code == Code::EMPTY || code.is_request() || code.is_response())
        {
            return None;
        }
        // An empty message ends after its id (RFC 7252 §4.1).
        if code == Code::EMPTY && (self.token_length > 0 || !body.is_empty()) {
            return None;
        }
        let (token, body) = body.split_at_checked(self.token_length)?;
        let (options, payload) = split_payload(body)?;
        Some(Message {
            kind,
            code,
            mid,
            token: Token::from_slice(token)?,
            payload,
            options,
        })
    }
}

/// Walks over the options; `None` for a format error, a marker without payload included.
fn split_payload(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut rest, mut number) = (body, 0);
    while let Some(&first) = rest.first() {
        if first == PAYLOAD_MARKER {
            let options = &body[..body.len() - rest.len()];
            return (rest.len() > 1).then(|| (options, &rest[1..]));
        }
        (number, _, rest) = next_option(rest, number)?;
    }
    Some((body, &[]))
}

/// The option at the start of `rest`: its number, its value, and what follows.
fn next_option(rest: &[u8], before: u16) -> Option<(u16, &[u8], &[u8])> {
    let (&first, rest) = rest.split_first()?;
    let (delta, rest) = extended(first >> 4, rest)?;
    let (length, rest) = extended(first & 0x0f, rest)?;
    let number = u16::try_from(u32::from(before) + delta).ok()?;
    let (value, rest) = rest.split_at_checked(length as usize)?;
    Some((number, value, rest))
}

/// A delta or length of four bits with the bytes that extend it (RFC 7252 §3.1).
fn extended(nibble: u8, rest: &[u8]) -> Option<(u32, &[u8])> {
    match (nibble, rest) {
        (15, _) => None,
        (14, &[high, low, ref rest @ ..]) => Some((u32::from(u16::from_be_bytes([high, low])) + 269, rest)),
        (13, &[byte, ref rest @ ..]) => Some((u32::from(byte) + 13, rest)),
        (13 | 14, _) => None,
        (small, rest) => Some((u32::from(small), rest)),
    }
}

/// The options of a message, as number and value. They were checked when the message was read.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    rest: &'a [u8],
    number: u16,
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, value, rest) = next_option(self.rest, self.number)?;
        (self.rest, self.number) = (rest, number);
        Some((number, value))
    }
}
