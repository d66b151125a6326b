//! Connecting, being refused, being put out.

use std::sync::atomic::Ordering;

use super::rig::{Rig, STAMP, connect_packet, eventually, login_packet, packet, publish_packet};
use crate::engine::CloseReason;
use crate::gateway::mqtt::login::password;
use crate::gateway::mqtt::wire::Version;

const BOTH: [Version; 2] = [Version::V3, Version::V5];

fn level(version: Version) -> u8 {
    match version {
        Version::V3 => 4,
        Version::V5 => 5,
    }
}

#[tokio::test]
async fn refusals_are_told_in_the_words_of_each_version() {
    let rig = Rig::new().await;
    let good = password(STAMP, super::rig::SECRET);
    let bad = password(STAMP, "another secret");
    let id = format!("dev_0_0_{STAMP}");
    let cases = [
        ("dev", "dev", good.as_str(), 60, 2, 0x85),
        (&format!("p_dev_1_0_{STAMP}"), "p", &good, 60, 2, 0x85),
        (&format!("dev_0_2_{STAMP}"), "dev", &good, 60, 2, 0x85),
        (&id, "dev", &good, 0, 2, 0x85),
        (&id, "dev", &good, 1201, 2, 0x85),
        (&id, "other", &good, 60, 4, 0x86),
        (&id, "dev", &bad, 60, 4, 0x86),
        (&id, "dev", "", 60, 4, 0x86),
        (&format!("nobody_0_0_{STAMP}"), "nobody", &good, 60, 4, 0x86),
        (&format!("dev_2_0_{STAMP}"), "dev", &good, 60, 4, 0x86),
        (
            "dev_0_1_2001010101",
            "dev",
            &password("2001010101", super::rig::SECRET),
            60,
            4,
            0x86,
        ),
    ];
    for (client_id, user, password, keep_alive, code, reason) in cases {
        for version in BOTH {
            let mut peer = rig.socket().await;
            peer.send(&connect_packet(
                level(version),
                client_id,
                user,
                password,
                keep_alive,
            ))
            .await;
            let expected = match version {
                Version::V3 => vec![0x20, 2, 0, code],
                Version::V5 => vec![0x20, 3, 0, reason, 0],
            };
            assert_eq!(peer.receive().await, expected, "{client_id} {user} {keep_alive}");
            assert!(peer.receive().await.is_empty(), "closed");
        }
    }
    assert_eq!(rig.metrics.mqtt_refused.get(), 2 * cases.len() as u64);
    assert_eq!(rig.engine.sessions().count(), 0);
}

#[tokio::test]
async fn other_versions_are_refused_with_code_1() {
    let rig = Rig::new().await;
    let old = packet(0x10, b"\0\x06MQIsdp\x03\x02\0\x3c\0\x01c");
    let new = packet(0x10, b"\0\x04MQTT\x06\x02\0\x3c\0\0\x01c");
    for connect in [old, new] {
        let mut peer = rig.socket().await;
        peer.send(&connect).await;
        assert_eq!(peer.receive().await, [0x20, 2, 0, 1]);
        assert!(peer.receive().await.is_empty());
    }
}

#[tokio::test]
async fn a_broken_store_is_our_fault_and_said_so() {
    let rig = Rig::new().await;
    rig.store.failing.store(true, Ordering::SeqCst);
    for (version, expected) in [
        (Version::V3, vec![0x20, 2, 0, 3]),
        (Version::V5, vec![0x20, 3, 0, 0x88, 0]),
    ] {
        let mut peer = rig.socket().await;
        peer.send(&login_packet(version)).await;
        assert_eq!(peer.receive().await, expected);
    }
}

#[tokio::test]
async fn a_secret_that_changes_while_its_device_connects_keeps_it_out() {
    let rig = Rig::new().await;
    rig.store.looks_left.store(1, Ordering::SeqCst);
    let mut peer = rig.socket().await;
    peer.send(&login_packet(Version::V3)).await;
    assert_eq!(peer.receive().await, [0x20, 2, 0, 4]);
    assert_eq!(rig.engine.sessions().count(), 0);
}

#[tokio::test]
async fn what_begins_with_anything_but_connect_is_closed() {
    let rig = Rig::new().await;
    // One byte more than the 16 KiB that a stranger may send.
    let too_long = [0x10, 0x81, 0x80, 0x01];
    for bytes in [
        &[0xc0, 0][..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x10, 2, 0, 9],
        &too_long,
    ] {
        let mut peer = rig.socket().await;
        peer.send(bytes).await;
        assert!(peer.receive().await.is_empty(), "{bytes:02x?}");
    }
    assert_eq!(rig.metrics.mqtt_protocol_errors.get(), 4);
}

#[tokio::test]
async fn both_versions_connect_by_device_id_and_by_node_id() {
    let rig = Rig::new().await;
    let names = [
        (format!("dev_0_0_{STAMP}"), "dev"),
        (format!("node-1_2_0_{STAMP}"), "node-1"),
    ];
    for (client_id, user) in names {
        for version in BOTH {
            let mut peer = rig.socket().await;
            let password = password(STAMP, super::rig::SECRET);
            peer.send(&connect_packet(level(version), &client_id, user, &password, 60))
                .await;
            let connack = peer.receive().await;
            match version {
                Version::V3 => assert_eq!(connack, [0x20, 2, 0, 0]),
                Version::V5 => assert_eq!(connack[..5], [0x20, 21, 0, 0, 18]),
            }
            peer.send(&[0xc0, 0]).await;
            assert_eq!(peer.receive().await, [0xd0, 0]);
        }
    }
    assert!(rig.store.device_at(rig.device).activated_at.is_some());
}

