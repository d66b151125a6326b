//! HTTP over a new connection: one exchange at a time, or many beside each other.
//!
//! Over HTTP/1.1 whoever waits for the answer moves the bytes: an exchange wakes nobody else. An idle connection is not looked at
//! until it is used again or the pool sweeps. Over HTTP/2 a task of its own moves the bytes of each connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
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

/// A connection over HTTP/1.1.
pub(in crate::push) struct One {
    sender: http1::SendRequest<Full<Bytes>>,
    mover: Mover,
}

impl One {
    /// Waits until the last exchange is over; false: it was closed. It may have been closed since it was last looked at: the
    /// next exchange finds out, before anything is sent.
    pub(super) async fn ready(&mut self) -> bool {
        if self.sender.is_ready() {
            return true;
        }
        self.mover.beside(pin!(self.sender.ready())).await.is_ok()
    }

    /// Sends a request, and waits for the head of the answer.
    pub(in crate::push) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let sent = pin!(self.sender.try_send_request(request));
        self.mover.beside(sent).await
    }

    /// Does what needs the connection to move on: reading an answer's body.
    pub(in crate::push) fn beside<T>(
        &mut self,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = T> {
        self.mover.beside(work)
    }

    /// Known to be closed.
    pub(super) fn is_closed(&self) -> bool {
        self.mover.0.is_none() || self.sender.is_closed()
    }

    /// Lets it come to rest after an exchange, and looks whether it has been closed by now. Wakes nobody later on.
    pub(super) fn was_closed(&mut self) -> bool {
        self.mover.poll(&mut Context::from_waker(Waker::noop()));
        self.is_closed()
    }
}

/// What moves the bytes of a connection, until it ends. How it ended is told to whoever waits for an answer.
struct Mover(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Drop for Mover {
    /// The sender is gone by now: says goodbye, as far as that goes without waiting.
    fn drop(&mut self) {
        self.poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl Mover {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && connection.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
    }

    /// Does `work`, and moves bytes whenever that or the connection may go on. The work goes first, so that what it sends is moved
    /// in the same turn, and last, so that it gets what came: neither has to wake the other.
    fn beside<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> impl Future<Output = T> {
        poll_fn(move |context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            self.poll(context);
            work.as_mut().poll(context)
        })
    }
}

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
    let moving = async move {
        let _ended = connection.await;
    };
    let mover = Mover(Some(Box::pin(moving)));
    Ok(Begun::Http1(One { sender, mover }))
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
