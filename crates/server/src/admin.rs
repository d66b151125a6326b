//! The admin listener: metrics, health, and the operator's API.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Northbound;

/// Serves the admin API on `listener` until `stop`.
pub(crate) fn start(
    northbound: &Arc<Northbound>,
    token: String,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let _unused = (northbound, token, listener, tasks, stop);
}
