//! What a device's product says of commands that are created for it.

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, DeviceId, Offer, Proof, SessionId};
use downlink_store::{Change, Commands, DeviceName, Devices, Target};
use serde_json::{Value, json};

use super::world::{COMMANDS, Na, REGISTER_V2, World, error};
use crate::clock;

const PRODUCTS: &str = "/admin/v1/apps/app-1/products";

/// A lamp: SET is answered, BLINK is not.
fn lamp(more: Value) -> String {
    let mut body = json!({
        "id": "lamp",
        "profile": {
            "manufacturerId": "acme", "deviceType": "Lamp", "model": "L1", "protocolType": "MQTT",
            "services": [{"serviceId": "Light", "serviceType": "Light", "commands": [
                {"commandName": "SET", "responses": [{"responseName": "SET_RSP"}],
                 "paras": [{"paraName": "level", "dataType": "int", "required": true, "min": 0, "max": 100}]},
                {"commandName": "BLINK"}
            ]}]
        }
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

async fn put(world: &World, more: Value) {
    let answer = world.operate("PUT", PRODUCTS, &lamp(more)).await;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
}

/// Registers a device that says this of itself; gives its id.
async fn device(na: &Na<'_>, mut info: Value) -> String {
    info["nodeId"] = format!("node-of-{info}").into();
    let body = json!({"deviceInfo": info, "mqttConnect": true}).to_string();
    na.call("POST", REGISTER_V2, &body).await.at("/deviceId")
}

async fn lamp_device(na: &Na<'_>) -> String {
    device(
        na,
        json!({"manufacturerId": "acme", "model": "L1", "deviceType": "Lamp"}),
    )
    .await
}

fn body(device: &str, service: &str, method: &str, paras: Value) -> String {
    let command = json!({"serviceId": service, "method": method, "paras": paras});
    json!({"deviceId": device, "command": command}).to_string()
}

#[tokio::test]
async fn service_and_command_must_be_the_products() {
    let world = World::start().await;
    let na = world.na().await;
    put(&world, json!({"checkParas": "off"})).await;
    let lamp = lamp_device(&na).await;
    let by_id = device(&na, json!({"productId": "lamp"})).await;
    for of in [&lamp, &by_id] {
        for (service, method, field) in [
            ("Lock", "SET", "command.serviceId"),
            ("Light", "OPEN", "command.method"),
            ("light", "SET", "command.serviceId"),
        ] {
            let answer = na
                .call("POST", COMMANDS, &body(of, service, method, json!({})))
                .await;
            assert_eq!(answer.error(), error(400, "100431"));
            assert!(answer.text.contains(field), "{answer:?}");
        }
        let answer = na
            .call(
                "POST",
                COMMANDS,
                &body(of, "Light", "SET", json!({"level": "no number"})),
            )
            .await;
        assert_eq!(answer.status, 201, "parameters are not looked at: {answer:?}");
    }
    for strangers in [
        json!({}),
        json!({"manufacturerId": "acme", "model": "L2"}),
        json!({"manufacturerId": "acme", "model": "L1", "deviceType": "Lock"}),
    ] {
        let stranger = device(&na, strangers.clone()).await;
        let answer = na
            .call("POST", COMMANDS, &body(&stranger, "any", "any", json!({})))
            .await;
        assert_eq!(answer.status, 201, "{strangers}: {answer:?}");
    }
}

#[tokio::test]
async fn the_switch_says_what_becomes_of_parameters_that_do_not_fit() {
    let world = World::start().await;
    let na = world.na().await;
    let metric = async || {
        let metrics = world.raw(world.admin(), "GET", "/metrics", &[], "").await;
        let line = metrics
            .text
            .lines()
            .find(|line| line.starts_with("downlink_commands_unfit_total"));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    put(&world, json!({})).await;
    let lamp = lamp_device(&na).await;
    let too_much = body(&lamp, "Light", "SET", json!({"level": 101}));
    let made = na.call("POST", COMMANDS, &too_much).await;
    assert_eq!(made.status, 201, "a warning is all by default");
    let path = format!("/downlink/v1/commands/{}", made.at("/commandId"));
    let detail = na.call("GET", &path, "").await.at("/events/0/detail");
    assert!(
        detail.ends_with("; command.paras.level: must be at most 100."),
        "{detail}"
    );
    assert_eq!(metric().await, "1");

    put(&world, json!({"checkParas": "reject"})).await;
    for (paras, named) in [
        (json!({"level": 101}), "command.paras.level: must be at most 100."),
        (json!({}), "command.paras.level: must be given."),
        (
            json!({"level": 1, "x": 1}),
            "command.paras.x: is no parameter of this command.",
        ),
    ] {
        let answer = na
            .call("POST", COMMANDS, &body(&lamp, "Light", "SET", paras))
            .await;
        assert_eq!(answer.error(), error(400, "100022"));
        assert!(answer.text.contains(named), "{answer:?}");
    }
    let fits = na
        .call(
            "POST",
            COMMANDS,
            &body(&lamp, "Light", "SET", json!({"level": 100})),
        )
        .await;
    assert_eq!(fits.status, 201, "{fits:?}");
    let blink = na
        .call(
            "POST",
            COMMANDS,
            &body(&lamp, "Light", "BLINK", json!({"any": 1})),
        )
        .await;
    assert_eq!(blink.status, 201, "{blink:?}");
    assert_eq!(metric().await, "1", "a refusal is no warning");
}

/// Sends and acknowledges the device's next command; gives how many seconds its result is awaited from then on.
async fn awaited(world: &World, device: &str) -> (CommandId, Option<i64>) {
    let store = world.store();
    let id = DeviceId::new(device);
    let key = store.device(DeviceName::Id(&id)).await.unwrap().unwrap().key;
    let offer = Offer {
        session: SessionId(i64::MAX),
        proof: Proof::Ack,
        needs_mid: false,
        ack_wait: None,
    };
    let now = clock::now();
    let (applied, _) = store.send_next(key, offer, now).await.unwrap().unwrap();
    let acked = Change {
        target: Target::Command(applied.command),
        input: Input::Acked,
        now,
        then_send: None,
    };
    let mut changed = store.apply(vec![acked]).await.unwrap();
    let applied = changed.pop().unwrap().outcome.unwrap().unwrap();
    let secs = applied
        .deadline
        .map(|deadline| deadline.at.since(now).as_millis() / 1000);
    (applied.command, secs)
}

#[tokio::test]
async fn the_product_says_whether_a_result_is_awaited() {
    let world = World::start().await;
    let na = world.na().await;
    put(&world, json!({})).await;
    let lamp = lamp_device(&na).await;
    let create = async |method: &str| {
        let made = na
            .call(
                "POST",
                COMMANDS,
                &body(&lamp, "Light", method, json!({"level": 1})),
            )
            .await;
        made.at("/commandId").parse::<CommandId>().unwrap()
    };
    let set = create("SET").await;
    let blink = create("BLINK").await;
    assert_eq!(awaited(&world, &lamp).await, (set, Some(300)));
    assert_eq!(awaited(&world, &lamp).await, (blink, None));

    put(&world, json!({"responseWaitSecs": 604_800})).await;
    let set = create("SET").await;
    // What is under way keeps the terms it was created on, whatever becomes of its product.
    put(&world, json!({"workMode": "edrx", "cycleSecs": 40})).await;
    let slow = create("SET").await;
    let gone = create("BLINK").await;
    let removed = world.operate("DELETE", &format!("{PRODUCTS}/lamp"), "").await;
    assert_eq!(removed.status, 204);
    let unchecked = create("OPEN").await;
    assert_eq!(awaited(&world, &lamp).await, (set, Some(604_800)));
    assert_eq!(awaited(&world, &lamp).await, (slow, Some(200)));
    assert_eq!(awaited(&world, &lamp).await, (gone, None));
    assert_eq!(awaited(&world, &lamp).await, (unchecked, Some(300)));
}

#[tokio::test]
async fn creates_do_not_read_the_product_again() {
    // Sweeps read too.
    let never = |key| ("engine", key, 3_600_000.into());
    let world = World::with(vec![
        never("expiry_sweep_ms"),
        never("queue_sweep_ms"),
        never("open_sweep_ms"),
    ])
    .await;
    let na = world.na().await;
    put(&world, json!({})).await;
    let lamp = lamp_device(&na).await;
    let create = async || {
        let fits = body(&lamp, "Light", "SET", json!({"level": 1}));
        assert_eq!(na.call("POST", COMMANDS, &fits).await.status, 201);
    };
    create().await;
    let before = world.store().stats().reads;
    for _ in 0..9 {
        create().await;
    }
    let reads = world.store().stats().reads - before;
    // Of what other sweeps there are, one may fall between.
    assert!(reads < 9, "{reads} reads");
}

#[tokio::test]
async fn the_nearest_word_on_how_a_device_sleeps_says_how_long_a_result_is_awaited() {
    let world = World::start().await;
    let na = world.na().await;
    let lamp = lamp_device(&na).await;
    let edrx = |secs: u32| json!({"workMode": "edrx", "cycleSecs": secs}).to_string();
    let app = "/admin/v1/apps/app-1".to_owned();
    let of_device = format!("/admin/v1/devices/{lamp}/work-mode");
    for (method, path, cycle, secs) in [("PATCH", &app, 50, 220), ("PUT", &of_device, 10, 140)] {
        let said = world.operate(method, path, &edrx(cycle)).await;
        assert_eq!(said.status, 200, "{said:?}");
        let made = na
            .call("POST", COMMANDS, &body(&lamp, "Light", "SET", json!({})))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(awaited(&world, &lamp).await.1, Some(secs));
    }
}
