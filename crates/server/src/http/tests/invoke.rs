use super::world::{COMMANDS, World, error};

fn path(device: &str, service: &str) -> String {
    format!("/iocm/app/signaltrans/v1.1.0/devices/{device}/services/{service}/sendCommand")
}

/// What a device that is there makes of it is tested with devices; here is what is refused.
#[tokio::test]
async fn an_invocation_that_cannot_be_made_leaves_nothing() {
    let world = World::with(vec![("commands", "max_paras_bytes", 16.into())]).await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let device = na.device("n1").await;
    let here = path(&device, "Lamp");
    let good =
        r#"{"header":{"mode":"ACK","method":"SET","from":"/users/1","toType":"GATEWAY"},"body":{"on":1}}"#;
    for (path, body, expected, field) in [
        (&here, good, error(409, "100428"), ""),
        (&path("nobody", "Lamp"), good, error(404, "100418"), ""),
        (
            &path(&device, &"s".repeat(65)),
            good,
            error(400, "100022"),
            "serviceId",
        ),
        (&here, "", error(400, "100022"), "body"),
        (&here, r#"{"body":{}}"#, error(400, "100022"), "header"),
        (
            &here,
            &good.replace("ACK", "PERHAPS"),
            error(400, "100022"),
            "header.mode",
        ),
        (
            &here,
            &good.replace("\"SET\"", "1"),
            error(400, "100022"),
            "header.method",
        ),
        (
            &here,
            &good.replace(r#"{"on":1}"#, "[]"),
            error(400, "100022"),
            "body",
        ),
        (
            &here,
            &good.replace(r#"{"on":1}"#, r#"{"on":"0123456789"}"#),
            error(400, "100022"),
            "body",
        ),
    ] {
        let answer = na.call("POST", path, body).await;
        assert_eq!(answer.error(), expected, "{body}");
        assert!(answer.text.contains(field), "{answer:?}");
    }
    assert_eq!(
        stranger.call("POST", &here, good).await.error(),
        error(404, "100418")
    );
    assert_eq!(na.call("GET", &here, "").await.error(), error(405, "100019"));
    assert_eq!(
        na.call("GET", COMMANDS, "").await.at("/pagination/totalSize"),
        "0"
    );
}
