//! What the bench and a process with devices say to each other: a line of JSON each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the devices are to do, by their numbers within the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first so many wake, say that they are there, and go to sleep.
    Nap(u64),
    /// Waits until each of them lost something in its sleep.
    Lose(u64),
    /// Commands wait for some: they wake one after the other.
    Wake(Wakes),
}

/// Who wakes when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wakes {
    /// The first of those that a command waits for.
    pub(super) first: u64,
    /// How many these are. All behind them update their registrations meanwhile.
    pub(super) count: u64,
    /// Between two of them, microseconds.
    pub(super) every_us: u64,
    /// Between two updates of others, microseconds; 0: there are none.
    pub(super) beside_every_us: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    /// All are registered and observed.
    Registered,
    /// All that were told to are asleep.
    Asleep,
    /// Datagrams that were lost in sleep.
    Lost(u64),
    /// The commands that came.
    Woken(Woken),
}

/// How it went with the devices that woke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Woken {
    /// From each one's waking to the answer to its update, microseconds.
    pub(super) answers: Vec<u64>,
    /// From each one's waking to its command, microseconds.
    pub(super) first_bytes: Vec<u64>,
    /// Commands that did not come.
    pub(super) missing: u64,
    /// Messages that came twice to all devices of the process, since it began.
    pub(super) repeated: u64,
    /// Updates of others.
    pub(super) beside: u64,
}

/// As it stands in the lines.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
