//! The device's end of a DTLS 1.2 session with a pre-shared key (RFC 4279), over `dimpl`. No socket and no clock.
//!
//! Of what is to be sent before the handshake is done the newest message is kept: a device has one of its own open.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use dimpl::{Dtls, Output, PskResolver};

/// The largest record that is written or read.
const RECORD: usize = 2048;

/// What a device proves itself with. Its secret is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Who it says it is.
    pub identity: String,
    /// The secret bytes.
    pub secret: Vec<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key from its hex digits, 1 to 64 bytes; `None` if they are not such.
    pub fn from_hex(identity: impl Into<String>, digits: &str) -> Option<Self> {
        let fits = digits.is_ascii() && digits.len().is_multiple_of(2) && (2..=128).contains(&digits.len());
        let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let secret = fits.then(|| (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<_>>>())??;
        Some(Self {
            identity: identity.into(),
            secret,
        })
    }
}

struct Secret(Vec<u8>);

impl PskResolver for Secret {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }
}

/// What the session wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Send this to the server.
    Datagram(Vec<u8>),
    /// The server's message.
    Message(Vec<u8>),
    /// The handshake is done.
    Secured,
    /// The session is of no use any more, for this reason.
    Ended(String),
}

/// What all sessions of a device have in common.
#[derive(Clone)]
pub(super) struct Setup(Arc<dimpl::Config>);

impl Setup {
    /// The setup of a device with this key. It tests the provider of ciphers, for some microseconds.
    pub(super) fn new(key: &Key) -> Self {
        let secret = Arc::new(Secret(key.secret.clone()));
        let config = dimpl::Config::builder()
            .with_crypto_provider(downlink_psk::provider())
            .dtls13_cipher_suites(&[])
            .with_psk_client(key.identity.clone().into_bytes(), secret)
            .build();
        Self(Arc::new(
            config.expect("the one suite with a pre-shared key is there"),
        ))
    }
}

/// A session, from its first message on.
pub(super) struct Tunnel {
    dtls: Dtls,
    secured: bool,
    ended: bool,
    waiting: Option<Vec<u8>>,
    due: Instant,
}

impl Tunnel {
    /// A session that begins its handshake at the first [`Self::run`].
    pub(super) fn new(setup: &Setup, now: Instant) -> Self {
        let mut dtls = Dtls::new_12_psk(Arc::clone(&setup.0), now);
        dtls.set_active(true);
        Self {
            dtls,
            secured: false,
            ended: false,
            waiting: None,
            due: now,
        }
    }

    /// Whether the handshake is done.
    pub(super) const fn is_secured(&self) -> bool {
        self.secured
    }

