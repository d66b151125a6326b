//! Who is spoken to, and what the store calls a device.

use std::net::SocketAddr;

/// The other end of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// An address on the plain port. It proves nothing about who sends from it.
    Plain(SocketAddr),
    /// A DTLS session, by the number that the caller gave it. Numbers are never used again, the highest one never
    /// at all.
    Secure(u64),
}

/// A session that never is: that of a device whose own was gone when its registration was taken up again.
pub(crate) const NO_SESSION: u64 = u64::MAX;

/// The store's key of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber(pub i64);
