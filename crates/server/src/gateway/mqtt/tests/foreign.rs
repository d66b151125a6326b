//! Clients that were not written here.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::Status;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::rig::{Peer, Rig, SECRET, STAMP, eventually};
use crate::gateway::mqtt::login::password;
use crate::gateway::mqtt::wire::Version;
use crate::net;

const LEGACY: &str = "/huawei/v1/devices/dev/command/json";
const DATA: &str = "/huawei/v1/devices/dev/data/json";

fn answer(payload: &[u8]) -> String {
    let command: serde_json::Value = serde_json::from_slice(payload).unwrap();
    serde_json::json!({"msgType": "deviceRsp", "mid": command["mid"], "errcode": 0}).to_string()
}

#[tokio::test]
async fn rumqttc_runs_commands_over_3_1_1() {
    let rig = Rig::new().await;
    let commands = [rig.queued().await, rig.queued().await, rig.queued().await];
    let mut options = MqttOptions::new(format!("dev_0_0_{STAMP}"), "127.0.0.1", rig.addr.port());
    options.set_credentials("dev", password(STAMP, SECRET));
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe(LEGACY, QoS::AtLeastOnce).await.unwrap();
    let device = tokio::spawn(async move {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                let answer = answer(&publish.payload);
                client
                    .publish(DATA, QoS::AtLeastOnce, false, answer)
                    .await
                    .unwrap();
            }
        }
    });
    eventually("all done", || {
        commands
            .iter()
            .all(|&command| rig.store.status(command) == Status::Successful)
    })
    .await;
    device.abort();
}

#[tokio::test]
async fn rumqttc_runs_commands_over_5() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let rig = Rig::new().await;
    let commands = [rig.queued().await, rig.queued().await];
    let mut options = MqttOptions::new(format!("dev_0_0_{STAMP}"), "127.0.0.1", rig.addr.port());
    options.set_credentials("dev", password(STAMP, SECRET));
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe(LEGACY, QoS::AtLeastOnce).await.unwrap();
    let device = tokio::spawn(async move {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                let answer = answer(&publish.payload);
                client
                    .publish(DATA, QoS::AtLeastOnce, false, answer)
                    .await
                    .unwrap();
            }
        }
    });
    eventually("all done", || {
        commands
            .iter()
            .all(|&command| rig.store.status(command) == Status::Successful)
    })
    .await;
    device.abort();
}

#[tokio::test]
async fn the_same_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let files = net::TlsFiles::of("", "", dir.path()).unwrap();
    let acceptor = net::TlsDoor::open("mqtts", files, &[]).unwrap();
    let rig = Rig::with(vec![("connect_timeout_secs", 2)], Some(acceptor)).await;
    let mut roots = rustls::RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(dir.path().join("tls/cert.pem")).unwrap();
    roots.add(cert).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    let mut peer = Peer::new(connector.connect(name, stream).await.unwrap());
    peer.login(Version::V5).await;
    peer.subscribe(Version::V5, LEGACY, 1).await;
    let paras = format!(r#"{{"text":"{}"}}"#, "x".repeat(60_000));
    rig.create(600, &paras).await.unwrap();
    let (topic, _, payload) = peer.receive_publish(Version::V5).await;
    assert_eq!(topic, LEGACY);
    assert!(payload.contains(&paras));
    let mut no_tls = rig.socket().await;
    no_tls.send(&[0x10, 0, 0, 0, 0, 0, 0, 0]).await;
    let _alert = no_tls.receive().await;
    let mut silent = rig.socket().await;
    assert!(silent.receive().await.is_empty(), "a handshake has its time");
}
