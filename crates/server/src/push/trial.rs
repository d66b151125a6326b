//! One push to try a receiver with, for the operator: sent as an application's pushes are, and not kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use downlink_core::AppKey;
use downlink_store::Attempt;
use tokio::time::Instant;

use super::attempt::{Sends, record};
use super::client::Outgoing;
use super::outcome::{Outcome, Report};
use super::target::Target;
use crate::clock;
use crate::secrets::random_uuid;

type Attempting = Pin<Box<dyn Future<Output = Report> + Send>>;

/// Makes attempts outside the schedule. Who asks is bounded by who asks: one attempt a request.
pub(super) struct Trial {
    send: Box<dyn Fn(Outgoing) -> Attempting + Send + Sync>,
}

impl Trial {
    pub(super) fn new<S: Sends>(client: Arc<S>) -> Self {
        let send = move |outgoing: Outgoing| -> Attempting {
            let client = Arc::clone(&client);
            Box::pin(async move { client.attempt(&outgoing).await })
        };
        Self { send: Box::new(send) }
    }

    /// Sends `body` to a target once, past the guard, signed and secured as the application's pushes are. Says besides
    /// whether the receiver accepted it.
    pub(super) async fn attempt(
        &self,
        app: AppKey,
        target: Arc<Target>,
        body: &'static [u8],
    ) -> (Attempt, bool) {
        let (began, since) = (clock::now(), Instant::now());
        let outgoing = Outgoing {
            app,
            target,
            webhook_id: format!("test-{}", random_uuid().simple()).into(),
            sequence: 0,
            body: Bytes::from_static(body),
        };
        let report = (self.send)(outgoing).await;
        let accepted = matches!(report.outcome, Outcome::Accepted);
        (record(&report, began, since.elapsed()), accepted)
    }
}
