//! Attempts that the simulation answers, in place of connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::attempt::Sends;
use super::client::Outgoing;
use super::outcome::{Outcome, Phase, Report};
use crate::config;
use crate::simulated::{Letter, Receivers, Reply};

/// Stands for the client.
pub(super) struct Sender {
    receivers: Arc<dyn Receivers>,
    timeout: Duration,
}

impl Sender {
    pub(super) fn new(config: &config::Push, receivers: Arc<dyn Receivers>) -> Self {
        Self {
            receivers,
            timeout: Duration::from_secs(config.timeout_secs.max(1)),
        }
    }
}

impl Sends for Sender {
    async fn attempt(&self, outgoing: &Outgoing) -> Report {
        let letter = Letter {
            origin: outgoing.target.origin.to_string(),
            webhook_id: outgoing.webhook_id.to_string(),
            sequence: outgoing.sequence,
            body: outgoing.body.clone(),
        };
        let reply = self.receivers.deliver(letter);
        let (outcome, status, retry_after) = match timeout(self.timeout, reply).await {
            Ok(Reply::Status(status, retry_after)) => (Outcome::of_status(status), Some(status), retry_after),
            Ok(Reply::Broken) => (Outcome::Broken("the connection broke".to_owned()), None, None),
            Err(_) => (Outcome::Timeout(Phase::Answer), None, None),
        };
        Report {
            status,
            retry_after,
            ..Report::unanswered(outcome, Phase::Answer)
        }
    }
}
