//! The sessions of DTLS of the test's server, or none.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use dimpl::{Dtls, Output, PskResolver};

struct Secret(Vec<u8>);

impl PskResolver for Secret {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }
}

pub(crate) struct Sessions {
    config: Option<Arc<dimpl::Config>>,
    sessions: HashMap<SocketAddr, Dtls>,
    to_send: Vec<(SocketAddr, Vec<u8>)>,
}

impl Sessions {
    pub(crate) fn none() -> Self {
        Self {
            config: None,
            sessions: HashMap::new(),
            to_send: Vec::new(),
        }
    }

    pub(crate) fn with(secret: &[u8]) -> Self {
        // The library's own cryptography, not the devices'.
        let config = dimpl::Config::builder()
            .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
            .with_psk_server(None, Arc::new(Secret(secret.to_vec())));
        Self {
            config: Some(Arc::new(config.build().unwrap())),
            ..Self::none()
        }
    }

    /// The messages in a datagram.
    pub(crate) fn open(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        let Some(config) = &self.config else {
            return vec![datagram.to_vec()];
        };
        let now = Instant::now();
        let session = || Dtls::new_12_psk(Arc::clone(config), now);
        let session = self.sessions.entry(from).or_insert_with(session);
        let good = session.handle_timeout(now).is_ok() && session.handle_packet(datagram).is_ok();
        let messages = poll(session, from, &mut self.to_send);
        if !good {
            self.sessions.remove(&from);
        }
        messages
    }

    /// Has this message sent.
    pub(crate) fn seal(&mut self, to: SocketAddr, message: Vec<u8>) {
        if self.config.is_none() {
            self.to_send.push((to, message));
        } else if let Some(session) = self.sessions.get_mut(&to) {
            session.send_application_data(&message).unwrap();
            assert!(poll(session, to, &mut self.to_send).is_empty());
        }
    }

    /// What is to be sent.
    pub(crate) fn take(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.to_send)
    }
}

fn poll(session: &mut Dtls, peer: SocketAddr, to_send: &mut Vec<(SocketAddr, Vec<u8>)>) -> Vec<Vec<u8>> {
    let (mut messages, mut buffer) = (Vec::new(), vec![0; 2048]);
    loop {
        match session.poll_output(&mut buffer) {
            Output::Packet(datagram) => to_send.push((peer, datagram.to_vec())),
            Output::ApplicationData(message) => messages.push(message.to_vec()),
            Output::Timeout(_) => return messages,
            Output::Connected | Output::CloseNotify => {}
            Output::BufferTooSmall { needed } => panic!("needed {needed}"),
            Output::PeerCert(_) | Output::KeyingMaterial(..) | _ => {}
        }
    }
}
