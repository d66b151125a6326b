//! Metrics and readiness.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::http::Northbound;

/// A store that does not answer within this time is not ready.
const READY_WITHIN: Duration = Duration::from_secs(1);

const DAMAGED: &str = "the store's file is damaged: see the log; stop the server, look at it with `downlink verify`, \
                       restore a backup\n";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(northbound): State<Arc<Northbound>>) -> Response {
    let engine = &northbound.engine;
    let metrics = engine.metrics();
    metrics
        .sessions
        .set(i64::try_from(engine.sessions().count()).unwrap_or(i64::MAX));
    let figures = engine.store().figures();
    metrics.store_commits.set(figures.commits);
    metrics.store_changes.set(figures.changes);
    metrics.store_queue.set(figures.waiting);
    metrics.store_tail.set(figures.tail);
    metrics.store_damage(figures.damaged_rows, figures.damaged_file);
    ([("content-type", OPEN_METRICS)], metrics.render()).into_response()
}

/// Not ready is also a store whose file was found damaged: what can be read is served all the same, but somebody has to look.
/// That stays until the next start, which looks again.
pub(super) async fn ready(State(northbound): State<Arc<Northbound>>) -> Response {
    if northbound.engine.store().figures().damaged_file > 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, DAMAGED).into_response();
    }
    match tokio::time::timeout(READY_WITHIN, northbound.engine.store().apps(0, 1)).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response()
        }
    }
}
