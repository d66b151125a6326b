//! The operator's interface over sockets.

mod products;
mod pushes;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::tests::world::{APP, DEVICES, World, error};

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
        ("/openapi.json", &ours, "", 200),
        ("/docs", "localhost", "", 200),
        ("/openapi.json", evil, "", 403),
        ("/docs", evil, token.as_str(), 403),
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
async fn the_page_of_the_northbound_interface_runs_only_its_own_script() {
    let world = World::start().await;
    let host = [("host", "localhost")];
    let page = world.raw(world.admin(), "GET", "/docs", &host, "").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for loaded in ["src=", "<link", "http://", "https://", "innerHTML", "onclick"] {
        assert!(!page.text.contains(loaded), "{loaded}");
    }
    let document = world.raw(world.admin(), "GET", "/openapi.json", &host, "").await;
    assert_eq!(document.json()["openapi"], "3.1.0");
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
        r#"{{"id":"{id}","name":"N","secret":"{secret}","pushStatuses":"documented","pushSentImmediate":true,"feed":false,"pushMaxAgeSecs":null,"workMode":null,"cycleSecs":null,"createdAt":"{}"}}"#,
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
    for (body, secs) in [
        (r#"{"pushMaxAgeSecs":3600}"#, "3600"),
        (r#"{"feed":true}"#, "3600"),
        (r#"{"pushMaxAgeSecs":null}"#, "null"),
    ] {
        let changed = world.operate("PATCH", path, body).await;
        assert_eq!(changed.at("/pushMaxAgeSecs"), secs, "{body}");
    }
    for (body, mode, cycle) in [
        (r#"{"workMode":"edrx","cycleSecs":41}"#, "edrx", "41"),
        (r#"{"feed":false}"#, "edrx", "41"),
        (r#"{"workMode":"drx"}"#, "drx", "null"),
        (r#"{"workMode":null}"#, "null", "null"),
    ] {
        let changed = world.operate("PATCH", path, body).await;
        let shown = (changed.at("/workMode"), changed.at("/cycleSecs"));
        assert_eq!(shown, (mode.into(), cycle.into()), "{body}");
    }
    for (path, body, status) in [
        (path, r#"{"workMode":"edrx"}"#, 400),
        (path, r#"{"workMode":"sleepy"}"#, 400),
        (path, r#"{"cycleSecs":5}"#, 400),
        (path, r#"{"workMode":"edrx","cycleSecs":0}"#, 400),
        (path, r#"{"pushMaxAgeSecs":0}"#, 400),
        (path, r#"{"pushMaxAgeSecs":2592001}"#, 400),
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
async fn the_operator_has_64_connections() {
    let world = World::start().await;
    let mut open = Vec::new();
    for n in 1..=65 {
        let mut stream = TcpStream::connect(world.admin()).await.unwrap();
        // One beyond the limit may be closed before this is sent.
        let _ = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        let mut told = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut told));
        let read = read.await.expect("neither served nor refused");
        let served = read.is_ok() && &told == b"HTTP/1.1 200";
        assert_eq!(
            served,
            n <= 64,
            "connection {n}: {}",
            String::from_utf8_lossy(&told)
        );
        open.push(stream);
    }
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

#[tokio::test]
async fn signing_keys_from_the_first_to_the_next() {
    let world = World::start().await;
    let path = format!("/admin/v1/apps/{APP}/signing-keys");
    let none = world.operate("GET", &path, "").await;
    assert_eq!((none.status, none.text.as_str()), (200, r#"{"keys":[]}"#));
    let first = world.operate("POST", &path, "").await;
    assert_eq!((first.status, first.at("/secret").len()), (201, 6 + 44));
    let given = format!("whsec_{}", "QUJD".repeat(8));
    let body = format!(r#"{{"secret":"{given}","overlapSecs":60}}"#);
    let second = world.operate("POST", &path, &body).await;
    assert_eq!((second.status, second.at("/secret")), (201, given));
    let listed = world.operate("GET", &path, "").await;
    assert!(!listed.text.contains("secret"));
    assert_eq!(listed.at("/keys/0/id"), second.at("/id"));
    assert!(listed.json()["keys"][0].get("endsAt").is_none());
    assert!(listed.at("/keys/1/endsAt") > listed.at("/keys/1/createdAt"));
    let third = world.operate("POST", &path, "").await;
    assert_eq!(
        (third.status, third.at("/error/code")),
        (409, "too_many_keys".into())
    );
    for (body, named) in [
        (r#"{"secret":"abc"}"#, "`secret`"),
        (r#"{"overlapSecs":2592001}"#, "`overlapSecs`"),
        (r#"{"overlap":1}"#, "overlap"),
    ] {
        let bad = world.operate("POST", &path, body).await;
        assert_eq!((bad.status, bad.at("/error/code")), (400, "invalid".into()));
        assert!(bad.at("/error/message").contains(named), "{bad:?}");
    }
    let one = format!("{path}/{}", first.at("/id"));
    assert_eq!(world.operate("DELETE", &one, "").await.status, 204);
    let gone = world.operate("DELETE", &one, "").await;
    assert_eq!((gone.status, gone.at("/error/code")), (404, "unknown_key".into()));
    assert_eq!(world.operate("POST", &path, "").await.status, 201);
    let stranger = world
        .operate("POST", "/admin/v1/apps/nobody/signing-keys", "")
        .await;
    assert_eq!(
        (stranger.status, stranger.at("/error/code")),
        (404, "unknown_app".into())
    );
}

#[tokio::test]
async fn push_tls_is_given_shown_without_its_key_and_taken_away() {
    let world = World::start().await;
    let path = format!("/admin/v1/apps/{APP}/push-tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let missing = world.operate("GET", &path, "").await;
    assert_eq!(
        (missing.status, missing.at("/error/code")),
        (404, "no_push_tls".into())
    );
    let body = serde_json::json!({"ca": pem, "checkName": false, "certificate": pem, "key": key});
    let set = world.operate("PUT", &path, &body.to_string()).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(
        (set.at("/ca"), set.at("/checkName")),
        (pem.clone(), "false".into())
    );
    assert_eq!(set.at("/certificateSha256/0").len(), 64);
    assert!(!set.text.contains("PRIVATE"));
    assert_eq!(world.operate("GET", &path, "").await.text, set.text);
    for (body, named) in [
        ("", "`ca`"),
        (r#"{"ca":"x"}"#, "`ca`"),
        (
            r#"{"checkName":false,"certificate":"x","key":"x"}"#,
            "`checkName`",
        ),
        (r#"{"key":"x"}"#, "`certificate`"),
    ] {
        let bad = world.operate("PUT", &path, body).await;
        assert_eq!((bad.status, bad.at("/error/code")), (400, "invalid".into()));
        assert!(bad.at("/error/message").starts_with(named), "{bad:?}");
    }
    assert_eq!(
        world.operate("GET", &path, "").await.text,
        set.text,
        "a refusal changes nothing"
    );
    for status in [204, 204] {
        assert_eq!(world.operate("DELETE", &path, "").await.status, status);
    }
    assert_eq!(world.operate("GET", &path, "").await.status, 404);
}

#[tokio::test]
async fn a_device_has_a_work_mode_of_its_own() {
    let world = World::start().await;
    let device = world.na().await.device("n").await;
    let path = format!("/admin/v1/devices/{device}/work-mode");
    for (body, shown) in [
        (
            r#"{"workMode":"edrx","cycleSecs":41}"#,
            r#""workMode":"edrx","cycleSecs":41}"#,
        ),
        (r#"{"workMode":"psm"}"#, r#""workMode":"psm","cycleSecs":null}"#),
        (r#"{"workMode":null}"#, r#""workMode":null,"cycleSecs":null}"#),
    ] {
        let golden = format!(r#"{{"deviceId":"{device}",{shown}"#);
        let set = world.operate("PUT", &path, body).await;
        assert_eq!((set.status, set.text), (200, golden.clone()), "{body}");
        assert_eq!(world.operate("GET", &path, "").await.text, golden);
    }
    for (path, body, status) in [
        (path.as_str(), "{}", 400),
        (&path, r#"{"workMode":"edrx"}"#, 400),
        ("/admin/v1/devices/none/work-mode", r#"{"workMode":"psm"}"#, 404),
    ] {
        assert_eq!(
            world.operate("PUT", path, body).await.status,
            status,
            "{path} {body}"
        );
    }
    assert_eq!(
        world
            .operate("GET", "/admin/v1/devices/none/work-mode", "")
            .await
            .status,
        404
    );
}
