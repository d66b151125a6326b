//! The door for DTLS: its socket, its sessions, and whose each session is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use downlink_core::DeviceKey;
use downlink_store::Device;
use foldhash::HashMap;
use tokio::net::UdpSocket;

use super::dtls::{Counters, Dtls, Output, Settings};
use super::keys::{Key, KeyBook, Proved, Resolver, identity};

/// Messages of handshakes that wait for their key, at the most: beyond it they are lost, and sent again by the device.
const HELD: usize = 4096;

/// See the module.
pub(super) struct Secure {
    pub(super) socket: UdpSocket,
    dtls: Dtls,
    keys: Arc<KeyBook>,
    proved: HashMap<u64, Proved>,
    sessions: HashMap<DeviceKey, u64>,
    /// Messages that wait for the key of an identity.
    held: HashMap<Box<[u8]>, Vec<Message>>,
    held_count: usize,
}

/// A message of a handshake, and where it came from.
type Message = (SocketAddr, Vec<u8>);

/// What happened behind the door.
pub(super) enum Inside {
    /// A session is a device's from now on. The one that it had before is to be closed.
    Opened(u64, DeviceKey),
    /// A message over a session.
    Received(u64, Vec<u8>),
    /// A session is no more.
    Closed(u64),
}

impl Secure {
    pub(super) fn new(now: Instant, socket: UdpSocket, settings: Settings) -> Self {
        let keys = Arc::new(KeyBook::default());
        Self {
            socket,
            dtls: Dtls::new(now, settings, Arc::new(Resolver(Arc::clone(&keys)))),
            keys,
            proved: HashMap::default(),
            sessions: HashMap::default(),
            held: HashMap::default(),
            held_count: 0,
        }
    }

    /// Takes a datagram. Gives an identity whose key is to be looked up: the datagram is held back until
    /// [`found`](Self::found).
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<Box<[u8]>> {
        // Nothing is looked up for whoever has no handshake under way.
        let wanted = identity(datagram)
            .filter(|identity| !self.keys.knows(identity, now) && self.dtls.expects(from, datagram));
        let Some(wanted) = wanted else {
            self.dtls.receive(now, from, datagram);
            return None;
        };
        if self.held_count >= HELD {
            return None;
        }
        self.held_count += 1;
        let message = (from, datagram.to_vec());
        match self.held.get_mut(wanted) {
            Some(waiting) => {
                waiting.push(message);
                None
            }
            None => {
                self.held.insert(wanted.into(), vec![message]);
                Some(wanted.into())
            }
        }
    }

    /// What the store says of an identity; the messages that waited for it go on.
    pub(super) fn found(&mut self, now: Instant, identity: Box<[u8]>, key: Option<Key>) {
        let waiting = self.held.remove(&identity).unwrap_or_default();
        self.held_count -= waiting.len();
        self.keys.put(identity, key, now);
        for (from, datagram) in waiting {
            self.dtls.receive(now, from, &datagram);
        }
    }

    /// What the store could not say: the messages are lost, and sent again by the device.
    pub(super) fn not_found(&mut self, identity: &[u8]) {
        let waiting = self.held.remove(identity).unwrap_or_default();
        self.held_count -= waiting.len();
    }

    /// Takes the next of what happened; sends what is to be sent. The count of what the socket did not take rises.
    pub(super) fn poll(&mut self, unsent: &mut u64) -> Option<Inside> {
        loop {
            match self.dtls.poll()? {
                Output::Transmit { to, bytes } => {
                    *unsent += u64::from(self.socket.try_send_to(&bytes, to).is_err());
                }
                Output::Opened {
                    session,
                    peer: _,
                    identity,
                } => match self.keys.owner(&identity) {
                    Some(proved) => {
                        let device = proved.device;
                        self.own(session, proved);
                        return Some(Inside::Opened(session, device));
                    }
                    // Forgotten meanwhile: the device comes again.
                    None => self.dtls.close(session),
                },
                Output::Received { session, bytes } => return Some(Inside::Received(session, bytes)),
                Output::Closed { session, why } => {
                    tracing::debug!(session, ?why, "LwM2M: a DTLS session ended");
                    if let Some(proved) = self.proved.remove(&session)
                        && self.sessions.get(&proved.device) == Some(&session)
                    {
                        self.sessions.remove(&proved.device);
                    }
                    return Some(Inside::Closed(session));
                }
            }
        }
    }

    /// A device has one session: the newest.
    fn own(&mut self, session: u64, proved: Proved) {
        let before = self.sessions.insert(proved.device, session);
        self.proved.insert(session, proved);
        if let Some(before) = before {
            self.dtls.close(before);
        }
    }

    /// Whose a session is.
    pub(super) fn proved(&self, session: u64) -> Option<&Proved> {
        self.proved.get(&session)
    }

    /// Sends a message over a session.
    pub(super) fn send(&mut self, now: Instant, session: u64, bytes: &[u8]) {
        self.dtls.send(now, session, bytes);
    }

    /// Ends the session of a device that proved another secret than it has now.
    pub(super) fn close_outdated(&mut self, device: &Device) {
        if let Some(session) = self.outdated(device) {
            self.dtls.close(session);
        }
    }

    fn outdated(&self, device: &Device) -> Option<u64> {
        let session = *self.sessions.get(&device.key)?;
        let proved = self.proved.get(&session)?;
        (!proved.holds_for(device)).then_some(session)
    }

    /// A device's key is another: it is looked up anew.
    pub(super) fn forget_key(&self, device: DeviceKey) {
        self.keys.forget(device);
    }

    /// Ends a device's session: its key changed, or it was removed.
    pub(super) fn close(&mut self, device: DeviceKey) {
        if let Some(session) = self.sessions.get(&device) {
            self.dtls.close(*session);
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.dtls.tick(now);
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.dtls.next_wake()
    }

    /// What was counted; sessions and handshakes that there are.
    pub(super) fn figures(&self) -> (Counters, usize, usize) {
        (self.dtls.counters(), self.dtls.sessions(), self.dtls.handshakes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn device(secret: &[u8]) -> Device {
        Device {
            secret: secret.to_vec(),
            ..samples::device(7)
        }
    }

    #[tokio::test]
    async fn a_session_made_with_another_secret_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = crate::config::load(None, [], Vec::new()).unwrap().lwm2m;
        let mut secure = Secure::new(Instant::now(), socket, config.dtls());
        let (old, new) = (device(b"old"), device(b"new"));
        assert_eq!(secure.outdated(&new), None, "it has no session");
        secure.own(1, Proved::of(&old));
        assert_eq!((secure.outdated(&old), secure.outdated(&new)), (None, Some(1)));
        secure.own(2, Proved::of(&new));
        assert_eq!((secure.outdated(&old), secure.outdated(&new)), (Some(2), None));
    }
}
