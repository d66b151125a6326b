//! Kinds and codes of messages (RFC 7252 §3, §12.1; RFC 7959 §2.9; RFC 8516).

use std::fmt;

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Confirmable: sent again until it is acknowledged.
    Con,
    /// Non-confirmable.
    Non,
    /// Acknowledges a confirmable message.
    Ack,
    /// Says that a message meant nothing to its receiver.
    Rst,
}

impl Kind {
    pub(super) const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Con,
            1 => Self::Non,
            2 => Self::Ack,
            _ => Self::Rst,
        }
    }

    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::Con => 0,
            Self::Non => 1,
            Self::Ack => 2,
            Self::Rst => 3,
        }
    }
}

/// A code `c.dd`, shown as such.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

impl Code {
    /// 0.00: no request and no response.
    pub const EMPTY: Self = Self(0);
    /// 0.01
    pub const GET: Self = Self(1);
    /// 0.02
    pub const POST: Self = Self(2);
    /// 0.03
    pub const PUT: Self = Self(3);
    /// 0.04
    pub const DELETE: Self = Self(4);
    /// 2.01
    pub const CREATED: Self = Self::new(2, 1);
    /// 2.02
    pub const DELETED: Self = Self::new(2, 2);
    /// 2.04
    pub const CHANGED: Self = Self::new(2, 4);
    /// 2.05
    pub const CONTENT: Self = Self::new(2, 5);
    /// 2.31: go on with the next block.
    pub const CONTINUE: Self = Self::new(2, 31);
    /// 4.00
    pub const BAD_REQUEST: Self = Self::new(4, 0);
    /// 4.02: a critical option that is not understood.
    pub const BAD_OPTION: Self = Self::new(4, 2);
    /// 4.03
    pub const FORBIDDEN: Self = Self::new(4, 3);
    /// 4.04
    pub const NOT_FOUND: Self = Self::new(4, 4);
    /// 4.05
    pub const NOT_ALLOWED: Self = Self::new(4, 5);
    /// 4.08: not all blocks came.
    pub const INCOMPLETE: Self = Self::new(4, 8);
    /// 4.13
    pub const TOO_LARGE: Self = Self::new(4, 13);
    /// 4.29
    pub const TOO_MANY_REQUESTS: Self = Self::new(4, 29);
    /// 5.00
    pub const INTERNAL: Self = Self::new(5, 0);
    /// 5.03
    pub const UNAVAILABLE: Self = Self::new(5, 3);
    /// 5.05
    pub const NO_PROXY: Self = Self::new(5, 5);

    /// The code `class.detail`.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self((class << 5) | (detail & 0x1f))
    }

    /// The number before the dot.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The number after the dot.
    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    /// Whether this is a method.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// Whether this is an answer, good or bad.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// Whether this is a good answer.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
