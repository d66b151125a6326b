//! Parsing, and the checks that the parser leaves out.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use super::{Connect, Frame, Inner, Packet, Publish, Reason, Subscribe, Version, Will};

/// The first byte of a CONNECT.
pub(in super::super) const CONNECT: u8 = 0x10;

const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

/// The CONNECT in a connection's first frame. `UnsupportedVersion`: a CONNECT, but of another version; all else: not
/// a CONNECT at all, or a broken one.
pub(in super::super) fn decode_connect(frame: Frame<'_>) -> Result<Connect, Reason> {
    if frame.first != CONNECT {
        return Err(Reason::Protocol);
    }
    let (level, flags) = level_and_flags(frame.body)?;
    if flags & 1 != 0 || (flags >> 3) & 3 == 3 || (flags & 4 == 0 && flags & 0x38 != 0) {
        return Err(Reason::Malformed);
    }
    match level {
        4 => connect_v3(frame.body),
        5 => connect_v5(frame.body),
        _ => Err(Reason::UnsupportedVersion),
    }
}

/// The protocol level and the connect flags, whatever the length of the protocol's name (`MQIsdp` in 3.1).
fn level_and_flags(body: &[u8]) -> Result<(u8, u8), Reason> {
    let &[high, low, ref rest @ ..] = body else {
        return Err(Reason::Malformed);
    };
    let name = usize::from(u16::from_be_bytes([high, low]));
    match (rest.get(..name), rest.get(name), rest.get(name + 1)) {
        (Some(b"MQTT"), Some(&level), Some(&flags)) => Ok((level, flags)),
        (Some(b"MQIsdp"), Some(_), Some(_)) => Err(Reason::UnsupportedVersion),
        (Some(_) | None, _, _) => Err(Reason::Malformed),
    }
}

fn connect_v3(body: &[u8]) -> Result<Connect, Reason> {
    let packet = exact(v3_1_1::Connect::parse(body), body)?;
    Ok(Connect {
        version: Version::V3,
        client_id: packet.client_id().to_owned(),
        user_name: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        keep_alive: packet.keep_alive(),
        will: packet.will_flag().then(|| Will {
            qos: packet.will_qos() as u8,
            retain: packet.will_retain(),
        }),
        extended_auth: false,
        receive_maximum: u16::MAX,
        max_packet: u32::MAX,
    })
}

fn connect_v5(body: &[u8]) -> Result<Connect, Reason> {
    let packet = exact(v5_0::Connect::parse(body), body)?;
    let mut connect = Connect {
        version: Version::V5,
        client_id: packet.client_id().to_owned(),
        user_name: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        keep_alive: packet.keep_alive(),
        will: packet.will_flag().then(|| Will {
            qos: packet.will_qos() as u8,
            retain: packet.will_retain(),
        }),
        extended_auth: false,
        receive_maximum: u16::MAX,
        max_packet: u32::MAX,
    };
    for property in packet.props() {
        if let Property::ReceiveMaximum(most) = property {
            connect.receive_maximum = most.val();
        } else if let Property::MaximumPacketSize(most) = property {
            connect.max_packet = most.val();
        } else if let Property::AuthenticationMethod(_) = property {
            connect.extended_auth = true;
        }
    }
    if connect.receive_maximum == 0 || connect.max_packet == 0 {
        return Err(Reason::Protocol);
    }
    Ok(connect)
}

/// A packet after the CONNECT. What a client may not send is a protocol error.
pub(in super::super) fn decode(frame: Frame<'_>, version: Version) -> Result<Packet, Reason> {
    let (kind, flags) = (frame.first >> 4, frame.first & 0x0f);
    let expected = match kind {
        PUBLISH => flags,
        SUBSCRIBE | UNSUBSCRIBE => 0b0010,
        PUBACK | PINGREQ | DISCONNECT => 0,
        // CONNECT again, what only servers send, the QoS 2 packets, AUTH.
        _ => return Err(Reason::Protocol),
    };
    if flags != expected {
        return Err(Reason::Malformed);
    }
    match kind {
        PUBLISH => publish(flags, frame.body, version),
        PUBACK => puback(frame.body, version),
        SUBSCRIBE => subscribe(frame.body, version).map(Packet::Subscribe),
        UNSUBSCRIBE => unsubscribe(frame.body, version),
        PINGREQ if frame.body.is_empty() => Ok(Packet::Pingreq),
        DISCONNECT if version == Version::V3 && frame.body.is_empty() => Ok(Packet::Disconnect),
        DISCONNECT if version == Version::V5 => {
            exact(v5_0::Disconnect::parse(frame.body), frame.body).map(|_| Packet::Disconnect)
        }
        _ => Err(Reason::Malformed),
    }
}

