//! Commands on their way to a device and its answers on theirs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

use downlink_core::{CommandId, Status};
use tokio::io::duplex;

use super::rig::{Peer, Rig, eventually, login_packet, publish_packet};
use crate::engine::{CreateError, ToSession};
use crate::gateway::mqtt::connection::serve;
use crate::gateway::mqtt::wire::Version;
use downlink_store::CreateRefused;

const LEGACY: &str = "/huawei/v1/devices/dev/command/json";
const DATA: &str = "/huawei/v1/devices/dev/data/json";
const OC: &str = "$oc/devices/dev/sys/commands/#";

fn results(command: CommandId) -> String {
    format!("$oc/devices/dev/sys/commands/response/request_id={command}")
}

fn puback(packet_id: u16) -> Vec<u8> {
    let [high, low] = packet_id.to_be_bytes();
    vec![0x40, 2, high, low]
}

fn statuses(rig: &Rig, command: CommandId) -> Vec<Status> {
    rig.store.look(command, |row| {
        row.events.iter().map(|event| event.status).collect()
    })
}

#[tokio::test]
async fn a_legacy_device_gets_a_command_and_answers() {
    for version in [Version::V3, Version::V5] {
        let rig = Rig::new().await;
        let mut peer = rig.connect(version).await;
        peer.subscribe(version, LEGACY, 1).await;
        let command = rig.queued().await;
        assert_eq!(rig.store.status(command), Status::Sent, "the 201 says so");
        let (topic, packet_id, payload) = peer.receive_publish(version).await;
        assert_eq!(topic, LEGACY);
        assert!(payload.starts_with(
            r#"{"msgType":"cloudReq","serviceId":"Lamp","cmd":"SWITCH","paras":{"value":1},"mid":"#
        ));
        let mid: u32 = payload
            .rsplit_once(':')
            .unwrap()
            .1
            .trim_end_matches('}')
            .parse()
            .unwrap();
        peer.send(&puback(packet_id.unwrap())).await;
        eventually("delivered", || rig.store.status(command) == Status::Delivered).await;
        let answer = format!(r#"{{"msgType":"deviceRsp","mid":{mid},"errcode":0,"body":{{"result":0}}}}"#);
        peer.send(&publish_packet(version, DATA, &answer, Some(77))).await;
        assert_eq!(peer.receive().await, puback(77));
        use Status::{Delivered, Pending, Sent, Successful};
        assert_eq!(statuses(&rig, command), [Pending, Sent, Delivered, Successful]);
        let result = rig.store.look(command, |row| row.result.clone());
        assert_eq!(result.as_deref(), Some(r#"{"result":0}"#));
        eventually("family noted", || {
            rig.store.device_at(rig.device).family.is_some()
        })
        .await;
    }
}

#[tokio::test]
async fn an_oc_device_gets_a_command_without_asking() {
    let rig = Rig::with(vec![("implicit_subscribe_ms", 1)], None).await;
    let command = rig.queued().await;
    let mut peer = rig.connect(Version::V3).await;
    let (topic, packet_id, payload) = peer.receive_publish(Version::V3).await;
    assert_eq!(
        topic,
        format!("$oc/devices/dev/sys/commands/request_id={command}")
    );
    assert_eq!(packet_id, None);
    assert_eq!(
        payload,
        r#"{"paras":{"value":1},"service_id":"Lamp","command_name":"SWITCH"}"#
    );
    let refused = r#"{"paras":{"why":"dark"},"result_code":3}"#;
    peer.send(&publish_packet(Version::V3, &results(command), refused, None))
        .await;
    eventually("failed", || rig.store.status(command) == Status::Failed).await;
    let result = rig.store.look(command, |row| row.result.clone());
    assert_eq!(result.as_deref(), Some(r#"{"why":"dark"}"#));
}

#[tokio::test]
async fn an_immediate_command_needs_a_reachable_device() {
    let rig = Rig::new().await;
    let refused = |created: Result<_, CreateError>| {
        matches!(created, Err(CreateError::Refused(CreateRefused::NotReachable)))
    };
    assert!(refused(rig.create(0, "{}").await));
    let mut peer = rig.connect(Version::V3).await;
    assert!(refused(rig.create(0, "{}").await), "connected is not reachable");
    peer.subscribe(Version::V3, OC, 1).await;
    rig.create(0, "{}").await.unwrap();
    peer.receive_publish(Version::V3).await;
}

#[tokio::test]
async fn what_was_queued_comes_one_by_one_in_order() {
    let rig = Rig::new().await;
    let commands = [rig.queued().await, rig.queued().await, rig.queued().await];
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    for command in commands {
        let (topic, packet_id, _) = peer.receive_publish(Version::V3).await;
        assert!(topic.ends_with(&command.to_string()), "{topic}");
        let sent = commands
            .iter()
            .filter(|&&one| rig.store.status(one) == Status::Sent);
        assert_eq!(sent.count(), 1, "one outstanding");
        peer.send(&puback(packet_id.unwrap())).await;
    }
    let last = commands[2];
    eventually("delivered", || rig.store.status(last) == Status::Delivered).await;
}

#[tokio::test]
async fn a_command_sent_over_a_lost_connection_is_sent_again_over_the_next() {
    let rig = Rig::new().await;
    let command = rig.queued().await;
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    peer.receive_publish(Version::V3).await;
    drop(peer);
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    let (topic, packet_id, _) = peer.receive_publish(Version::V3).await;
    assert!(topic.ends_with(&command.to_string()), "the same id");
    peer.send(&puback(packet_id.unwrap())).await;
    eventually("delivered", || rig.store.status(command) == Status::Delivered).await;
    assert_eq!(
        statuses(&rig, command).len(),
        3,
        "sent once as far as its record says"
    );
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_kept() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    let command = rig.queued().await;
    peer.receive_publish(Version::V3).await;
    let permits = rig.store.applies.available_permits();
    rig.store.applies.forget_permits(permits);
    let mut bytes = publish_packet(Version::V3, &results(command), "{}", Some(5));
    bytes.extend_from_slice(&[0xc0, 0]);
    peer.send(&bytes).await;
    eventually("an apply", || rig.store.begun.load(Ordering::SeqCst) == 1).await;
    // The answer to the PINGREQ behind it needs no commit; the PUBACK does, and is not there.
    assert_eq!(peer.receive().await, [0xd0, 0]);
    let mut byte = [0];
    let early = peer.stream.try_read(&mut byte);
    assert!(early.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    rig.store.applies.add_permits(100);
    assert_eq!(peer.receive().await, puback(5));
    assert_eq!(rig.store.status(command), Status::Successful);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V5).await;
    peer.subscribe(Version::V5, OC, 1).await;
    let command = rig.queued().await;
    peer.receive_publish(Version::V5).await;
    rig.store.failing.store(true, Ordering::SeqCst);
    peer.send(&publish_packet(Version::V5, &results(command), "{}", Some(5)))
        .await;
    assert_eq!(peer.receive().await, [0xe0, 1, 0x88]);
    assert!(peer.receive().await.is_empty());
    assert_eq!(rig.store.status(command), Status::Sent);
}

#[tokio::test]
async fn several_answers_of_one_read_are_one_transaction() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    let (first, second) = (rig.queued().await, rig.queued().await);
    let (_, packet_id, _) = peer.receive_publish(Version::V3).await;
    let mut bytes = puback(packet_id.unwrap());
    bytes.extend(publish_packet(Version::V3, &results(first), "{}", Some(5)));
    // Strangers' commands among them change nothing.
    bytes.extend(publish_packet(
        Version::V3,
        &results(CommandId::from_parts(9, 9, 9, 9)),
        "{}",
        Some(6),
    ));
    peer.send(&bytes).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let packet = peer.receive().await;
        seen.push(packet[0]);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0x32, 0x40, 0x40], "the next command and two PUBACKs");
    assert_eq!(rig.store.begun.load(Ordering::SeqCst), 1);
    assert_eq!(rig.store.status(first), Status::Successful);
    assert_eq!(rig.store.status(second), Status::Sent);
    assert_eq!(rig.metrics.mqtt_unmatched.get(), 1);
}

#[tokio::test]
async fn a_last_word_before_disconnect_is_heard() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    let (first, second) = (rig.queued().await, rig.queued().await);
    peer.receive_publish(Version::V3).await;
    let mut bytes = publish_packet(Version::V3, &results(first), "{}", None);
    bytes.extend_from_slice(&[0xe0, 0]);
    peer.send(&bytes).await;
    assert!(peer.receive().await.is_empty());
    assert_eq!(rig.store.status(first), Status::Successful);
    assert_eq!(
        rig.store.status(second),
        Status::Pending,
        "nothing is sent into a closing session"
    );
}

#[tokio::test]
async fn a_device_that_owes_a_puback_too_long_is_put_out() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V5).await;
    peer.subscribe(Version::V5, OC, 1).await;
    let command = rig.queued().await;
    peer.receive_publish(Version::V5).await;
    let session = rig.engine.sessions().of(rig.device).unwrap();
    session.hand(ToSession::AckOverdue(command)).unwrap();
    assert_eq!(peer.receive().await, [0xe0, 1, 0x83]);
    assert!(peer.receive().await.is_empty());
}

