//! A connection of a device as the server has it: a stream of bytes that can end at any place.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::outside::{Outside, Seen};

/// The world's end.
#[derive(Clone)]
pub(crate) struct Far(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
}

/// The server's end.
pub(crate) struct Wire {
    inner: Far,
    connection: u64,
    outside: Arc<Outside>,
}

/// Both ends of a new connection.
pub(crate) fn wire(connection: u64, outside: &Arc<Outside>) -> (Wire, Far) {
    let far = Far(Arc::default());
    let near = Wire {
        inner: far.clone(),
        connection,
        outside: Arc::clone(outside),
    };
    (near, far)
}

impl Far {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the device arrive.
    pub(crate) fn arrive(&self, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.waiting.extend(bytes);
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    /// The device is gone.
    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        inner.ended = true;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.inner();
        if inner.waiting.is_empty() && !inner.ended {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = inner.waiting.len().min(into.remaining());
        let bytes: Vec<u8> = inner.waiting.drain(..length).collect();
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.inner.inner().ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.outside.write(self.connection, bytes) {
            Some(taken) => Poll::Ready(Ok(taken)),
            None => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outside.see(Seen::Closed(self.connection));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.outside.see(Seen::Closed(self.connection));
    }
}
