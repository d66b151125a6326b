//! Where datagrams come in and go out: a socket, or in the simulation a wire.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// A door for datagrams.
pub(crate) enum Datagrams {
    /// Of the system.
    Socket(UdpSocket),
    /// Of the simulation.
    #[cfg(feature = "simulation")]
    Wire(crate::simulated::Datagrams),
}

impl Datagrams {
    /// Waits until there may be something to take. An error is met again by whoever takes it.
    pub(crate) async fn readable(&self) {
        match self {
            Self::Socket(socket) => drop(socket.readable().await),
            #[cfg(feature = "simulation")]
            Self::Wire(wire) => wire.readable().await,
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Socket(socket) => socket.try_recv_from(buffer),
            #[cfg(feature = "simulation")]
            Self::Wire(wire) => wire.try_recv_from(buffer),
        }
    }

    /// Sends one, if there is room for it.
    pub(crate) fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_send_to(bytes, to),
            #[cfg(feature = "simulation")]
            Self::Wire(wire) => wire.try_send_to(bytes, to),
        }
    }
}