#[tokio::test]
async fn a_hint_brings_what_was_missed() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V3).await;
    peer.subscribe(Version::V3, OC, 1).await;
    let first = rig.queued().await;
    let (_, packet_id, _) = peer.receive_publish(Version::V3).await;
    let second = rig.queued().await;
    assert_eq!(rig.store.status(second), Status::Pending);
    peer.send(&publish_packet(Version::V3, &results(first), "{}", None))
        .await;
    let (topic, ..) = peer.receive_publish(Version::V3).await;
    assert!(topic.ends_with(&second.to_string()));
    rig.engine.sessions().wake(rig.device);
    peer.send(&puback(packet_id.unwrap())).await;
    peer.send(&[0xc0, 0]).await;
    assert_eq!(peer.receive().await, [0xd0, 0], "no command twice");
}

/// A device that does not read: what was handed to its socket in part may have left, the rest has not.
#[tokio::test]
async fn a_device_that_reads_too_slowly_is_closed_and_the_unwritten_is_given_back() {
    let rig = Rig::with(vec![("max_send_buffer_bytes", 3000)], None).await;
    let (near, far) = duplex(1500);
    let serving = tokio::spawn(serve(Arc::clone(&rig.gateway), near, CancellationToken::new()));
    let mut peer = Peer::new(far);
    peer.send(&login_packet(Version::V3)).await;
    peer.receive().await;
    peer.subscribe(Version::V3, OC, 1).await;
    rig.reachable().await;
    let paras = format!(r#"{{"text":"{}"}}"#, "x".repeat(2000));
    let begun = rig.create(600, &paras).await.unwrap().id;
    // Immediate ones pass by the first, which holds the device's slot.
    rig.create(0, &paras).await.unwrap();
    rig.create(0, &paras).await.unwrap();
    serving.await.unwrap();
    assert!(!rig.store.is_lost(begun), "its first bytes were taken");
    assert_eq!(rig.engine.sessions().count(), 0);
}

#[tokio::test]
async fn what_never_reached_the_socket_does_not_count_as_sent() {
    let rig = Rig::new().await;
    let (near, far) = duplex(100);
    let serving = tokio::spawn(serve(Arc::clone(&rig.gateway), near, CancellationToken::new()));
    let mut peer = Peer::new(far);
    peer.send(&login_packet(Version::V3)).await;
    peer.receive().await;
    peer.subscribe(Version::V3, OC, 1).await;
    rig.reachable().await;
    // Fills the pipe: 100 bytes are taken, the rest waits.
    let filler = format!(r#"{{"text":"{}"}}"#, "x".repeat(500));
    rig.create(0, &filler).await.unwrap();
    let behind = rig.queued().await;
    let session = rig.engine.sessions().of(rig.device).unwrap();
    eventually("taken", || session.inflight() == 2).await;
    drop(peer);
    serving.await.unwrap();
    assert!(rig.store.is_lost(behind), "given back, to be sent again");
}
