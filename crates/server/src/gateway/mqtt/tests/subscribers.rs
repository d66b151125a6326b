//! What subscribers are told of devices: their coming and going, and their reports.

use std::sync::atomic::Ordering;

use downlink_store::{Report, ServiceData};

use super::rig::{Rig, eventually, publish_packet};
use crate::engine::CloseReason;
use crate::gateway::mqtt::wire::Version;

const DATA: &str = "/huawei/v1/devices/dev/data/json";
const REPORT: &str = r#"{"msgType":"deviceReq","data":[{"serviceId":"Lamp","serviceData":{"lux":7},"eventTime":"20231114T221320Z"}]}"#;
const PUBACK: [u8; 4] = [0x40, 2, 0, 9];

fn presence(rig: &Rig) -> Vec<bool> {
    rig.store.presence.lock().unwrap().clone()
}

async fn gone(rig: &Rig) {
    eventually("no session", || rig.engine.sessions().count() == 0).await;
}

#[tokio::test]
async fn coming_and_going_is_told_to_those_who_want_to_know() {
    let rig = Rig::new().await;
    drop(rig.connect(Version::V3).await);
    gone(&rig).await;
    rig.store.subscribed.store(true, Ordering::SeqCst);
    let first = rig.connect(Version::V3).await;
    assert_eq!(presence(&rig), [true]);
    let second = rig.connect(Version::V3).await;
    drop(first);
    eventually("taken over", || presence(&rig).len() == 2).await;
    drop(second);
    eventually("offline", || presence(&rig).len() == 3).await;
    assert_eq!(presence(&rig), [true, true, false], "a take-over is no going");
}

#[tokio::test]
async fn a_going_that_could_not_be_kept_is_told_later() {
    let rig = Rig::new().await;
    rig.store.subscribed.store(true, Ordering::SeqCst);
    let peer = rig.connect(Version::V3).await;
    rig.store.failing.store(true, Ordering::SeqCst);
    drop(peer);
    gone(&rig).await;
    eventually("a try that fails", || rig.engine.is_presence_owed()).await;
    assert!(rig.engine.tell_presence_again().await.is_err());
    rig.store.failing.store(false, Ordering::SeqCst);
    rig.engine.tell_presence_again().await.unwrap();
    assert_eq!(presence(&rig), [true, false]);
    rig.engine.tell_presence_again().await.unwrap();
    assert_eq!(presence(&rig), [true, false], "once");
}

#[tokio::test]
async fn a_server_that_stops_says_nothing_of_its_devices() {
    let rig = Rig::new().await;
    rig.store.subscribed.store(true, Ordering::SeqCst);
    let _peer = rig.connect(Version::V3).await;
    rig.engine
        .sessions()
        .of(rig.device)
        .unwrap()
        .close(CloseReason::Stopping);
    gone(&rig).await;
    rig.stop.cancel();
    rig.tasks.close();
    rig.tasks.wait().await;
    assert_eq!(presence(&rig), [true]);
}

#[tokio::test]
async fn reports_are_kept_before_they_are_acknowledged() {
    let rig = Rig::new().await;
    let mut peer = rig.connect(Version::V3).await;
    let packet = publish_packet(Version::V3, DATA, REPORT, Some(9));
    peer.send(&packet).await;
    assert_eq!(peer.receive().await, PUBACK);
    assert_eq!(rig.store.reports.lock().unwrap().len(), 0, "nobody wants it");
    rig.store.subscribed.store(true, Ordering::SeqCst);
    peer.send(&packet).await;
    assert_eq!(peer.receive().await, PUBACK);
    let kept = rig.store.reports.lock().unwrap().clone();
    let Some(Report::Data(services)) = kept.first() else {
        panic!("{kept:?}")
    };
    let [ServiceData { service, data, .. }] = &services[..] else {
        panic!("{kept:?}")
    };
    assert_eq!((service.as_str(), data.as_str()), ("Lamp", r#"{"lux":7}"#));
    rig.store.failing.store(true, Ordering::SeqCst);
    peer.send(&packet).await;
    gone(&rig).await;
    assert_eq!(rig.store.reports.lock().unwrap().len(), 1);
}
