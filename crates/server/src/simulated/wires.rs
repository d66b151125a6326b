//! What comes in and goes out without sockets: datagrams and pushes.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

/// What a datagram does that leaves the server.
type Leaves = Box<dyn Fn(SocketAddr, &[u8]) + Send + Sync>;

/// The door for datagrams. What it holds is bounded by who fills it.
#[derive(Clone)]
pub struct Datagrams(Arc<Door>);

struct Door {
    waiting: Mutex<VecDeque<(SocketAddr, Vec<u8>)>>,
    came: Notify,
    leaves: Leaves,
}

impl Datagrams {
    /// A door; what the server sends is given to `leaves`.
    pub fn new(leaves: impl Fn(SocketAddr, &[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Door {
            waiting: Mutex::default(),
            came: Notify::new(),
            leaves: Box::new(leaves),
        }))
    }

    /// One arrives.
    pub fn arrive(&self, from: SocketAddr, bytes: Vec<u8>) {
        self.waiting().push_back((from, bytes));
        self.0.came.notify_one();
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<(SocketAddr, Vec<u8>)>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn readable(&self) {
        while self.waiting().is_empty() {
            self.0.came.notified().await;
        }
    }

    pub(crate) fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (from, bytes) = self.waiting().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok((length, from))
    }

    pub(crate) fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        (self.0.leaves)(to, bytes);
        Ok(bytes.len())
    }
}

/// A push as its receiver gets it.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Scheme, host and port it goes to.
    pub origin: String,
    /// The same in all attempts at one push.
    pub webhook_id: String,
    /// Its place in its order.
    pub sequence: u32,
    /// JSON.
    pub body: Bytes,
}

/// What a receiver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It answers with this status, and asks for this pause.
    Status(u16, Option<Duration>),
    /// The connection breaks.
    Broken,
}

/// The receivers of all applications.
pub trait Receivers: Send + Sync + 'static {
    /// A push arrives. What this gives may take as long as it likes: the server's own clock ends it.
    fn deliver(&self, letter: Letter) -> Pin<Box<dyn Future<Output = Reply> + Send>>;
}
