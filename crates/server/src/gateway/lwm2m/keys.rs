//! Keys of devices for DTLS: looked up in the store while a handshake waits, and remembered only as long as that takes.
//!
//! The library asks for a key in the middle of its work and cannot wait. But the identity stands in the clear in the
//! client's message, so that message is held back until the key is here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use downlink_core::DeviceKey;
use downlink_store::Device;
use foldhash::HashMap;

use super::dtls;
use crate::secrets::Sealer;

/// A handshake takes its key soon after it was looked up. Short, so that a key that was changed is soon no key any more.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Identities remembered at once.
const MOST: usize = 8192;

/// A key, and whose it is.
#[derive(Clone)]
pub(super) struct Key {
    of: Proved,
    bytes: Vec<u8>,
}

/// A device, and the secret by which it proved to be that one: sealed, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) device: DeviceKey,
    secret: Arc<[u8]>,
}

impl Proved {
    pub(super) fn of(device: &Device) -> Self {
        Self {
            device: device.key,
            secret: device.secret.as_slice().into(),
        }
    }

    /// Whether the secret is the device's still.
    pub(super) fn holds_for(&self, device: &Device) -> bool {
        self.device == device.key && *self.secret == device.secret[..]
    }
}

impl Key {
    /// The key of a device: its secret, which is hexadecimal for devices that use it like this, else as it is.
    pub(super) fn of(device: &Device, sealer: &Sealer) -> Option<Self> {
        let secret = sealer.open(device.id.as_str(), &device.secret).ok()?;
        Some(Self {
            of: Proved::of(device),
            bytes: bytes(&secret),
        })
    }
}

/// What the store said of identities, and until when that holds.
type Known = HashMap<Box<[u8]>, (Instant, Option<Key>)>;

/// The keys that were looked up a moment ago. `None`: nobody has this identity.
#[derive(Default)]
pub(super) struct KeyBook {
    known: Mutex<Known>,
}

impl KeyBook {
    /// Whether the identity was looked up a moment ago.
    pub(super) fn knows(&self, identity: &[u8], now: Instant) -> bool {
        self.lock().get(identity).is_some_and(|(until, _)| *until > now)
    }

