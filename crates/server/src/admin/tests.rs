//! The operator's interface over sockets.

mod pushes;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::tests::world::{DEVICES, World, error};

#[tokio::test]
async fn what_is_open_and_what_needs_the_token() {
    let world = World::start().await;
    let token = format!("Bearer {}", world.admin_token());
    let half = &token[..token.len() - 1];
    let (ours, evil) = (world.admin().to_string(), "evil.example:8744");
    for (path, host, authorization, status) in [
        ("/metrics", evil, "", 200),
        ("/healthz", evil, "", 200),
        ("/readyz", evil, "", 200),
        ("/admin/v1/apps", &ours, token.as_str(), 200),
        ("/", "localhost", token.as_str(), 200),
        ("/admin/v1/apps", evil, token.as_str(), 403),
        ("/admin/v1/apps", &ours, "", 401),
        ("/admin/v1/apps", &ours, half, 401),
        ("/admin/v1/apps", &ours, "Bearer ", 401),
        ("/", &ours, "", 401),
        ("/nothing", &ours, "", 401),
        ("/nothing", &ours, token.as_str(), 404),
        ("/nothing", evil, token.as_str(), 403),
    ] {
        let headers = [("host", host), ("authorization", authorization)];
        let answer = world.raw(world.admin(), "GET", path, &headers, "").await;
        assert_eq!(
            answer.status, status,
            "{path} as {host} with {authorization:?}: {answer:?}"
        );
        if status >= 400 {
            assert!(!answer.at("/error/code").is_empty() && !answer.at("/error/message").is_empty());
            assert!(!answer.text.contains(&world.admin_token()));
        }
    }
    let answer = world.operate("PUT", "/admin/v1/apps", "").await;
    assert_eq!(
        (answer.status, answer.at("/error/code")),
        (405, "method_not_allowed".to_owned())
    );
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let world = World::start().await;
    world.na().await.call("GET", DEVICES, "").await;
    let answer = world.raw(world.admin(), "GET", "/metrics", &[], "").await;
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(answer.text.ends_with("# EOF\n"));
    for line in [
        "downlink_sessions 0",
        "downlink_http_requests_total 2",
        "downlink_http_connections ",
    ] {
        assert!(answer.text.contains(line), "{line} in {}", answer.text);
    }
}

#[tokio::test]
async fn an_application_from_creation_to_removal() {
    let world = World::start().await;
    let made = world
        .operate(
            "POST",
            "/admin/v1/apps",
            r#"{"name":"N","pushStatuses":"documented"}"#,
        )
        .await;
    let (id, secret) = (made.at("/id"), made.at("/secret"));
    let golden = format!(
        r#"{{"id":"{id}","name":"N","secret":"{secret}","pushStatuses":"documented","pushSentImmediate":true,"feed":false,"createdAt":"{}"}}"#,
        made.at("/createdAt")
    );
    assert_eq!(
        (made.status, made.text, id.len(), secret.len()),
        (201, golden, 28, 32)
    );
    let taken = world
        .operate("POST", "/admin/v1/apps", &format!(r#"{{"id":"{id}"}}"#))
        .await;
    assert_eq!((taken.status, taken.at("/error/code")), (409, "taken".to_owned()));
    let bad = world
        .operate("POST", "/admin/v1/apps", r#"{"secret":"short"}"#)
        .await;
    assert_eq!((bad.status, bad.at("/error/code")), (400, "invalid".to_owned()));

    let list = world
        .operate("GET", "/admin/v1/apps?pageSize=1&pageNo=1", "")
        .await;
    assert_eq!(list.json()["apps"].as_array().unwrap().len(), 1);
    assert!(
        !world
            .operate("GET", "/admin/v1/apps", "")
            .await
            .text
            .contains("secret")
    );

    let na = world.na_of(&id, &secret).await;
    assert_eq!(na.call("GET", DEVICES, "").await.status, 200);
    let rotated = world
        .operate("POST", &format!("/admin/v1/apps/{id}/secret"), "")
        .await;
    assert_eq!((rotated.status, rotated.at("/id")), (200, id.clone()));
    assert_eq!(na.call("GET", DEVICES, "").await.error(), error(403, "1010005"));
    assert_eq!(world.login_as(&id, &secret).await.error(), error(401, "100208"));

    let na = world.na_of(&id, &rotated.at("/secret")).await;
    let device = na.device("n1").await;
    assert_eq!(na.command(&device).await.status, 201);
    let path = format!("/admin/v1/apps/{id}");
    assert_eq!(world.operate("DELETE", &path, "").await.status, 204);
    assert_eq!(na.call("GET", DEVICES, "").await.error(), error(403, "1010005"));
    assert_eq!(
        world.login_as(&id, &rotated.at("/secret")).await.error(),
        error(401, "100208")
    );
    for (method, path) in [("DELETE", path.clone()), ("POST", format!("{path}/secret"))] {
        let answer = world.operate(method, &path, "").await;
        assert_eq!(
            (answer.status, answer.at("/error/code")),
            (404, "unknown_app".to_owned())
        );
    }
    // The node id is free again, for another application too.
    world.na().await.device("n1").await;
}

#[tokio::test]
async fn settings_are_changed_one_by_one() {
    let world = World::start().await;
    let made = world
        .operate("POST", "/admin/v1/apps", r#"{"id":"mine","feed":true}"#)
        .await;
    assert_eq!(made.at("/feed"), "true");
    let path = "/admin/v1/apps/mine";
    let changed = world
        .operate("PATCH", path, r#"{"pushStatuses":"documented","feed":false}"#)
        .await;
    assert_eq!(
        (changed.status, changed.at("/pushStatuses"), changed.at("/feed")),
        (200, "documented".into(), "false".into())
    );
    let changed = world
        .operate("PATCH", path, r#"{"pushSentImmediate":false}"#)
        .await;
    assert_eq!(
        (changed.at("/pushStatuses"), changed.at("/pushSentImmediate")),
        ("documented".into(), "false".into())
    );
    for (path, body, status) in [
        (path, r#"{"name":"x"}"#, 400),
        (path, r#"{"feed":"on"}"#, 400),
        (path, "", 400),
        ("/admin/v1/apps/none", "{}", 404),
    ] {
        assert_eq!(
            world.operate("PATCH", path, body).await.status,
            status,
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn a_given_id_and_secret_are_used() {
    let world = World::start().await;
    let made = world
        .operate("POST", "/admin/v1/apps", r#"{"id":"mine","secret":"12345678"}"#)
        .await;
    assert_eq!(
        (made.at("/id"), made.at("/secret"), made.at("/name")),
        ("mine".into(), "12345678".into(), "mine".into())
    );
    world.na_of("mine", "12345678").await;
}

#[tokio::test]
async fn applications_that_take_all_their_connections_do_not_shut_the_operator_out() {
    let world = World::with(vec![("northbound", "max_connections", 1.into())]).await;
    let mut taken = TcpStream::connect(world.plain()).await.unwrap();
    taken
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    taken.read_exact(&mut [0; 12]).await.unwrap();
    // Far below the time after which the idle connection would be let go.
    let asked = world.raw(world.admin(), "GET", "/readyz", &[], "");
    let answer = tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .expect("shut out");
    assert_eq!((answer.status, answer.text.as_str()), (200, "ready\n"));
}
