//! Pushes: tells receivers what changed, in order per command, until they accept it.
//!
//! [`schedule`] decides what is attempted when, [`client`] makes one attempt over a connection of the [`pool`], [`connect`] dials past the [`guard`],
//! [`dispatch`] is the one task that owns the schedule and ties them together. Knows nothing of what commands mean;
//! the record of what is to be pushed, and of what was accepted, is the store's.

mod answer;
mod attempt;
mod client;
mod connect;
mod desk;
mod dispatch;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guard;
mod outcome;
mod pool;
mod schedule;
mod sign;
#[cfg(feature = "simulation")]
mod simulated;
mod target;
mod tls;
mod trial;
mod trust;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::Span;
use downlink_core::retry::Backoff;
use downlink_store::{PushDuty, ReceiverKey, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::client::Client;
use self::connect::LookUpGauges;
use self::dispatch::Dispatcher;
use self::guard::Guard;
use self::schedule::Limits;
use self::target::Target;
use self::trial::Trial;
use crate::config::{self, ConfigError};
use crate::runtime;
use crate::telemetry::Metrics;

pub(crate) use self::desk::{Breaker, Desk, ReceiverState};
pub(crate) use self::sign::SigningSecret;
pub(crate) use self::tls::{OwnTls, Roots, fingerprints};
pub(crate) use self::trust::{TrustBook, TrustRefused, key_label, tls_label};

/// Why pushing did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the thread that pushes: {0}")]
    Thread(#[from] io::Error),
}

/// Where hints come from.
pub(crate) struct Hints {
    /// Changes of commands to be pushed.
    pub(crate) duties: mpsc::Receiver<PushDuty>,
    /// Receivers of which the store has news.
    pub(crate) receivers: mpsc::Receiver<ReceiverKey>,
    /// How often the dispatcher looks for itself which receivers have something waiting.
    pub(crate) look_every: Duration,
}

/// Starts the dispatcher with something else than connections to make the attempts. Gives what the operator may ask.
#[cfg(feature = "simulation")]
pub(crate) fn start_simulated(
    store: Arc<dyn Store>,
    hints: Hints,
    config: &config::Push,
    receivers: Arc<dyn crate::simulated::Receivers>,
    metrics: Arc<Metrics>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Arc<Desk> {
    let sender = Arc::new(simulated::Sender::new(config, receivers));
    let look_every = hints.look_every;
    let (desk, inbox) = Desk::new(Trial::new(Arc::clone(&sender)), hints);
    let dispatcher = Dispatcher::new(limits(config), sender, store, metrics, look_every);
    tasks.spawn(dispatcher.run(inbox, stop.clone()));
    Arc::new(desk)
}

/// The scheme, host and port that a callback URL names: with the application, its receiver. None: it cannot be pushed to.
pub(crate) fn origin(url: &str) -> Option<Arc<str>> {
    let target = target::Target::of(url);
    target.ask.is_some().then_some(target.origin)
}

/// Starts the dispatcher, on a thread of its own where the runtime has several. `own`: addresses of this server's own listeners, never pushed to, even inside an allowed
/// range. Attempts in flight at `stop` are finished; what is not told stays in the store. Gives what the operator may ask.
///
/// # Errors
/// An entry of `push.allow` that is neither an address nor a range; the error names it. The system gives no thread.
#[allow(clippy::too_many_arguments)] // each is a different owner's
pub(crate) fn start(
    store: Arc<dyn Store>,
    hints: Hints,
    config: &config::Push,
    own: Vec<SocketAddr>,
    trust: Arc<TrustBook>,
    metrics: Arc<Metrics>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Arc<Desk>, Refused> {
    let guard = Guard::new(&config.allow, own)?;
    let gauges = LookUpGauges {
        under_way: metrics.push_look_ups.clone(),
        waiting: metrics.push_look_ups_waiting.clone(),
    };
    let client = Arc::new(Client::new(config, guard, trust, gauges));
    let look_every = hints.look_every;
    let (desk, inbox) = Desk::new(Trial::new(Arc::clone(&client)), hints);
    let dispatcher = Dispatcher::new(limits(config), client, store, metrics, look_every);
    runtime::spawn_apart("push", dispatcher.run(inbox, stop.clone()), tasks)?;
    Ok(Arc::new(desk))
}

/// The origin of the receiver that a URL leads to, as the store names receivers; none: not a URL that can be pushed to.
pub(crate) fn origin_of(url: &str) -> Option<Arc<str>> {
    let target = Target::of(url);
    target.ask.is_some().then_some(target.origin)
}

fn limits(config: &config::Push) -> Limits {
    Limits {
        in_flight: config.max_in_flight.max(1),
        per_receiver: config.max_in_flight_per_receiver.max(1),
        per_host: config.max_in_flight_per_host.max(1),
        backlog: config.max_backlog.max(1),
        backoff: Backoff {
            first: Span::from_millis(config.retry_first_ms.max(1)),
            longest: Span::from_millis(config.retry_longest_ms.max(config.retry_first_ms)),
        },
        record_wait: Duration::from_millis(config.record_wait_ms),
        record_gather: Duration::from_millis(config.record_gather_ms),
    }
}

#[cfg(test)]
mod tests;
