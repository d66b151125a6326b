//! The northbound REST interface, for applications: device commands, devices, tokens, as the platform has them.
//!
//! A file a resource. Handlers parse into checked values, call the engine or the store, and write the answer; they
//! decide nothing about commands. What must not be left half done runs to its end in a task of its own, whatever
//! becomes of the connection: see [`finish`].

mod accept;
mod auth;
mod batch_tasks;
mod callback;
mod commands;
mod data;
mod device_groups;
mod devices;
mod error;
mod events;
mod feed;
mod finish;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod idempotency;
mod login;
mod logins;
mod paging;
mod rates;
mod request;
mod room;
mod rounds;
mod routes;
mod serve;
mod shadow;
mod subscriptions;
mod token_cache;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post, put};
use downlink_api::Code;
use downlink_core::{AppKey, Span};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use accept::{Accepting, LongLived, accept};
pub(crate) use error::{Fault, JSON};
pub(crate) use finish::finish;
use request::Query;
pub(crate) use rounds::Rounds;
use routes::Routes;
pub(crate) use serve::{RequestId, RequestIds, Serving};
pub(crate) use token_cache::TokenCache;

use crate::config::Config;
use crate::engine::Engine;
use crate::idle::WhenIdle;
use crate::net::TlsDoor;
use crate::secrets::Sealer;

/// What all requests share.
pub(crate) struct Northbound {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) config: Config,
    pub(crate) tokens: TokenCache,
    logins: logins::Logins,
    rates: rates::Rates<AppKey>,
    callbacks: callback::Callbacks,
    room: room::Room,
    rounds: Arc<Rounds>,
    connections: Arc<Semaphore>,
}

impl Northbound {
    /// Calls beyond what can be done wait for `pushes` to be idle.
    pub(crate) fn new(engine: Arc<Engine>, sealer: Arc<Sealer>, config: Config, pushes: WhenIdle) -> Self {
        let connections = config.northbound.max_connections.min(Semaphore::MAX_PERMITS);
        let longest = Duration::from_millis(config.northbound.max_wait_ms);
        let room = room::Room::new(
            config.northbound.max_calls_at_once,
            longest,
            config.northbound.max_lists_waiting,
            engine.metrics().http_waiting.clone(),
            engine.metrics().http_shed.clone(),
        );
        let rounds = Rounds::new(
            config.northbound.max_connections,
            longest,
            pushes,
            engine.metrics().http_waiting.clone(),
            engine.metrics().http_shed.clone(),
        );
        Self {
            engine,
            sealer,
            tokens: TokenCache::new(),
            logins: logins::Logins::new(&config.auth),
            rates: rates::Rates::new(config.northbound.calls_per_minute, Span::from_secs(60)),
            callbacks: callback::Callbacks::default(),
            room,
            rounds,
            connections: Arc::new(Semaphore::new(connections)),
            config,
        }
    }

    /// The most time that a request may take.
    fn request_limit(&self) -> Duration {
        Duration::from_secs(self.config.northbound.request_timeout_secs.max(1))
    }
}

/// What handlers are given.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) north: Arc<Northbound>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Serves on `listener` (over TLS if a door is given) until `stop`; requests in flight are finished.
pub(crate) fn start(
    northbound: &Arc<Northbound>,
    listener: TcpListener,
    tls: Option<Arc<TlsDoor>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let api = Api {
        north: Arc::clone(northbound),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let metrics = northbound.engine.metrics();
    let counted = Counted {
        permits: Arc::clone(&northbound.connections),
        connections: metrics.http_connections.clone(),
        refused: metrics.http_connections_refused.clone(),
        requests: metrics.http_requests.clone(),
        rounds: Some(Arc::clone(&northbound.rounds)),
    };
    answer_on(northbound, router(api), counted, listener, tls, tasks, stop);
}

/// How a listener's connections are bounded and counted.
pub(crate) struct Counted {
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) connections: Gauge,
    pub(crate) refused: Counter,
    pub(crate) requests: Counter,
    /// Where its requests wait for their turn; none: nowhere.
    pub(crate) rounds: Option<Arc<Rounds>>,
}

