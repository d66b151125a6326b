//! One life of a server, from its start to its end by a crash.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use downlink_core::{AppId, Span, Timestamp};
use downlink_store::sqlite::by_hand;
use downlink_store::{AppSettings, Apps, NewApp, NewToken, Store};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hands::{self, Disk};
use super::wires::{Datagrams, Receivers};
use crate::config::Config;
use crate::gateway::lwm2m;
use crate::gateway::mqtt::MqttGateway;
use crate::http::{self as northbound, Northbound, Serving};
use crate::net;
use crate::push::{Roots, TrustBook};
use crate::secrets::{Sealer, TokenHash};
use crate::telemetry::Metrics;
use crate::{admin, clock, push, run, sweep};

/// What the operator shows.
pub const ADMIN_TOKEN: &str = "the-token-of-the-operator";

/// What is wrong, for people: the simulation can do nothing but say it.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// A server that runs. It has no end of its own: the runtime that it was booted in is dropped, which is a crash.
pub struct Node {
    store: Arc<dyn Store>,
    serving: Arc<Serving>,
    admin: Arc<Serving>,
    mqtt: Arc<MqttGateway>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Starts a server on the data directory of `config`; its listeners are not used. To be called in the runtime that is
/// to carry it, one of a single thread.
///
/// # Errors
/// The store cannot be opened or read, or a thread cannot be had.
pub async fn boot(
    config: &Config,
    disk: Arc<dyn Disk>,
    receivers: Arc<dyn Receivers>,
    datagrams: Datagrams,
) -> Result<Node, Trouble> {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (store, writing, reading) = by_hand::open(run::store_options(config))?;
    tasks.spawn(hands::write(writing, Arc::clone(&disk)));
    tasks.spawn(hands::read(reading, disk));
    let store = Arc::new(store);
    let sealer = Arc::new(Sealer::new(&[7; 32]));
    let nobody = Roots::of(Err("nobody is trusted here".to_owned()), false);
    let trust = Arc::new(TrustBook::new(
        Arc::clone(&store) as _,
        Arc::clone(&sealer),
        nobody,
    ));
    let store: Arc<dyn Store> = store;
    let metrics = Arc::new(Metrics::new());
    let (engine, inboxes) = run::engine(&store, config, &metrics).await?;
    let desk = push::start_simulated(
        Arc::clone(&store),
        inboxes.push,
        &config.push,
        receivers,
        metrics,
        &tasks,
        &stop,
    );
    sweep::start(&engine, inboxes.deadlines, &desk, config, &tasks, &stop);
    let most = config.commands.max_result_bytes;
    let sockets = lwm2m::Sockets {
        plain: Some(net::Datagrams::Wire(datagrams)),
        secure: None,
    };
    let lwm2m = &config.lwm2m;
    lwm2m::start(&engine, Arc::clone(&sealer), sockets, lwm2m, most, &tasks, &stop)?;
    let mqtt = MqttGateway::new(
        Arc::clone(&engine),
        Arc::clone(&sealer),
        config.mqtt.clone(),
        most,
    );
    let north = Arc::new(Northbound::new(engine, sealer, config.clone(), desk.when_idle()));
    Ok(Node {
        store,
        serving: Arc::new(northbound::serving(&north, &tasks, &stop)),
        admin: Arc::new(admin::serving(
            &north,
            trust,
            desk,
            ADMIN_TOKEN.to_owned(),
            &tasks,
            &stop,
        )),
        mqtt: Arc::new(mqtt),
        tasks,
        stop,
    })
}

impl Node {
    /// Makes an application that has a feed and whose access token is `token`, as the operator and a login would.
    ///
    /// # Errors
    /// The store failed, or the application is there.
    pub async fn make_app(&self, id: &str, token: &str) -> Result<(), Trouble> {
        let now = clock::now();
        let new = NewApp {
            id: AppId::new(id),
            name: id.to_owned(),
            secret_hash: String::new(),
            settings: AppSettings {
                feed: true,
                ..AppSettings::default()
            },
            created_at: now,
        };
        let made = Apps::create_app(&*self.store, new).await?;
        let app = made.ok_or("the application is there")?;
        let token = token_of(app.key, token, now);
        Ok(Apps::add_token(&*self.store, token, 1).await?)
    }

    /// What answers requests of applications.
    pub fn rest(&self) -> Rest {
        Rest(Arc::clone(&self.serving))
    }

    /// What answers requests of the operator, who shows [`ADMIN_TOKEN`].
    pub fn admin(&self) -> Rest {
        Rest(Arc::clone(&self.admin))
    }

    /// A device connects over a wire.
    pub fn connect<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static>(&self, wire: S) {
        let (gateway, stop) = (Arc::clone(&self.mqtt), self.stop.clone());
        self.tasks.spawn(gateway.serve(wire, stop));
    }
}

/// A REST interface.
#[derive(Clone)]
pub struct Rest(Arc<Serving>);

impl Rest {
    /// Answers one request.
    pub fn call(&self, request: Request<Body>) -> impl Future<Output = Response> + Send + use<> {
        let serving = Arc::clone(&self.0);
        async move { serving.answer_any(request).await }
    }
}

fn token_of(app: downlink_core::AppKey, token: &str, now: Timestamp) -> NewToken {
    let until = now + Span::from_secs(u32::MAX / 2);
    NewToken {
        app,
        access: TokenHash::of(token).0,
        access_until: until,
        refresh: TokenHash::of(&format!("refresh {token}")).0,
        refresh_until: until,
        issued_at: now,
    }
}