    /// What the store says of an identity.
    pub(super) fn put(&self, identity: Box<[u8]>, key: Option<Key>, now: Instant) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() < MOST {
            known.insert(identity, (now + REMEMBERED, key));
        }
    }

    /// A device's key is another.
    pub(super) fn forget(&self, device: DeviceKey) {
        let another = |key: &Option<Key>| key.as_ref().is_none_or(|key| key.of.device != device);
        self.lock().retain(|_, (_, key)| another(key));
    }

    /// Whose identity it is, as far as that is remembered.
    pub(super) fn owner(&self, identity: &[u8]) -> Option<Proved> {
        let known = self.lock();
        let (_, key) = known.get(identity)?;
        key.as_ref().map(|key| key.of.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The book as the library asks it.
pub(super) struct Resolver(pub(super) Arc<KeyBook>);

impl dtls::Keys for Resolver {
    fn key(&self, identity: &[u8]) -> Option<Vec<u8>> {
        let now = tokio::time::Instant::now().into_std();
        let known = self.0.lock();
        // Looked at again: an identity that came in pieces was not read from its datagram, and so not looked up.
        let (_, key) = known.get(identity).filter(|(until, _)| *until > now)?;
        key.as_ref().map(|key| key.bytes.clone())
    }
}

/// The identity in a client's key exchange, if the datagram has a whole one (RFC 6347 §4.1 and §4.2.2, RFC 4279 §2).
pub(super) fn identity(mut datagram: &[u8]) -> Option<&[u8]> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_KEY_EXCHANGE: u8 = 16;
    loop {
        let (header, rest) = datagram.split_at_checked(13)?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (record, next) = rest.split_at_checked(length)?;
        let in_the_clear = header[3..5] == [0, 0];
        if header[0] == HANDSHAKE && in_the_clear && record.first() == Some(&CLIENT_KEY_EXCHANGE) {
            let (message, body) = record.split_at_checked(12)?;
            let is_whole = message[1..4] == message[9..12] && message[6..9] == [0, 0, 0];
            let (length, identity) = body.split_at_checked(2)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            return identity.get(..length).filter(|_| is_whole);
        }
        datagram = next;
    }
}

fn bytes(secret: &str) -> Vec<u8> {
    let digits = secret.as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
    });
    pairs
        .collect::<Option<Vec<u8>>>()
        .unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with one handshake message.
    fn record(kind: u8, epoch: u8, body: &[u8], cut: usize) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        let mut message = vec![kind, 0, 0, length, 0, 5, 0, 0, 0, 0, 0, length];
        message.extend_from_slice(body);
        message.truncate(message.len() - cut);
        let length = u8::try_from(message.len()).unwrap();
        let mut record = vec![22, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 3, 0, length];
        record.append(&mut message);
        record
    }

    #[test]
    fn the_identity_is_found_behind_other_records_too() {
        let exchange = record(16, 0, b"\0\x05meter", 0);
        assert_eq!(identity(&exchange), Some(&b"meter"[..]));
        let mut both = record(11, 0, b"certificate", 0);
        both.extend_from_slice(&exchange);
        assert_eq!(identity(&both), Some(&b"meter"[..]));
    }

    #[test]
    fn what_is_no_whole_exchange_has_no_identity() {
        let exchange = record(16, 0, b"\0\x05meter", 0);
        for end in 0..exchange.len() {
            assert_eq!(identity(&exchange[..end]), None, "{end}");
        }
        assert_eq!(identity(&record(16, 1, b"\0\x05meter", 0)), None, "encrypted");
        assert_eq!(identity(&record(1, 0, b"\0\x05meter", 0)), None, "a hello");
        assert_eq!(
            identity(&record(16, 0, b"\0\x09meter", 0)),
            None,
            "longer than the message"
        );
        let mut part = exchange;
        part[13 + 11] = 3;
        assert_eq!(identity(&part), None, "a fragment");
    }

    #[test]
    fn secrets_are_hexadecimal_or_taken_as_they_are() {
        assert_eq!(bytes("00ffA1"), [0, 0xff, 0xa1]);
        assert_eq!(bytes("0ff"), b"0ff");
        assert_eq!(bytes("+1"), b"+1");
        assert_eq!(bytes("zürich"), "zürich".as_bytes());
    }

    #[test]
    fn a_key_that_was_looked_up_long_ago_opens_nothing() {
        let book = Arc::new(KeyBook::default());
        let key = Key {
            of: Proved {
                device: DeviceKey(1),
                secret: b"sealed".as_slice().into(),
            },
            bytes: b"key".to_vec(),
        };
        let resolver = Resolver(Arc::clone(&book));
        let now = Instant::now();
        book.put(b"a".as_slice().into(), Some(key.clone()), now);
        assert_eq!(dtls::Keys::key(&resolver, b"a"), Some(b"key".to_vec()));
        let long_ago = now
            .checked_sub(REMEMBERED)
            .expect("the machine runs longer than that");
        book.put(b"a".as_slice().into(), Some(key), long_ago);
        assert_eq!(dtls::Keys::key(&resolver, b"a"), None);
    }

    #[test]
    fn keys_are_forgotten_soon() {
        let (book, now) = (KeyBook::default(), Instant::now());
        book.put(b"a".as_slice().into(), None, now);
        assert!(book.knows(b"a", now) && !book.knows(b"b", now));
        assert!(!book.knows(b"a", now + REMEMBERED));
        assert_eq!(book.owner(b"a"), None);
        for (name, device) in [(b"b", 1), (b"c", 2)] {
            let key = Key {
                of: Proved {
                    device: DeviceKey(device),
                    secret: b"sealed".as_slice().into(),
                },
                bytes: Vec::new(),
            };
            book.put(name.as_slice().into(), Some(key), now);
        }
        book.forget(DeviceKey(1));
        let owner = |name| book.owner(name).map(|proved| proved.device);
        assert_eq!((owner(b"b"), owner(b"c")), (None, Some(DeviceKey(2))));
    }
}
