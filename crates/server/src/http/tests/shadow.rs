//! Shadows of devices, as applications ask for them and change them.

use downlink_core::{DeviceId, TopicFamily};
use downlink_store::{DeviceName, Devices, Report, ServiceData, Subscriptions};
use serde_json::json;

use super::world::{COMMANDS, World, error};
use crate::clock;

pub(super) const SHADOW: &str = "/iocm/app/shadow/v1.5.0/devices";
const HISTORY: &str = "/iocm/app/shadow/v1.5.0/deviceDesiredHistory";

fn lamp(desired: &str) -> String {
    format!(r#"{{"serviceDesireds":[{{"serviceId":"Lamp","desired":{desired}}}]}}"#)
}

#[tokio::test]
async fn a_shadow_has_what_is_and_what_shall_be() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let id = na.device("n1").await;
    let path = format!("{SHADOW}/{id}");
    let empty = na.call("GET", &path, "").await;
    assert_eq!((empty.status, empty.at("/services")), (200, "[]".to_owned()));

    let put = na.call("PUT", &path, &lamp(r#"{"on": true,"lux":1.50}"#)).await;
    assert_eq!((put.status, put.text.as_str()), (200, "{}"));
    let found = world
        .store()
        .device(DeviceName::Id(&DeviceId::new(id.as_str())))
        .await;
    let key = found.unwrap().unwrap().key;
    let data = ServiceData {
        service: "Lamp".to_owned(),
        data: r#"{"lux":2.50}"#.to_owned(),
        at: downlink_core::Timestamp::from_millis(1_700_000_000_000),
    };
    let reports = vec![Report::Data(vec![data])];
    world.store().report(key, reports, clock::now()).await.unwrap();
    let shown = na.call("GET", &path, "").await;
    assert!(
        shown.text.ends_with(
            r#""services":[{"serviceId":"Lamp","serviceType":"Lamp","reportedProps":{"lux":2.50},"desiredProps":{"lux":1.50,"on":true},"eventTime":"20231114T221320Z"}]}"#
        ),
        "{shown:?}"
    );
    let commands = na.call("GET", &format!("{COMMANDS}?deviceId={id}"), "").await;
    for (member, expected) in [
        ("/data/0/command/method", "writeProperties"),
        ("/data/0/command/paras/on", "true"),
        ("/data/0/expireTime", "2592000"),
        ("/data/0/status", "PENDING"),
    ] {
        assert_eq!(commands.at(member), expected);
    }
    let past = na
        .call("GET", &format!("{HISTORY}?deviceId={id}&property=on"), "")
        .await;
    assert_eq!(past.at("/deviceDesiredHistory/0/status"), "PENDING");
    assert_eq!(past.at("/deviceDesiredHistory/0/appId"), super::world::APP);
    for (method, body) in [("GET", String::new()), ("PUT", lamp(r#"{"on":false}"#))] {
        let foreign = stranger.call(method, &path, &body).await;
        assert_eq!(foreign.error(), error(404, "100403"));
    }
}

#[tokio::test]
async fn what_cannot_be_desired_is_refused_by_name() {
    let world = World::with(vec![("shadow", "properties", 2.into())]).await;
    let na = world.na().await;
    let id = na.device("n1").await;
    let path = format!("{SHADOW}/{id}");
    for (body, named) in [
        ("{}".to_owned(), "serviceDesireds:"),
        (lamp("{}"), "serviceDesireds[0].desired:"),
        (lamp(r#"{"a":1,"b":2,"c":3}"#), "serviceDesireds:"),
        (
            lamp(&json!({"a": "x".repeat(1023)}).to_string()),
            "serviceDesireds[0].desired.a:",
        ),
    ] {
        let answer = na.call("PUT", &path, &body).await;
        assert_eq!(answer.error(), error(400, "100022"), "{body}");
        assert!(answer.at("/error_desc").contains(named), "{answer:?}");
    }
    for (query, expected) in [
        (String::new(), error(400, "100419")),
        (format!("deviceId={id}&pageSize=2001"), error(400, "100216")),
        (format!("deviceId={id}&endTime=x"), error(400, "100216")),
        ("deviceId=none".to_owned(), error(404, "100418")),
    ] {
        let answer = na.call("GET", &format!("{HISTORY}?{query}"), "").await;
        assert_eq!(answer.error(), expected, "{query}");
    }
    let found = world
        .store()
        .device(DeviceName::Id(&DeviceId::new(id.as_str())))
        .await;
    let key = found.unwrap().unwrap().key;
    let family = Some(TopicFamily::Oc);
    world.store().seen(key, family, clock::now()).await.unwrap();
    let answer = na.call("PUT", &path, &lamp(r#"{"a":1}"#)).await;
    assert_eq!(answer.error(), error(400, "100022"));
    assert!(answer.at("/error_desc").contains("deviceId:"), "{answer:?}");
}
