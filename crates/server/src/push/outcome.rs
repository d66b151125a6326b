//! How an attempt to push ended, and how far it had come.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;

use super::connect::ConnectError;
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
pub(super) async fn track<T>(attempt: impl Future<Output = T>) -> T {
    PHASE.scope(Cell::new(Phase::Answer), attempt).await
}

/// How an attempt ended. Only the first is a success; all others are tried again.
#[derive(Debug)]
pub(super) enum Outcome {
    /// 2xx, and the body of the answer was over, broken, or at its limit, in time.
    Accepted,
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
    /// The outcome of a failed exchange, as the last of its causes has it.
    pub(super) fn of_error(error: &hyper::Error) -> Self {
        let mut last: &dyn Error = error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        Self::Broken(last.to_string())
    }

    /// Whether the receiver has it.
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted)
    }

    /// As it is counted.
    pub(super) fn label(&self) -> PushOutcome {
        match self {
            Self::Accepted => PushOutcome::Accepted,
            Self::Status(_) => PushOutcome::Status,
            Self::Timeout(_) | Self::NotConnected(ConnectError::TooSlow) => PushOutcome::Timeout,
            Self::NotConnected(ConnectError::Dns(_)) => PushOutcome::Dns,
            Self::NotConnected(ConnectError::Connect { .. }) => PushOutcome::Connect,
            Self::NotConnected(ConnectError::Tls(_)) => PushOutcome::Tls,
            Self::NotConnected(ConnectError::Http(_)) => PushOutcome::Broken,
            Self::NotConnected(ConnectError::NotAllowed(_) | ConnectError::NoTarget) => {
                PushOutcome::NotAllowed
            }
            Self::Broken(_) => PushOutcome::Broken,
        }
    }
}

impl fmt::Display for Outcome {
    /// For logs. Says nothing of the URL's path, its query, or the bodies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Status(status) => write!(f, "answered with status {status}"),
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