#[tokio::test]
async fn what_comes_with_the_connect_or_in_pieces_is_read() {
    let rig = Rig::new().await;
    let mut peer = rig.socket().await;
    let mut all = login_packet(Version::V3);
    all.extend_from_slice(&[0xc0, 0, 0xc0]);
    peer.send(&all).await;
    assert_eq!(peer.receive().await, [0x20, 2, 0, 0]);
    assert_eq!(peer.receive().await, [0xd0, 0]);
    peer.send(&[0]).await;
    assert_eq!(peer.receive().await, [0xd0, 0]);
    let topic = "$oc/devices/dev/sys/properties/report";
    for byte in publish_packet(Version::V3, topic, &"x".repeat(300), Some(9)) {
        peer.send(&[byte]).await;
    }
    assert_eq!(peer.receive().await, [0x40, 2, 0, 9]);
}

#[tokio::test]
async fn the_newest_connection_of_a_device_wins() {
    let rig = Rig::new().await;
    let mut old = rig.connect(Version::V5).await;
    let mut new = rig.connect(Version::V5).await;
    assert_eq!(old.receive().await, [0xe0, 1, 0x8e]);
    assert!(old.receive().await.is_empty());
    new.send(&[0xc0, 0]).await;
    assert_eq!(new.receive().await, [0xd0, 0]);
    drop(old);
    eventually("one session", || {
        rig.metrics.sessions.get() == 1 && rig.metrics.mqtt_connections.get() == 1
    })
    .await;
    assert_eq!(rig.engine.sessions().count(), 1);
    new.send(&[0xe0, 0]).await;
    assert!(new.receive().await.is_empty());
    drop(new);
    eventually("none", || {
        rig.engine.sessions().count() == 0 && rig.metrics.mqtt_connections.get() == 0
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_at_once() {
    let rig = Rig::with(vec![("max_connections", 1)], None).await;
    let mut first = rig.connect(Version::V3).await;
    let mut second = rig.socket().await;
    assert!(second.receive().await.is_empty());
    assert_eq!(rig.metrics.mqtt_refused.get(), 1);
    first.send(&[0xe0, 0]).await;
    assert!(first.receive().await.is_empty());
    drop(first);
    eventually("a place", || rig.metrics.mqtt_connections.get() == 0).await;
    rig.connect(Version::V3).await;
}

#[tokio::test]
async fn who_does_not_connect_in_time_is_closed() {
    let rig = Rig::with(vec![("connect_timeout_secs", 1)], None).await;
    let mut silent = rig.socket().await;
    let mut slow = rig.socket().await;
    slow.send(&login_packet(Version::V3)[..10]).await;
    assert!(silent.receive().await.is_empty());
    assert!(slow.receive().await.is_empty());
    assert_eq!(rig.metrics.mqtt_refused.get(), 2);
}

#[tokio::test]
async fn faults_are_told_to_mqtt_5_and_close_both() {
    let cases: [(&[u8], u8); 5] = [
        (&[0x36, 4, 0, 1, b't', 0], 0x81),
        (&[0x10, 0], 0x82),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        (&[0x31, 4, 0, 1, b't', 0], 0x9a),
        (&[0x34, 6, 0, 1, b't', 0, 1, 0], 0x9b),
    ];
    let rig = Rig::new().await;
    for (bytes, reason) in cases {
        let mut peer = rig.connect(Version::V5).await;
        peer.send(bytes).await;
        assert_eq!(peer.receive().await, [0xe0, 1, reason]);
        assert!(peer.receive().await.is_empty());
        let mut peer = rig.connect(Version::V3).await;
        peer.send(bytes).await;
        assert!(peer.receive().await.is_empty());
    }
    eventually("counted", || rig.metrics.mqtt_protocol_errors.get() == 10).await;
}

#[tokio::test]
async fn a_removed_device_is_put_out() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V5).await;
    rig.engine
        .sessions()
        .of(rig.device)
        .unwrap()
        .close(CloseReason::Removed);
    assert_eq!(peer.receive().await, [0xe0, 1, 0x98]);
    assert!(peer.receive().await.is_empty());
}

#[tokio::test]
async fn at_the_end_all_sessions_are_closed() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V5).await;
    let mut waiting = rig.socket().await;
    rig.stop.cancel();
    for session in rig.engine.sessions().all() {
        session.close(CloseReason::Stopping);
    }
    assert_eq!(peer.receive().await, [0xe0, 1, 0x8b]);
    assert!(peer.receive().await.is_empty());
    assert!(waiting.receive().await.is_empty());
    drop((peer, waiting));
    rig.tasks.close();
    tokio::time::timeout(std::time::Duration::from_secs(5), rig.tasks.wait())
        .await
        .expect("all tasks end");
}
