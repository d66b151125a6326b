//! What a command is, apart from where it stands: its body, its mode, the statuses and events of its record.

use std::fmt;
use std::str::FromStr;

use crate::time::{Span, Timestamp};

/// The eight statuses of the platform's interface; what is stored, shown and pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Kept, not sent yet.
    Pending = 0,
    /// Committed for a live session; may have left.
    Sent = 1,
    /// The device's transport acknowledged it (PUBACK, CoAP ACK).
    Delivered = 2,
    /// The device's own result says it worked.
    Successful = 3,
    /// The device's own result says it did not, or it could not be sent at all.
    Failed = 4,
    /// It may have left, and no proof or no result came in time.
    Timeout = 5,
    /// Its lifetime ended before it was ever sent.
    Expired = 6,
    /// Withdrawn before it was ever sent.
    Canceled = 7,
}

impl Status {
    /// All of them, in the order of their stored codes.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Sent,
        Self::Delivered,
        Self::Successful,
        Self::Failed,
        Self::Timeout,
        Self::Expired,
        Self::Canceled,
    ];

    /// The word on the wire (`CANCELED` with one L, as the interface has it).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Successful => "SUCCESSFUL",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Expired => "EXPIRED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether nothing but a late result of the device can follow it.
    pub const fn is_end(self) -> bool {
        match self {
            Self::Pending | Self::Sent | Self::Delivered => false,
            Self::Successful | Self::Failed | Self::Timeout | Self::Expired | Self::Canceled => true,
        }
    }

    /// The stored code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The status with this stored code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the eight statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a command status")]
pub struct NotAStatus;

impl FromStr for Status {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(NotAStatus)
    }
}

/// A set of statuses: which changes of a command are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet(u8);

impl StatusSet {
    /// None: the command has no callback URL.
    pub const EMPTY: Self = Self(0);
    /// All but PENDING, which the answer to the create call already told.
    pub const ALL: Self = Self::of(&[
        Status::Sent,
        Status::Delivered,
        Status::Successful,
        Status::Failed,
        Status::Timeout,
        Status::Expired,
        Status::Canceled,
    ]);
    /// The five that the platform documents as pushed.
    pub const DOCUMENTED: Self = Self::of(&[
        Status::Sent,
        Status::Delivered,
        Status::Successful,
        Status::Failed,
        Status::Timeout,
    ]);

    /// The set of these statuses.
    pub const fn of(statuses: &[Status]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < statuses.len() {
            bits |= 1 << statuses[i].code();
            i += 1;
        }
        Self(bits)
    }

    /// Whether `status` is in it.
    pub const fn contains(self, status: Status) -> bool {
        self.0 & (1 << status.code()) != 0
    }

    /// The same set without `status`.
    #[must_use]
    pub const fn without(self, status: Status) -> Self {
        Self(self.0 & !(1 << status.code()))
    }

    /// The bits as stored.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with these stored bits.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// How a command waits for its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Sent at creation or refused; passes by the device's queue (`expireTime` 0).
    Immediate,
    /// Kept in the device's queue, oldest first, until `expires_at`.
    Cached {
        /// When its lifetime ends: it is not sent, nor sent again, from then on.
        expires_at: Timestamp,
    },
}

impl Mode {
    /// When the lifetime ends, if it has one.
    pub const fn expires_at(self) -> Option<Timestamp> {
        match self {
            Self::Immediate => None,
            Self::Cached { expires_at } => Some(expires_at),
        }
    }
}

/// Whether a result is expected of the device, and for how long it is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseRule {
    /// The device answers; without an answer `within` this time of the proof of delivery the command is TIMEOUT.
    Expected {
        /// How long the result is awaited.
        within: Span,
    },
    /// The product declares no response: DELIVERED is the final status.
    None,
}

/// What the device is asked to do, as the application gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandBody {
    /// Service of the device's product, 1–64 characters.
    pub service: String,
    /// Command of that service, 1–128 characters.
    pub method: String,
    /// The parameters: a JSON object, kept as the text it came as.
    pub paras: String,
}

/// One change of a command's status, as its record keeps it. Its `seq` is its place in the list, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The status from then on.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// Why, for people; empty where the status says it all.
    pub detail: String,
}
