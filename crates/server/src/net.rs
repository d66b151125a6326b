//! Listeners: binding with errors that say what to do, and TLS from files or self-signed, read again when they change.

mod datagrams;
mod door;
mod listen;
mod reload;
mod tls;

pub(crate) use datagrams::Datagrams;
pub(crate) use door::TlsDoor;
pub(crate) use listen::{BindError, bind, bind_udp, is_loopback};
pub(crate) use reload::keep_fresh;
pub(crate) use tls::{Clients, TlsError, TlsFiles};
