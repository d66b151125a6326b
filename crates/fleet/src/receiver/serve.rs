//! The receiver's tasks: one accepts, one per connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Plan, Push, Pushes, Reply};

/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// Largest body taken.
const MAX_BODY: usize = 1 << 20;
/// How long the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long after a failed accept the next is tried.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the tasks share with their owner.
pub(super) struct Shared {
    plan: Mutex<Plan>,
    pushes: watch::Sender<Pushes>,
}

impl Shared {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan: Mutex::new(plan),
            pushes: watch::Sender::new(Pushes::default()),
        }
    }

    pub(super) fn plan(&self, plan: Plan) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    pub(super) const fn pushes(&self) -> &watch::Sender<Pushes> {
        &self.pushes
    }

    /// Chooses the reply and records the push as one step, so that both follow the order of arrival.
    fn take(&self, push: Push) -> Reply {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = plan.next(&push);
        self.pushes.send_modify(|pushes| pushes.record(push));
        reply
    }

    fn connected(&self) -> u64 {
        let mut number = 0;
        self.pushes.send_modify(|pushes| {
            number = pushes.connections;
            pushes.connections += 1;
        });
        number
    }
}

/// Accepts until it is aborted, and takes its connections with it then.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                // Out of descriptors, most likely; those who wait are served when there are some again.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let number = shared.connected();
    // Without it answers only come later; the receiver works all the same.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| handle(request, Arc::clone(&shared), number));
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is the sender's matter, and what this server is there to provoke.
    let _ = serving.await;
}

/// Tells hyper to close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

async fn handle(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    connection: u64,
) -> Result<Response<Answer>, Closed> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
    };
    let push = Push {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: body.to_bytes(),
        at: Instant::now(),
        at_clock: SystemTime::now(),
        connection,
    };
    match shared.take(push) {
        Reply::Answer {
            status,
            headers,
            body,
            after,
        } => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            Ok(answer(status, headers, body))
        }
        // The connection's end ends this wait.
        Reply::Stall => std::future::pending().await,
        Reply::StallBody => Ok(Response::new(Answer::Endless)),
        Reply::Close => Err(Closed),
    }
}

fn plain(status: StatusCode, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Full::new(body)));
    *response.status_mut() = status;
    response
}

fn answer(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Response<Answer> {
    let mut response = plain(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        body,
    );
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A body that comes at once, or one that never ends.
enum Answer {
    Whole(Full<Bytes>),
    Endless,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Endless => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Endless => false,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Endless => hyper::body::SizeHint::default(),
        }
    }
}