/// Answers on `listener` by `router` until `stop`, within the northbound limits of time.
pub(crate) fn answer_on(
    northbound: &Arc<Northbound>,
    router: Router,
    counted: Counted,
    listener: TcpListener,
    tls: Option<Arc<TlsDoor>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let limit = northbound.request_limit();
    let accepting = Accepting {
        tls,
        permits: counted.permits,
        full: Fault::of_crowd,
        refused: counted.refused,
        idle: limit,
        connections: counted.connections,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let requests = counted.requests;
    let serving = Arc::new(Serving {
        router,
        rounds: counted.rounds,
        limit,
        fault: Fault::of_trouble,
        ids: RequestIds::new(),
    });
    tasks.spawn(accept(accepting, listener, move |request| {
        requests.inc();
        let serving = Arc::clone(&serving);
        async move { serving.answer(request).await }
    }));
}

/// Answers requests that come over no listener.
#[cfg(feature = "simulation")]
pub(crate) fn serving(
    northbound: &Arc<Northbound>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Serving {
    let api = Api {
        north: Arc::clone(northbound),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let mut serving = serving_by(northbound, router(api));
    serving.rounds = Some(Arc::clone(&northbound.rounds));
    serving
}

/// Answers requests that come over no listener, by `router`.
#[cfg(feature = "simulation")]
pub(crate) fn serving_by(northbound: &Arc<Northbound>, router: Router) -> Serving {
    Serving {
        router,
        rounds: None,
        limit: northbound.request_limit(),
        fault: Fault::of_trouble,
        ids: RequestIds::new(),
    }
}

fn router(api: Api) -> Router {
    routes()
        .into_router()
        .fallback(|| std::future::ready(Fault::from(Code::NotFound)))
        .method_not_allowed_fallback(|| std::future::ready(Fault::from(Code::IllegalRequest)))
        .with_state(api)
}

/// All that can be called; `scripts/openapi` describes it.
fn routes() -> Routes {
    Routes::new()
        .route("/iocm/app/sec/v1.1.0/login", post(login::login))
        .route("/iocm/app/sec/v1.1.0/refreshToken", post(login::refresh))
        .route("/iocm/app/sec/v1.1.0/logout", post(login::logout))
        .route(
            "/iocm/app/reg/v1.1.0/deviceCredentials",
            post(devices::register_v1),
        )
        .route(
            "/iocm/app/reg/v2.0.0/deviceCredentials",
            post(devices::register_v2),
        )
        .route(
            "/iocm/app/reg/v1.1.0/deviceCredentials/{id}",
            get(devices::activation).put(devices::refresh_key),
        )
        .route("/iocm/app/dm/v1.4.0/devices", get(devices::list))
        .route(
            "/iocm/app/dm/v1.4.0/devices/{id}",
            get(devices::one).put(devices::modify).delete(devices::remove),
        )
        .merge(devices_before())
        .merge(batch_tasks())
        .merge(device_groups())
        .merge(data_of_devices())
        .merge(shadows())
        .route(
            "/iocm/app/cmd/v1.4.0/deviceCommands",
            post(commands::create).get(commands::list),
        )
        .route(
            "/iocm/app/cmd/v1.4.0/deviceCommands/{id}",
            get(commands::one).put(commands::cancel),
        )
        .route(
            "/iocm/app/cmd/v1.4.0/deviceCommandCancelTasks",
            post(commands::create_cancel_task).get(commands::list_cancel_tasks),
        )
        .route(
            "/iocm/app/cmd/v1.2.0/devices/{id}/commands",
            post(commands::create_before),
        )
        .route(
            "/iocm/app/signaltrans/v1.1.0/devices/{device}/services/{service}/sendCommand",
            post(commands::invoke),
        )
        .route(
            "/iocm/app/sub/v1.2.0/subscriptions",
            post(subscriptions::subscribe)
                .get(subscriptions::list)
                .delete(subscriptions::remove_many),
        )
        .route(
            "/iocm/app/sub/v1.2.0/subscriptions/{id}",
            get(subscriptions::one).delete(subscriptions::remove),
        )
        .route(
            "/iocm/app/sub/v1.1.0/subscribe",
            post(subscriptions::subscribe_before),
        )
        .route(
            "/iocm/app/sub/v1.2.0/subscribe",
            post(subscriptions::subscribe_before),
        )
        .route(
            "/iodm/app/sub/v1.1.0/subscribe",
            post(subscriptions::subscribe_to_upgrades),
        )
        .route("/downlink/v1/commands/{id}", get(events::history))
        .route("/downlink/v1/feed", get(feed::pull))
        .route("/downlink/v1/feed/stream", get(feed::stream::follow))
}

/// One command for many devices.
fn batch_tasks() -> Routes {
    Routes::new()
        .route("/iocm/app/batchtask/v1.1.0/tasks", post(batch_tasks::create))
        .route("/iocm/app/batchtask/v1.1.0/tasks/{id}", get(batch_tasks::one))
        .route(
            "/iocm/app/batchtask/v1.1.0/taskDetails",
            get(batch_tasks::details),
        )
}

/// Devices under a name.
fn device_groups() -> Routes {
    Routes::new()
        .route(
            "/iocm/app/devgroup/v1.3.0/devGroups",
            post(device_groups::create).get(device_groups::list),
        )
        .route(
            "/iocm/app/devgroup/v1.3.0/devGroups/{id}",
            get(device_groups::one)
                .put(device_groups::modify)
                .delete(device_groups::remove),
        )
        .route("/iocm/app/dm/v1.2.0/devices/ids", get(device_groups::members))
        .route(
            "/iocm/app/dm/v1.1.0/devices/addDevGroupTagToDevices",
            post(device_groups::add),
        )
        .route(
            "/iocm/app/dm/v1.1.0/devices/deleteDevGroupTagFromDevices",
            post(device_groups::take),
        )
}

/// What devices reported and can do.
fn data_of_devices() -> Routes {
    let mut router = Routes::new();
    for version in ["v1.1.0", "v1.2.0"] {
        let path = |name: &str| format!("/iocm/app/data/{version}/{name}");
        router = router
            .route(&path("deviceDataHistory"), get(data::history))
            .route(&path("deviceCapabilities"), get(data::capabilities));
    }
    router
}

/// What properties of devices are, and are desired to be.
fn shadows() -> Routes {
    Routes::new()
        .route(
            "/iocm/app/shadow/v1.5.0/devices/{id}",
            get(shadow::one).put(shadow::desire),
        )
        .route(
            "/iocm/app/shadow/v1.5.0/deviceDesiredHistory",
            get(shadow::history),
        )
}

/// What older clients call: the same by other paths.
fn devices_before() -> Routes {
    let mut router = Routes::new();
    for version in ["v1.1.0", "v1.2.0"] {
        let path = format!("/iocm/app/reg/{version}/devices");
        let of_one = get(devices::activation).put(devices::refresh_key);
        router = router
            .route(&path, post(devices::register_v1))
            .route(&format!("{path}/{{id}}"), of_one);
    }
    for version in ["v1.1.0", "v1.2.0", "v1.3.0"] {
        let path = format!("/iocm/app/dm/{version}/devices");
        let of_one = get(devices::one_before)
            .put(devices::modify)
            .delete(devices::remove);
        router = router
            .route(&path, get(devices::list_before))
            .route(&format!("{path}/{{id}}"), of_one)
            .route(&format!("{path}/{{id}}/services/{{service}}"), put(devices::mute));
    }
    router
}

/// An answer with a JSON body.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Result<Response, Fault> {
    let mut text = Vec::with_capacity(512);
    serde_json::to_writer(&mut text, body).map_err(|error| Fault::internal(error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

/// 204: the only answer without an entity.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
