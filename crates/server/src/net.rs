//! Listeners: binding with errors that say what to do, and TLS from files or self-signed.

mod listen;
mod tls;

pub(crate) use listen::{BindError, bind, bind_udp, is_loopback};
pub(crate) use tls::{TlsError, acceptor};
