//! MQTT packets: bytes to packets and back.
//!
//! Owns the framing, with its limit on size, and the parsing, done by `mqtt-protocol-core`, of which nothing is seen
//! outside. Nothing a peer sends can make it panic or reserve memory beyond what has arrived. What that crate does
//! not check (flags of the fixed header, packet id 0, wildcards in topic names) is checked here. What packets mean is
//! left to others.

mod decode;
mod encode;

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};

pub(super) use decode::{CONNECT, decode, decode_connect};
pub(super) use encode::{
    Capabilities, PublishOut, connack, connack_accepted, disconnect, pingresp, puback, publish, publish_size,
    suback, unsuback,
};

/// The protocol versions spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.1.1
    V3,
    /// 5.0
    V5,
}

/// Reason codes of MQTT 5 (section 2.4) that this gateway gives. On 3.1.1 most of them are only a closed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    Success = 0x00,
    NoSubscriptionExisted = 0x11,
    Malformed = 0x81,
    Protocol = 0x82,
    ImplementationSpecific = 0x83,
    UnsupportedVersion = 0x84,
    ClientIdNotValid = 0x85,
    BadCredentials = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ShuttingDown = 0x8b,
    BadAuthenticationMethod = 0x8c,
    KeepAliveTimeout = 0x8d,
    TakenOver = 0x8e,
    FilterInvalid = 0x8f,
    TopicInvalid = 0x90,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    RetainNotSupported = 0x9a,
    QosNotSupported = 0x9b,
    SharedNotSupported = 0x9e,
    SubscriptionIdsNotSupported = 0xa1,
}

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) user_name: Option<String>,
    pub(super) password: Option<Vec<u8>>,
    /// Seconds; 0: none.
    pub(super) keep_alive: u16,
    pub(super) will: Option<Will>,
    /// An AUTH exchange is asked for (MQTT 5).
    pub(super) extended_auth: bool,
    /// QoS 1 messages that may be on their way to the peer at once (MQTT 5).
    pub(super) receive_maximum: u16,
    /// The largest packet the peer takes (MQTT 5).
    pub(super) max_packet: u32,
}

/// What matters of a will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// A packet that a client may send after its CONNECT.
#[derive(Debug)]
pub(super) enum Packet {
    Publish(Publish),
    Puback { packet_id: u16, reason: u8 },
    Subscribe(Subscribe),
    Unsubscribe { packet_id: u16, filters: Vec<String> },
    Pingreq,
    Disconnect,
}

/// A message of the client.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Not 0; present with QoS 1 and 2.
    pub(super) packet_id: Option<u16>,
    /// It names its topic by an alias, wholly or in addition (MQTT 5).
    pub(super) has_alias: bool,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    V3(v3_1_1::Publish),
    V5(v5_0::Publish),
}

impl Publish {
    pub(super) fn topic(&self) -> &str {
        match &self.inner {
            Inner::V3(publish) => publish.topic_name(),
            Inner::V5(publish) => publish.topic_name(),
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        match &self.inner {
            Inner::V3(publish) => publish.payload().as_slice(),
            Inner::V5(publish) => publish.payload().as_slice(),
        }
    }
}

/// A request to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscribe {
    pub(super) packet_id: u16,
    /// Filters and the QoS asked for, 0 to 2.
    pub(super) filters: Vec<(String, u8)>,
    /// It carries a subscription identifier (MQTT 5).
    pub(super) has_identifier: bool,
}

/// The frame of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Type and flags.
    pub(super) first: u8,
    /// All after the remaining length.
    pub(super) body: &'a [u8],
    /// The whole packet's length.
    pub(super) len: usize,
}

/// The first packet in `bytes`; `None`: it is not complete yet. A packet whose length is over `max` is refused as
/// soon as its length is known.
pub(super) fn frame(bytes: &[u8], max: usize) -> Result<Option<Frame<'_>>, Reason> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let (mut length, mut digits) = (0usize, 0usize);
    loop {
        let Some(&digit) = rest.get(digits) else {
            return Ok(None);
        };
        length |= usize::from(digit & 0x7f) << (7 * digits);
        digits += 1;
        if digit & 0x80 == 0 {
            break;
        }
        if digits == 4 {
            return Err(Reason::Malformed);
        }
    }
    let len = 1 + digits + length;
    if len > max {
        return Err(Reason::PacketTooLarge);
    }
    Ok(bytes.get(1 + digits..len).map(|body| Frame { first, body, len }))
}

#[cfg(test)]
mod tests;
