//! The doors with TLS: whose files they are, and who looks after them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listeners::Listeners;
use crate::config::{ClientCerts, Config};
use crate::engine::Engine;
use crate::net::{self, Clients, TlsDoor, TlsError, TlsFiles};

/// Those that have a listener.
pub(super) struct Doors {
    pub(super) northbound: Option<Arc<TlsDoor>>,
    pub(super) mqtts: Option<Arc<TlsDoor>>,
}

impl Doors {
    /// Opens what `listeners` has a listener for.
    pub(super) fn open(config: &Config, listeners: &Listeners) -> Result<Self, TlsError> {
        let northbound = listeners.northbound.as_ref().map(|_| northbound(config));
        let mqtts = listeners.mqtts.as_ref().map(|_| mqtts(config));
        Ok(Self {
            northbound: northbound.transpose()?,
            mqtts: mqtts.transpose()?,
        })
    }

    /// Has their files looked at from now on. Whoever notifies has them looked at once more.
    pub(super) fn keep_fresh(
        &self,
        config: &Config,
        engine: &Engine,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Notify> {
        let doors = [&self.northbound, &self.mqtts];
        let doors = doors.into_iter().flatten().cloned().collect();
        let secs = config.server.tls_reload_secs;
        let every = (secs > 0).then(|| Duration::from_secs(secs));
        let told = Arc::new(Notify::new());
        let (metrics, stop) = (engine.shared_metrics(), stop.clone());
        tasks.spawn(net::keep_fresh(doors, every, Arc::clone(&told), metrics, stop));
        told
    }
}

fn northbound(config: &Config) -> Result<Arc<TlsDoor>, TlsError> {
    let own = &config.northbound;
    let mut files = TlsFiles::of(&own.tls_cert, &own.tls_key, &config.server.data_dir)?;
    let ca = PathBuf::from(&own.client_ca);
    files.clients = match own.client_certs {
        ClientCerts::Off => Clients::NotAsked,
        ClientCerts::Optional => Clients::Optional(ca),
        ClientCerts::Required => Clients::Required(ca),
    };
    TlsDoor::open("northbound", files, &[b"h2", b"http/1.1"])
}

/// With the certificate of its own, else the northbound one.
fn mqtts(config: &Config) -> Result<Arc<TlsDoor>, TlsError> {
    let (own, north) = (&config.mqtt, &config.northbound);
    let (cert, key) = match (own.tls_cert.as_str(), own.tls_key.as_str()) {
        ("", "") => (north.tls_cert.as_str(), north.tls_key.as_str()),
        own => own,
    };
    TlsDoor::open("mqtts", TlsFiles::of(cert, key, &config.server.data_dir)?, &[])
}
