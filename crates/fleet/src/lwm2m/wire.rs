//! CoAP messages (RFC 7252) as this device writes and reads them. The codec is `coap-lite`; what is here is which
//! options go where.

use std::collections::LinkedList;

pub(super) use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType};

use super::settings::Code;

/// Content format of raw bytes.
pub(super) const OCTETS: u16 = 42;
/// Content format of lists of links (RFC 6690).
pub(super) const LINKS: u16 = 40;

/// Reads a datagram; `None` if it is not CoAP version 1.
pub(super) fn read(datagram: &[u8]) -> Option<Packet> {
    let packet = Packet::from_bytes(datagram).ok()?;
    (packet.header.get_version() == 1).then_some(packet)
}

/// The bytes of a message.
pub(super) fn bytes(packet: &Packet) -> Vec<u8> {
    packet
        .to_bytes_unlimited()
        .expect("tokens are 8 bytes at the most")
}

/// A message without options.
pub(super) fn message(kind: MessageType, code: MessageClass, message_id: u16, token: &[u8]) -> Packet {
    let mut packet = Packet::new();
    packet.header.set_version(1);
    packet.header.set_type(kind);
    packet.header.code = code;
    packet.header.message_id = message_id;
    packet.set_token(token.to_vec());
    packet
}

/// The empty acknowledgement or reset of a message.
pub(super) fn empty(kind: MessageType, message_id: u16) -> Vec<u8> {
    bytes(&message(kind, MessageClass::Empty, message_id, &[]))
}

/// Sets an option that can stand several times.
pub(super) fn set_all<T: AsRef<[u8]>>(packet: &mut Packet, option: CoapOption, values: &[T]) {
    let values: LinkedList<_> = values.iter().map(|value| value.as_ref().to_vec()).collect();
    packet.set_option(option, values);
}

/// Sets an option that is a number, in as few bytes as it needs (RFC 7252 §3.2).
pub(super) fn set_number(packet: &mut Packet, option: CoapOption, number: u32) {
    let bytes = number.to_be_bytes();
    let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    set_all(packet, option, &[&bytes[from..]]);
}

/// The number in an option; `None` if it is absent or longer than four bytes.
pub(super) fn number(packet: &Packet, option: CoapOption) -> Option<u32> {
    let value = packet.get_first_option(option)?;
    let fits = value.len() <= 4;
    fits.then(|| value.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

/// The segments of a path option.
pub(super) fn segments(packet: &Packet, option: CoapOption) -> Vec<Vec<u8>> {
    packet
        .get_option(option)
        .map(|values| values.iter().cloned().collect())
        .unwrap_or_default()
}

/// Segments for people, `a/b`.
pub(super) fn joined(segments: &[Vec<u8>]) -> String {
    let texts: Vec<_> = segments
        .iter()
        .map(|segment| String::from_utf8_lossy(segment))
        .collect();
    texts.join("/")
}

/// The code of a message as a byte.
pub(super) fn code(packet: &Packet) -> Code {
    Code(packet.header.code.into())
}

/// Whether it is a response: class 2, 4 or 5.
pub(super) fn is_response(packet: &Packet) -> bool {
    matches!(code(packet).0 >> 5, 2 | 4 | 5)
}
