//! Who is spoken to, and what the store calls a device.

use std::net::SocketAddr;

/// The other end of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// An address on the plain port. It proves nothing about who sends from it.
    Plain(SocketAddr),
    /// A DTLS session, by the number that the caller gave it. Numbers are never used again.
    Secure(u64),
}

/// The store's key of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber(pub i64);
