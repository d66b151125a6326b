//! From the first byte to the CONNACK: who connects, and whether it may.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use downlink_core::DeviceId;
use downlink_store::{Device, DeviceName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::bytes::{farewell, poll_read};
use super::{Live, Registered};
use crate::clock;
use crate::engine::{Inbox, SessionHandle};
use crate::gateway::mqtt::MqttGateway;
use crate::gateway::mqtt::login::{self, Login, NameKind, Refusal};
use crate::gateway::mqtt::outbox::Outbox;
use crate::gateway::mqtt::session::{Now, Session, Start, Tick};
use crate::gateway::mqtt::topic::Names;
use crate::gateway::mqtt::wire::{self, Capabilities, Connect, Reason, Version};

/// The largest CONNECT: what somebody not yet known may make this server hold.
const MAX_CONNECT: usize = 16 * 1024;

/// Runs an opening within the time that it may take, and not beyond the server's end.
pub(super) async fn within<T, F>(
    gateway: Arc<MqttGateway>,
    stop: CancellationToken,
    opening: impl FnOnce(Arc<MqttGateway>, CancellationToken) -> F,
) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let limit = Duration::from_secs(gateway.config.connect_timeout_secs);
    let opened = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        opened = timeout(limit, opening(Arc::clone(&gateway), stop.clone())) => opened,
    };
    opened.unwrap_or_else(|_| {
        gateway.engine.metrics().mqtt_refused.inc();
        tracing::debug!("MQTT: no CONNECT in time");
        None
    })
}

/// Reads the CONNECT and answers it. `None`: there is no session, and the connection is closed.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: Arc<MqttGateway>,
    mut stream: S,
    stop: CancellationToken,
) -> Option<Box<Live<S>>> {
    let mut bytes = Vec::new();
    let connect = match read_connect(&mut stream, &mut bytes).await? {
        Ok(connect) => connect,
        Err(Reason::UnsupportedVersion) => {
            // An unknown version has no CONNACK of its own; all but 5 so far had the form of 3.1.1.
            refuse(&gateway, &mut stream, Version::V3, Refusal::Version).await;
            return None;
        }
        Err(reason) => {
            gateway.engine.metrics().mqtt_protocol_errors.inc();
            tracing::debug!(?reason, "MQTT: closed before a CONNECT");
            return None;
        }
    };
    match admit(&gateway, &connect, &stop).await {
        Ok(admitted) => Some(admitted.live(gateway, stream, bytes, &connect)),
        Err(refusal) => {
            let (client_id, why) = (&connect.client_id, refusal.as_str());
            tracing::debug!(?client_id, why, "MQTT: CONNECT refused");
            refuse(&gateway, &mut stream, connect.version, refusal).await;
            None
        }
    }
}

