//! One attempt: a POST to a receiver under one clock, and what to make of the answer.
//!
//! Connections are kept alive and used again for the same scheme, host and port. Redirects are answers like any
//! other; the answer's body is read to its limit and forgotten.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::connect::{ConnectError, Connector};
use super::guard::Guard;
use super::outcome::{self, Outcome, Phase};
use super::schedule::Push;
use crate::{clock, config};

/// The largest head of an answer, and how much of a body is read at once.
const MAX_HEAD: usize = 64 * 1024;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SEQUENCE: HeaderName = HeaderName::from_static("downlink-sequence");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("downlink/", env!("CARGO_PKG_VERSION")));

/// Sends pushes. Knows nothing of order or repetition.
pub(super) struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    timeout: Duration,
    max_answer_bytes: usize,
}

impl Client {
    /// A client that reaches what `guard` lets through.
    pub(super) fn new(config: &config::Push, guard: Guard, tls: Result<Arc<ClientConfig>, String>) -> Self {
        let timeout = Duration::from_secs(config.timeout_secs.max(1));
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(config.idle_secs))
            .pool_max_idle_per_host(config.idle_per_receiver)
            .http1_max_buf_size(MAX_HEAD)
            .build(Connector::new(guard, tls, timeout));
        Self {
            http,
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
            match timeout(self.timeout, self.exchange(request)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Timeout(outcome::reached()),
            }
        })
        .await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Outcome {
        let answer = match self.http.request(request).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::of_error(error),
        };
        outcome::enter(Phase::Body);
        let status = answer.status();
        if let Err(error) = self.read(answer.into_body()).await {
            return Outcome::Broken(error.to_string());
        }
        match status.is_success() {
            true => Outcome::Accepted,
            false => Outcome::Status(status.as_u16()),
        }
    }

    /// Reads to the end, so that the connection can be used again, or to the limit, which closes it.
    async fn read(&self, mut body: Incoming) -> Result<(), hyper::Error> {
        let mut left = self.max_answer_bytes;
        while let Some(frame) = body.frame().await {
            let size = frame?.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return Ok(()),
            }
        }
        Ok(())
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
    Request::builder()
        .method(Method::POST)
        .uri(push.target.uri.clone()?)
        .header(CONTENT_TYPE, JSON)
        .header(USER_AGENT, AGENT)
        .header(WEBHOOK_ID, id)
        .header(WEBHOOK_TIMESTAMP, clock::now().as_millis() / 1000)
        .header(SEQUENCE, push.seq)
        .body(Full::new(Bytes::from(body)))
        .ok()
}
