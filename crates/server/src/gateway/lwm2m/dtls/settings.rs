//! The limits of the sessions of one socket.

use std::sync::Arc;
use std::time::Duration;

use super::keys::Resolver;

/// Sendings again of one flight of a handshake.
const REPETITIONS: usize = 4;

/// Limits of the sessions of one socket.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Open sessions at most. Each takes about 7 kB.
    pub(crate) max_sessions: usize,
    /// Handshakes under way at most, from hellos that proved their address.
    pub(crate) max_handshakes: usize,
    /// The same, of one source: an address of IPv4, a /64 of IPv6. Many devices may stand behind one.
    pub(crate) max_handshakes_per_source: usize,
    /// Hellos of one source that are answered in a second, on average; twice that at once. Hellos with a good cookie are
    /// counted by themselves, so that forged ones do not use them up.
    pub(crate) hellos_per_source: u32,
    /// A session that is silent for this long is closed.
    pub(crate) idle: Duration,
    /// In a full table, a session that was silent for this long gives way to a new one.
    pub(crate) spare_after: Duration,
    /// A handshake ends after this time, complete or not.
    pub(crate) handshake: Duration,
    /// First time until a flight is sent again; it doubles (RFC 6347 §4.2.4.1; RFC 7925 §11 proposes 9 s for slow networks).
    pub(crate) retransmit: Duration,
    /// Longest datagram of a handshake, in bytes; at least 64.
    pub(crate) mtu: usize,
}

impl Settings {
    /// What the library is told.
    ///
    /// # Panics
    /// If a time is zero or over ten years, or the datagram shorter than 64 bytes.
    pub(super) fn of_library(&self, resolver: Arc<Resolver>) -> dimpl::Config {
        dimpl::Config::builder()
            .with_crypto_provider(downlink_psk::provider())
            .with_psk_server(None, resolver)
            .dtls13_cipher_suites(&[])
            .mtu(self.mtu)
            .flight_start_rto(self.retransmit)
            .flight_retries(REPETITIONS)
            .handshake_timeout(self.handshake)
            .build()
            .expect("the times and the datagram are in their bounds, and the provider is ours")
    }
}
