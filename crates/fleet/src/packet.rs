//! The MQTT 3.1.1 packets that a device of this kind writes and reads (OASIS standard of 2014). No session logic.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::credentials::Login;

/// Quality of service; 2 does not occur on these interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Qos {
    /// At most once.
    Zero,
    /// At least once, acknowledged.
    #[default]
    One,
}

/// A packet of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to CONNECT.
    ConnAck {
        /// 0: accepted.
        code: u8,
    },
    /// The answer to SUBSCRIBE.
    SubAck {
        /// What was granted of each filter; 0x80: nothing.
        granted: Vec<u8>,
    },
    /// A message.
    Publish {
        /// Where to.
        topic: String,
        /// What.
        payload: Bytes,
        /// How.
        qos: Qos,
        /// The packet id, 0 at QoS 0.
        id: u16,
        /// Whether it was sent before.
        dup: bool,
    },
    /// The acknowledgement of a message of the device.
    PubAck {
        /// Its packet id.
        id: u16,
    },
    /// The answer to a ping.
    PingResp,
}

/// The server sent what this client does not understand.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an MQTT packet for a device: {0}")]
pub struct Malformed(&'static str);

/// Takes the first whole packet off `buffer`; `None` if it is not complete yet. Packets over `limit` bytes are refused.
pub fn decode(buffer: &mut BytesMut, limit: usize) -> Result<Option<Incoming>, Malformed> {
    let Some((header, length)) = frame(buffer)? else {
        return Ok(None);
    };
    if length > limit {
        return Err(Malformed("packet too large"));
    }
    if buffer.len() < header + length {
        return Ok(None);
    }
    let first = buffer[0];
    buffer.advance(header);
    let body = buffer.split_to(length).freeze();
    parse(first, body).map(Some)
}

/// Length of the fixed header and of what follows it, once both are known.
fn frame(buffer: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for place in 0..4 {
        let Some(&byte) = buffer.get(1 + place) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + place, length)));
        }
    }
    Err(Malformed("length of more than four bytes"))
}

fn parse(first: u8, mut body: Bytes) -> Result<Incoming, Malformed> {
    match first >> 4 {
        2 if body.len() == 2 => Ok(Incoming::ConnAck { code: body[1] }),
        3 => parse_publish(first, body),
        4 if body.len() == 2 => Ok(Incoming::PubAck { id: body.get_u16() }),
        9 if body.len() >= 3 => Ok(Incoming::SubAck {
            granted: body.slice(2..).to_vec(),
        }),
        13 => Ok(Incoming::PingResp),
        _ => Err(Malformed("unexpected type or length")),
    }
}

fn parse_publish(first: u8, mut body: Bytes) -> Result<Incoming, Malformed> {
    let short = Malformed("PUBLISH too short");
    let qos = match first >> 1 & 3 {
        0 => Qos::Zero,
        1 => Qos::One,
        _ => return Err(Malformed("PUBLISH with QoS 2")),
    };
    let length = usize::from(body.try_get_u16().map_err(|_| Malformed("PUBLISH too short"))?);
    if body.len() < length {
        return Err(short);
    }
    let topic = body.split_to(length);
    let topic = std::str::from_utf8(&topic)
        .map_err(|_| Malformed("topic is not UTF-8"))?
        .to_owned();
    let id = match qos {
        Qos::Zero => 0,
        Qos::One => body.try_get_u16().map_err(|_| short)?,
    };
    Ok(Incoming::Publish {
        topic,
        payload: body,
        qos,
        id,
        dup: first & 8 != 0,
    })
}

/// CONNECT with a clean session; `keep_alive` in seconds.
pub fn connect(out: &mut BytesMut, login: &Login, keep_alive: u16) {
    let mut body = BytesMut::new();
    put_text(&mut body, "MQTT");
    body.put_u8(4);
    body.put_u8(0b1100_0010);
    body.put_u16(keep_alive);
    put_text(&mut body, &login.client_id);
    put_text(&mut body, &login.user_name);
    put_text(&mut body, &login.password);
    put_packet(out, 0x10, &body);
}

