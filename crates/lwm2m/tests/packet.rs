//! The packet codec against byte vectors: RFC 7252 and RFC 7641 by example, an NB-IoT device's session, and what is no
//! message at all.

use downlink_lwm2m::coap::{Builder, Code, Fault, Kind, Message, Token, option};
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("hex"))
        .collect()
}

fn texts(message: &Message<'_>, number: u16) -> Vec<String> {
    message
        .values(number)
        .map(|value| String::from_utf8(value.to_vec()).expect("text"))
        .collect()
}

#[test]
fn a_get_and_its_answer_of_rfc_7252_appendix_a() {
    // Figure 16: CON GET /temperature, MID 0x7d34; ACK 2.05 "22.3 C".
    let request = bytes("40 01 7d34 bb 74656d7065726174757265");
    let message = Message::parse(&request).unwrap();
    assert_eq!(
        (message.kind, message.code, message.mid),
        (Kind::Con, Code::GET, 0x7d34)
    );
    assert!(
        message.path_is(&["temperature"]) && !message.path_is(&["temperature", ""]) && !message.path_is(&[])
    );
    let answer = bytes("60 45 7d34 ff 32322e332043");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(
        (message.kind, message.code, message.payload),
        (Kind::Ack, Code::CONTENT, &b"22.3 C"[..])
    );
    let built = Builder::new(Kind::Ack, Code::CONTENT, 0x7d34, Token::default()).payload(b"22.3 C");
    assert_eq!(built, answer);
}

#[test]
fn a_registration_as_modules_write_it() {
    let datagram = bytes(
        "41 02 10 01 a1 b2 7264 11 28 39 6c776d326d3d312e30 0d 05 65703d383631323334353637383930313235
         04 623d5551 08 6c743d3530303030 ff 3c2f332f303e2c3c2f31392f303e",
    );
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(
        (message.kind, message.code, message.mid),
        (Kind::Con, Code::POST, 0x1001)
    );
    assert_eq!(message.token.as_slice(), [0xa1]);
    assert!(message.path_is(&["rd"]));
    assert_eq!(message.uint(option::CONTENT_FORMAT), Some(40));
    assert_eq!(
        texts(&message, option::URI_QUERY),
        ["lwm2m=1.0", "ep=861234567890125", "b=UQ", "lt=50000"]
    );
    assert_eq!(message.payload, b"</3/0>,</19/0>");
}

#[test]
fn the_server_s_side_is_written_byte_for_byte() {
    let token = Token::from_slice(&[0x5a, 0x01]).unwrap();
    let observe = Builder::new(Kind::Con, Code::GET, 0x2001, token)
        .uint(option::OBSERVE, 0)
        .each(option::URI_PATH, &["19", "0", "0"])
        .uint(option::ACCEPT, option::OCTETS)
        .done();
    assert_eq!(observe, bytes("42 01 2001 5a01 60 52 3139 01 30 01 30 61 2a"));
    let token = Token::from_slice(&[0x5a, 0x02]).unwrap();
    let write = Builder::new(Kind::Con, Code::PUT, 0x2002, token)
        .each(option::URI_PATH, &["19", "1", "0"])
        .uint(option::CONTENT_FORMAT, option::OCTETS)
        .payload(&[3, 0, 0x2a, 1]);
    assert_eq!(
        write,
        bytes("42 03 2002 5a02 b2 3139 01 31 01 30 11 2a ff 03002a01")
    );
    assert_eq!(Builder::empty(Kind::Ack, 0x1002), bytes("60 00 1002"));
}

