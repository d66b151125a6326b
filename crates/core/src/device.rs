//! What the life cycle has to know of a device's connection.

use std::num::NonZeroU16;

use crate::time::Span;

/// One connection of one device. Later sessions have higher ids, across restarts too; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

/// What a send over a session will prove by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The transport acknowledges (MQTT QoS 1, CoAP CON).
    Ack,
    /// Nothing but the device's result tells that it arrived (MQTT QoS 0).
    ResultOnly,
}

/// A reachable session's offer to send one command now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The session that will write it.
    pub session: SessionId,
    /// What the send will prove.
    pub proof: Proof,
    /// Whether the session's messages carry a [`Mid`] by which the answer is matched.
    pub needs_mid: bool,
    /// How long the acknowledgement of this send is awaited; none: as long as
    /// [`Policy::ack_wait`](crate::Policy::ack_wait) says.
    pub ack_wait: Option<Span>,
}

/// The number by which devices of the older topic family name a command in their answer: 1–65535, per device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mid(NonZeroU16);

impl Mid {
    /// The lowest one.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// The mid with this number; none for 0.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// The one that follows; 1 after 65535.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU16::MIN))
    }

    /// The one `n` places on, round the end.
    #[must_use]
    pub fn forward(self, n: u16) -> Self {
        let place = (u32::from(self.number()) - 1 + u32::from(n)) % 65_535;
        Self(NonZeroU16::MIN.saturating_add(place as u16))
    }
}

/// The two families of MQTT topics that devices speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicFamily {
    /// `/huawei/v1/devices/{id}/…`: matched by mid, the device must subscribe.
    Legacy,
    /// `$oc/devices/{id}/sys/…`: matched by request id, subscribed to implicitly.
    Oc,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mids_go_round_past_65535_without_zero() {
        let last = Mid::new(u16::MAX).unwrap();
        assert_eq!(last.next(), Mid::FIRST);
        assert_eq!(last.forward(1), Mid::FIRST);
        assert_eq!(Mid::FIRST.forward(65_534), last);
        assert_eq!(Mid::new(0), None);
    }
}
