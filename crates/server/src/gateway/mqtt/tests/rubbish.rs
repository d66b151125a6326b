//! Bytes that no device should send, in pieces that no network should make of them.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::rig::{Rig, login_packet, packet, publish_packet, subscribe_packet};
use crate::gateway::mqtt::connection::serve;
use crate::gateway::mqtt::wire::Version;
use crate::secrets::random;

/// A small generator of its own, so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn talk(dice: &mut Dice, version: Version) -> Vec<u8> {
    let id = "0199123456787abc800017ffffffffff";
    let oc = format!("$oc/devices/dev/sys/commands/response/request_id={id}");
    let packets = [
        subscribe_packet(version, "$oc/devices/dev/sys/commands/#", 1),
        subscribe_packet(version, "/huawei/v1/devices/dev/command/json", 0),
        publish_packet(version, &oc, r#"{"result_code":0,"paras":{"a":1}}"#, Some(3)),
        publish_packet(
            version,
            "/huawei/v1/devices/dev/data/json",
            r#"{"msgType":"deviceRsp","mid":1,"errcode":0,"body":{}}"#,
            None,
        ),
        packet(0x40, &[0, 1]),
        packet(0xc0, &[]),
        packet(0xa2, b"\0\x07\0\x01#"),
    ];
    let mut bytes = Vec::new();
    for _ in 0..dice.roll(12) {
        bytes.extend_from_slice(&packets[dice.roll(packets.len())]);
    }
    for _ in 0..dice.roll(4) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.roll(bytes.len());
        match dice.roll(4) {
            0 => bytes[at] = dice.roll(256) as u8,
            1 => bytes[at] ^= 1 << dice.roll(8),
            2 => bytes.insert(at, dice.roll(256) as u8),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

#[tokio::test]
async fn no_bytes_bring_a_session_down_but_its_own() {
    let seed = u64::from_le_bytes(random()) | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let rig = Rig::with(vec![("implicit_subscribe_ms", 0)], None).await;
    for round in 0..400 {
        let version = if dice.roll(2) == 0 {
            Version::V3
        } else {
            Version::V5
        };
        if round % 20 == 0 {
            // Something to be sent, as long as the queue takes it.
            let _full = rig.create(600, "{}").await;
        }
        let (near, far) = duplex(1 << 16);
        let serving = tokio::spawn(serve(Arc::clone(&rig.gateway), near, CancellationToken::new()));
        let (mut from, mut to) = tokio::io::split(far);
        let mut bytes = login_packet(version);
        bytes.extend(talk(&mut dice, version));
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            let _ended = from.read_to_end(&mut all).await;
        });
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + dice.roll(rest.len()));
            rest = after;
            if to.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _closed = to.shutdown().await;
        serving.await.expect("no panic");
        reading.await.unwrap();
    }
    assert_eq!(rig.engine.sessions().count(), 0);
    assert_eq!(rig.metrics.sessions.get(), 0);
}
