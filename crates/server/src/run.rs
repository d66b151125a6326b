//! Start and stop, top to bottom.

mod doors;
mod listeners;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppId, Policy, Span};
use downlink_store::sqlite::{OpenError, SqliteOptions, SqliteStore};
use downlink_store::{AppSettings, Apps, NewApp, ShadowLimits, Store, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config, ConfigError};
use crate::engine::{CloseReason, DeadlineHint, Engine, Hints, Settings};
use crate::gateway::lwm2m;
use crate::gateway::mqtt::{self, MqttGateway};
use crate::http::{self, Northbound};
use crate::net::{BindError, Datagrams, TlsError};
use crate::notices::PlatformNotices;
use crate::push::{self, Roots, TrustBook};
use crate::secrets::{self, KeyError, Sealer, SecretHash};
use crate::telemetry::Metrics;
use crate::{admin, clock, sweep};

use self::doors::Doors;
pub use self::listeners::Addresses;
use self::listeners::Listeners;

/// Hints that may wait for their reader; more are dropped and found by the sweeps.
const HINTS: usize = 65_536;
const RECEIVER_HINTS: usize = 1024;

/// Why the server did not start. Its text names what is at fault and what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StartError(#[from] Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Push(#[from] push::Refused),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("the application `{0}` of --app was removed; its id is not used again")]
    AppRemoved(String),
}

/// A server that accepts work.
pub struct Running {
    addresses: Addresses,
    admin_token: String,
    engine: Arc<Engine>,
    store: Arc<SqliteStore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    drain: Duration,
    reload: Arc<Notify>,
}

