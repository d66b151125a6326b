//! One attempt: a POST to a receiver under one clock, and what to make of the answer.
//!
//! Connections are kept alive and used again for the same scheme, host and port. Redirects are answers like any
//! other; the answer's body is read to its limit and forgotten.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::connect::{ConnectError, Connector};
use super::guard::Guard;
use super::outcome::{self, Outcome, Phase};
use super::pool::{Pool, Taken};
use super::schedule::Push;
use crate::{clock, config};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SEQUENCE: HeaderName = HeaderName::from_static("downlink-sequence");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("downlink/", env!("CARGO_PKG_VERSION")));

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

    /// Makes one attempt. Ends within the configured time, whatever the receiver does.
    pub(super) async fn push(&self, push: &Push) -> Outcome {
        let Some(request) = request(push) else {
            return Outcome::NotConnected(ConnectError::NoTarget);
        };
        outcome::track(async {
            match timeout(self.timeout, self.exchange(push, request)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Timeout(outcome::reached()),
            }
        })
        .await
    }

    async fn exchange(&self, push: &Push, mut request: Request<Full<Bytes>>) -> Outcome {
        loop {
            let Taken { mut sender, reused } = match self.pool.take(&push.target).await {
                Ok(taken) => taken,
                Err(error) => return Outcome::NotConnected(error),
            };
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    outcome::enter(Phase::Body);
                    let status = answer.status();
                    // How the body ends says nothing of the status, only whether the connection can be used again.
                    if let Ok(true) = self.read(answer.into_body()).await {
                        self.pool.give_back(&push.target, sender);
                    }
                    return match status.is_success() {
                        true => Outcome::Accepted,
                        false => Outcome::Status(status.as_u16()),
                    };
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
    async fn read(&self, mut body: Incoming) -> Result<bool, hyper::Error> {
        let mut left = self.max_answer_bytes;
        while let Some(frame) = body.frame().await {
            let size = frame?.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// The request; none if there is nothing that could be asked.
fn request(push: &Push) -> Option<Request<Full<Bytes>>> {
    let command = push.command.to_string();
    let id = HeaderValue::from_str(&format!("{command}-{}", push.seq)).ok()?;
    let body = downlink_api::push::status_change(
        push.device_id.as_str(),
        &command,
        push.status.as_str(),
        push.result.as_deref(),
    );
    let ask = push.target.ask.as_ref()?;
    Request::builder()
        .method(Method::POST)
        .uri(ask.path.clone())
        .header(HOST, ask.host.clone())
        .header(CONTENT_TYPE, JSON)
        .header(USER_AGENT, AGENT)
        .header(WEBHOOK_ID, id)
        .header(WEBHOOK_TIMESTAMP, clock::now().as_millis() / 1000)
        .header(SEQUENCE, push.seq)
        .body(Full::new(Bytes::from(body)))
        .ok()
}
