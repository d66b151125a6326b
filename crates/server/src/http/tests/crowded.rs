//! Applications of which too many pushes wait.

use std::time::Duration;

use downlink_core::DeviceId;
use downlink_store::{DeviceName, Devices, Report, ServiceData, Subscriptions};

use super::shadow::SHADOW;
use super::subscriptions::SUBSCRIPTIONS;
use super::world::{COMMANDS, Na, World, command, error};
use crate::clock;

/// Waits until creating a command with this body is answered with this status.
async fn until_created(na: &Na<'_>, body: &str, status: u16) {
    let waited = async {
        while na.call("POST", COMMANDS, body).await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, waited).await.expect("in time");
}

/// Drops what waits for the only receiver.
async fn drop_all(world: &World) {
    let receivers = world.operate("GET", "/admin/v1/receivers", "").await;
    let path = format!("/admin/v1/receivers/{}/drop", receivers.at("/receivers/0/key"));
    let dropped = world.operate("POST", &path, r#"{"state":"due"}"#).await;
    assert_eq!(dropped.status, 200);
}

#[tokio::test]
async fn an_application_whose_pushes_pile_up_creates_no_more_until_they_are_fewer() {
    let more = vec![
        ("push", "max_stored_per_app", 3.into()),
        ("commands", "queue_limit", 1000.into()),
    ];
    let world = World::with(more).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let body = command(&device, r#","callbackUrl":"http://127.0.0.1:9/cb""#);
    for _ in 0..4 {
        let id = na.call("POST", COMMANDS, &body).await.at("/commandId");
        let path = format!("{COMMANDS}/{id}");
        na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
    }
    until_created(&na, &body, 503).await;
    assert_eq!(
        na.call("POST", COMMANDS, &body).await.error(),
        error(503, "100501")
    );
    let without = command(&device, "");
    assert_eq!(
        na.call("POST", COMMANDS, &without).await.status,
        201,
        "nobody is told of it"
    );
    drop_all(&world).await;
    until_created(&na, &body, 201).await;
}

/// Also those that report, and those that are told of their commands by subscription: a dead receiver of either filled the disk.
#[tokio::test]
async fn an_application_whose_notices_pile_up_is_told_of_no_more_reports_until_they_are_fewer() {
    let more = vec![("push", "max_stored_per_app", 2.into())];
    let world = World::with(more).await;
    let na = world.na().await;
    for kind in ["deviceDataChanged", "deviceInfoChanged"] {
        let body = format!(r#"{{"notifyType":"{kind}","callbackUrl":"http://127.0.0.1:9/n"}}"#);
        assert_eq!(na.call("POST", SUBSCRIPTIONS, &body).await.status, 201);
    }
    let device = na.device("n1").await;
    let (store, body) = (world.store(), command(&device, ""));
    let key = store
        .device(DeviceName::Id(&DeviceId::new(&*device)))
        .await
        .unwrap()
        .unwrap()
        .key;
    let report = || async {
        let data = ServiceData {
            service: "s".to_owned(),
            data: "{}".to_owned(),
            at: clock::now(),
        };
        let data = vec![Report::Data(vec![data])];
        store.report(key, data, clock::now()).await.unwrap();
        let receivers = world.operate("GET", "/admin/v1/receivers", "").await;
        receivers.at("/receivers/0/waiting").parse::<u64>().unwrap()
    };
    let until_none_is_told = async {
        let mut waiting = report().await;
        loop {
            match report().await {
                more if more == waiting => break waiting,
                more => assert_eq!(std::mem::replace(&mut waiting, more) + 1, more),
            }
        }
    };
    let limit = Duration::from_secs(60);
    let waiting = tokio::time::timeout(limit, until_none_is_told).await;
    let waiting = waiting.expect("in time");
    assert!(waiting > 2, "those up to the limit are told");
    store.presence(key, true, clock::now()).await.unwrap();
    assert_eq!(
        report().await,
        waiting + 1,
        "whether it is there is told all the same"
    );
    assert_eq!(
        na.call("POST", COMMANDS, &body).await.status,
        201,
        "nobody is told of it"
    );
    let shadow = format!("{SHADOW}/{device}");
    let desired =
        |value| format!(r#"{{"serviceDesireds":[{{"serviceId":"s","desired":{{"on":{value}}}}}]}}"#);
    assert_eq!(
        na.call("PUT", &shadow, &desired("1")).await.status,
        200,
        "nor of this"
    );
    for kind in ["commandRsp", "deviceDesiredPropertiesModifyStatusChanged"] {
        let told = format!(r#"{{"notifyType":"{kind}","callbackUrl":"http://127.0.0.1:9/n"}}"#);
        assert_eq!(na.call("POST", SUBSCRIPTIONS, &told).await.status, 201);
    }
    let refused = na.call("POST", COMMANDS, &body).await;
    assert_eq!(refused.error(), error(503, "100501"));
    let refused = na.call("PUT", &shadow, &desired("2")).await;
    assert_eq!(refused.error(), error(503, "100501"));
    assert_eq!(
        na.call("PUT", &shadow, &desired("null")).await.status,
        200,
        "no command of it"
    );
    let dropped = async {
        loop {
            let metrics = world.operate("GET", "/metrics", "").await.text;
            let line = metrics
                .lines()
                .find(|line| line.starts_with("downlink_push_reports_dropped_total "));
            if !line.unwrap().ends_with(" 0") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), dropped)
        .await
        .expect("in time");
    drop_all(&world).await;
    until_created(&na, &body, 201).await;
    assert_eq!(report().await, 1);
}
