//! What the sessions of a socket say: what is to be done, and what happened.

use std::net::SocketAddr;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway::lwm2m) enum Output {
    /// Send this datagram.
    Transmit { to: SocketAddr, bytes: Vec<u8> },
    /// A session is open. Its number is of this handshake alone; `identity` proved that it has its key.
    Opened {
        session: u64,
        peer: SocketAddr,
        identity: Box<[u8]>,
    },
    /// Application data of an open session, each record once.
    Received { session: u64, bytes: Vec<u8> },
    /// A session that was opened is no more.
    Closed { session: u64, why: Why },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway::lwm2m) enum Why {
    /// The peer said so.
    ByPeer,
    /// [`Dtls::close`].
    Asked,
    /// Silent for too long.
    Idle,
    /// Silent for a while, and its place was needed.
    Displaced,
    /// The device at its address made a new handshake.
    Replaced,
}

/// What happened, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::gateway::lwm2m) struct Counters {
    /// Hellos that were asked to come again with a cookie.
    pub(in crate::gateway::lwm2m) asked: u64,
    /// Handshakes begun by hellos with a good cookie.
    pub(in crate::gateway::lwm2m) begun: u64,
    /// Handshakes completed.
    pub(in crate::gateway::lwm2m) completed: u64,
    /// Hellos with a good cookie that offer another suite, or no extended master secret, or cannot be read.
    pub(in crate::gateway::lwm2m) unsuitable: u64,
    /// Handshakes that failed: no such identity, wrong key, or given up for another.
    pub(in crate::gateway::lwm2m) failed: u64,
    /// Handshakes that took too long.
    pub(in crate::gateway::lwm2m) timed_out: u64,
    /// Hellos over the rate, or the handshakes, of their source.
    pub(in crate::gateway::lwm2m) limited: u64,
    /// Hellos with a good cookie, or handshakes, for which there was no room.
    pub(in crate::gateway::lwm2m) full: u64,
    /// Datagrams that are no DTLS, or that nobody may send.
    pub(in crate::gateway::lwm2m) garbage: u64,
    /// Records from an address that has neither session nor handshake.
    pub(in crate::gateway::lwm2m) stray: u64,
    /// Datagrams that changed nothing: forged, repeated, late.
    pub(in crate::gateway::lwm2m) ignored: u64,
}
