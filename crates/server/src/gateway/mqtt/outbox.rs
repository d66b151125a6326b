//! What is written to one socket: bytes that it has not taken yet, and which dispatches are among them.
//!
//! Holds no memory while there is nothing to write.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use downlink_store::Dispatch;
use tokio::io::AsyncWrite;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of `bytes` the socket has taken.
    taken: usize,
    /// Dispatches of which the socket has taken nothing, and where in `bytes` they begin.
    untouched: VecDeque<(usize, Box<Dispatch>)>,
    /// The stream was written to and not flushed.
    unflushed: bool,
}

impl Outbox {
    /// Adds bytes, with the places where dispatches begin in them.
    pub(super) fn push(&mut self, bytes: Vec<u8>, dispatched: Vec<(usize, Box<Dispatch>)>) {
        self.bytes.drain(..self.taken);
        for (begins, _) in &mut self.untouched {
            *begins -= self.taken;
        }
        self.taken = 0;
        let before = self.bytes.len();
        match before {
            0 => self.bytes = bytes,
            _ => self.bytes.extend_from_slice(&bytes),
        }
        let moved = dispatched
            .into_iter()
            .map(|(begins, dispatch)| (before + begins, dispatch));
        self.untouched.extend(moved);
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Writes as much as the stream takes; ready when all is written and flushed.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.taken < self.bytes.len() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.taken..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.took(written);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn took(&mut self, written: usize) {
        self.taken += written;
        self.unflushed = true;
        while self
            .untouched
            .front()
            .is_some_and(|(begins, _)| *begins < self.taken)
        {
            self.untouched.pop_front();
        }
        if self.taken == self.bytes.len() {
            (self.bytes, self.taken) = (Vec::new(), 0);
            self.untouched = VecDeque::new();
        }
    }

    /// The dispatches of which not a byte has left; for the end.
    pub(super) fn take_untouched(&mut self) -> Vec<Dispatch> {
        let untouched = std::mem::take(&mut self.untouched);
        untouched.into_iter().map(|(_, dispatch)| *dispatch).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, duplex};

    use super::super::session::tests::dispatch;
    use super::*;

    fn flush<S: AsyncWrite + Unpin>(outbox: &mut Outbox, stream: &mut S) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match outbox.poll_flush(stream, &mut cx) {
            Poll::Ready(result) => result.map(|()| true).unwrap(),
            Poll::Pending => false,
        }
    }

    #[tokio::test]
    async fn a_dispatch_is_untouched_until_its_first_byte_is_taken() {
        let (mut near, mut far) = duplex(4);
        let mut outbox = Outbox::default();
        outbox.push(vec![1; 3], Vec::new());
        outbox.push(vec![2; 6], vec![(0, dispatch(1)), (3, dispatch(2))]);
        assert!(!flush(&mut outbox, &mut near));
        assert_eq!(outbox.len(), 5);
        outbox.push(vec![3; 1], vec![(0, dispatch(3))]);
        let mut read = [0; 4];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [1, 1, 1, 2]);
        assert!(!flush(&mut outbox, &mut near));
        let untouched: Vec<_> = outbox.take_untouched().iter().map(|d| d.command).collect();
        assert_eq!(untouched, [dispatch(3).command]);
    }

    #[tokio::test]
    async fn taking_all_before_a_dispatch_does_not_touch_it() {
        let (mut near, _far) = duplex(3);
        let mut outbox = Outbox::default();
        outbox.push(vec![1; 5], vec![(3, dispatch(1))]);
        assert!(!flush(&mut outbox, &mut near));
        assert_eq!(outbox.take_untouched().len(), 1);
    }

    #[tokio::test]
    async fn an_empty_outbox_holds_nothing() {
        let (mut near, _far) = duplex(64);
        let mut outbox = Outbox::default();
        outbox.push(vec![1; 10], vec![(0, dispatch(1))]);
        assert!(flush(&mut outbox, &mut near));
        assert_eq!((outbox.len(), outbox.bytes.capacity()), (0, 0));
        assert!(outbox.take_untouched().is_empty());
    }
}
