//! One attempt: a POST to a receiver under one clock, and what to make of the answer.
//!
//! Connections are kept alive and used again for the same scheme, host and port. Redirects are answers like any
//! other; the answer's body is read to its limit, and all but its first bytes forgotten.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use downlink_core::AppKey;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::answer::Answer;
use super::connect::{ConnectError, Connector};
use super::guard::Guard;
use super::outcome::{self, Outcome, Phase, Report};
use super::pool::{Pool, Taken};
use super::schedule::Push;
use super::target::Target;
use crate::{clock, config};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SEQUENCE: HeaderName = HeaderName::from_static("downlink-sequence");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("downlink/", env!("CARGO_PKG_VERSION")));

/// What an attempt sends, and where to. Of what a push means this module knows no more.
#[derive(Debug, Clone)]
#[allow(dead_code)] // `app`: until something is an application's own
pub(super) struct Outgoing {
    /// Whose it is: whose keys sign it, whose certificates count.
    pub(super) app: AppKey,
    pub(super) target: Arc<Target>,
    /// The same in all attempts at one push.
    pub(super) webhook_id: Arc<str>,
    /// Its place in its order.
    pub(super) sequence: u32,
    /// JSON.
    pub(super) body: Bytes,
}

/// Sends pushes. Knows nothing of order or repetition.
pub(super) struct Client {
    pool: Pool,
    timeout: Duration,
    max_answer_bytes: usize,
}

impl Client {
    /// A client that reaches what `guard` lets through.
    pub(super) fn new(config: &config::Push, guard: Guard, tls: Result<Arc<ClientConfig>, String>) -> Self {
        let timeout = Duration::from_secs(config.timeout_secs.max(1));
        let connector = Connector::new(guard, tls, timeout);
        Self {
            pool: Pool::new(
                connector,
                config.idle_per_receiver,
                Duration::from_secs(config.idle_secs),
            ),
            timeout,
            max_answer_bytes: config.max_answer_bytes,
        }
    }

    /// Makes one attempt to push a change of a command.
    pub(super) async fn push(&self, push: &Push) -> Outcome {
        let command = push.command.to_string();
        let body = downlink_api::push::status_change(
            push.device_id.as_str(),
            &command,
            push.status.as_str(),
            push.result.as_deref(),
        );
        let outgoing = Outgoing {
            app: AppKey(0),
            target: Arc::clone(&push.target),
            webhook_id: format!("{command}-{}", push.seq).into(),
            sequence: u32::from(push.seq),
            body: body.into(),
        };
        self.attempt(&outgoing).await.outcome
    }

    /// Makes one attempt. Ends within the configured time, whatever the receiver does.
    pub(super) async fn attempt(&self, outgoing: &Outgoing) -> Report {
        let request = match request(outgoing) {
            Ok(request) => request,
            Err(outcome) => return Report::unanswered(outcome, Phase::Resolve),
        };
        outcome::track(async {
            let mut answer = Answer::default();
            let exchange = self.exchange(&outgoing.target, request, &mut answer);
            let outcome = match timeout(self.timeout, exchange).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Timeout(outcome::reached()),
            };
            Report {
                outcome,
                phase: outcome::reached(),
                status: answer.status.map(|status| status.as_u16()),
                excerpt: answer.excerpt(),
                retry_after: answer.retry_after,
            }
        })
        .await
    }

    async fn exchange(
        &self,
        target: &Target,
        mut request: Request<Full<Bytes>>,
        answer: &mut Answer,
    ) -> Outcome {
        loop {
            let Taken { mut sender, reused } = match self.pool.take(target).await {
                Ok(taken) => taken,
                Err(error) => return Outcome::NotConnected(error),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    outcome::enter(Phase::Body);
                    let status = response.status();
                    answer.head(status, response.headers());
                    // How the body ends says nothing of the status, only whether the connection can be used again.
                    if let Ok(true) = self.read(response.into_body(), answer).await {
                        self.pool.give_back(target, sender);
                    }
                    return Outcome::of_status(status.as_u16());
                }
                // Nothing of it was sent: the receiver had closed the idle connection. Another one will do.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    Some(_) | None => return Outcome::of_error(&error.into_error()),
                },
            }
        }
    }

    /// Reads to the end, so that the connection can be used again; false: to the limit, which closes it.
    async fn read(&self, mut body: Incoming, answer: &mut Answer) -> Result<bool, hyper::Error> {
        let mut left = self.max_answer_bytes;
        while let Some(frame) = body.frame().await {
            let frame = frame?;
            let Some(piece) = frame.data_ref() else { continue };
            answer.body(piece);
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// The request; else why there is nothing that could be asked.
fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, Outcome> {
    let no_target = || Outcome::NotConnected(ConnectError::NoTarget);
    let ask = outgoing.target.ask.as_ref().ok_or_else(no_target)?;
    // A header's value cannot hold the end of a line: what would begin a header of its own is refused here.
    let id = HeaderValue::from_str(&outgoing.webhook_id)
        .map_err(|_| Outcome::Broken("its id is not fit for a header".to_owned()))?;
    Request::builder()
        .method(Method::POST)
        .uri(ask.path.clone())
        .header(HOST, ask.host.clone())
        .header(CONTENT_TYPE, JSON)
        .header(USER_AGENT, AGENT)
        .header(WEBHOOK_ID, id)
        .header(WEBHOOK_TIMESTAMP, clock::now().as_millis() / 1000)
        .header(SEQUENCE, outgoing.sequence)
        .body(Full::new(outgoing.body.clone()))
        .map_err(|_| no_target())
}
