//! The operator's figures that the life cycle goes by.

use crate::time::{Span, Timestamp};

/// Waits and limits of the life cycle. One value serves the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many times a cached command is sent at the most before it is TIMEOUT.
    pub max_sends: u8,
    /// How long a send with [`Proof::Ack`](crate::Proof::Ack) waits for its acknowledgement.
    pub ack_wait: Span,
    /// How long a cached send without acknowledgement holds the device's slot.
    pub slot_wait: Span,
    /// How long after TIMEOUT (or FAILED by transport) the device's own result still amends it.
    pub late_window: Span,
    /// When this process began to accept work.
    pub up_since: Timestamp,
    /// Ack and response deadlines that fell due before `up_since` fall due this long after it.
    pub restart_grace: Span,
}

impl Policy {
    /// The figures of the design, for a process up since `up_since`.
    pub const fn standard(up_since: Timestamp) -> Self {
        Self {
            max_sends: 5,
            ack_wait: Span::from_secs(30),
            slot_wait: Span::from_secs(30),
            late_window: Span::from_secs(24 * 3600),
            up_since,
            restart_grace: Span::from_secs(60),
        }
    }

    /// When an ack or response deadline stored as `due` really falls due: a device could not answer while the
    /// server was down, so what passed then gets [`restart_grace`](Self::restart_grace) from the start.
    pub fn effective(&self, due: Timestamp) -> Timestamp {
        if due < self.up_since {
            self.up_since + self.restart_grace
        } else {
            due
        }
    }
}
