use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::http::tests::world::World;

const PRODUCTS: &str = "/admin/v1/apps/app-1/products";

fn profile() -> Value {
    json!({"manufacturerId": "acme", "deviceType": "Lamp", "model": "L1", "protocolType": "MQTT",
        "services": [{"serviceId": "Light"}]})
}

#[tokio::test]
async fn a_product_is_put_shown_listed_and_deleted() {
    let world = World::start().await;
    let body = json!({"profile": profile(), "codec": {"kind": "javascript", "text": "function decode(b) { return null; }"}, "checkParas": "reject",
        "workMode": "edrx", "cycleSecs": 41, "responseWaitSecs": 60, "secure": true});
    let made = world.operate("PUT", PRODUCTS, &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.at("/id");
    assert_eq!(
        (made.at("/revision"), made.at("/codecKind")),
        ("1".into(), "javascript".into())
    );
    let one = world.operate("GET", &format!("{PRODUCTS}/{id}"), "").await.json();
    for (member, value) in body.as_object().unwrap() {
        match member.as_str() {
            "profile" => assert_eq!(one["profile"]["model"], "L1"),
            _ => assert_eq!(&one[member], value, "{member}"),
        }
    }
    let again = json!({"profile": profile()}).to_string();
    let put = world.operate("PUT", PRODUCTS, &again).await;
    assert_eq!(
        (put.status, put.at("/id"), put.at("/revision")),
        (200, id.clone(), "2".into())
    );
    assert_eq!(
        (put.at("/codecKind"), put.at("/checkParas")),
        ("null".into(), "warn".into())
    );
    let list = world
        .operate("GET", &format!("{PRODUCTS}?pageSize=1"), "")
        .await
        .json();
    assert_eq!(
        (&list["total"], &list["products"][0]["id"]),
        (&json!(1), &json!(id))
    );
    assert!(list["products"][0].get("profile").is_none());
    let path = format!("{PRODUCTS}/{id}");
    assert_eq!(world.operate("DELETE", &path, "").await.status, 204);
    for method in ["DELETE", "GET"] {
        let gone = world.operate(method, &path, "").await;
        assert_eq!(
            (gone.status, gone.at("/error/code")),
            (404, "unknown_product".into())
        );
    }
    let nobody = world.operate("GET", "/admin/v1/apps/x/products", "").await;
    assert_eq!(
        (nobody.status, nobody.at("/error/code")),
        (404, "unknown_app".into())
    );
}

#[tokio::test]
async fn a_package_is_put() {
    let device = json!({"devices": [{"manufacturerId": "acme", "model": "L1", "deviceType": "Lamp",
        "serviceTypeCapabilities": [{"serviceId": "Left", "serviceType": "Light"}]}]});
    let service = json!({"services": [{"serviceType": "Light", "commands": [{"commandName": "ON"}]}]});
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [
        ("profile/devicetype-capability.json", &device),
        ("service/Light/profile/servicetype-capability.json", &service),
    ] {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.to_string().as_bytes()).unwrap();
    }
    let package = STANDARD.encode(writer.finish().unwrap().into_inner());
    let world = World::start().await;
    let made = world
        .operate("PUT", PRODUCTS, &json!({"package": package}).to_string())
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let one = world
        .operate("GET", &format!("{PRODUCTS}/{}", made.at("/id")), "")
        .await;
    assert_eq!(one.at("/profile/services/0/serviceId"), "Left");
    assert_eq!(one.at("/profile/services/0/commands/0/commandName"), "ON");
}

#[tokio::test]
async fn what_is_wrong_with_a_product_is_named() {
    let world = World::start().await;
    let with = |member: &str, value: Value| {
        let mut body = json!({"profile": profile()});
        body[member] = value;
        body
    };
    let mut no_model = profile();
    no_model["model"] = Value::Null;
    for (body, named) in [
        (json!({}), "either profile or package"),
        (with("package", "UEs=".into()), "either profile or package"),
        (json!({"package": "?"}), "base64"),
        (json!({"package": "UEs="}), "package: is no sound zip archive"),
        (json!({"profile": no_model}), "model: must be given"),
        (with("prfile", 1.into()), "prfile"),
        (with("id", "a b".into()), "id: must be"),
        (with("workMode", "edrx".into()), "cycleSecs: must be given"),
        (with("cycleSecs", 5.into()), "cycleSecs: is of"),
        (
            with("responseWaitSecs", 604_801.into()),
            "responseWaitSecs: must be 1 to 604800",
        ),
        (with("responseWaitSecs", 0.into()), "responseWaitSecs"),
        (
            with("codec", json!({"kind": "lua", "text": "x"})),
            "codec: must be",
        ),
    ] {
        let answer = world.operate("PUT", PRODUCTS, &body.to_string()).await;
        assert_eq!(
            (answer.status, answer.at("/error/code")),
            (400, "invalid".into()),
            "{body}"
        );
        assert!(answer.at("/error/message").contains(named), "{named}: {answer:?}");
    }
    assert_eq!(world.operate("GET", PRODUCTS, "").await.at("/total"), "0");
    let put = world
        .operate("PUT", PRODUCTS, &with("id", "p".into()).to_string())
        .await;
    assert_eq!(put.status, 201);
    let mut other = with("id", "p".into());
    other["profile"]["model"] = "L2".into();
    let taken = world.operate("PUT", PRODUCTS, &other.to_string()).await;
    assert_eq!((taken.status, taken.at("/error/code")), (409, "taken".into()));
}