    /// When to call [`Self::run`]; `None` if the session has ended.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.ended).then_some(self.due)
    }

    /// Sends a message, as soon as that is possible.
    pub(super) fn send(&mut self, message: Vec<u8>, now: Instant) -> Vec<Said> {
        self.waiting = Some(message);
        self.run(now)
    }

    /// A datagram of the server arrived.
    pub(super) fn received(&mut self, datagram: &[u8], now: Instant) -> Vec<Said> {
        let mut said = self.run(now);
        if !self.ended {
            match self.dtls.handle_packet(datagram) {
                Ok(()) => self.poll(&mut said),
                Err(error) => self.end(&mut said, format!("{error:?}")),
            }
            self.flush(&mut said);
        }
        said
    }

    /// Does what is due by now.
    pub(super) fn run(&mut self, now: Instant) -> Vec<Said> {
        let mut said = Vec::new();
        if !self.ended {
            match self.dtls.handle_timeout(now) {
                Ok(()) => self.poll(&mut said),
                Err(error) => self.end(&mut said, format!("{error:?}")),
            }
            self.flush(&mut said);
        }
        said
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        if !self.ended && self.dtls.close().is_ok() {
            self.poll(&mut said);
        }
        said
    }

    fn flush(&mut self, said: &mut Vec<Said>) {
        if !self.secured || self.ended {
            return;
        }
        if let Some(message) = self.waiting.take() {
            match self.dtls.send_application_data(&message) {
                Ok(_) => self.poll(said),
                Err(error) => self.end(said, format!("{error:?}")),
            }
        }
    }

    fn end(&mut self, said: &mut Vec<Said>, reason: String) {
        self.ended = true;
        said.push(Said::Ended(reason));
    }

    fn poll(&mut self, said: &mut Vec<Said>) {
        let mut buffer = vec![0; RECORD];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(datagram) => said.push(Said::Datagram(datagram.to_vec())),
                Output::ApplicationData(message) => said.push(Said::Message(message.to_vec())),
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Connected => {
                    self.secured = true;
                    said.push(Said::Secured);
                }
                Output::CloseNotify => self.end(said, "the server closed it".to_owned()),
                Output::Timeout(at) => {
                    self.due = at;
                    break;
                }
                // Neither certificates nor SRTP are asked for.
                Output::PeerCert(_) | Output::KeyingMaterial(..) | _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "000102030405060708090a0b0c0d0e0f";

    /// The server's end, for one session.
    fn server(secret: Vec<u8>, now: Instant) -> Dtls {
        let config = dimpl::Config::builder()
            .with_crypto_provider(downlink_psk::provider())
            .dtls13_cipher_suites(&[])
            .with_psk_server(None, Arc::new(Secret(secret)))
            .build()
            .unwrap();
        let mut server = Dtls::new_12_psk(Arc::new(config), now);
        server.handle_timeout(now).unwrap();
        server
    }

    /// Carries datagrams between both until none is left, and returns the rest of what the device's end said and what the
    /// server read.
    fn carry(
        device: &mut Tunnel,
        server: &mut Dtls,
        said: Vec<Said>,
        now: Instant,
    ) -> (Vec<Said>, Vec<Vec<u8>>) {
        let (mut told, mut read, mut to_do) = (Vec::new(), Vec::new(), said);
        let mut buffer = vec![0; RECORD];
        while !to_do.is_empty() {
            for said in std::mem::take(&mut to_do) {
                match said {
                    // A server that gives up is silent.
                    Said::Datagram(datagram) => drop(server.handle_packet(&datagram)),
                    other @ (Said::Message(_) | Said::Secured | Said::Ended(_)) => told.push(other),
                }
            }
            loop {
                match server.poll_output(&mut buffer) {
                    Output::Packet(datagram) => to_do.extend(device.received(datagram, now)),
                    Output::ApplicationData(message) => read.push(message.to_vec()),
                    Output::Timeout(_) => break,
                    Output::Connected | Output::CloseNotify => {}
                    Output::BufferTooSmall { .. } => panic!("a record is never that long"),
                    // Neither certificates nor SRTP are asked for.
                    Output::PeerCert(_) | Output::KeyingMaterial(..) | _ => {}
                }
            }
        }
        (told, read)
    }

    #[test]
    fn a_message_that_was_to_be_sent_first_goes_out_after_the_handshake() {
        let now = Instant::now();
        let key = Key::from_hex("861", SECRET).unwrap();
        let mut device = Tunnel::new(&Setup::new(&key), now);
        let mut server = server(key.secret, now);
        let said = device.send(vec![7], now);
        let (told, read) = carry(&mut device, &mut server, said, now);
        assert_eq!((told, read), (vec![Said::Secured], vec![vec![7]]));
        server.send_application_data(&[9]).unwrap();
        let (told, _) = carry(&mut device, &mut server, vec![Said::Secured], now);
        assert!(told.contains(&Said::Message(vec![9])));
    }

    #[test]
    fn another_key_gets_no_session() {
        let now = Instant::now();
        let mut device = Tunnel::new(&Setup::new(&Key::from_hex("861", SECRET).unwrap()), now);
        let mut server = server(vec![1; 16], now);
        let said = device.send(vec![7], now);
        let (told, read) = carry(&mut device, &mut server, said, now);
        assert!(
            !told.contains(&Said::Secured) && read.is_empty(),
            "{told:?} {read:?}"
        );
    }

    #[test]
    fn keys_are_read_from_hex_and_not_shown() {
        let key = Key::from_hex("861", "00ff").unwrap();
        assert_eq!(key.secret, [0, 255]);
        assert!(!format!("{key:?}").contains("255"));
        for wrong in ["", "0", "0g", "é0"] {
            assert!(Key::from_hex("861", wrong).is_none(), "{wrong}");
        }
    }
}
