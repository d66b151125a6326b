use serde_json::{Value, json};

use super::world::{Answer, DEVICES, REGISTER_V1, REGISTER_V2, World, error};

fn names(answer: &Answer) -> Vec<String> {
    let devices = answer.json()["devices"].clone();
    let name = |device: &Value| device["deviceInfo"]["nodeId"].as_str().unwrap().to_owned();
    devices.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn the_older_form_of_registration() {
    let world = World::start().await;
    let na = world.na().await;
    let body = r#"{"nodeId":"861","verifyCode":"861","timeout":0,"psk":"0123456789abcdef"}"#;
    let answer = na.call("POST", REGISTER_V1, body).await;
    let id = answer.at("/deviceId");
    let golden = format!(r#"{{"deviceId":"{id}","verifyCode":"861","timeout":0,"psk":"0123456789abcdef"}}"#);
    assert_eq!((answer.status, answer.text), (200, golden));
    assert_eq!((id.len(), id.matches('-').count(), &id[14..15]), (36, 4, "4"));
    let made = na.call("POST", REGISTER_V1, r#"{"nodeId":"862"}"#).await;
    assert_eq!((made.at("/psk").len(), made.at("/timeout")), (32, "0".to_owned()));
    assert!(!made.at("/verifyCode").is_empty());
    let twice = na.call("POST", REGISTER_V1, r#"{"nodeId":"861"}"#).await;
    assert_eq!(twice.error(), error(400, "100426"));
    assert_eq!(
        na.call("POST", REGISTER_V1, r#"{"nodeId":1}"#).await.error(),
        error(400, "100022")
    );
}

#[tokio::test]
async fn the_newer_form_and_what_is_shown_of_a_device() {
    let world = World::start().await;
    let na = world.na().await;
    let body = r#"{"deviceInfo":{"nodeId":"n1","name":"valve","model":"M"},"imsi":"46","mqttConnect":true}"#;
    let made = na.call("POST", REGISTER_V2, body).await;
    let (id, secret) = (made.at("/deviceId"), made.at("/secret"));
    assert_eq!((secret.len(), made.at("/psk")), (20, secret));
    let given = r#"{"deviceInfo":{"nodeId":"n2"},"secret":"0123456789abcdef0123"}"#;
    assert_eq!(
        na.call("POST", REGISTER_V2, given).await.at("/secret"),
        "0123456789abcdef0123"
    );

    let activation = na.call("GET", &format!("{REGISTER_V1}/{id}"), "").await;
    assert_eq!(
        activation.text,
        format!(r#"{{"deviceId":"{id}","activated":false,"name":"valve"}}"#)
    );
    let shown = na.call("GET", &format!("{DEVICES}/{id}"), "").await.json();
    assert_eq!(
        (&shown["deviceId"], &shown["gatewayId"], &shown["services"]),
        (&json!(id), &json!(id), &json!([]))
    );
    let info = &shown["deviceInfo"];
    assert_eq!(
        (&info["status"], &info["statusDetail"]),
        (&json!("OFFLINE"), &json!("NOT_ACTIVE"))
    );
    assert_eq!(
        (&info["model"], &info["mac"], info.get("imsi")),
        (&json!("M"), &json!(null), None)
    );
    let selected = na.call("GET", &format!("{DEVICES}/{id}?select=imsi"), "").await;
    assert_eq!(selected.at("/deviceInfo/imsi"), "46");
}

#[tokio::test]
async fn what_is_removed_is_gone() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let id = na.device("n1").await;
    let command = na.command(&id).await;
    let path = format!("{DEVICES}/{id}");
    for method in ["GET", "DELETE"] {
        assert_eq!(
            stranger.call(method, &path, "").await.error(),
            error(404, "100403")
        );
    }
    assert_eq!(
        na.call("DELETE", &format!("{path}?cascade=true"), r#"{"x":1}"#)
            .await
            .status,
        204
    );
    assert_eq!(na.call("DELETE", &path, "").await.error(), error(404, "100403"));
    assert_eq!(na.call("GET", &path, "").await.error(), error(404, "100403"));
    assert_eq!(
        na.call("GET", &format!("{REGISTER_V1}/{id}"), "").await.error(),
        error(404, "100403")
    );
    assert_eq!(na.command(&id).await.error(), error(404, "100418"));
    let history = na
        .call(
            "GET",
            &format!("/downlink/v1/commands/{}", command.at("/commandId")),
            "",
        )
        .await;
    assert_eq!(history.at("/command/status"), "CANCELED", "{history:?}");
}

#[tokio::test]
async fn lists_and_their_filters() {
    let world = World::start().await;
    let na = world.na().await;
    let mut ids = Vec::new();
    for (node, kind) in [("n1", "Lamp"), ("n2", "Valve"), ("n3", "Lamp")] {
        let body = format!(r#"{{"deviceInfo":{{"nodeId":"{node}","deviceType":"{kind}"}}}}"#);
        ids.push(na.call("POST", REGISTER_V2, &body).await.at("/deviceId"));
    }
    for (query, expected, total) in [
        (String::new(), vec!["n3", "n2", "n1"], "3"),
        ("?sort=ASC".to_owned(), vec!["n1", "n2", "n3"], "3"),
        ("?pageNo=1&pageSize=2".to_owned(), vec!["n1"], "3"),
        ("?pageno=9".to_owned(), vec![], "3"),
        ("?deviceType=Lamp&pageSize=1".to_owned(), vec!["n3"], "2"),
        ("?deviceType=Lamp&pageSize=1&pageNo=1".to_owned(), vec!["n1"], "2"),
        ("?status=offline&sort=asc".to_owned(), vec!["n1", "n2", "n3"], "3"),
        ("?status=INACTIVE&deviceType=Valve".to_owned(), vec!["n2"], "1"),
        ("?status=ONLINE".to_owned(), vec![], "0"),
        ("?nodeType=ENDPOINT".to_owned(), vec![], "0"),
        (format!("?gatewayId={}", ids[1]), vec!["n2"], "1"),
        ("?gatewayId=none".to_owned(), vec![], "0"),
        ("?endTime=20000101T000000Z".to_owned(), vec![], "0"),
        (
            "?startTime=20000101T000000Z&endTime=29990101T000000Z".to_owned(),
            vec!["n3", "n2", "n1"],
            "3",
        ),
    ] {
        let answer = na.call("GET", &format!("{DEVICES}{query}"), "").await;
        assert_eq!(
            (names(&answer), answer.at("/totalCount")),
            (expected.iter().map(|&n| n.to_owned()).collect(), total.to_owned()),
            "{query}"
        );
    }
    for query in [
        "pageNo=x",
        "pageSize=251",
        "sort=UP",
        "status=HAPPY",
        "startTime=now",
    ] {
        let answer = na.call("GET", &format!("{DEVICES}?{query}"), "").await;
        assert_eq!(answer.error(), error(400, "100022"), "{query}");
        let named = query.split('=').next().unwrap();
        assert!(
            answer.at("/error_desc").contains(&format!("{named}: ")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_application_has_a_limit_of_devices() {
    let world = World::with(vec![("commands", "max_devices_per_app", 1.into())]).await;
    let na = world.na().await;
    na.device("n1").await;
    let answer = na.call("POST", REGISTER_V1, r#"{"nodeId":"n2"}"#).await;
    assert_eq!(answer.error(), error(500, "100412"));
}