/// The CONNECT, if the connection lasts that long; what came after it stays in `bytes`.
async fn read_connect<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
) -> Option<Result<Connect, Reason>> {
    loop {
        // Other protocols are not waited for until their bytes make a frame.
        if bytes.first().is_some_and(|&first| first != wire::CONNECT) {
            return Some(Err(Reason::Protocol));
        }
        match wire::frame(bytes, MAX_CONNECT) {
            Ok(Some(frame)) => {
                let connect = wire::decode_connect(frame);
                let used = frame.len;
                bytes.drain(..used);
                return Some(connect);
            }
            Ok(None) => {}
            Err(reason) => return Some(Err(reason)),
        }
        let read = poll_fn(|cx| {
            poll_read(stream, cx, |read| {
                bytes.extend_from_slice(read);
                read.len()
            })
        });
        match read.await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &MqttGateway,
    stream: &mut S,
    version: Version,
    refusal: Refusal,
) {
    gateway.engine.metrics().mqtt_refused.inc();
    let mut outbox = Outbox::default();
    outbox.push(refusal.connack(version), Vec::new());
    farewell(stream, &mut outbox).await;
}

/// A device that may connect, registered as its newest session.
struct Admitted {
    device: Device,
    node: Option<String>,
    registered: Registered,
    inbox: Inbox,
}

async fn admit(
    gateway: &MqttGateway,
    connect: &Connect,
    stop: &CancellationToken,
) -> Result<Admitted, Refusal> {
    let login = login::check(connect, &gateway.config, clock::now())?;
    let device = prove(gateway, &login).await?;
    let engine = &gateway.engine;
    let (handle, inbox) =
        SessionHandle::new(engine.next_session_id(), device.key, gateway.config.max_inflight);
    engine.metrics().sessions.inc();
    let registered = Registered {
        engine: Arc::clone(engine),
        handle,
    };
    // A later CONNECT of the device, or the end of the server, came in between.
    if !engine.sessions().register(&registered.handle) || stop.is_cancelled() {
        return Err(Refusal::Unavailable);
    }
    // Whoever removes the device or changes its secret closes the session that stands there. This one does from
    // now on; what happened before is seen by looking again.
    if find(gateway, &login)
        .await?
        .is_none_or(|now| now.secret != device.secret)
    {
        return Err(Refusal::Credentials);
    }
    let noted = engine.store().seen(device.key, None, clock::now()).await;
    noted.map_err(|error| unavailable(&error))?;
    let node = match login.id.kind {
        NameKind::Device => None,
        NameKind::Node => Some(login.id.name.to_owned()),
    };
    Ok(Admitted {
        device,
        node,
        registered,
        inbox,
    })
}

/// The device, if the password is its own.
async fn prove(gateway: &MqttGateway, login: &Login<'_>) -> Result<Device, Refusal> {
    let found = find(gateway, login).await?;
    let secret = match &found {
        None => None,
        Some(device) => {
            let opened = gateway.sealer.open(device.id.as_str(), &device.secret);
            Some(opened.map_err(|error| {
                tracing::error!(device = %device.id, %error, "MQTT: a device cannot be let in");
                Refusal::Unavailable
            })?)
        }
    };
    match (login.proven_by(secret.as_deref()), found) {
        (true, Some(device)) => Ok(device),
        (true | false, _) => Err(Refusal::Credentials),
    }
}

async fn find(gateway: &MqttGateway, login: &Login<'_>) -> Result<Option<Device>, Refusal> {
    let store = gateway.engine.store();
    let found = match login.id.kind {
        NameKind::Device => store.device(DeviceName::Id(&DeviceId::new(login.id.name))).await,
        NameKind::Node => store.device(DeviceName::Node(login.id.name)).await,
    };
    found.map_err(|error| unavailable(&error))
}

fn unavailable(error: &downlink_store::StoreError) -> Refusal {
    tracing::warn!(%error, "MQTT: the store could not serve a CONNECT");
    Refusal::Unavailable
}

impl Admitted {
    /// The connection from here on; its first bytes are the CONNACK.
    fn live<S>(self, gateway: Arc<MqttGateway>, stream: S, rest: Vec<u8>, connect: &Connect) -> Box<Live<S>> {
        let config = &gateway.config;
        let start = Start {
            session: self.registered.handle.id,
            device: self.device.key,
            names: Names::new(self.device.id.as_str(), self.node.as_deref()),
            family: self.device.family,
            version: connect.version,
            keep_alive_secs: connect.keep_alive,
            receive_maximum: connect.receive_maximum,
            max_packet: connect.max_packet,
            max_inflight: config.max_inflight,
            max_result_bytes: gateway.max_result_bytes,
            implicit_subscribe_ms: config.implicit_subscribe_ms,
        };
        let now = Now {
            at: clock::now(),
            tick: Tick(0),
        };
        let (mut outbox, mut connack) = (Outbox::default(), Vec::new());
        let capabilities = Capabilities {
            max_packet: config.max_packet_bytes,
        };
        wire::connack_accepted(&mut connack, connect.version, capabilities);
        outbox.push(connack, Vec::new());
        let session = self.registered.handle.id.0;
        tracing::debug!(device = %self.device.id, session, version = ?connect.version, "MQTT session began");
        Box::new(Live {
            stream,
            rest,
            outbox,
            session: Session::new(start, now),
            inbox: self.inbox,
            registered: self.registered,
            gateway,
            device: self.device.id,
            app: self.device.app,
            began: Instant::now(),
        })
    }
}
