//! The admin listener: metrics, health, and the operator's API.
//!
//! `/metrics`, `/healthz` and `/readyz` are open to whoever reaches the listener. All else needs a Host header that names
//! this listener, so that no web page can reach it by way of a browser's DNS, and, but for the description of the northbound
//! interface, the admin token.

mod apps;
mod description;
mod grants;
mod guard;
mod health;
mod names;
mod products;
mod push_tls;
mod pushes;
mod receivers;
mod signing_keys;
mod trace;
mod work_mode;

#[cfg(test)]
pub(crate) use description::DOCUMENT;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use downlink_store::{Store, StoreError};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{self, Counted, Northbound};
use crate::push::{Desk, TrustBook};

/// Connections open at once.
const CONNECTIONS: usize = 64;

/// Serves the admin API on `listener` until `stop`.
pub(crate) fn start(
    northbound: &Arc<Northbound>,
    trust: Arc<TrustBook>,
    desk: Arc<Desk>,
    token: String,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let address = listener.local_addr().ok();
    let admin = Admin::new(northbound, trust, desk, tasks, stop);
    let router = router(admin, guard::Guard::new(token, address));
    // Room of its own: applications that take all of theirs must not shut the operator out.
    let counted = Counted {
        permits: Arc::new(Semaphore::new(CONNECTIONS)),
        connections: Gauge::default(),
        refused: Counter::default(),
        // The operator comes first.
        rounds: None,
        requests: Counter::default(),
    };
    http::answer_on(northbound, router, counted, listener, None, tasks, stop);
}

/// Answers the operator's requests that come over no listener.
#[cfg(feature = "simulation")]
pub(crate) fn serving(
    northbound: &Arc<Northbound>,
    trust: Arc<TrustBook>,
    desk: Arc<Desk>,
    token: String,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> http::Serving {
    let admin = Admin::new(northbound, trust, desk, tasks, stop);
    http::serving_by(northbound, router(admin, guard::Guard::new(token, None)))
}

/// What handlers are given.
#[derive(Clone)]
struct Admin {
    northbound: Arc<Northbound>,
    trust: Arc<TrustBook>,
    desk: Arc<Desk>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Admin {
    fn new(
        northbound: &Arc<Northbound>,
        trust: Arc<TrustBook>,
        desk: Arc<Desk>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            northbound: Arc::clone(northbound),
            trust,
            desk,
            tasks: tasks.clone(),
            stop: stop.clone(),
        }
    }

    fn store(&self) -> &dyn Store {
        self.northbound.engine.store()
    }
}

impl FromRef<Admin> for Arc<Northbound> {
    fn from_ref(admin: &Admin) -> Self {
        Self::clone(&admin.northbound)
    }
}

fn router(admin: Admin, guard: guard::Guard) -> Router {
    let guard = Arc::new(guard);
    let guarded = Router::new()
        .route(
            "/",
            get(|| async {
                "Downlink: admin API under /admin/v1, metrics at /metrics, northbound interface at /docs\n"
            }),
        )
        .route("/admin/v1/apps", post(apps::create).get(apps::list))
        .route("/admin/v1/apps/{id}/secret", post(apps::rotate_secret))
        .route("/admin/v1/apps/{id}", patch(apps::change).delete(apps::remove))
        .route(
            "/admin/v1/devices/{id}/work-mode",
            put(work_mode::set).get(work_mode::show),
        )
        .route("/admin/v1/pushes", get(pushes::list))
        .route("/admin/v1/pushes/test", post(pushes::test))
        .route("/admin/v1/pushes/{id}", get(pushes::one).delete(pushes::remove))
        .route("/admin/v1/pushes/{id}/replay", post(pushes::replay))
        .route("/admin/v1/receivers", get(receivers::list))
        .route("/admin/v1/receivers/hold", post(receivers::hold))
        .route("/admin/v1/receivers/release", post(receivers::release))
        .route("/admin/v1/receivers/rate", put(receivers::rate))
        .route("/admin/v1/receivers/{key}/replay", post(receivers::replay))
        .route("/admin/v1/receivers/{key}/drop", post(receivers::drop_some))
        .route("/admin/v1/devices/{id}/trace", get(trace::follow))
        .route(
            "/admin/v1/apps/{id}/signing-keys",
            post(signing_keys::create).get(signing_keys::list),
        )
        .route(
            "/admin/v1/apps/{id}/signing-keys/{key}",
            delete(signing_keys::remove),
        )
        .route("/admin/v1/apps/{id}/authorized", get(grants::list))
        .route(
            "/admin/v1/apps/{id}/authorized/{other}",
            put(grants::add).delete(grants::remove),
        )
        .route(
            "/admin/v1/apps/{id}/push-tls",
            put(push_tls::set).get(push_tls::show).delete(push_tls::clear),
        )
        .route(
            "/admin/v1/apps/{id}/products",
            put(products::put).get(products::list),
        )
        .route(
            "/admin/v1/apps/{id}/products/{product}",
            get(products::one).delete(products::remove),
        )
        .fallback(|| async {
            problem(
                StatusCode::NOT_FOUND,
                "not_found",
                "there is nothing at this path",
            )
        })
        .method_not_allowed_fallback(|| async {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take this method",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&guard), guard::check_token));
    let for_own_hosts = Router::new()
        .route("/openapi.json", get(description::document))
        .route("/docs", get(description::page))
        .merge(guarded)
        .layer(from_fn_with_state(guard, guard::check_host));
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(health::ready))
        .merge(for_own_hosts)
        .with_state(admin)
}

/// A body that has to be JSON of this shape; else the answer that says why it is not.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::invalid(told(&error)))
}

/// What is wrong with a body, without the value at that place: it may be a secret.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let kind = ["invalid type", "invalid value"]
        .into_iter()
        .find(|kind| text.starts_with(kind));
    match (kind, text.rfind(", expected ")) {
        (Some(kind), Some(at)) => format!("{kind}{}", &text[at..]),
        (Some(_) | None, _) => text,
    }
}

/// Why a call is not answered as it was asked to be.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "an admin request failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        problem(self.status, self.code, &self.message)
    }
}

/// An error of the admin API: `{"error":{"code":…,"message":…}}`.
fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    json(
        status,
        &serde_json::json!({ "error": { "code": code, "message": message } }),
    )
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("these bodies have text keys and no failing parts");
    (status, [("content-type", "application/json")], body).into_response()
}
