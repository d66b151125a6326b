//! Devices made of the library's client, and the datagrams between them and the table.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gateway::lwm2m::dtls::{Dtls, Keys, Output, Settings, Why};

pub(super) const KEY: &[u8] = b"sixteen bytes 16";

pub(super) fn settings() -> Settings {
    Settings {
        max_sessions: 100,
        max_handshakes: 50,
        max_handshakes_per_source: 10,
        hellos_per_source: 1000,
        idle: Duration::from_secs(3600),
        spare_after: Duration::from_secs(60),
        handshake: Duration::from_secs(40),
        retransmit: Duration::from_secs(1),
        mtu: 1200,
    }
}

/// Knows every identity that begins with `dev`, with [`KEY`].
pub(super) struct Known;

impl Keys for Known {
    fn key(&self, identity: &[u8]) -> Option<Vec<u8>> {
        identity.starts_with(b"dev").then(|| KEY.to_vec())
    }
}

struct Mine(Vec<u8>);

impl dimpl::PskResolver for Mine {
    fn resolve(&self, _identity: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }
}

pub(super) fn address(last: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, (last >> 8) as u8, last as u8], 40_000))
}

/// The client side.
pub(super) struct Device {
    pub(super) at: SocketAddr,
    dtls: dimpl::Dtls,
    pub(super) connected: bool,
    pub(super) told_bye: bool,
    pub(super) received: Vec<Vec<u8>>,
    pub(super) wake: Instant,
    out: VecDeque<Vec<u8>>,
}

impl Device {
    pub(super) fn new(now: Instant, at: SocketAddr, identity: &str, key: &[u8]) -> Self {
        let config = dimpl::Config::builder()
            .with_crypto_provider(downlink_psk::provider())
            .with_psk_client(identity.into(), Arc::new(Mine(key.to_vec())))
            .dtls13_cipher_suites(&[])
            .build()
            .unwrap();
        let mut dtls = dimpl::Dtls::new_12_psk(Arc::new(config), now);
        dtls.set_active(true);
        let mut device = Self {
            at,
            dtls,
            connected: false,
            told_bye: false,
            received: Vec::new(),
            wake: now,
            out: VecDeque::new(),
        };
        device.tick(now);
        device
    }

    /// Does what is due. Returns false when the handshake took too long.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let goes_on = self.dtls.handle_timeout(now).is_ok();
        self.drain();
        goes_on
    }

    pub(super) fn take(&mut self, now: Instant, datagram: &[u8]) {
        let _ = self.dtls.handle_timeout(now);
        let _ = self.dtls.handle_packet(datagram);
        self.drain();
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.dtls.send_application_data(bytes).unwrap();
        self.drain();
    }

    pub(super) fn hang_up(&mut self) {
        self.dtls.close().unwrap();
        self.drain();
    }

    /// The next datagram that the device sends.
    pub(super) fn out(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                dimpl::Output::Packet(bytes) => self.out.push_back(bytes.to_vec()),
                dimpl::Output::Connected => self.connected = true,
                dimpl::Output::ApplicationData(bytes) => self.received.push(bytes.to_vec()),
                dimpl::Output::CloseNotify => self.told_bye = true,
                dimpl::Output::Timeout(at) => {
                    self.wake = at;
                    return;
                }
                // The library's client always offers SRTP.
                dimpl::Output::KeyingMaterial(..) => {}
                dimpl::Output::BufferTooSmall { .. } | dimpl::Output::PeerCert(_) | _ => {
                    panic!("not expected")
                }
            }
        }
    }
}

/// The table, what it said, and what it sent.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) dtls: Dtls,
    pub(super) opened: Vec<(u64, String)>,
    pub(super) closed: Vec<(u64, Why)>,
    pub(super) received: Vec<(u64, Vec<u8>)>,
    /// Sent to addresses where nobody takes it.
    pub(super) sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let now = Instant::now();
        Self {
            now,
            dtls: Dtls::new(now, settings, Arc::new(Known)),
            opened: Vec::new(),
            closed: Vec::new(),
            received: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.dtls.tick(self.now);
        self.poll();
    }

    pub(super) fn put(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.dtls.receive(self.now, from, datagram);
        self.poll();
    }

    pub(super) fn send(&mut self, session: u64, bytes: &[u8]) -> bool {
        let sent = self.dtls.send(self.now, session, bytes);
        self.poll();
        sent
    }

    pub(super) fn close(&mut self, session: u64) {
        self.dtls.close(session);
        self.poll();
    }

    pub(super) fn poll(&mut self) {
        while let Some(output) = self.dtls.poll() {
            match output {
                Output::Transmit { to, bytes } => self.sent.push((to, bytes)),
                Output::Opened {
                    session, identity, ..
                } => {
                    self.opened
                        .push((session, String::from_utf8(identity.into()).unwrap()));
                }
                Output::Received { session, bytes } => self.received.push((session, bytes)),
                Output::Closed { session, why } => self.closed.push((session, why)),
            }
        }
    }

    /// Carries datagrams between the device and the table until both are silent.
    pub(super) fn settle(&mut self, device: &mut Device) {
        loop {
            let mut quiet = true;
            while let Some(bytes) = device.out() {
                quiet = false;
                self.put(device.at, &bytes);
            }
            let (mine, others) = std::mem::take(&mut self.sent)
                .into_iter()
                .partition(|(to, _)| *to == device.at);
            self.sent = others;
            let mine: Vec<_> = mine;
            for (_, bytes) in mine {
                quiet = false;
                device.take(self.now, &bytes);
            }
            if quiet {
                return;
            }
        }
    }

    /// A device of this address with an open session, and its number.
    pub(super) fn connect(&mut self, at: SocketAddr, identity: &str) -> (Device, u64) {
        let mut device = Device::new(self.now, at, identity, KEY);
        self.settle(&mut device);
        assert!(device.connected, "{:?}", self.dtls.counters());
        let (session, who) = self.opened.last().unwrap();
        assert_eq!(who, identity);
        (device, *session)
    }

    /// How much was received from each session.
    pub(super) fn count(&self) -> HashMap<u64, usize> {
        self.received
            .iter()
            .fold(HashMap::new(), |mut counts, (session, _)| {
                *counts.entry(*session).or_default() += 1;
                counts
            })
    }
}

/// Numbers that follow from a seed.
#[cfg(test)]
pub(super) struct Dice(u64);

#[cfg(test)]
impl Dice {
    /// A seed from the system, printed; or the one in `SEED`.
    pub(super) fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
        println!("SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        // Vigna, splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}