#[test]
fn what_is_no_message_is_told_from_what_is_malformed() {
    for hex in ["", "40", "40 01 00", "00 01 0001", "80 01 0001", "c0 01 0001"] {
        assert_eq!(Message::parse(&bytes(hex)).unwrap_err(), Fault::NotCoap, "{hex}");
    }
    let malformed = [
        ("49 01 0007", "a token of nine bytes"),
        (
            "4f 01 0007 0102030405060708090a0b0c0d0e0f",
            "a token of fifteen bytes",
        ),
        ("44 01 0007 010203", "a token cut short"),
        ("40 01 0007 ff", "a marker without payload"),
        ("40 01 0007 b2 72", "a value cut short"),
        ("40 01 0007 d0", "an extended delta cut short"),
        ("40 01 0007 e0 00", "a delta of two bytes cut short"),
        ("40 01 0007 0d", "an extended length cut short"),
        ("40 01 0007 0e ff", "a length of two bytes cut short"),
        ("40 01 0007 f0", "the reserved delta"),
        ("40 01 0007 0f", "the reserved length"),
        ("40 01 0007 e0 fef3 10", "a number above 65535"),
        ("40 01 0007 e0 ffff", "a delta above 65535"),
        ("40 01 0007 0e ffff", "a length above the datagram"),
        ("41 00 0007 01", "an empty message with a token"),
        ("40 00 0007 ff 01", "an empty message with a payload"),
        ("40 20 0007", "a code of class 1"),
        ("40 60 0007", "a code of class 3"),
        ("40 c1 0007", "a code of class 6"),
        ("40 ff 0007", "a code of class 7"),
    ];
    for (hex, what) in malformed {
        let fault = Message::parse(&bytes(hex)).map(|_| ()).unwrap_err();
        assert_eq!(
            fault,
            Fault::Malformed {
                kind: Kind::Con,
                mid: 7
            },
            "{what}"
        );
    }
}

#[test]
fn the_largest_number_and_extended_lengths_are_read_back() {
    for length in [0, 12, 13, 268, 269, 1200] {
        let value = vec![7; length];
        let built = Builder::new(Kind::Non, Code::GET, 1, Token::default())
            .option(0, &value)
            .option(12, &value)
            .option(300, &value)
            .option(65_535, &value)
            .payload(b"p");
        let message = Message::parse(&built).unwrap();
        let read: Vec<(u16, usize)> = message
            .options()
            .map(|(number, value)| (number, value.len()))
            .collect();
        assert_eq!(read, [(0, length), (12, length), (300, length), (65_535, length)]);
        assert_eq!(message.payload, b"p");
    }
}

#[test]
fn numbers_take_as_few_bytes_as_they_need() {
    for (value, length) in [(0, 0), (1, 1), (255, 1), (256, 2), (65_536, 3), (u32::MAX, 4)] {
        let built = Builder::new(Kind::Con, Code::GET, 1, Token::default())
            .uint(option::MAX_AGE, value)
            .done();
        let message = Message::parse(&built).unwrap();
        assert_eq!(
            message.values(option::MAX_AGE).next().map(<[u8]>::len),
            Some(length)
        );
        assert_eq!(message.uint(option::MAX_AGE), Some(value));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(datagram in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Message::parse(&datagram);
    }

    /// Bytes that begin like a message go deeper than any bytes do; what is read is written back the same.
    #[test]
    fn what_is_read_is_written_back(
        head in (0u8..4, 0u8..10, any::<u8>(), any::<u16>()),
        tail in prop::collection::vec(prop_oneof![3 => 0u8..32, 1 => any::<u8>()], 0..60),
    ) {
        let (kind, token_length, code, mid) = head;
        let mut datagram = vec![0x40 | (kind << 4) | token_length, code];
        datagram.extend(mid.to_be_bytes());
        datagram.extend(&tail);
        if let Ok(message) = Message::parse(&datagram) {
            let mut again = Builder::new(message.kind, message.code, message.mid, message.token);
            for (number, value) in message.options() {
                again = again.option(number, value);
            }
            let again = again.payload(message.payload);
            let twice = Message::parse(&again).unwrap();
            prop_assert_eq!(twice.options().collect::<Vec<_>>(), message.options().collect::<Vec<_>>());
            prop_assert_eq!((twice.token, twice.payload), (message.token, message.payload));
        }
    }
}
