//! Connections: accepts them, bounds them in number and time, and drives HTTP/1.1 or HTTP/2 over each, plain or TLS.
//!
//! Used by the northbound and the admin listener. Promises: a slow handshake or a silent peer never holds up others;
//! a connection without a request for `idle` to twice that is closed; at stop what is in flight is finished.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::net::TlsDoor;

/// Bytes of a request's head at the most, as one buffer.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// A TLS handshake has to be complete within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long after stop a connection without a request in flight may stay.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Connections beyond the limit that are answered at once; more are closed without a word.
const REFUSED_AT_ONCE: usize = 256;
/// The most time to refuse one.
const REFUSAL: Duration = Duration::from_secs(5);
/// Rest after the system refused a new connection (too many open files): asking again at once would only burn time.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A listener and what its connections share.
#[derive(Clone)]
pub(crate) struct Accepting {
    /// TLS, if it is spoken.
    pub(crate) tls: Option<Arc<TlsDoor>>,
    /// One a connection; one more is answered by `full` and closed.
    pub(crate) permits: Arc<Semaphore>,
    /// What a connection beyond the limit is told, whatever it asks.
    pub(crate) full: fn() -> Response,
    /// Counts these.
    pub(crate) refused: Counter,
    /// See the module.
    pub(crate) idle: Duration,
    /// Counts open connections.
    pub(crate) connections: Gauge,
    /// Owns the connections.
    pub(crate) tasks: TaskTracker,
    /// Ends accepting.
    pub(crate) stop: CancellationToken,
}

/// Accepts on `listener` until stop; `answer` answers each request.
pub(crate) async fn accept<A, F>(on: Accepting, listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let refusals = Arc::new(Semaphore::new(REFUSED_AT_ONCE));
    while let Some(stream) = next(&on, &listener).await {
        let (connection, answer) = (on.clone(), answer.clone());
        // Listeners share the room.
        let Ok(permit) = Arc::clone(&on.permits).try_acquire_owned() else {
            on.refused.inc();
            if let Ok(refusal) = Arc::clone(&refusals).try_acquire_owned() {
                on.tasks.spawn(refuse(connection, stream, refusal));
            }
            continue;
        };
        on.tasks.spawn(async move {
            connection.connections.inc();
            connection.serve(stream, answer).await;
            connection.connections.dec();
            drop(permit);
        });
    }
}

/// The next connection; none at stop.
async fn next(on: &Accepting, listener: &TcpListener) -> Option<TcpStream> {
    tokio::select! {
        biased;
        () = on.stop.cancelled() => None,
        stream = accepted(listener) => Some(stream),
    }
}

/// Tells a connection beyond the limit so, once it has asked something.
async fn refuse(on: Accepting, stream: TcpStream, _refusal: OwnedSemaphorePermit) {
    let full = on.full;
    let told = move |_request| {
        let mut response = full();
        let close = http::HeaderValue::from_static("close");
        response.headers_mut().insert(http::header::CONNECTION, close);
        std::future::ready(response)
    };
    // One that asks nothing is closed without an answer.
    let _too_late = tokio::time::timeout(REFUSAL, on.serve(stream, told)).await;
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

impl Accepting {
    async fn serve<A, F>(&self, stream: TcpStream, answer: A)
    where
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        match &self.tls {
            None => self.drive(stream, answer).await,
            Some(tls) => {
                let shaken = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    shaken = tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)) => shaken,
                };
                match shaken {
                    Ok(Ok(stream)) => self.drive(stream, answer).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }

    async fn drive<I, A, F>(&self, stream: I, answer: A)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let pulse = Arc::new(Pulse::default());
        let beat = Arc::clone(&pulse);
        let service = service_fn(move |request| {
            let (beat, answering) = (Beat::start(&beat), answer(request));
            async move {
                let mut response: Response<Body> = answering.await;
                if response.extensions_mut().remove::<LongLived>().is_some() {
                    response = response.map(|body| Body::new(Beating { body, _beat: beat }));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let builder = self.builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let (mut stopping, mut seen) = (false, 0);
        loop {
            let rest = if stopping { STOP_GRACE } else { self.idle };
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = &*error, "a connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep(rest) => {
                    let started = pulse.started.load(Ordering::Acquire);
                    if pulse.active.load(Ordering::Acquire) == 0 && (stopping || started == seen) {
                        return;
                    }
                    seen = started;
                }
            }
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle)
            .max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .max_concurrent_streams(MAX_STREAMS);
        builder
    }
}

/// In an answer's extensions: its body goes on for long, and the connection is not idle until it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongLived;

/// A body that counts as a request in flight.
struct Beating {
    body: Body,
    _beat: Beat,
}

impl HttpBody for Beating {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

/// What a connection has done; its driver looks at it to see whether it is idle.
#[derive(Default)]
struct Pulse {
    /// Requests begun so far.
    started: AtomicU64,
    /// Requests in flight.
    active: AtomicUsize,
}

/// A request in flight.
struct Beat(Arc<Pulse>);

impl Beat {
    fn start(pulse: &Arc<Pulse>) -> Self {
        pulse.started.fetch_add(1, Ordering::AcqRel);
        pulse.active.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}