fn publish(flags: u8, body: &[u8], version: Version) -> Result<Packet, Reason> {
    let shared: Arc<[u8]> = Arc::from(body);
    let (packet_id, has_alias, inner) = match version {
        Version::V3 => {
            let (packet, _) = v3_1_1::Publish::parse(flags, shared).map_err(reason)?;
            (packet.packet_id(), false, Inner::V3(packet))
        }
        Version::V5 => {
            let (packet, _) = v5_0::Publish::parse(flags, shared).map_err(reason)?;
            let alias = packet
                .props()
                .iter()
                .any(|property| matches!(property, Property::TopicAlias(_)));
            (packet.packet_id(), alias, Inner::V5(packet))
        }
    };
    let publish = Publish {
        qos: flags >> 1 & 3,
        retain: flags & 1 != 0,
        packet_id,
        has_alias,
        inner,
    };
    let topic = publish.topic();
    if packet_id == Some(0) || (topic.is_empty() && version == Version::V3) {
        return Err(Reason::Malformed);
    }
    match topic.contains(['+', '#', '\0']) {
        true => Err(Reason::TopicInvalid),
        false => Ok(Packet::Publish(publish)),
    }
}

fn puback(body: &[u8], version: Version) -> Result<Packet, Reason> {
    let (packet_id, reason) = match version {
        Version::V3 => match *body {
            [high, low] => (u16::from_be_bytes([high, low]), 0),
            _ => return Err(Reason::Malformed),
        },
        Version::V5 => {
            let packet = exact(v5_0::Puback::parse(body), body)?;
            (
                packet.packet_id(),
                packet.reason_code().map_or(0, |code| code as u8),
            )
        }
    };
    Ok(Packet::Puback { packet_id, reason })
}

fn subscribe(body: &[u8], version: Version) -> Result<Subscribe, Reason> {
    let (packet_id, entries, has_identifier) = match version {
        Version::V3 => {
            let packet = exact(v3_1_1::Subscribe::parse(body), body)?;
            (packet.packet_id(), packet.entries().clone(), false)
        }
        Version::V5 => {
            let packet = exact(v5_0::Subscribe::parse(body), body)?;
            let identifier = packet
                .props()
                .iter()
                .any(|property| matches!(property, Property::SubscriptionIdentifier(_)));
            (packet.packet_id(), packet.entries().clone(), identifier)
        }
    };
    let filters = entries
        .iter()
        .map(|entry| (entry.topic_filter().to_owned(), entry.sub_opts().qos() as u8))
        .collect();
    match packet_id {
        0 => Err(Reason::Malformed),
        packet_id => Ok(Subscribe {
            packet_id,
            filters,
            has_identifier,
        }),
    }
}

fn unsubscribe(body: &[u8], version: Version) -> Result<Packet, Reason> {
    let (packet_id, filters) = match version {
        Version::V3 => {
            let packet = exact(v3_1_1::Unsubscribe::parse(body), body)?;
            (packet.packet_id(), packet.entries().clone())
        }
        Version::V5 => {
            let packet = exact(v5_0::Unsubscribe::parse(body), body)?;
            (packet.packet_id(), packet.entries().clone())
        }
    };
    let filters = filters.iter().map(|filter| filter.as_str().to_owned()).collect();
    match packet_id {
        0 => Err(Reason::Malformed),
        packet_id => Ok(Packet::Unsubscribe { packet_id, filters }),
    }
}

/// The packet, if it is all there was in the body.
fn exact<T>(parsed: Result<(T, usize), MqttError>, body: &[u8]) -> Result<T, Reason> {
    match parsed {
        Ok((packet, used)) if used == body.len() => Ok(packet),
        Ok(_) => Err(Reason::Malformed),
        Err(error) => Err(reason(error)),
    }
}

#[allow(clippy::wildcard_enum_match_arm)] // the parser's own list of errors, most of which cannot come from parsing
fn reason(error: MqttError) -> Reason {
    match error {
        MqttError::ProtocolError => Reason::Protocol,
        MqttError::UnsupportedProtocolVersion => Reason::UnsupportedVersion,
        MqttError::TopicNameInvalid => Reason::TopicInvalid,
        MqttError::TopicFilterInvalid => Reason::FilterInvalid,
        _ => Reason::Malformed,
    }
}
