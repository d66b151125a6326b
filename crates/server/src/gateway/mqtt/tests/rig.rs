//! A gateway on a free port, and a device that speaks to it in bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppId, CommandBody, CommandId, DeviceId, DeviceKey};
use downlink_store::{App, AppSettings, Record, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use toml::Value;

use super::store::{APP, FakeStore};
use crate::engine::{CreateError, CreateRequest, Engine, Hints, Settings};
use crate::gateway::mqtt::login::password;
use crate::gateway::mqtt::wire::{self, Version};
use crate::gateway::mqtt::{MqttGateway, start};
use crate::secrets::Sealer;
use crate::telemetry::Metrics;
use crate::{clock, config};

pub(super) const SECRET: &str = "secret123456";
pub(super) const STAMP: &str = "2026010208";
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway with one device, `dev` (node id `node-1`).
pub(super) struct Rig {
    pub(super) store: Arc<FakeStore>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) engine: Arc<Engine>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) gateway: Arc<MqttGateway>,
    pub(super) device: DeviceKey,
    pub(super) addr: SocketAddr,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Rig {
    pub(super) async fn new() -> Self {
        Self::with(Vec::new(), None).await
    }

    /// With other values of `[mqtt]`, and over TLS.
    pub(super) async fn with(
        changes: Vec<(&'static str, i64)>,
        tls: Option<Arc<crate::net::TlsDoor>>,
    ) -> Self {
        let changes = changes
            .into_iter()
            .map(|(key, value)| ("mqtt", key, Value::Integer(value)));
        let config = config::load(None, [], changes.collect()).unwrap().mqtt;
        let store = Arc::new(FakeStore::new());
        let metrics = Arc::new(Metrics::new());
        let engine = Arc::new(engine(Arc::clone(&store), &metrics, config.max_inflight));
        let sealer = Arc::new(Sealer::new(&[3; 32]));
        let device = store.add_device(&sealer, "dev", "node-1", SECRET);
        let gateway = Arc::new(MqttGateway::new(
            Arc::clone(&engine),
            Arc::clone(&sealer),
            config,
            1000,
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        start(&gateway, listener, tls, &tasks, &stop);
        Self {
            store,
            sealer,
            engine,
            metrics,
            gateway,
            device,
            addr,
            tasks,
            stop,
        }
    }

    pub(super) async fn socket(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(self.addr).await.unwrap())
    }

    /// `dev`, connected.
    pub(super) async fn connect(&self, version: Version) -> Peer<TcpStream> {
        let mut peer = self.socket().await;
        peer.login(version).await;
        peer
    }

    /// Creates a command of `dev`; `expire` 0: immediate.
    pub(super) async fn create(&self, expire: u64, paras: &str) -> Result<Record, CreateError> {
        let app = App {
            key: APP,
            id: AppId::new("app"),
            name: String::new(),
            secret_hash: String::new(),
            settings: AppSettings::default(),
            created_at: clock::now(),
        };
        let request = CreateRequest {
            device: self.device,
            device_id: DeviceId::new("dev"),
            product: None,
            work_mode: None,
            body: CommandBody {
                service: "Lamp".into(),
                method: "SWITCH".into(),
                paras: paras.into(),
            },
            callback: None,
            expire_time: Some(expire),
            max_retransmit: None,
            request_id: "r".into(),
            key: None,
            call_id: None,
            unanswered: false,
        };
        self.engine
            .create(&app, request)
            .await
            .map(|answered| answered.record)
    }

    pub(super) async fn queued(&self) -> CommandId {
        self.create(600, r#"{"value":1}"#).await.unwrap().id
    }

    /// Waits until `dev` can be sent commands.
    pub(super) async fn reachable(&self) {
        eventually("reachable", || {
            self.engine
                .sessions()
                .of(self.device)
                .is_some_and(|session| session.offer().is_some())
        })
        .await;
    }
}

fn engine(store: Arc<FakeStore>, metrics: &Arc<Metrics>, max_inflight: usize) -> Engine {
    // Nobody reads the hints: they are lost, and nothing here needs them.
    let (push, _) = mpsc::channel(1);
    let (deadlines, _) = mpsc::channel(1);
    let (receivers, _) = mpsc::channel(1);
    let hints = Hints {
        enabled: true,
        push,
        receivers,
        deadlines,
    };
    let settings = Settings {
        default_expire_secs: 600,
        max_expire_secs: 6000,
        queue_limit: 20,
        open_limit: None,
        response_wait_secs: 300,
        key_keep_secs: 60,
        key_limit: 10,
        cancel_task_limit: 10,
        batch_open_limit: 10,
        batch_kept_limit: 10,
        max_silence_days: 0,
        max_inflight,
        feed_streams_per_app: 1,
        feed_streams: 1,
        abnormal_after_secs: 90_000,
        offline_after_secs: 176_400,
        heard_every_secs: 300,
    };
    Engine::new(
        store as Arc<dyn Store>,
        None,
        hints,
        settings,
        Arc::clone(metrics),
    )
}

/// Waits until `is` holds.
pub(super) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// CONNECT with all that can be chosen.
pub(super) fn connect_packet(
    level: u8,
    client_id: &str,
    user: &str,
    password: &str,
    keep_alive: u16,
) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, 0xc2];
    body.extend_from_slice(&keep_alive.to_be_bytes());
    if level == 5 {
        body.push(0);
    }
    for text in [client_id, user, password] {
        body.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    packet(0x10, &body)
}

/// CONNECT of `dev`.
pub(super) fn login_packet(version: Version) -> Vec<u8> {
    let level = match version {
        Version::V3 => 4,
        Version::V5 => 5,
    };
    let client_id = format!("dev_0_0_{STAMP}");
    connect_packet(level, &client_id, "dev", &password(STAMP, SECRET), 60)
}

/// SUBSCRIBE with packet id 1.
pub(super) fn subscribe_packet(version: Version, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(&u16::try_from(filter.len()).unwrap().to_be_bytes());
    body.extend_from_slice(filter.as_bytes());
    body.push(qos);
    packet(0x82, &body)
}

/// PUBLISH, at QoS 1 if there is a packet id.
pub(super) fn publish_packet(
    version: Version,
    topic: &str,
    payload: &str,
    packet_id: Option<u16>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = wire::PublishOut {
        topic,
        packet_id,
        expiry: None,
        payload: payload.as_bytes(),
    };
    wire::publish(&mut bytes, version, message);
    bytes
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    while length > 127 {
        bytes.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(body);
    bytes
}

/// The device's end of a connection.
pub(super) struct Peer<S> {
    pub(super) stream: S,
    read: Vec<u8>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet, whole; empty: the connection was closed.
    pub(super) async fn receive(&mut self) -> Vec<u8> {
        let reading = async {
            loop {
                if let Ok(Some(frame)) = wire::frame(&self.read, 1 << 24) {
                    let rest = self.read.split_off(frame.len);
                    return std::mem::replace(&mut self.read, rest);
                }
                match self.stream.read_buf(&mut self.read).await {
                    Ok(0) | Err(_) => return std::mem::take(&mut self.read),
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("a packet in time")
    }

    pub(super) async fn login(&mut self, version: Version) {
        self.send(&login_packet(version)).await;
        let connack = self.receive().await;
        assert_eq!(
            (connack[0], connack[2], connack[3]),
            (0x20, 0, 0),
            "{connack:02x?}"
        );
    }

    pub(super) async fn subscribe(&mut self, version: Version, filter: &str, qos: u8) {
        self.send(&subscribe_packet(version, filter, qos)).await;
        let suback = self.receive().await;
        assert_eq!((suback[0], suback.last()), (0x90, Some(&qos)));
    }

    /// The next packet, which has to be a PUBLISH: topic, packet id, payload.
    pub(super) async fn receive_publish(&mut self, version: Version) -> (String, Option<u16>, String) {
        let bytes = self.receive().await;
        let frame = wire::frame(&bytes, 1 << 24).unwrap().expect("not closed");
        let Ok(wire::Packet::Publish(publish)) = wire::decode(frame, version) else {
            panic!("no PUBLISH: {bytes:02x?}")
        };
        let payload = String::from_utf8(publish.payload().to_vec()).unwrap();
        (publish.topic().to_owned(), publish.packet_id, payload)
    }
}
