//! Writing packets, straight into the buffer that goes to the socket.

use super::{Reason, Version};

/// What CONNACK tells an MQTT 5 client of this server.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Capabilities {
    pub(in super::super) max_packet: u32,
}

/// A message to the client.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct PublishOut<'a> {
    pub(in super::super) topic: &'a str,
    /// With one it is QoS 1, without QoS 0.
    pub(in super::super) packet_id: Option<u16>,
    /// In seconds; MQTT 5 only.
    pub(in super::super) expiry: Option<u32>,
    pub(in super::super) payload: &'a [u8],
}

const EXPIRY_LEN: usize = 5;

/// CONNACK that accepts; session present is never set.
pub(in super::super) fn connack_accepted(out: &mut Vec<u8>, version: Version, capabilities: Capabilities) {
    match version {
        Version::V3 => out.extend_from_slice(&[0x20, 2, 0, 0]),
        Version::V5 => {
            let [a, b, c, d] = capabilities.max_packet.to_be_bytes();
            #[rustfmt::skip]
            let properties = [
                0x11, 0, 0, 0, 0, // the session ends with the connection
                0x24, 1,          // QoS 1 at the most
                0x25, 0,          // no retained messages
                0x27, a, b, c, d, // largest packet
                0x29, 0,          // no subscription identifiers
                0x2a, 0,          // no shared subscriptions
            ];
            let length = properties.len() as u8; // a constant below 128
            out.extend_from_slice(&[0x20, 3 + length, 0, 0, length]);
            out.extend_from_slice(&properties);
        }
    }
}

/// CONNACK that refuses: `code` is the return code of 3.1.1, `reason` the reason code of 5.
pub(in super::super) fn connack(out: &mut Vec<u8>, version: Version, code: u8, reason: Reason) {
    match version {
        Version::V3 => out.extend_from_slice(&[0x20, 2, 0, code]),
        Version::V5 => out.extend_from_slice(&[0x20, 3, 0, reason as u8, 0]),
    }
}

/// DISCONNECT with a reason; 3.1.1 servers have none to send.
pub(in super::super) fn disconnect(out: &mut Vec<u8>, version: Version, reason: Reason) {
    match version {
        Version::V3 => {}
        Version::V5 => out.extend_from_slice(&[0xe0, 1, reason as u8]),
    }
}

pub(in super::super) fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// PUBACK; the reason goes to MQTT 5 clients only.
pub(in super::super) fn puback(out: &mut Vec<u8>, version: Version, packet_id: u16, reason: Reason) {
    let [high, low] = packet_id.to_be_bytes();
    match (version, reason) {
        (Version::V3, _) | (Version::V5, Reason::Success) => out.extend_from_slice(&[0x40, 2, high, low]),
        (Version::V5, reason) => out.extend_from_slice(&[0x40, 3, high, low, reason as u8]),
    }
}

/// SUBACK: a byte per filter, in order.
pub(in super::super) fn suback(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[u8]) {
    answer(out, 0x90, version, packet_id, codes);
}

/// UNSUBACK: a byte per filter, in order, to MQTT 5 clients.
pub(in super::super) fn unsuback(out: &mut Vec<u8>, version: Version, packet_id: u16, codes: &[u8]) {
    let codes = match version {
        Version::V3 => &[],
        Version::V5 => codes,
    };
    answer(out, 0xb0, version, packet_id, codes);
}

fn answer(out: &mut Vec<u8>, first: u8, version: Version, packet_id: u16, codes: &[u8]) {
    let properties: &[u8] = match version {
        Version::V3 => &[],
        Version::V5 => &[0],
    };
    out.push(first);
    length(out, 2 + properties.len() + codes.len());
    out.extend_from_slice(&packet_id.to_be_bytes());
    out.extend_from_slice(properties);
    out.extend_from_slice(codes);
}

/// PUBLISH.
pub(in super::super) fn publish(out: &mut Vec<u8>, version: Version, message: PublishOut<'_>) {
    let qos = u8::from(message.packet_id.is_some());
    out.push(0x30 | qos << 1);
    length(out, publish_body(version, message));
    // Topics are built from ids that are bounded at registration.
    let topic = u16::try_from(message.topic.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&topic.to_be_bytes());
    out.extend_from_slice(&message.topic.as_bytes()[..usize::from(topic)]);
    if let Some(packet_id) = message.packet_id {
        out.extend_from_slice(&packet_id.to_be_bytes());
    }
    match (version, message.expiry) {
        (Version::V3, _) => {}
        (Version::V5, None) => out.push(0),
        (Version::V5, Some(secs)) => {
            out.extend_from_slice(&[EXPIRY_LEN as u8, 0x02]);
            out.extend_from_slice(&secs.to_be_bytes());
        }
    }
    out.extend_from_slice(message.payload);
}

/// The length of the whole PUBLISH packet.
pub(in super::super) fn publish_size(version: Version, message: PublishOut<'_>) -> usize {
    let body = publish_body(version, message);
    let mut header = Vec::new();
    length(&mut header, body);
    1 + header.len() + body
}

fn publish_body(version: Version, message: PublishOut<'_>) -> usize {
    let properties = match (version, message.expiry) {
        (Version::V3, _) => 0,
        (Version::V5, None) => 1,
        (Version::V5, Some(_)) => 1 + EXPIRY_LEN,
    };
    let packet_id = if message.packet_id.is_some() { 2 } else { 0 };
    2 + message.topic.len().min(usize::from(u16::MAX)) + packet_id + properties + message.payload.len()
}

/// A remaining length: 7 bits a byte, low ones first. Bodies are bounded far below its limit of 268,435,455.
fn length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let digit = (length & 0x7f) as u8; // 7 bits
        length >>= 7;
        if length == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}
