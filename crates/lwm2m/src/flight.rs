//! What is to be sent to one device: one confirmable message in flight (NSTART 1, RFC 7252 §4.7), others behind it.

use crate::schedule::Resends;
use crate::time::Millis;
use std::collections::VecDeque;

/// A write in the making.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) tag: u64,
    pub(crate) payload: Vec<u8>,
    /// The most resends of each message of it.
    pub(crate) cap: Option<u8>,
    /// How far it has got, if it goes out in blocks.
    pub(crate) blocks: Option<Progress>,
}

/// How far a transfer in blocks has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) exponent: u8,
    pub(crate) offset: usize,
}

/// A message to be sent, or in flight.
#[derive(Debug)]
pub(crate) enum Job {
    /// The observation by which the device reports.
    Observe,
    /// A write of the caller.
    Write(Write),
    /// The next block of a large report.
    Fetch,
}

/// A message in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) job: Job,
    pub(crate) mid: u16,
    pub(crate) token: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) resends: Resends,
    /// Whether the device has acknowledged the message without answering it.
    pub(crate) acknowledged: bool,
    /// When it is sent again or given up.
    pub(crate) due: Millis,
}

/// What one device is sent.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) flight: Option<Flight>,
    pub(crate) waiting: VecDeque<Job>,
}

impl Lane {
    pub(crate) fn is_idle(&self) -> bool {
        self.flight.is_none() && self.waiting.is_empty()
    }
}
