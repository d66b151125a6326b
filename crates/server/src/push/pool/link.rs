//! HTTP over a new connection: one exchange at a time, or many beside each other.
//!
//! A task of its own moves the bytes of each connection, and notices when the receiver closes an idle one.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use crate::push::connect::{ConnectError, Link};

/// The largest head of an answer, and how much of a body is read at once.
const MAX_HEAD: usize = 64 * 1024;

/// Exchanges beside each other on one connection, if the receiver does not say less.
const MAX_STREAMS: usize = 100;

/// What a receiver may send of one answer, and of all, before it has to wait until it is read. Answers are short.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// While exchanges are under way and nothing comes, the receiver is asked for a sign of life this often, and the connection is given up
/// when none comes for as long. Both together are shorter than an attempt usually may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 5 });

/// The sending side of a connection over HTTP/1.1.
pub(in crate::push) type One = http1::SendRequest<Full<Bytes>>;

/// A connection over HTTP/2.
pub(super) struct Shared {
    pub(super) sender: http2::SendRequest<Full<Bytes>>,
    pub(super) load: Arc<Load>,
}

/// One exchange's part of it.
pub(in crate::push) struct Stream {
    pub(in crate::push) sender: http2::SendRequest<Full<Bytes>>,
    pub(in crate::push) lease: Lease,
}

/// How busy a connection is.
pub(super) struct Load {
    streams: AtomicUsize,
    /// What the receiver allows.
    most: AtomicUsize,
    /// It takes no more exchanges.
    retired: AtomicBool,
    last: Mutex<Instant>,
}

impl Load {
    fn new() -> Self {
        Self {
            streams: AtomicUsize::new(0),
            most: AtomicUsize::new(MAX_STREAMS),
            retired: AtomicBool::new(false),
            last: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }

    /// Unused for that long, or unused for good.
    pub(super) fn rested(&self, now: Instant, rest: Duration) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_unused() && (last + rest <= now || self.retired.load(Ordering::Relaxed))
    }
}

/// Room for one exchange, until it is dropped.
pub(in crate::push) struct Lease(Arc<Load>);

impl Lease {
    pub(super) fn of(load: &Arc<Load>) -> Self {
        load.streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }

    /// Only called under the pool's lock: nobody else takes room meanwhile.
    pub(super) fn if_room(load: &Arc<Load>) -> Option<Self> {
        let most = load.most.load(Ordering::Relaxed).min(MAX_STREAMS);
        let has_room = load.streams.load(Ordering::Relaxed) < most;
        (has_room && !load.retired.load(Ordering::Relaxed)).then(|| Self::of(load))
    }

    /// The connection takes no more exchanges; those on it go on.
    pub(in crate::push) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection became.
pub(super) enum Begun {
    Http1(One),
    Http2(Shared),
}

/// Speaks over a link what was agreed on.
pub(super) async fn begin(link: Link) -> Result<Begun, ConnectError> {
    match link {
        Link::Plain(tcp) => http1(TokioIo::new(tcp)).await,
        Link::Tls(tls) => match tls.get_ref().1.alpn_protocol() {
            Some(b"h2") => http2(TokioIo::new(*tls)).await,
            Some(_) | None => http1(TokioIo::new(*tls)).await,
        },
    }
}

async fn http1<S>(io: TokioIo<S>) -> Result<Begun, ConnectError>
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
{
    let begun = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(io).await;
    let (sender, connection) = begun.map_err(failed)?;
    tokio::spawn(async move {
        // How it ended is told to whoever waits for an answer.
        let _ended = connection.await;
    });
    Ok(Begun::Http1(sender))
}

async fn http2<S>(io: TokioIo<S>) -> Result<Begun, ConnectError>
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
{
    let begun = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_max_send_streams(MAX_STREAMS)
        .keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SIGN_OF_LIFE)
        .handshake(io)
        .await;
    let (sender, connection) = begun.map_err(failed)?;
    let load = Arc::new(Load::new());
    let seen = Arc::clone(&load);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let _ended = poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            seen.most
                .store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled
        })
        .await;
    });
    Ok(Begun::Http2(Shared { sender, load }))
}

fn failed(error: hyper::Error) -> ConnectError {
    ConnectError::Http(error.to_string())
}
