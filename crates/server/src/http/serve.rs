//! One request from head to answer: its id, its limit in time, what becomes of a panic, its line in the log.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower_service::Service;

use super::{Fault, Rounds};
use crate::secrets::random_hex;

const HEADER: &str = "x-request-id";
const MAX_ID: usize = 64;

/// The id of a request: the client's `X-Request-Id` if it is sane, else made here. In the answer's header, in the
/// log, and in the first event of a command that the request created.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }
}

/// Makes request ids: a part that differs from start to start, and a count.
pub(crate) struct RequestIds {
    start: String,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self {
            start: random_hex(4),
            count: AtomicU64::new(0),
        }
    }

    /// The id of the request with these headers.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        match headers.get(HEADER).filter(|id| is_sane(id.as_bytes())) {
            Some(id) => RequestId(id.clone()),
            None => {
                let count = self.count.fetch_add(1, Ordering::Relaxed);
                let made = HeaderValue::try_from(format!("{}{count:08x}", self.start));
                RequestId(made.unwrap_or(HeaderValue::from_static("-")))
            }
        }
    }
}

fn is_sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=MAX_ID).contains(&id.len()) && id.iter().all(plain)
}

/// What the log says of an answer beside its status; carried from the handler in the answer's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) String);

/// What kept a handler from answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It panicked: a defect.
    Panicked,
    /// It was not done in time. What it began may still be done.
    TookTooLong,
}

/// How a listener answers requests.
pub(crate) struct Serving {
    /// Where they go.
    pub(crate) router: Router,
    /// Where they wait for their turn; none: nowhere.
    pub(crate) rounds: Option<Arc<Rounds>>,
    /// The most time one may take.
    pub(crate) limit: Duration,
    /// What is answered where no handler could.
    pub(crate) fault: fn(Trouble) -> Response,
    /// Makes their ids.
    pub(crate) ids: RequestIds,
}

impl Serving {
    /// Answers a request as it comes from a connection.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response {
        self.answer_any(request.map(axum::body::Body::new)).await
    }

    /// Answers a request.
    pub(crate) async fn answer_any(&self, mut request: Request<axum::body::Body>) -> Response {
        let (began, id) = (Instant::now(), self.ids.of(request.headers()));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let keeps_order = request.version() < http::Version::HTTP_2;
        let with_body = with_body(&method, request.headers());
        request.extensions_mut().insert(id.clone());
        let (mut response, unread) = match self.turn().await {
            Ok(()) => (self.handled(request).await, false),
            Err(refused) => (refused.into_response(), true),
        };
        let cause = response.extensions_mut().remove::<Cause>();
        log(
            id.as_str(),
            method.as_str(),
            uri.path(),
            response.status(),
            began,
            cause,
        );
        if keeps_order && with_body && (unread || may_be_unread(&method, response.status())) {
            response
                .headers_mut()
                .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.headers_mut().insert(HEADER, id.0);
        response
    }

    async fn turn(&self) -> Result<(), Fault> {
        match &self.rounds {
            Some(rounds) => rounds.turn().await,
            None => Ok(()),
        }
    }

    async fn handled(&self, request: Request<axum::body::Body>) -> Response {
        let mut router = self.router.clone();
        let handled = unpanicked(async move {
            match router.call(request).await {
                Ok(response) => response,
            }
        });
        match tokio::time::timeout(self.limit, handled).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => self.troubled(Trouble::Panicked, said(&*panic)),
            Err(_elapsed) => self.troubled(Trouble::TookTooLong, "not done in time"),
        }
    }

    fn troubled(&self, trouble: Trouble, cause: &str) -> Response {
        let mut response = (self.fault)(trouble);
        response.extensions_mut().insert(Cause(cause.to_owned()));
        response
    }
}

/// Refused before its body was read, or of a method whose bodies are passed over: the connection ends with this answer, and
/// the client has to be told, or its next request goes into a closed connection.
fn may_be_unread(method: &http::Method, status: StatusCode) -> bool {
    bodiless(method) || matches!(status.as_u16(), 401 | 403 | 404 | 405)
}

/// Nothing reads a body of these. Some clients send one.
fn bodiless(method: &http::Method) -> bool {
    matches!(
        *method,
        http::Method::GET | http::Method::HEAD | http::Method::DELETE
    )
}

