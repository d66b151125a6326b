//! Looks whether the files of TLS have changed: now and then, and when it is told to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::door::TlsDoor;
use crate::telemetry::Metrics;

/// Looks after the doors until `stop`: each `every` (none: never by itself), and whenever `told` is.
pub(crate) async fn keep_fresh(
    doors: Vec<Arc<TlsDoor>>,
    every: Option<Duration>,
    told: Arc<Notify>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    for door in &doors {
        metrics.tls.show(door.name(), door.not_after());
    }
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = told.notified() => {}
            () = rest(every) => {}
        }
        for door in &doors {
            look(Arc::clone(door), &metrics).await;
        }
    }
}

async fn rest(every: Option<Duration>) {
    match every {
        Some(every) => sleep(every).await,
        None => std::future::pending().await,
    }
}

async fn look(door: Arc<TlsDoor>, metrics: &Metrics) {
    let name = door.name();
    let looking = Arc::clone(&door);
    let Ok(looked) = tokio::task::spawn_blocking(move || looking.reload()).await else {
        return;
    };
    match looked {
        Ok(false) => {}
        Ok(true) => {
            tracing::info!(listener = name, "TLS: the new certificate is in use");
            metrics.tls.changed.inc();
            metrics.tls.show(name, door.not_after());
        }
        Err(error) => {
            tracing::error!(listener = name, %error, "TLS: the old certificate stays in use");
            metrics.tls.failed.inc();
        }
    }
}
