//! The first message of a handshake, read without keeping anything of it, and its answer that asks for a cookie
//! (RFC 6347 §4.2.1).

use super::cookie::Cookie;
use super::record::{Content, HEADER, Record};

/// Bytes before the body of a handshake message: type, length, number, offset and length of the fragment.
const MESSAGE: usize = 12;
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
const COOKIE: usize = size_of::<Cookie>();
/// Version, and the length of the cookie.
const ANSWER_BODY: usize = 3 + COOKIE;
/// Length of a datagram that asks for a cookie. The shortest hello that [`Hello::read`] takes has 67 bytes.
pub(super) const ANSWER: usize = HEADER + MESSAGE + ANSWER_BODY;

/// A client's hello.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// Number of the record that brought it.
    pub(super) record: u64,
    /// Number of the message: 0 for the first hello, 1 for the one that brings the cookie back.
    pub(super) message: u16,
    /// Version, random and session id: what the client repeats, up to the cookie.
    pub(super) before: &'a [u8],
    pub(super) cookie: &'a [u8],
    /// Suites and compression methods: what the client repeats, after the cookie.
    pub(super) after: &'a [u8],
}

/// Whether this record begins a client's hello, whole or not.
pub(super) fn is_hello(record: &Record<'_>) -> bool {
    record.content == Content::Handshake
        && record.epoch == 0
        && record.fragment.first() == Some(&CLIENT_HELLO)
}

impl<'a> Hello<'a> {
    /// A hello that is whole in one record. One in pieces cannot be answered without keeping the pieces.
    pub(super) fn read(record: &Record<'a>) -> Option<Self> {
        let (header, body) = record.fragment.split_at_checked(MESSAGE)?;
        let length = number(&header[1..4]);
        if number(&header[6..9]) != 0 || number(&header[9..12]) != length || body.len() != length {
            return None;
        }
        let mut rest = Bytes(body);
        // Version and random, then the session id.
        rest.take(2 + 32)?;
        rest.counted::<1>(0..=32)?;
        let before = &body[..body.len() - rest.0.len()];
        let cookie = rest.counted::<1>(0..=255)?;
        let from = rest.0;
        rest.counted::<2>(2..=usize::from(u16::MAX))?;
        rest.counted::<1>(1..=255)?;
        let after = &from[..from.len() - rest.0.len()];
        Some(Self {
            record: record.sequence,
            message: u16::from_be_bytes([header[4], header[5]]),
            before,
            cookie,
            after,
        })
    }
}

/// The datagram that asks the sender of a hello to send it again, with this cookie.
///
/// It carries the number of the hello's record (RFC 6347 §4.2.1), so that nothing has to be counted.
pub(super) fn verify_request(record: u64, cookie: &Cookie) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ANSWER);
    let length = |length: usize| (length as u32).to_be_bytes();
    // Version 1.0 in both places, whatever is negotiated later.
    bytes.extend_from_slice(&[22, 0xfe, 0xff, 0, 0]);
    bytes.extend_from_slice(&record.to_be_bytes()[2..]);
    bytes.extend_from_slice(&length(MESSAGE + ANSWER_BODY)[2..]);
    bytes.push(HELLO_VERIFY_REQUEST);
    bytes.extend_from_slice(&length(ANSWER_BODY)[1..]);
    bytes.extend_from_slice(&[0; 5]);
    bytes.extend_from_slice(&length(ANSWER_BODY)[1..]);
    bytes.extend_from_slice(&[0xfe, 0xff, COOKIE as u8]);
    bytes.extend_from_slice(cookie);
    bytes
}

/// A hello without a cookie, for the library alone: see [`super::machine`].
pub(super) const FIRST_HELLO: [u8; 67] = first_hello();

const fn first_hello() -> [u8; 67] {
    let mut bytes = [0; 67];
    let head: [u8; 27] = [
        22,
        0xfe,
        0xfd,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        54, // the record
        CLIENT_HELLO,
        0,
        0,
        42,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        42, // the message
        0xfe,
        0xfd, // DTLS 1.2; a random of zeros follows, no session id, no cookie
    ];
    // One suite, TLS_PSK_WITH_AES_128_CCM_8, and no compression.
    let tail: [u8; 6] = [0, 2, 0xc0, 0xa8, 1, 0];
    let mut at = 0;
    while at < head.len() {
        bytes[at] = head[at];
        at += 1;
    }
    let mut at = 0;
    while at < tail.len() {
        bytes[bytes.len() - tail.len() + at] = tail[at];
        at += 1;
    }
    bytes
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A field behind its length, which has `N` bytes.
    fn counted<const N: usize>(&mut self, allowed: std::ops::RangeInclusive<usize>) -> Option<&'a [u8]> {
        let length = number(self.take(N)?);
        if allowed.contains(&length) {
            self.take(length)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_hello_is_longer_than_its_answer() {
        let (record, _) = Record::read(&FIRST_HELLO).unwrap();
        let hello = Hello::read(&record).unwrap();
        assert_eq!(
            (hello.message, hello.cookie, hello.before.len(), hello.after.len()),
            (0, &[][..], 35, 6)
        );
        let answer = verify_request(0x0102_0304_0506, &[7; COOKIE]);
        assert_eq!(answer.len(), ANSWER);
        assert!(answer.len() < FIRST_HELLO.len());
        let (record, rest) = Record::read(&answer).unwrap();
        assert_eq!((record.sequence, rest), (0x0102_0304_0506, &[][..]));
        assert_eq!(record.fragment[..MESSAGE], [3, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 35]);
    }

    #[test]
    fn a_hello_in_pieces_or_cut_short_is_not_taken() {
        for at in [16, 19, 21, 22, 24] {
            let mut bytes = FIRST_HELLO;
            bytes[at] ^= 1;
            let (record, _) = Record::read(&bytes).unwrap();
            let taken = Hello::read(&record).is_some();
            // The number of the message may be any.
            assert_eq!(taken, at == 18, "byte {at}");
        }
        let (record, _) = Record::read(&FIRST_HELLO).unwrap();
        for end in 0..record.fragment.len() {
            assert!(
                Hello::read(&Record {
                    fragment: &record.fragment[..end],
                    ..record
                })
                .is_none()
            );
        }
    }
}