/// Whether there may be a body. Where one belongs it is taken to be there.
fn with_body(method: &http::Method, headers: &HeaderMap) -> bool {
    let said = |length: &HeaderValue| length.as_bytes().iter().any(|digit| *digit != b'0');
    let chunked = headers.contains_key(http::header::TRANSFER_ENCODING);
    let length = headers.get(http::header::CONTENT_LENGTH);
    !bodiless(method) || chunked || length.is_some_and(said)
}

fn log(id: &str, method: &str, path: &str, status: StatusCode, began: Instant, cause: Option<Cause>) {
    let status_code = status.as_u16();
    let cause = cause.as_ref().map_or("", |cause| cause.0.as_str());
    match status_code {
        // 503 is flow control: what it counts shows in the metrics, and a line for each would add to the load.
        500 | 501 | 502 | 504.. => {
            tracing::error!(
                request = id,
                method,
                path,
                status = status_code,
                cause,
                "a request failed"
            )
        }
        _ => {
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(
                request = id,
                method,
                path,
                status = status_code,
                cause,
                micros,
                "answered"
            )
        }
    }
}

/// Runs `work`; a panic in it becomes an error instead of ending the connection.
async fn unpanicked<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    // What `work` had borrowed is dropped with it; shared state has to hold after a panic in any task anyway.
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_connection_with_an_unread_body_is_told_to_end() {
        use http::Method;
        for (method, length, status, ends) in [
            (Method::GET, None, StatusCode::NOT_FOUND, false),
            (Method::GET, Some("2"), StatusCode::OK, true),
            (Method::DELETE, Some("0"), StatusCode::NO_CONTENT, false),
            (Method::DELETE, Some("17"), StatusCode::NO_CONTENT, true),
            (Method::DELETE, None, StatusCode::NOT_FOUND, false),
            (Method::POST, Some("2"), StatusCode::CREATED, false),
            (Method::POST, Some("2"), StatusCode::FORBIDDEN, true),
            (Method::PUT, None, StatusCode::NOT_FOUND, true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(length) = length {
                headers.insert("content-length", HeaderValue::from_static(length));
            }
            let told = with_body(&method, &headers) && may_be_unread(&method, status);
            assert_eq!(told, ends, "{method} {length:?} {status}");
        }
    }

    #[test]
    fn sane_request_ids_are_kept_and_others_replaced() {
        let ids = RequestIds::new();
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static(value));
            ids.of(&headers).as_str().to_owned()
        };
        assert_eq!(of("a-1.b_c:D"), "a-1.b_c:D");
        let long = of("0123456789012345678901234567890123456789012345678901234567890123456789");
        assert_eq!((long.len(), of("a b").len(), of("").len()), (16, 16, 16));
        assert_ne!(of(""), of(""));
    }

    fn serving(limit: Duration) -> Serving {
        let router = Router::new()
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("a defect")
                    }
                }),
            )
            .route("/never", get(std::future::pending::<()>));
        let fault = |trouble: Trouble| {
            let told = axum::body::Body::from(format!("{trouble:?}"));
            let mut response = Response::new(told);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        };
        Serving {
            router,
            rounds: None,
            limit,
            fault,
            ids: RequestIds::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn panics_and_endless_work_are_answered() {
        let serving = serving(Duration::from_secs(30));
        for (path, told) in [
            ("/panic", "Panicked"),
            ("/never", "TookTooLong"),
            ("/panic", "Panicked"),
        ] {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let response = serving.answer_any(request).await;
            assert_eq!(
                (
                    response.status().as_u16(),
                    response.headers().contains_key(HEADER)
                ),
                (500, true)
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, told.as_bytes());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_turn_does_not_come_is_refused_and_its_connection_with_an_unread_body_ends() {
        let mut serving = serving(Duration::from_secs(30));
        serving.rounds = Some(super::super::rounds::tests::standing());
        for (method, ends) in [("POST", true), ("GET", false)] {
            let request = Request::builder().method(method).uri("/never");
            let request = request.body(axum::body::Body::empty()).unwrap();
            let response = serving.answer_any(request).await;
            let told = response.headers().contains_key(http::header::CONNECTION);
            assert_eq!((response.status().as_u16(), told), (503, ends), "{method}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.windows(6).any(|part| part == b"100501"), "{body:?}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_text() {
        let panic = unpanicked(async { panic!("of {}", 7) }).await.unwrap_err();
        assert_eq!(said(&*panic), "of 7");
        assert_eq!(unpanicked(async { 7 }).await.unwrap(), 7);
    }
}
