//! Binding a listener.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

/// Why a listener could not be opened. Names the listener and the address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Not `HOST:PORT`.
    #[error("{name}: `{address}` is not an address (HOST:PORT, [IPv6]:PORT)")]
    Address { name: &'static str, address: String },
    /// Somebody else has the port.
    #[error("{name}: {address} is in use by another process")]
    InUse { name: &'static str, address: String },
    /// It would be reachable from outside, which was not asked for.
    #[error("{name}: {address} is not a loopback address; set {switch} to allow it")]
    BeyondLoopback {
        name: &'static str,
        address: String,
        switch: &'static str,
    },
    /// Anything else.
    #[error("{name}: cannot listen on {address}: {source}")]
    Other {
        name: &'static str,
        address: String,
        source: io::Error,
    },
}

/// Listens on `address`; port 0 picks a free one.
pub(crate) async fn bind(name: &'static str, address: &str) -> Result<TcpListener, BindError> {
    if !address.contains(':') {
        return Err(BindError::Address {
            name,
            address: address.to_owned(),
        });
    }
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| refused(name, address, source))
}

/// The same for datagrams.
pub(crate) async fn bind_udp(name: &'static str, address: &str) -> Result<UdpSocket, BindError> {
    if !address.contains(':') {
        return Err(BindError::Address {
            name,
            address: address.to_owned(),
        });
    }
    let bound = UdpSocket::bind(address).await;
    bound.map_err(|source| refused(name, address, source))
}

fn refused(name: &'static str, address: &str, source: io::Error) -> BindError {
    let (kind, address) = (source.kind(), address.to_owned());
    if kind == io::ErrorKind::AddrInUse {
        BindError::InUse { name, address }
    } else if kind == io::ErrorKind::InvalidInput {
        BindError::Address { name, address }
    } else {
        BindError::Other {
            name,
            address,
            source,
        }
    }
}

/// Whether only this machine reaches the address.
pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
