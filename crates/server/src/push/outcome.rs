//! How an attempt to push ended, and how far it had come.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::connect::{ConnectError, DialFailure, tls_failure};
use crate::telemetry::PushOutcome;

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Looking the name up.
    Resolve,
    /// Waiting for a TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Sending, and waiting for the head of the answer.
    Answer,
    /// Reading the body of the answer.
    Body,
}

tokio::task_local! {
    static PHASE: Cell<Phase>;
}

/// Notes how far the attempt that this task is working on has come. A connection that is finished in the background,
/// for nobody in particular, notes nothing.
pub(super) fn enter(phase: Phase) {
    let _nobody = PHASE.try_with(|now| now.set(phase));
}

/// How far the attempt within [`track`] has come.
pub(super) fn reached() -> Phase {
    PHASE.try_with(Cell::get).unwrap_or(Phase::Answer)
}

/// Runs an attempt. Where a connection is reused, it begins with [`Phase::Answer`].
pub(super) fn track<T>(attempt: impl Future<Output = T>) -> impl Future<Output = T> {
    PHASE.scope(Cell::new(Phase::Answer), attempt)
}

impl Phase {
    /// As it stands in the record of attempts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Answer => "answer",
            Self::Body => "body",
        }
    }
}

/// All that an attempt leaves behind.
#[derive(Debug)]
pub(super) struct Report {
    /// How it ended.
    pub(super) outcome: Outcome,
    /// How far it came.
    pub(super) phase: Phase,
    /// The status of the answer, also where its body did not come in time.
    pub(super) status: Option<u16>,
    /// The first bytes of the answer's body as plain text; empty with 2xx.
    pub(super) excerpt: Arc<str>,
    /// The pause that the answer asks for; only with 429 and 503. Bounded, but long.
    pub(super) retry_after: Option<Duration>,
}

impl Report {
    /// Of an attempt that got no answer.
    pub(super) fn unanswered(outcome: Outcome, phase: Phase) -> Self {
        Self {
            outcome,
            phase,
            status: None,
            excerpt: Arc::default(),
            retry_after: None,
        }
    }
}

/// How an attempt ended. Only the first is a success.
#[derive(Debug)]
pub(super) enum Outcome {
    /// 2xx, and the body of the answer was over, broken, or at its limit, in time.
    Accepted,
    /// 410: the receiver wants no more of it.
    Gone,
    /// 429 or 503: the receiver wants less of it for now.
    Throttled(u16),
    /// Another status: also redirects, which are never followed.
    Status(u16),
    /// The attempt's clock ran out.
    Timeout(Phase),
    /// No connection.
    NotConnected(ConnectError),
    /// The connection broke, or what came was not HTTP.
    Broken(String),
}

impl Outcome {
    /// The outcome that an answer's status says.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Accepted,
            410 => Self::Gone,
            429 | 503 => Self::Throttled(status),
            _ => Self::Status(status),
        }
    }

    /// The outcome of a failed exchange, as the last of its causes has it. A receiver that misses a client's certificate
    /// often says so only after the handshake.
    pub(super) fn of_error(error: &hyper::Error) -> Self {
        let mut last: &dyn Error = error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        match last.downcast_ref().and_then(tls_failure) {
            Some(why) => Self::NotConnected(ConnectError::Tls(why)),
            None => Self::Broken(last.to_string()),
        }
    }

    /// Whether the receiver has it.
    #[cfg(test)]
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted)
    }

    /// As it stands in the record of attempts.
    pub(super) fn word(&self) -> &'static str {
        match self.label() {
            PushOutcome::Accepted => "accepted",
            PushOutcome::Status => "status",
            PushOutcome::Timeout => "timeout",
            PushOutcome::Dns => "dns",
            PushOutcome::Connect => "connect",
            PushOutcome::Tls => "tls",
            PushOutcome::NotAllowed => "not_allowed",
            PushOutcome::Broken => "broken",
        }
    }

    /// As it is counted.
    pub(super) fn label(&self) -> PushOutcome {
        match self {
            Self::Accepted => PushOutcome::Accepted,
            Self::Gone | Self::Throttled(_) | Self::Status(_) => PushOutcome::Status,
            Self::Timeout(_) => PushOutcome::Timeout,
            Self::NotConnected(error) => not_connected(error),
            Self::Broken(_) => PushOutcome::Broken,
        }
    }
}

fn not_connected(error: &ConnectError) -> PushOutcome {
    match error {
        ConnectError::TooSlow => PushOutcome::Timeout,
        ConnectError::Dns(_) => PushOutcome::Dns,
        ConnectError::Dial { why, .. } => match why {
            DialFailure::Silent => PushOutcome::Timeout,
            DialFailure::Refused | DialFailure::Unreachable | DialFailure::Reset | DialFailure::Other(_) => {
                PushOutcome::Connect
            }
        },
        ConnectError::Tls(_) => PushOutcome::Tls,
        ConnectError::Http(_) => PushOutcome::Broken,
        ConnectError::NotAllowed(_) | ConnectError::NoTarget => PushOutcome::NotAllowed,
    }
}

impl fmt::Display for Outcome {
    /// For logs and the record. Says nothing of the URL's path, its query, or the bodies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Gone => f.write_str("answered with status 410: gone"),
            Self::Throttled(status) | Self::Status(status) => write!(f, "answered with status {status}"),
            Self::Timeout(Phase::Resolve) => f.write_str("timed out while resolving the name"),
            Self::Timeout(Phase::Connect) => f.write_str("timed out while connecting"),
            Self::Timeout(Phase::Tls) => f.write_str("timed out in the TLS handshake"),
            Self::Timeout(Phase::Answer) => f.write_str("timed out waiting for the answer"),
            Self::Timeout(Phase::Body) => f.write_str("timed out reading the answer's body"),
            Self::NotConnected(error) => error.fmt(f),
            Self::Broken(why) => write!(f, "connection broken: {why}"),
        }
    }
}
