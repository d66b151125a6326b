//! One push to try a receiver with, for the operator: sent as an application's pushes are, and not kept.

use std::sync::Arc;

use bytes::Bytes;
use downlink_core::AppKey;
use downlink_store::Attempt;
use tokio::time::Instant;

use super::attempt::record;
use super::client::{Client, Outgoing};
use super::outcome::Outcome;
use super::target::Target;
use crate::clock;
use crate::secrets::random_uuid;

/// Makes attempts outside the schedule. Who asks is bounded by who asks: one attempt a request.
pub(super) struct Trial {
    client: Arc<Client>,
}

impl Trial {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
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
        let report = self.client.attempt(&outgoing).await;
        let accepted = matches!(report.outcome, Outcome::Accepted);
        (record(&report, began, since.elapsed()), accepted)
    }
}
