//! Between a push and its attempt: what is sent, and what the end of the attempt says to the schedule.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use downlink_core::{CommandId, Digits, Timestamp};
use downlink_store::{Attempt, PushContent};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::client::{Client, Outgoing};
use super::outcome::{Outcome, Phase, Report};
use super::schedule::{Ending, Failure, Push};
use crate::clock;

/// What makes attempts: the client, and what stands for it in the simulation.
pub(super) trait Sends: Send + Sync + 'static {
    /// Makes one attempt. Ends within the configured time, whatever the receiver does.
    fn attempt(&self, outgoing: &Outgoing) -> impl Future<Output = Report> + Send;
}

impl Sends for Client {
    fn attempt(&self, outgoing: &Outgoing) -> impl Future<Output = Report> + Send {
        Self::attempt(self, outgoing)
    }
}

/// The end of an attempt.
pub(super) struct Ended {
    pub(super) push: Push,
    pub(super) report: Report,
    pub(super) began: Timestamp,
    pub(super) took: Duration,
}

/// Makes one attempt. It ends whatever happens in it: a push must not stay in flight for ever.
pub(super) async fn attempt<S: Sends>(client: Arc<S>, push: Push) -> Ended {
    let (began, since) = (clock::now(), Instant::now());
    let outgoing = outgoing(&push);
    // What it shares with others (the pool of connections) has to hold after a panic in any task anyway.
    let report = AssertUnwindSafe(client.attempt(&outgoing)).catch_unwind().await;
    let panicked = |_| Report::unanswered(Outcome::Broken("the attempt panicked".to_owned()), Phase::Answer);
    Ended {
        report: report.unwrap_or_else(panicked),
        took: since.elapsed(),
        began,
        push,
    }
}

fn outgoing(push: &Push) -> Outgoing {
    let (webhook_id, body) = match &push.content {
        PushContent::Change {
            device_id,
            status,
            result,
        } => {
            let digits = push.key.command().map(CommandId::digits);
            let command = digits.as_ref().map_or("", Digits::as_str);
            let body = downlink_api::push::status_change(
                device_id.as_str(),
                command,
                status.as_str(),
                result.as_deref(),
            );
            (webhook_id(command, push.seq), Bytes::from(body))
        }
        PushContent::Notice { id, body } => (Arc::clone(id), Bytes::from_owner(Body(Arc::clone(body)))),
    };
    Outgoing {
        app: push.app,
        target: Arc::clone(&push.target),
        webhook_id,
        sequence: push.seq,
        body,
    }
}

/// A body that is in memory once, however often it is sent.
struct Body(Arc<str>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn webhook_id(command: &str, seq: u32) -> Arc<str> {
    let mut id = String::with_capacity(command.len() + 11);
    id.push_str(command);
    // A string takes all that is written to it.
    let _taken = write!(id, "-{seq}");
    id.into()
}

impl Ended {
    /// What it says to the schedule.
    pub(super) fn ending(&self) -> Ending {
        match self.failure() {
            None => Ending::Accepted,
            Some(failure) => Ending::Failed(failure, record(&self.report, self.began, self.took)),
        }
    }

    fn failure(&self) -> Option<Failure> {
        match &self.report.outcome {
            Outcome::Accepted => None,
            Outcome::Gone => Some(Failure::Gone),
            Outcome::Throttled(_) => Some(Failure::Throttled(self.report.retry_after)),
            Outcome::Status(status @ 400..=499) if *status != 408 => Some(Failure::Rejected),
            Outcome::Status(_) | Outcome::Timeout(_) | Outcome::NotConnected(_) | Outcome::Broken(_) => {
                Some(Failure::Trouble)
            }
        }
    }
}

/// An attempt for the record.
pub(super) fn record(report: &Report, began: Timestamp, took: Duration) -> Attempt {
    Attempt {
        at: began,
        took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        outcome: report.outcome.word().into(),
        phase: report.phase.word().into(),
        status: report.status,
        asked_for_pause: report.retry_after.is_some(),
        detail: report.outcome.to_string().into(),
        excerpt: Arc::clone(&report.excerpt),
    }
}
