//! What handlers take from a request: its body as text within limits, its query, an id in its path, its request id.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use downlink_api::Code;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::BodyExt;

use super::room::Place;
use super::{Api, Fault, RequestId};

/// A body beyond the limit is read and dropped up to this many times the limit, so that the client gets to read the
/// answer instead of a broken connection.
const DROPPED: usize = 4;

/// A request's body as UTF-8 text, whatever its Content-Type says: clients are known to send none or a wrong one.
///
/// Northbound it keeps a place among the calls that are worked on, from when it has come to its end.
pub(crate) struct Text {
    bytes: Bytes,
    _place: Option<Place>,
}

impl Text {
    /// The text, without the mark that some editors and clients put before it.
    pub(crate) fn as_str(&self) -> &str {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        text.strip_prefix('\u{feff}').unwrap_or(text)
    }

    async fn within(request: Request, api: &Api, most: usize) -> Result<Self, Fault> {
        let north = &api.north.config.northbound;
        // Less than the limit of the whole request, so that a slow body is told as what it is.
        let time = Duration::from_secs(north.request_timeout_secs).saturating_sub(Duration::from_millis(500));
        let text = Self::read(request, north.max_body_bytes.min(most), time).await?;
        let _place = api.north.room.place().await;
        if _place.is_none() {
            // A refusal may be held back for a moment, and the body need not be kept for that.
            drop(text);
            return Err(api.north.room.refuse_call().await);
        }
        Ok(Self { _place, ..text })
    }

    /// Reads a body of at most `limit` bytes within `time`.
    pub(crate) async fn read(request: Request, limit: usize, time: Duration) -> Result<Self, Fault> {
        let read = collect(request, limit);
        let late = || {
            Fault::new(Code::InvalidInput, "body: did not arrive in time.")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        };
        let bytes = tokio::time::timeout(time, read)
            .await
            .map_err(|_elapsed| late())??;
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self { bytes, _place: None }),
            Err(_) => Err(Fault::new(Code::InvalidInput, "body: is not UTF-8.")),
        }
    }
}

impl FromRequest<Api> for Text {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Fault> {
        Self::within(request, api, usize::MAX).await
    }
}

/// A body of somebody who has not proved anything yet: short, so that many of them that do not come to their end hold little memory.
pub(crate) struct StrangersText(Text);

impl StrangersText {
    /// Bytes at the most, unless less is configured for all bodies.
    pub(crate) const MAX: usize = 16 * 1024;

    /// See [`Text::as_str`].
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromRequest<Api> for StrangersText {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Fault> {
        Text::within(request, api, Self::MAX).await.map(Self)
    }
}

async fn collect(request: Request, limit: usize) -> Result<Bytes, Fault> {
    let said = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut over = said.is_some_and(|length| length > limit);
    let mut body = request.into_body();
    let (mut first, mut more, mut read) = (Bytes::new(), BytesMut::new(), 0_usize);
    while let Some(data) = next(&mut body).await? {
        read = read.saturating_add(data.len());
        over |= read > limit;
        match over {
            true if read > limit.saturating_mul(DROPPED) => break,
            true => {}
            // Most bodies come in one piece, which is taken as it is.
            false if first.is_empty() => first = data,
            false => {
                if more.is_empty() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
        }
    }
    if over {
        let told = format!("body: must have at most {limit} bytes.");
        return Err(Fault::new(Code::InvalidInput, told).with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::new(Code::InvalidInput, "body: broke off."))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The query of a request. Names are looked up in whatever case: clients spell them differently.
pub(crate) struct Query(String);

impl Query {
    /// The first value under `name`; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let pairs = url::form_urlencoded::parse(self.0.as_bytes());
        let found = pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// The query with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::new(parts.uri.query().unwrap_or_default()))
    }
}

/// The id in a request's path.
pub(crate) struct IdInPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for IdInPath {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Code::NotFound.into()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        let id = parts.extensions.get::<Self>().cloned();
        id.ok_or_else(|| Fault::internal("a request without an id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pieces: Vec<&'static [u8]>) -> Request {
        let pieces: Vec<Result<Bytes, std::io::Error>> = pieces
            .into_iter()
            .map(|piece| Ok(Bytes::from_static(piece)))
            .collect();
        Request::new(Body::new(Pieces(pieces.into())))
    }

    /// A body in pieces.
    struct Pieces(std::collections::VecDeque<Result<Bytes, std::io::Error>>);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Ready(
                self.0
                    .pop_front()
                    .map(|piece| piece.map(hyper::body::Frame::data)),
            )
        }
    }

    async fn read(pieces: Vec<&'static [u8]>) -> Result<String, u16> {
        match Text::read(request(pieces), 6, Duration::from_secs(60)).await {
            Ok(text) => Ok(text.as_str().to_owned()),
            Err(fault) => Err(axum::response::IntoResponse::into_response(fault)
                .status()
                .as_u16()),
        }
    }

    #[tokio::test]
    async fn bodies_are_put_together_and_bounded() {
        assert_eq!(read(vec![]).await, Ok(String::new()));
        assert_eq!(read(vec![b"abc"]).await, Ok("abc".to_owned()));
        assert_eq!(
            read(vec![b"ab", b"", b"cd", b"ef"]).await,
            Ok("abcdef".to_owned())
        );
        assert_eq!(read(vec![b"\xef\xbb\xbf{}"]).await, Ok("{}".to_owned()));
        assert_eq!(read(vec![b"abcdefg"]).await, Err(413));
        assert_eq!(read(vec![b"abcd", b"efgh"]).await, Err(413));
        assert_eq!(read(vec![b"a\xff"]).await, Err(400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_awaited_for_ever() {
        let (_sender, never) = tokio::sync::oneshot::channel::<()>();
        struct Never(tokio::sync::oneshot::Receiver<()>);
        impl hyper::body::Body for Never {
            type Data = Bytes;
            type Error = std::io::Error;
            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
                std::pin::Pin::new(&mut self.0).poll(context).map(|_| None)
            }
        }
        let request = Request::new(Body::new(Never(never)));
        let fault = Text::read(request, 6, Duration::from_secs(30))
            .await
            .err()
            .unwrap();
        let response = axum::response::IntoResponse::into_response(fault);
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn query_names_are_found_in_whatever_case() {
        let query = Query::new("pageno=2&DeviceId=a%20b+c&x=&deviceid=second");
        assert_eq!(query.get("pageNo").as_deref(), Some("2"));
        assert_eq!(query.get("deviceId").as_deref(), Some("a b c"));
        assert_eq!((query.get("x"), query.get("y")), (None, None));
    }
}
