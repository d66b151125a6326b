//! MQTT 3.1.1 and 5 for devices.
//!
//! Owns the listeners and the limit on connections; `login` decides who may connect, `session` is the protocol of one
//! device, `connection` the task that moves its bytes, `wire`, `topic` and `payload` the formats. Commands and their
//! states belong to the engine.

mod connection;
mod login;
mod outbox;
mod payload;
mod reports;
mod session;
#[cfg(test)]
mod tests;
mod topic;
mod wire;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use connection::fuzzing;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config;
use crate::engine::Engine;
use crate::net::TlsDoor;
use crate::secrets::Sealer;

/// After a failed accept (no file descriptors left, mostly): time for some to come free.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// What all connections of the gateway share.
pub(crate) struct MqttGateway {
    engine: Arc<Engine>,
    sealer: Arc<Sealer>,
    config: config::Mqtt,
    max_result_bytes: usize,
    places: Arc<Semaphore>,
}

impl MqttGateway {
    /// A gateway to `engine`. Results of devices longer than `max_result_bytes` are not kept.
    pub(crate) fn new(
        engine: Arc<Engine>,
        sealer: Arc<Sealer>,
        config: config::Mqtt,
        max_result_bytes: usize,
    ) -> Self {
        let places = config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            engine,
            sealer,
            config,
            max_result_bytes,
            places: Arc::new(Semaphore::new(places)),
        }
    }

    fn admit(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.engine.metrics().mqtt_connections.inc();
        Some(Place {
            gateway: Arc::clone(self),
            _permit: permit,
        })
    }
}

#[cfg(feature = "simulation")]
impl MqttGateway {
    /// Serves a wire of the simulation as a connection.
    pub(crate) async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
        self: Arc<Self>,
        wire: S,
        stop: CancellationToken,
    ) {
        connection::serve(self, wire, stop).await;
    }
}

/// A connection's place among those that may be open at once; given back when dropped.
struct Place {
    gateway: Arc<MqttGateway>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gateway.engine.metrics().mqtt_connections.dec();
    }
}

/// Accepts connections on `listener` (over TLS if an acceptor is given) until `stop`; then sessions are closed.
pub(crate) fn start(
    gateway: &Arc<MqttGateway>,
    listener: TcpListener,
    tls: Option<Arc<TlsDoor>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let accepting = accept(Arc::clone(gateway), listener, tls, tasks.clone(), stop.clone());
    tasks.spawn(accepting);
}

async fn accept(
    gateway: Arc<MqttGateway>,
    listener: TcpListener,
    tls: Option<Arc<TlsDoor>>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => admit(&gateway, stream, tls.as_ref(), &tasks, &stop),
            Err(error) => {
                tracing::warn!(%error, "an MQTT connection could not be accepted");
                tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
            }
        }
    }
}

/// Starts the connection's task, or closes it at once if there are too many.
fn admit(
    gateway: &Arc<MqttGateway>,
    stream: TcpStream,
    tls: Option<&Arc<TlsDoor>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let Some(place) = gateway.admit() else {
        gateway.engine.metrics().mqtt_refused.inc();
        return;
    };
    // Without it, small packets wait for acknowledgements of the ones before. A socket that refuses is closing.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => drop(tasks.spawn(connection::plain(place, stream, stop.clone()))),
        Some(tls) => drop(tasks.spawn(connection::tls(place, tls.acceptor(), stream, stop.clone()))),
    }
}
