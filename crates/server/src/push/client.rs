//! One attempt: a POST to a receiver under one clock, and what to make of the answer.
//!
//! Connections are kept alive and used again for the same scheme, host and port. A request that the receiver says it did not
//! process is sent again at once, once. Redirects are answers like any
//! other; the answer's body is read to its limit, and all but its first bytes forgotten.

mod letter;
mod unprocessed;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use downlink_core::AppKey;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::answer::Answer;
use super::connect::{Connector, LookUpGauges};
use super::guard::Guard;
use super::outcome::{self, Outcome, Phase, Report};
use super::pool::{One, Over, Pool, Stream, Taken};
use super::target::Target;
use super::trust::TrustBook;
use crate::config;

use self::letter::Letter;
use self::unprocessed::{Unprocessed, unprocessed};

/// What an attempt sends, and where to. Of what a push means this module knows no more.
#[derive(Debug, Clone)]
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
    trust: Arc<TrustBook>,
    timeout: Duration,
    max_answer_bytes: usize,
}

impl Client {
    /// A client that reaches what `guard` lets through, with signatures and TLS as `trust` has them.
    pub(super) fn new(
        config: &config::Push,
        guard: Guard,
        trust: Arc<TrustBook>,
        gauges: LookUpGauges,
    ) -> Self {
        let timeout = Duration::from_secs(config.timeout_secs.max(1));
        let connector = Connector::new(guard, timeout, gauges);
        let rest = Duration::from_secs(config.idle_secs);
        Self {
            pool: Pool::new(connector, config.idle_per_receiver, rest, &trust),
            trust,
            timeout,
            max_answer_bytes: config.max_answer_bytes,
        }
    }

    /// Makes one attempt. Ends within the configured time, whatever the receiver does.
    pub(super) async fn attempt(&self, outgoing: &Outgoing) -> Report {
        let security = self.trust.of(outgoing.app);
        let letter = match Letter::new(outgoing, &security) {
            Ok(letter) => letter,
            Err(outcome) => return Report::unanswered(outcome, Phase::Resolve),
        };
        outcome::track(async {
            let mut answer = Answer::default();
            let outcome = match timeout(self.timeout, self.exchange(&letter, &mut answer)).await {
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

    async fn exchange(&self, letter: &Letter<'_>, answer: &mut Answer) -> Outcome {
        let (target, tls) = (&letter.outgoing.target, &letter.security.tls);
        let mut may_repeat = true;
        loop {
            let Taken { over, reused } = match self.pool.take(letter.outgoing.app, target, tls).await {
                Ok(taken) => taken,
                Err(error) => return Outcome::NotConnected(error),
            };
            let (sent, lease) = match over {
                Over::Http1(mut one) => match one.exchange(letter.request(&letter.ask.path, true)).await {
                    Ok(response) => return self.answered(letter, response, answer, Some(one)).await,
                    Err(error) => (error, None),
                },
                Over::Http2(Stream { mut sender, lease }) => {
                    match sender
                        .try_send_request(letter.request(&letter.ask.whole, false))
                        .await
                    {
                        Ok(response) => return self.answered(letter, response, answer, None).await,
                        Err(error) => (error, Some(lease)),
                    }
                }
            };
            match unprocessed(sent) {
                // Nothing of it was sent: the receiver had closed the connection. Another one will do.
                Unprocessed::Unsent(_) if reused => {}
                Unprocessed::Refused(_) if may_repeat => may_repeat = false,
                Unprocessed::Unsent(error) | Unprocessed::Refused(error) | Unprocessed::Unknown(error) => {
                    return Outcome::of_error(&error);
                }
            }
            if let Some(lease) = lease {
                lease.retire();
            }
        }
    }

    async fn answered(
        &self,
        letter: &Letter<'_>,
        response: Response<Incoming>,
        answer: &mut Answer,
        mut one: Option<One>,
    ) -> Outcome {
        outcome::enter(Phase::Body);
        let status = response.status();
        answer.head(status, response.headers());
        // How the body ends says nothing of the status, only whether the connection can be used again.
        let read = pin!(self.read(response.into_body(), answer));
        let read = match &mut one {
            Some(one) => one.beside(read).await,
            None => read.await,
        };
        if let (Ok(true), Some(one)) = (read, one) {
            self.pool
                .give_back(&letter.outgoing.target, &letter.security.tls, one);
        }
        Outcome::of_status(status.as_u16())
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
