//! Bytes in and out of a socket: one read buffer per thread, packets cut out of what was read, the last goodbye.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::gateway::mqtt::outbox::Outbox;
use crate::gateway::mqtt::session::{Close, Now, Out, Session};
use crate::gateway::mqtt::wire;

/// How long a connection that is being closed may take to read its last packets and close its side.
const FAREWELL: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// Hands the session all whole packets in what is left from before and what was read now.
pub(super) fn take_in(
    rest: &mut Vec<u8>,
    bytes: &[u8],
    max: usize,
    session: &mut Session,
    now: Now,
    out: &mut Out,
) {
    let joined;
    let mut all = bytes;
    if !rest.is_empty() {
        rest.extend_from_slice(bytes);
        joined = mem::take(rest);
        all = &joined;
        // As long as the first packet is incomplete, nothing is copied but what comes.
        if let Ok(None) = wire::frame(all, max) {
            *rest = joined;
            return;
        }
    }
    while out.close.is_none() {
        let packet = match wire::frame(all, max) {
            Ok(None) => break,
            Ok(Some(frame)) => {
                all = &all[frame.len..];
                wire::decode(frame, session.version())
            }
            Err(reason) => Err(reason),
        };
        match packet {
            Ok(packet) => session.packet(packet, now, out),
            Err(reason) => out.close = Some(Close::Fault(reason)),
        }
    }
    if out.close.is_none() {
        *rest = all.to_vec();
    }
}

/// Reads into the thread's buffer and gives `take` what came: nothing at the end of the stream.
pub(super) fn poll_read<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    READ.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

/// Writes what is left, closes this side, and lets the other side read it all before the socket is gone: closing a
/// socket with unread bytes would reset the connection.
pub(super) async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, outbox: &mut Outbox) {
    let parting = async {
        poll_fn(|cx| outbox.poll_flush(stream, cx)).await?;
        stream.shutdown().await?;
        while poll_fn(|cx| poll_read(stream, cx, <[u8]>::len)).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // A peer that will not part is left.
    let _parted = tokio::time::timeout(FAREWELL, parting).await;
}
