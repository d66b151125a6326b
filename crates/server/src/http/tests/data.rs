//! What devices reported, and what they can do.

use downlink_core::{DeviceId, DeviceKey, Span};
use downlink_store::{DeviceName, Devices, Report, ServiceData, Subscriptions};
use serde_json::json;

use super::world::{DEVICES, World, error};
use crate::clock;

const HISTORY: &str = "/iocm/app/data/v1.2.0/deviceDataHistory";
const CAPABILITIES: &str = "/iocm/app/data/v1.1.0/deviceCapabilities";

async fn report(world: &World, key: DeviceKey, service: &str, data: &str, days_ago: u32) {
    let services = vec![ServiceData {
        service: service.to_owned(),
        data: data.to_owned(),
        at: clock::now() - Span::from_secs(86_400).times(days_ago),
    }];
    let reports = vec![Report::Data(services)];
    world.store().report(key, reports, clock::now()).await.unwrap();
}

#[tokio::test]
async fn what_was_reported_is_shown() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let id = na.device("n1").await;
    let found = world
        .store()
        .device(DeviceName::Id(&DeviceId::new(id.as_str())))
        .await;
    let key = found.unwrap().unwrap().key;
    let empty = na
        .call("GET", &format!("{HISTORY}?deviceId={id}&gatewayId={id}"), "")
        .await;
    assert_eq!(
        empty.text,
        r#"{"totalCount":0,"pageNo":0,"pageSize":100,"deviceDataHistoryDTOs":[]}"#
    );
    report(&world, key, "Lamp", r#"{"lux": 1.50}"#, 2).await;
    report(&world, key, "Meter", r#"{"kwh":2}"#, 0).await;
    let all = na.call("GET", &format!("{HISTORY}?gatewayId={id}"), "").await;
    assert_eq!(
        (
            all.at("/totalCount"),
            all.at("/deviceDataHistoryDTOs/0/serviceId")
        ),
        ("2".to_owned(), "Meter".to_owned())
    );
    assert!(
        all.text.contains(r#""data":{"lux": 1.50}"#),
        "as it came: {all:?}"
    );
    assert_eq!(all.at("/deviceDataHistoryDTOs/1/appId"), super::world::APP);
    for (query, total) in [
        ("serviceId=Lamp", "1"),
        ("property=kwh", "1"),
        ("property=%24.%22", "0"),
        ("pageNo=1&pageSize=1", "2"),
        ("endTime=20000101T000000Z", "0"),
        ("pageSize=2000", "2"),
    ] {
        let answer = na
            .call("GET", &format!("{HISTORY}?deviceId={id}&{query}"), "")
            .await;
        assert_eq!(
            (answer.status, answer.at("/totalCount").as_str()),
            (200, total),
            "{query}"
        );
    }
    for (query, expected) in [
        (String::new(), error(400, "100419")),
        (format!("deviceId={id}&pageSize=2001"), error(400, "100216")),
        (format!("deviceId={id}&startTime=x"), error(400, "100216")),
        ("deviceId=none".to_owned(), error(404, "100418")),
    ] {
        assert_eq!(
            na.call("GET", &format!("{HISTORY}?{query}"), "").await.error(),
            expected,
            "{query}"
        );
    }
    let foreign = stranger
        .call("GET", &format!("{HISTORY}?deviceId={id}"), "")
        .await;
    assert_eq!(foreign.error(), error(404, "100418"));

    let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await;
    assert_eq!(
        (
            shown.at("/services/0/serviceId"),
            shown.at("/services/1/data/kwh")
        ),
        ("Lamp".to_owned(), "2".to_owned())
    );
    let listed = na.call("GET", DEVICES, "").await;
    assert_eq!(listed.json()["devices"][0]["services"], shown.json()["services"]);
    let config = json!({"deviceConfig": {"dataConfig": {"dataAgingTime": 1}}}).to_string();
    assert_eq!(
        na.call("PUT", &format!("{DEVICES}/{id}"), &config).await.status,
        204
    );
    assert_eq!(
        na.call("GET", &format!("{HISTORY}?deviceId={id}"), "")
            .await
            .at("/totalCount"),
        "1"
    );
}

#[tokio::test]
async fn what_a_device_can_do_is_what_its_product_says() {
    let world = World::start().await;
    let na = world.na().await;
    let profile = json!({"manufacturerId": "M", "manufacturerName": "M", "deviceType": "Lamp", "model": "L1",
        "protocolType": "MQTT", "services": [{"serviceId": "Lamp", "serviceType": "Lamp",
            "commands": [{"commandName": "SWITCH", "paras": [{"paraName": "on", "dataType": "int", "required": true}],
                "responses": [{"responseName": "RSP", "paras": []}]}],
            "properties": [{"propertyName": "lux", "dataType": "int", "min": "0", "max": "9", "method": "R"}]}]});
    let path = format!("/admin/v1/apps/{}/products", super::world::APP);
    let put = world
        .operate("PUT", &path, &json!({"profile": profile}).to_string())
        .await;
    assert!(put.status < 300, "{put:?}");
    let id = na.device("n1").await;
    let none = na.call("GET", &format!("{CAPABILITIES}?deviceId={id}"), "").await;
    assert_eq!(
        none.text,
        format!(r#"{{"deviceCapabilities":[{{"deviceId":"{id}","serviceCapabilities":[]}}]}}"#)
    );
    let said = json!({"manufacturerId": "M", "model": "L1", "deviceType": "Lamp"}).to_string();
    assert_eq!(
        na.call("PUT", &format!("{DEVICES}/{id}"), &said).await.status,
        204
    );
    for query in [format!("deviceId={id}"), format!("gatewayId={id}")] {
        let answer = na
            .call("GET", &format!("{CAPABILITIES}?{query}"), "")
            .await
            .json();
        let service = &answer["deviceCapabilities"][0]["serviceCapabilities"][0];
        assert_eq!(service["serviceId"], "Lamp");
        assert_eq!(service["commands"][0]["responses"][0]["responseName"], "RSP");
        assert_eq!(service["properties"][0]["max"], "9");
    }
    assert_eq!(
        na.call("GET", CAPABILITIES, "").await.error(),
        error(400, "100419")
    );
}