/// An application that is made at start if it is not there.
#[derive(Debug, Clone)]
pub struct InitialApp {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// Starts a server. When this returns `Ok`, it accepts work.
pub async fn start(config: Config, app: Option<InitialApp>) -> Result<Running, StartError> {
    Ok(start_all(config, app).await?)
}

async fn start_all(config: Config, app: Option<InitialApp>) -> Result<Running, Cause> {
    let store = Arc::new(SqliteStore::open(store_options(&config))?);
    let data_dir = config.server.data_dir.clone();
    let io = |what| move |source| Cause::Io { what, source };
    let sealer = Arc::new(secrets::unlock(&config.server.master_key, &data_dir)?);
    let admin_token = secrets::admin_token(&data_dir).map_err(io("admin token"))?;
    let listeners = Listeners::bind(&config).await?;
    let addresses = listeners.addresses().map_err(io("listener"))?;
    if let Some(app) = app {
        make_app(&store, app).await?;
    }

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    // What has a thread of its own does not end with this one.
    let unless_started = stop.clone().drop_guard();
    let metrics = Arc::new(Metrics::new());
    let port: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let (engine, inboxes) = engine(&port, &config, &metrics).await?;
    let trust = trust_book(&store, &sealer, &config.push).await?;
    let desk = push::start(
        port,
        inboxes.push,
        &config.push,
        addresses.all(),
        Arc::clone(&trust),
        metrics,
        &tasks,
        &stop,
    )?;
    sweep::start(&engine, inboxes.deadlines, &desk, &config, &tasks, &stop);

    let drain = Duration::from_secs(config.server.drain_secs);
    let doors = Doors::open(&config, &listeners)?;
    let reload = doors.keep_fresh(&config, &engine, &tasks, &stop);
    serve(
        listeners,
        &engine,
        sealer,
        trust,
        desk,
        config,
        doors,
        &admin_token,
        &tasks,
        &stop,
    )?;
    unless_started.disarm();
    Ok(Running {
        addresses,
        admin_token,
        engine,
        store,
        tasks,
        stop,
        drain,
        reload,
    })
}

/// Where the engine's hints arrive.
pub(crate) struct Inboxes {
    pub(crate) push: push::Hints,
    pub(crate) deadlines: mpsc::Receiver<DeadlineHint>,
}

/// The engine on a store, as the configuration says.
pub(crate) async fn engine(
    store: &Arc<dyn Store>,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Engine>, Inboxes), StoreError> {
    let (push_hints, push_inbox) = mpsc::channel(config.push.max_backlog.clamp(1, HINTS));
    let (receiver_hints, receiver_inbox) = mpsc::channel(RECEIVER_HINTS);
    let (deadline_hints, deadline_inbox) = mpsc::channel(HINTS);
    let hints = Hints {
        enabled: config.engine.hints,
        push: push_hints,
        receivers: receiver_hints,
        deadlines: deadline_hints,
    };
    let inboxes = Inboxes {
        push: push::Hints {
            duties: push_inbox,
            receivers: receiver_inbox,
            look_every: Duration::from_millis(config.engine.queue_sweep_ms.max(1)),
        },
        deadlines: deadline_inbox,
    };
    let last_id = store.last_id().await?;
    let (store, metrics) = (Arc::clone(store), Arc::clone(metrics));
    let engine = Engine::new(store, last_id, hints, settings(config), metrics);
    Ok((Arc::new(engine), inboxes))
}

/// Starts what listens.
#[allow(clippy::too_many_arguments)] // each is a different owner's
fn serve(
    listeners: Listeners,
    engine: &Arc<Engine>,
    sealer: Arc<Sealer>,
    trust: Arc<TrustBook>,
    desk: Arc<push::Desk>,
    config: Config,
    doors: Doors,
    admin_token: &str,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Cause> {
    let gateway = Arc::new(MqttGateway::new(
        Arc::clone(engine),
        Arc::clone(&sealer),
        config.mqtt.clone(),
        config.commands.max_result_bytes,
    ));
    let sockets = lwm2m::Sockets {
        plain: listeners.coap.map(Datagrams::Socket),
        secure: listeners.coaps,
    };
    start_lwm2m(sockets, engine, &sealer, &config, tasks, stop)?;
    let northbound = Arc::new(Northbound::new(
        Arc::clone(engine),
        sealer,
        config,
        desk.when_idle(),
    ));
    if let Some(listener) = listeners.northbound {
        http::start(&northbound, listener, doors.northbound, tasks, stop);
    }
    if let Some(listener) = listeners.northbound_plain {
        http::start(&northbound, listener, None, tasks, stop);
    }
    if let Some(listener) = listeners.mqtt {
        mqtt::start(&gateway, listener, None, tasks, stop);
    }
    if let Some(listener) = listeners.mqtts {
        mqtt::start(&gateway, listener, doors.mqtts, tasks, stop);
    }
    if let Some(listener) = listeners.admin {
        admin::start(
            &northbound,
            trust,
            desk,
            admin_token.to_owned(),
            listener,
            tasks,
            stop,
        );
    }
    Ok(())
}

/// Starts the gateway for LwM2M if it has a door.
fn start_lwm2m(
    sockets: lwm2m::Sockets,
    engine: &Arc<Engine>,
    sealer: &Arc<Sealer>,
    config: &Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Cause> {
    if sockets.plain.is_none() && sockets.secure.is_none() {
        return Ok(());
    }
    let (sealer, max_result_bytes) = (Arc::clone(sealer), config.commands.max_result_bytes);
    lwm2m::start(
        engine,
        sealer,
        sockets,
        &config.lwm2m,
        max_result_bytes,
        tasks,
        stop,
    )
    .map_err(|source| Cause::Io { what: "coap", source })
}

/// What pushes are signed and secured with, as the store has it.
async fn trust_book(
    store: &Arc<SqliteStore>,
    sealer: &Arc<Sealer>,
    config: &config::Push,
) -> Result<Arc<TrustBook>, StoreError> {
    let store = Arc::clone(store);
    let trust = TrustBook::new(store, Arc::clone(sealer), Roots::platform(config.http2));
    trust.load().await?;
    Ok(Arc::new(trust))
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The store behind it.
    #[cfg(test)]
    pub(crate) fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// The token of the admin API.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Reads the files of TLS again, soon. What is wrong with them is logged, and the old ones stay in use.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Stops: accepts nothing more, finishes what is in flight within `server.drain_secs`, closes the store.
    /// What is not finished stays in the store and goes on at the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        for session in self.engine.sessions().all() {
            session.close(CloseReason::Stopping);
        }
        self.tasks.close();
        if tokio::time::timeout(self.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                left = self.tasks.len(),
                "stopped before everything in flight was finished"
            );
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

async fn make_app(store: &SqliteStore, app: InitialApp) -> Result<(), Cause> {
    let id = AppId::new(app.id.as_str());
    if store.app(&id).await?.is_some() {
        return Ok(());
    }
    let new = NewApp {
        id,
        name: app.id.clone(),
        secret_hash: SecretHash::of(&app.secret),
        settings: AppSettings::default(),
        created_at: clock::now(),
    };
    match store.create_app(new).await? {
        Some(_) => Ok(()),
        None => Err(Cause::AppRemoved(app.id)),
    }
}

pub(crate) fn store_options(config: &Config) -> SqliteOptions {
    SqliteOptions {
        data_dir: config.server.data_dir.clone(),
        policy: policy(&config.commands),
        write_queue: config.store.write_queue,
        max_batch: config.store.max_batch,
        readers: config.store.readers,
        read_queue: config.store.read_queue,
        lazy_wait: Duration::from_millis(config.store.lazy_wait_ms),
        device_cache: config.store.device_cache,
        tail: config.store.tail,
        checkpoint_pages: config.store.checkpoint_pages,
        cache_kib: config.store.cache_kib,
        history_rows: config.devices.history_rows,
        shadow: ShadowLimits {
            properties: config.shadow.properties,
            value_bytes: config.shadow.value_bytes,
            changes: config.shadow.changes,
            of_mqtt: config.shadow.of_mqtt,
        },
        notice_writer: Arc::new(PlatformNotices),
        notice_run: u64::from_le_bytes(secrets::random()),
        min_free_bytes: config.store.min_free_bytes,
        min_free_percent: config.store.min_free_percent,
    }
}

fn policy(commands: &config::Commands) -> Policy {
    Policy {
        max_sends: commands.max_sends,
        ack_wait: Span::from_secs(commands.ack_wait_secs),
        slot_wait: Span::from_secs(commands.slot_wait_secs),
        late_window: Span::from_secs(commands.late_window_secs),
        up_since: clock::now(),
        restart_grace: Span::from_secs(commands.restart_grace_secs),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        default_expire_secs: config.commands.default_expire_secs,
        max_expire_secs: config.commands.max_expire_secs,
        queue_limit: config.commands.queue_limit,
        open_limit: Some(config.commands.max_open_per_app).filter(|limit| *limit > 0),
        response_wait_secs: config.commands.response_wait_secs,
        key_keep_secs: config.commands.idempotency_keep_secs,
        key_limit: config.commands.max_idempotency_keys_per_app,
        cancel_task_limit: config.commands.max_cancel_tasks_per_app,
        batch_open_limit: config.batch.max_open_per_app,
        batch_kept_limit: config.batch.max_kept_per_app,
        max_silence_days: config.commands.max_silence_days,
        max_inflight: config.mqtt.max_inflight,
        feed_streams_per_app: config.feed.streams_per_app,
        feed_streams: config.feed.streams,
        abnormal_after_secs: config.devices.abnormal_after_secs,
        offline_after_secs: config.devices.offline_after_secs,
        heard_every_secs: config.devices.heard_every_secs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::threads;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_start_that_fails_leaves_no_thread_behind_that_pushes() {
        let dir = tempfile::tempdir().unwrap();
        let text = |text: &str| text.to_owned().into();
        let overrides = vec![
            ("server", "data_dir", text(dir.path().to_str().unwrap())),
            ("northbound", "listen", text("127.0.0.1:0")),
            ("northbound", "tls_cert", text("/is/not/there")),
            ("northbound", "tls_key", text("/is/not/there")),
            ("mqtt", "listen", text("off")),
            ("admin", "listen", text("off")),
        ];
        let config = config::load(None, [], overrides).unwrap();
        let refused = start(config, None).await.err().unwrap();
        assert!(refused.to_string().contains("/is/not/there"), "{refused}");
        let gone = async {
            while threads().contains(&"push".to_owned()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    }
}