/// SUBSCRIBE to one filter.
pub fn subscribe(out: &mut BytesMut, id: u16, filter: &str, qos: Qos) {
    let mut body = BytesMut::new();
    body.put_u16(id);
    put_text(&mut body, filter);
    body.put_u8(qos as u8);
    put_packet(out, 0x82, &body);
}

/// PUBLISH; `id` counts at QoS 1 only.
pub fn publish(out: &mut BytesMut, topic: &str, payload: &[u8], qos: Qos, id: u16) {
    let mut body = BytesMut::new();
    put_text(&mut body, topic);
    let first = match qos {
        Qos::Zero => 0x30,
        Qos::One => {
            body.put_u16(id);
            0x32
        }
    };
    body.put_slice(payload);
    put_packet(out, first, &body);
}

/// PUBACK.
pub fn puback(out: &mut BytesMut, id: u16) {
    put_packet(out, 0x40, &id.to_be_bytes());
}

/// PINGREQ.
pub fn pingreq(out: &mut BytesMut) {
    put_packet(out, 0xc0, &[]);
}

/// DISCONNECT.
pub fn disconnect(out: &mut BytesMut) {
    put_packet(out, 0xe0, &[]);
}

fn put_packet(out: &mut BytesMut, first: u8, body: &[u8]) {
    out.put_u8(first);
    let mut rest = body.len();
    loop {
        let digit = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.put_u8(digit);
            break;
        }
        out.put_u8(digit | 0x80);
    }
    out.put_slice(body);
}

/// Text longer than the 65,535 bytes that fit is cut; the server will refuse what is left.
fn put_text(out: &mut BytesMut, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Option<Incoming>, Malformed> {
        decode(&mut BytesMut::from(bytes), 1024)
    }

    #[test]
    fn what_is_written_as_publish_is_read_as_publish_however_it_is_cut() {
        let mut bytes = BytesMut::new();
        publish(&mut bytes, "a/b", &[7; 200], Qos::One, 9);
        let whole = bytes.to_vec();
        for cut in 0..whole.len() {
            assert_eq!(one(&whole[..cut]), Ok(None), "cut at {cut}");
        }
        let Ok(Some(Incoming::Publish {
            topic,
            payload,
            qos,
            id,
            dup,
        })) = decode(&mut bytes, 1024)
        else {
            panic!("not a PUBLISH");
        };
        assert_eq!(
            (topic.as_str(), payload.len(), qos, id, dup),
            ("a/b", 200, Qos::One, 9, false)
        );
        assert!(bytes.is_empty());
    }

    #[test]
    fn small_packets() {
        assert_eq!(one(&[0x20, 2, 0, 4]), Ok(Some(Incoming::ConnAck { code: 4 })));
        assert_eq!(one(&[0x40, 2, 1, 2]), Ok(Some(Incoming::PubAck { id: 258 })));
        assert_eq!(
            one(&[0x90, 3, 0, 1, 0x80]),
            Ok(Some(Incoming::SubAck { granted: vec![0x80] }))
        );
        assert_eq!(one(&[0xd0, 0]), Ok(Some(Incoming::PingResp)));
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &[0x30, 0xff, 0xff, 0xff, 0xff][..],
            &[0x30, 1, 0],
            &[0x30, 3, 0, 5, 1],
            &[0x32, 3, 0, 1, 1],
            &[0x36, 3, 0, 1, 1],
            &[0x30, 3, 0, 1, 0xff],
            &[0x10, 0],
            &[0x30, 0x81, 0x08],
        ] {
            assert!(one(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn connect_has_the_bytes_of_the_standard() {
        let login = Login {
            client_id: "c".into(),
            user_name: "u".into(),
            password: "p".into(),
        };
        let mut bytes = BytesMut::new();
        connect(&mut bytes, &login, 120);
        assert_eq!(
            &bytes[..],
            [
                0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2, 0, 120, 0, 1, b'c', 0, 1, b'u', 0, 1, b'p'
            ]
        );
    }
}
