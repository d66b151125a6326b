use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};

use super::*;
use crate::secrets::random;

const MAX: usize = 1 << 20;

fn framed(bytes: &[u8]) -> Frame<'_> {
    frame(bytes, MAX).unwrap().unwrap()
}

/// CONNECT with client id `c`, user `u`, password `p`.
fn connect_bytes(level: u8, flags: u8, keep_alive: u16, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, flags];
    body.extend_from_slice(&keep_alive.to_be_bytes());
    if level == 5 {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(&[0, 1, b'c', 0, 1, b'u', 0, 1, b'p']);
    let mut bytes = vec![0x10, body.len() as u8];
    bytes.extend_from_slice(&body);
    bytes
}

#[test]
fn frames_are_cut_at_every_length_form() {
    for length in [0usize, 1, 127, 128, 16_383, 16_384, 200_000] {
        let mut bytes = vec![0x30];
        let mut rest = length;
        loop {
            let digit = (rest & 0x7f) as u8;
            rest >>= 7;
            bytes.push(if rest == 0 { digit } else { digit | 0x80 });
            if rest == 0 {
                break;
            }
        }
        let header = bytes.len();
        bytes.extend(vec![7; length]);
        bytes.push(0xff);
        let frame_ = framed(&bytes);
        assert_eq!((frame_.len, frame_.body.len()), (header + length, length));
        for cut in [0, 1, header - 1, header + length - 1] {
            assert_eq!(frame(&bytes[..cut], MAX), Ok(None), "{length} cut at {cut}");
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    assert_eq!(frame(&[0x30, 0x65], 102), Err(Reason::PacketTooLarge));
    assert_eq!(frame(&[0x30, 0x64], 102), Ok(None));
    assert_eq!(
        frame(&[0x30, 0xff, 0xff, 0xff, 0x80], MAX),
        Err(Reason::Malformed)
    );
}

#[test]
fn a_connect_is_read_in_both_versions() {
    let v3 = decode_connect(framed(&connect_bytes(4, 0xc2, 60, &[]))).unwrap();
    assert_eq!((v3.version, v3.keep_alive), (Version::V3, 60));
    assert_eq!((v3.client_id.as_str(), v3.user_name.as_deref()), ("c", Some("u")));
    assert_eq!(v3.password.as_deref(), Some(b"p".as_slice()));
    let v5 = decode_connect(framed(&connect_bytes(
        5,
        0xc2,
        60,
        &[0x21, 0, 9, 0x27, 0, 0, 1, 0],
    )))
    .unwrap();
    assert_eq!(
        (v5.version, v5.receive_maximum, v5.max_packet),
        (Version::V5, 9, 256)
    );
}

#[test]
fn what_is_no_connect_of_ours_is_told_apart() {
    let cases = [
        (connect_bytes(3, 0xc2, 60, &[]), Reason::UnsupportedVersion),
        (connect_bytes(6, 0xc2, 60, &[]), Reason::UnsupportedVersion),
        (connect_bytes(4, 0xc3, 60, &[]), Reason::Malformed),
        (connect_bytes(4, 0xda, 60, &[]), Reason::Malformed),
        (connect_bytes(5, 0xc2, 60, &[0x21, 0, 0]), Reason::Protocol),
        (
            b"\x10\x0a\0\x06MQIsdp\x03\x02".to_vec(),
            Reason::UnsupportedVersion,
        ),
        (b"\x10\x08\0\x04HTTP\x04\x02".to_vec(), Reason::Malformed),
        (vec![0xc0, 0], Reason::Protocol),
        (vec![0x10, 1, 0], Reason::Malformed),
    ];
    for (bytes, reason) in cases {
        match decode_connect(framed(&bytes)) {
            Err(Reason::Malformed | Reason::Protocol) if reason != Reason::UnsupportedVersion => {}
            other => assert_eq!(other.unwrap_err(), reason, "{bytes:02x?}"),
        }
    }
}

#[test]
fn broken_packets_are_refused() {
    let cases: [(&[u8], Version); 12] = [
        (&[0x36, 4, 0, 1, b't', 0], Version::V3),       // QoS 3
        (&[0x32, 5, 0, 1, b't', 0, 0], Version::V3),    // packet id 0
        (&[0x30, 3, 0, 1, b'#'], Version::V3),          // wildcard
        (&[0x30, 2, 0, 0], Version::V3),                // no topic
        (&[0x80, 6, 0, 1, 0, 1, b't', 0], Version::V3), // flags
        (&[0x82, 6, 0, 1, 0, 1, b't', 3], Version::V3), // QoS 3
        (&[0x82, 6, 0, 0, 0, 1, b't', 0], Version::V3), // packet id 0
        (&[0x82, 2, 0, 1], Version::V3),                // no filter
        (&[0xc0, 1, 0], Version::V3),                   // a PINGREQ with a body
        (&[0x40, 3, 0, 1, 0], Version::V3),             // a PUBACK with a reason
        (&[0x40, 3, 0, 1, 0x77], Version::V5),          // an unknown reason
        (&[0xf0, 0], Version::V5),                      // AUTH
    ];
    for (bytes, version) in cases {
        assert!(decode(framed(bytes), version).is_err(), "{bytes:02x?}");
    }
}

#[test]
fn messages_of_the_client_are_read() {
    let Packet::Publish(publish) = decode(framed(b"\x32\x07\0\x01t\0\x09hi"), Version::V3).unwrap() else {
        panic!("not a PUBLISH")
    };
    assert_eq!(
        (publish.qos, publish.packet_id, publish.topic()),
        (1, Some(9), "t")
    );
    assert_eq!(publish.payload(), b"hi");
    let Packet::Publish(publish) = decode(framed(b"\x31\x09\0\x01t\x03\x23\0\x01hi"), Version::V5).unwrap()
    else {
        panic!("not a PUBLISH")
    };
    assert!(publish.has_alias && publish.retain);
    let refused = decode(framed(&[0x40, 3, 0, 7, 0x97]), Version::V5).unwrap();
    assert!(matches!(
        refused,
        Packet::Puback {
            packet_id: 7,
            reason: 0x97
        }
    ));
}

/// What is written here is read by the parser of the crate, which is not written here.
#[test]
fn packets_written_here_are_understood_elsewhere() {
    let mut bytes = Vec::new();
    connack_accepted(&mut bytes, Version::V5, Capabilities { max_packet: 77 });
    let body = framed(&bytes).body;
    assert_eq!(v5_0::Connack::parse(body).unwrap().1, body.len());
    for (version, payload) in [(Version::V3, 10), (Version::V5, 70_000)] {
        for (packet_id, expiry) in [(Some(5), Some(60)), (None, None)] {
            let payload = vec![b'x'; payload];
            let message = PublishOut {
                topic: "a/b",
                packet_id,
                expiry,
                payload: &payload,
            };
            let mut bytes = Vec::new();
            publish(&mut bytes, version, message);
            assert_eq!(bytes.len(), publish_size(version, message));
            let Packet::Publish(read) = decode(framed(&bytes), version).unwrap() else {
                panic!("not a PUBLISH")
            };
            assert_eq!((read.topic(), read.packet_id), ("a/b", packet_id));
            assert_eq!(read.payload(), payload);
        }
    }
    let mut bytes = Vec::new();
    suback(&mut bytes, Version::V5, 3, &[1, 0x87]);
    assert_eq!(
        v5_0::Suback::parse(framed(&bytes).body).unwrap().0.packet_id(),
        3u16
    );
    let mut bytes = Vec::new();
    suback(&mut bytes, Version::V3, 3, &[1, 0x80]);
    assert_eq!(
        v3_1_1::Suback::parse(framed(&bytes).body).unwrap().0.packet_id(),
        3u16
    );
    let mut bytes = Vec::new();
    unsuback(&mut bytes, Version::V5, 3, &[0x11]);
    assert_eq!(
        v5_0::Unsuback::parse(framed(&bytes).body).unwrap().0.packet_id(),
        3u16
    );
    let mut bytes = Vec::new();
    puback(&mut bytes, Version::V5, 3, Reason::NotAuthorized);
    disconnect(&mut bytes, Version::V5, Reason::TakenOver);
    let first = framed(&bytes);
    assert!(v5_0::Puback::parse(first.body).is_ok());
    assert!(v5_0::Disconnect::parse(framed(&bytes[first.len..]).body).is_ok());
}

/// A small generator of its own, so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn samples() -> Vec<Vec<u8>> {
    let mut samples = vec![
        connect_bytes(4, 0xc2, 60, &[]),
        connect_bytes(5, 0xc2, 60, &[0x21, 0, 9, 0x27, 0, 0, 1, 0, 0x15, 0, 1, b'a']),
        b"\x10\x1c\0\x04MQTT\x05\xc6\0\x3c\x05\x11\0\0\0\x09\0\x01c\0\0\x01w\0\0\0\x01u\0\x01p".to_vec(),
        b"\x32\x09\0\x03a/b\0\x09hi".to_vec(),
        b"\x32\x10\0\x03a/b\0\x09\x07\x02\0\0\0\x3c\x01\x01hi".to_vec(),
        b"\x82\x08\0\x01\0\x03a/#\x01".to_vec(),
        b"\x82\x0b\0\x01\x02\x0b\x07\0\x03a/#\x01".to_vec(),
        b"\xa2\x07\0\x01\0\x03a/#".to_vec(),
        b"\xa2\x08\0\x01\0\0\x03a/#".to_vec(),
        b"\x40\x0a\0\x01\x00\x06\x1f\0\x03bad".to_vec(),
        b"\xe0\x0a\x04\x08\x26\0\x01a\0\x02bc".to_vec(),
        vec![0xe0, 0],
        vec![0xc0, 0],
    ];
    samples.push(samples.concat());
    samples
}

/// Reads all that can be read of `bytes` in every way there is.
fn read_all(bytes: &[u8]) {
    for version in [Version::V3, Version::V5] {
        let mut rest = bytes;
        while let Ok(Some(frame)) = frame(rest, MAX) {
            let _connect = decode_connect(frame);
            if let Ok(Packet::Publish(publish)) = decode(frame, version) {
                let _read = (publish.topic().len(), publish.payload().len());
            }
            rest = &rest[frame.len..];
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let seed = u64::from_le_bytes(random()) | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let samples = samples();
    for _ in 0..40_000 {
        let mut bytes = samples[dice.roll(samples.len())].clone();
        for _ in 0..1 + dice.roll(6) {
            let at = dice.roll(bytes.len());
            match dice.roll(5) {
                0 => bytes[at] = dice.roll(256) as u8,
                1 => bytes[at] ^= 1 << dice.roll(8),
                2 => bytes.insert(at, dice.roll(256) as u8),
                3 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        // Half of them with a length that fits, so that the parser sees the body.
        if dice.roll(2) == 0 && bytes.len() > 2 && bytes.len() < 130 {
            bytes[1] = (bytes.len() - 2) as u8;
        }
        read_all(&bytes);
    }
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..2 + dice.roll(120)).map(|_| dice.roll(256) as u8).collect();
        bytes[1] = (bytes.len() - 2) as u8;
        read_all(&bytes);
    }
}
