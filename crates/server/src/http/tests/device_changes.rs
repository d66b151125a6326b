//! Changing devices, and what their being there is shown as.

use downlink_core::{DeviceId, DeviceKey};
use downlink_store::{Contact, DeviceName, Devices, Link};
use serde_json::{Value, json};

use super::world::{DEVICES, REGISTER_V1, REGISTER_V2, World, error};
use crate::clock;

async fn key_of(world: &World, id: &str) -> DeviceKey {
    let found = world.store().device(DeviceName::Id(&DeviceId::new(id))).await;
    found.unwrap().unwrap().key
}

#[tokio::test]
async fn what_is_changed_is_shown() {
    let world = World::start().await;
    let na = world.na().await;
    let id = na.device("n1").await;
    let path = format!("{DEVICES}/{id}");
    let given = json!({
        "name": "gate", "endUser": "u", "mute": "TRUE", "manufacturerId": "m", "manufacturerName": "M",
        "deviceType": "Gate", "model": "G1", "protocolType": "LWM2M", "region": "r", "organization": "o",
        "timezone": "Asia/Shanghai", "location": "here", "imsi": "460", "ip": "10.0.0.1", "productId": "p",
        "isSecure": true, "psk": "0123456789abcdef", "appId": "ignored",
        "deviceConfig": {"dataConfig": {"dataAgingTime": 30}},
        "customFields": [{"fieldName": "f", "fieldType": "string", "fieldValue": "v"}],
        "tags": [{"tagName": "t", "tagValue": "w", "tagType": "x"}],
    });
    let changed = na.call("PUT", &path, &given.to_string()).await;
    assert_eq!((changed.status, changed.text.as_str()), (204, ""));
    let shown = na.call("GET", &format!("{path}?select=imsi"), "").await.json();
    for (name, value) in given.as_object().unwrap() {
        let shown = match name.as_str() {
            "psk" | "appId" => continue,
            "isSecure" => {
                assert_eq!(shown["deviceInfo"]["isSecurity"], "TRUE");
                continue;
            }
            name => &shown["deviceInfo"][name],
        };
        assert_eq!(shown, value, "{name}");
    }
    assert!(
        !shown.to_string().contains("0123456789abcdef"),
        "the key is told nobody"
    );
    assert_eq!(
        na.call("PUT", &path, r#"{"name":"gate 2","tags":[]}"#)
            .await
            .status,
        204
    );
    let shown = na.call("GET", &path, "").await.json();
    let info = &shown["deviceInfo"];
    assert_eq!(
        (&info["name"], &info["model"], &info["tags"]),
        (&json!("gate 2"), &json!("G1"), &json!([]))
    );
    assert_eq!(info.get("imsi"), None);
    let found = na
        .call("GET", &format!("{DEVICES}?name=gate%202&deviceType=Gate"), "")
        .await;
    assert_eq!(found.at("/totalCount"), "1");
}

#[tokio::test]
async fn a_change_that_is_wrong_names_the_field() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let path = format!("{DEVICES}/{}", na.device("n1").await);
    for (body, named) in [
        ("", "body: "),
        (r#"{"name":7}"#, "name: "),
        (r#"{"psk":"12"}"#, "psk: "),
        (
            r#"{"deviceConfig":{"dataConfig":{"dataAgingTime":"91"}}}"#,
            "deviceConfig.dataConfig.dataAgingTime: ",
        ),
    ] {
        let answer = na.call("PUT", &path, body).await;
        assert_eq!(answer.error(), error(400, "100022"), "{body}");
        assert!(answer.at("/error_desc").contains(named), "{answer:?}");
    }
    assert_eq!(
        stranger.call("PUT", &path, "{}").await.error(),
        error(404, "100403")
    );
    assert_eq!(
        na.call("PUT", &format!("{DEVICES}/none"), "{}").await.error(),
        error(404, "100403")
    );
    let modified = na.call("GET", &path, "").await.json();
    assert_eq!(modified["createTime"], modified["lastModifiedTime"]);
}

#[tokio::test]
async fn a_key_is_refreshed_only_of_a_device_that_was_there_and_is_not() {
    let world = World::start().await;
    let na = world.na().await;
    let id = na.device("n1").await;
    na.device("n2").await;
    let path = format!("{REGISTER_V1}/{id}");
    assert_eq!(na.call("PUT", &path, "{}").await.error(), error(400, "100610"));
    let (store, key) = (world.store(), key_of(&world, &id).await);
    store.seen(key, None, clock::now()).await.unwrap();
    let contact = |link| {
        vec![Contact {
            device: key,
            link,
            at: clock::now(),
        }]
    };
    store.contacts(contact(Link::Sleeps)).await.unwrap();
    assert_eq!(na.call("PUT", &path, "{}").await.error(), error(400, "100611"));
    store.contacts(contact(Link::None)).await.unwrap();
    let given = na
        .call("PUT", &path, r#"{"verifyCode":"v","nodeId":"n3","timeout":300}"#)
        .await;
    assert_eq!(
        (given.status, given.text.as_str()),
        (200, r#"{"verifyCode":"v","timeout":300}"#)
    );
    let made = na.call("PUT", &path, "").await;
    assert_eq!(
        (made.status, made.at("/timeout"), made.at("/verifyCode").len()),
        (200, "0".to_owned(), 20)
    );
    let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await;
    assert_eq!(shown.at("/deviceInfo/nodeId"), "n3");
    let taken = na.call("PUT", &path, r#"{"nodeId":"n2"}"#).await;
    assert_eq!(taken.error(), error(400, "100426"));
    assert_eq!(
        na.call("PUT", &path, r#"{"timeout":-1}"#).await.error(),
        error(400, "100022")
    );
    assert_eq!(
        na.call("PUT", &format!("{REGISTER_V1}/none"), "").await.error(),
        error(404, "100403")
    );
}

#[tokio::test]
async fn silence_is_told_by_the_configured_limits() {
    let limits = vec![
        ("devices", "abnormal_after_secs", 1000.into()),
        ("devices", "offline_after_secs", 2000.into()),
    ];
    let world = World::with(limits).await;
    let (na, store) = (world.na().await, world.store());
    let status = async |id: &str| {
        let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await;
        (
            shown.at("/deviceInfo/status"),
            shown.at("/deviceInfo/statusDetail"),
        )
    };
    let mut ids = Vec::new();
    for (node, silent_secs) in [("n1", 500), ("n2", 1500), ("n3", 2500)] {
        let id = na.device(node).await;
        let key = key_of(&world, &id).await;
        store.seen(key, None, clock::now()).await.unwrap();
        let contact = Contact {
            device: key,
            link: Link::Sleeps,
            at: clock::now() - downlink_core::Span::from_secs(silent_secs),
        };
        store.contacts(vec![contact]).await.unwrap();
        ids.push(id);
    }
    ids.push(na.device("n4").await);
    let expected = [
        ("ONLINE", "NONE"),
        ("ABNORMAL", "NONE"),
        ("OFFLINE", "NONE"),
        ("OFFLINE", "NOT_ACTIVE"),
    ];
    for (id, (name, detail)) in ids.iter().zip(expected) {
        assert_eq!(status(id).await, (name.to_owned(), detail.to_owned()), "{id}");
    }
    for (name, nodes) in [
        ("online", vec!["n1"]),
        ("ABNORMAL", vec!["n2"]),
        ("OFFLINE", vec!["n4", "n3"]),
        ("INACTIVE", vec!["n4"]),
    ] {
        let page = na.call("GET", &format!("{DEVICES}?status={name}"), "").await;
        let shown = page.json()["devices"].clone();
        let node = |device: &Value| device["deviceInfo"]["nodeId"].as_str().unwrap().to_owned();
        let found: Vec<String> = shown.as_array().unwrap().iter().map(node).collect();
        assert_eq!(
            (found, page.at("/totalCount")),
            (
                nodes.iter().map(|n| (*n).to_owned()).collect(),
                nodes.len().to_string()
            ),
            "{name}"
        );
    }
}

#[tokio::test]
async fn devices_behind_a_gateway_go_with_it_or_stay() {
    let world = World::start().await;
    let na = world.na().await;
    let gateway = na.device("g").await;
    let child = async |node: &str| {
        let body = json!({"deviceInfo": {"nodeId": node}, "gatewayId": gateway});
        na.call("POST", REGISTER_V2, &body.to_string())
            .await
            .at("/deviceId")
    };
    let id = child("c1").await;
    let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await;
    assert_eq!(
        (shown.at("/gatewayId"), shown.at("/nodeType")),
        (gateway.clone(), "ENDPOINT".to_owned())
    );
    let count = async |query: &str| {
        na.call("GET", &format!("{DEVICES}?{query}"), "")
            .await
            .at("/totalCount")
    };
    assert_eq!(count(&format!("gatewayId={gateway}")).await, "2");
    assert_eq!(count("nodeType=ENDPOINT").await, "1");
    for wrong in [id.as_str(), "none"] {
        let body = json!({"nodeId": "x", "gatewayId": wrong}).to_string();
        assert_ne!(na.call("POST", REGISTER_V1, &body).await.status, 200);
    }
    let other = na.device("o").await;
    assert_eq!(
        na.call("DELETE", &format!("{DEVICES}/{other}?cascade=maybe"), "")
            .await
            .error(),
        error(400, "100022")
    );
    assert_eq!(
        na.call("DELETE", &format!("{DEVICES}/{gateway}?cascade=false"), "")
            .await
            .status,
        204
    );
    let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await;
    assert_eq!(
        (shown.at("/gatewayId"), shown.at("/nodeType")),
        (id.clone(), "GATEWAY".to_owned())
    );
    let body = json!({"nodeId": "c2", "gatewayId": id}).to_string();
    let grandchild = na.call("POST", REGISTER_V1, &body).await.at("/deviceId");
    assert_eq!(
        na.call("DELETE", &format!("{DEVICES}/{id}?CASCADE=TRUE"), "")
            .await
            .status,
        204
    );
    assert_eq!(
        na.call("GET", &format!("{DEVICES}/{grandchild}"), "")
            .await
            .error(),
        error(404, "100403")
    );
}

#[tokio::test]
async fn a_muted_command_is_refused_until_it_is_not() {
    let world = World::start().await;
    let na = world.na().await;
    let id = na.device("n1").await;
    let path = format!("/iocm/app/dm/v1.1.0/devices/{id}/services/Lamp");
    let mute = r#"{"serviceInfo":{"muteCmds":["SET"]}}"#;
    assert_eq!(na.call("PUT", &path, mute).await.status, 204);
    assert_eq!(na.command(&id).await.error(), error(409, "100432"));
    let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await.json();
    assert_eq!(
        shown["services"],
        json!([{"serviceId": "Lamp", "serviceType": "Lamp", "serviceInfo": {"muteCmds": ["SET"]}, "data": {}, "eventTime": null}])
    );
    assert_eq!(
        na.call("PUT", &format!("{DEVICES}/{id}"), r#"{"name":"n"}"#)
            .await
            .status,
        204
    );
    assert_eq!(
        na.command(&id).await.error(),
        error(409, "100432"),
        "another change leaves it"
    );
    assert_eq!(na.call("PUT", &path, r#"{"muteCmds":[]}"#).await.status, 204);
    assert_eq!(na.command(&id).await.status, 201);
    assert_eq!(na.call("PUT", &path, "{}").await.error(), error(400, "100022"));
    let unknown = path.replace(&id, "none");
    assert_eq!(na.call("PUT", &unknown, mute).await.error(), error(404, "100403"));
}

#[tokio::test]
async fn older_paths_do_the_same() {
    let world = World::start().await;
    let na = world.na().await;
    for reg in ["/iocm/app/reg/v1.1.0/devices", "/iocm/app/reg/v1.2.0/devices"] {
        let made = na
            .call("POST", reg, &json!({"nodeId": reg, "timeout": 0}).to_string())
            .await;
        assert_eq!(made.status, 200, "{made:?}");
        let id = made.at("/deviceId");
        assert_eq!(
            na.call("GET", &format!("{reg}/{id}"), "").await.at("/activated"),
            "false"
        );
        assert_eq!(
            na.call("PUT", &format!("{reg}/{id}"), "{}").await.error(),
            error(400, "100610")
        );
        for version in ["v1.1.0", "v1.2.0", "v1.3.0"] {
            let dm = format!("/iocm/app/dm/{version}/devices");
            let renamed = json!({"name": version}).to_string();
            assert_eq!(na.call("PUT", &format!("{dm}/{id}"), &renamed).await.status, 204);
            let shown = na.call("GET", &format!("{dm}/{id}"), "").await;
            assert_eq!(shown.at("/deviceInfo/name"), version);
            assert_eq!(shown.at("/creationTime"), shown.at("/createTime"));
            assert_eq!(na.call("GET", &dm, "").await.at("/totalCount"), "1");
        }
        let dm = format!("/iocm/app/dm/v1.1.0/devices/{id}");
        assert_eq!(na.call("DELETE", &dm, "").await.status, 204);
    }
}
