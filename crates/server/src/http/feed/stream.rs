//! The feed as server-sent events: each change once, as soon as it is committed, as long as the client reads.
//!
//! A task reads pages from the store and hands them to the connection one by one, so that a client that reads slowly holds
//! one page in memory and no more. It ends at server stop, when the client goes or reads nothing for too long, when its
//! token ends, when the feed is switched off, and when the client fell behind what is kept.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use downlink_api::Code;
use downlink_store::App;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Part, Place, cursor, entry, read};
use crate::engine::Follower;
use crate::http::auth::{Itself, access_token};
use crate::http::{Api, Fault, LongLived, Query};

/// A comment is sent after this time without a change: it keeps proxies from closing the connection, and finds out
/// clients that are gone. The token is looked at again then.
const BEAT: Duration = Duration::from_secs(15);
/// A client that has not taken what was sent to it for this long is given up.
const STALLED: Duration = Duration::from_secs(60);
/// Changes on a page of a stream, at the most.
const PAGE: u32 = 100;
/// Names the cursor to resume after, where a browser's client would send it.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /downlink/v1/feed/stream?cursor`
pub(in crate::http) async fn follow(
    State(api): State<Api>,
    Itself(app): Itself,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let resumed = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let asked = query.get("cursor");
    // A client that connects again repeats its first URL; the header is the newer of the two.
    let from = Place::of(&app.id, resumed.filter(|id| !id.is_empty()).or(asked.as_deref()))?;
    let token = access_token(&headers).ok_or(Code::InvalidToken)?.to_owned();
    let follower = api.north.engine.followers().add(app.key);
    let too_many = || Fault::new(Code::Congested, "Too many streams of the feed at once.");
    let mut follower = follower.ok_or_else(too_many)?;
    follower.looks_now();
    // Read before the answer begins: what is wrong with the cursor is told by the answer's status.
    let first = read(&api, &app, from, PAGE).await?;
    let (to, chunks) = mpsc::channel(1);
    let stream = Stream {
        api: api.clone(),
        app,
        token,
        follower,
        to,
        beat: Instant::now() + BEAT,
    };
    api.tasks.spawn(stream.run(first));
    Ok(answer(chunks))
}

fn answer(chunks: mpsc::Receiver<Bytes>) -> Response {
    let chunks = unfold(chunks, async |mut chunks| {
        let chunk = chunks.recv().await?;
        Some((Ok::<_, Infallible>(chunk), chunks))
    });
    let mut response = Response::new(Body::from_stream(Box::pin(chunks)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(LongLived);
    response
}

/// A client that follows its feed.
struct Stream {
    api: Api,
    app: Arc<App>,
    token: String,
    follower: Follower,
    to: mpsc::Sender<Bytes>,
    /// When the next comment is due.
    beat: Instant,
}

/// Why a stream goes no further.
struct Over;

impl Stream {
    async fn run(mut self, first: Part) {
        // An event without data only says from where to resume.
        let start = cursor::write(
            &self.app.id,
            first.items.first().map_or(first.upto, |item| item.n - 1),
        );
        let Over = match self.send(format!("id: {start}\n\n")).await {
            Ok(()) => self.tell_all(first).await,
            Err(over) => over,
        };
    }

    async fn tell_all(&mut self, mut part: Part) -> Over {
        loop {
            if !part.items.is_empty()
                && let Err(over) = self.send(self.events(&part)).await
            {
                return over;
            }
            if !part.more
                && let Err(over) = self.rest().await
            {
                return over;
            }
            part = match self.next(part.upto).await {
                Ok(part) => part,
                Err(over) => return over,
            };
        }
    }

    /// The next part. A store that is busy is asked again; whatever else is wrong is told as the last event.
    async fn next(&mut self, upto: u64) -> Result<Part, Over> {
        loop {
            self.follower.looks_now();
            match read(&self.api, &self.app, Place::After(upto), PAGE).await {
                Ok(part) => return Ok(part),
                Err(fault) if fault.is(Code::Congested) => self.rest().await?,
                Err(fault) => {
                    self.send(format!("event: error\ndata: {}\n\n", fault.told()))
                        .await?;
                    return Err(Over);
                }
            }
        }
    }

    /// Waits until there may be more: a wake-up, or as long as one may be lost.
    async fn rest(&mut self) -> Result<(), Over> {
        let look = Instant::now() + Duration::from_millis(self.api.north.config.engine.queue_sweep_ms);
        tokio::select! {
            biased;
            () = self.api.stop.cancelled() => return Err(Over),
            () = self.to.closed() => return Err(Over),
            () = self.follower.woken() => {}
            () = sleep_until(look.min(self.beat)) => {}
        }
        self.keep_alive().await
    }

    /// Keeps the connection alive, and looks whether the client may still read.
    async fn keep_alive(&mut self) -> Result<(), Over> {
        if Instant::now() < self.beat {
            return Ok(());
        }
        self.beat = Instant::now() + BEAT;
        self.send(":\n\n".to_owned()).await?;
        match self.api.north.check(&self.token).await {
            Err(fault) if fault.is(Code::InvalidToken) => Err(Over),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn send(&self, text: String) -> Result<(), Over> {
        tokio::select! {
            biased;
            () = self.api.stop.cancelled() => Err(Over),
            sent = timeout(STALLED, self.to.send(text.into())) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_gone)) => Err(Over),
                Err(_stalled) => {
                    tracing::debug!("a stream of the feed is not read and was closed");
                    Err(Over)
                }
            },
        }
    }

    fn events(&self, part: &Part) -> String {
        let mut text = String::new();
        for item in &part.items {
            let entry = entry(&self.app.id, item);
            let data = serde_json::to_string(&entry).expect("an entry has text keys and no failing parts");
            // A line feed in a result (blanks between members are kept as they came) would end the line.
            let data = data.replace(['\r', '\n'], " ");
            write!(text, "id: {}\ndata: {data}\n\n", entry.cursor).expect("a string takes all");
        }
        text
    }
}
