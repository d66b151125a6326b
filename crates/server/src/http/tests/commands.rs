use super::world::{COMMANDS, World, command, error};

#[tokio::test]
async fn a_cached_command_from_creation_to_cancel() {
    let world = World::start().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let body = command(
        &device,
        r#","callbackUrl":"http://127.0.0.1:9/cb/","maxRetransmit":2,"appId":"x","requestId":1"#,
    );
    let made = na.call("POST", COMMANDS, &body).await;
    let (id, at) = (made.at("/commandId"), made.at("/creationTime"));
    let shown = |status: &str| {
        format!(
            concat!(
                r#"{{"commandId":"{}","appId":"app-1","deviceId":"{}","#,
                r#""command":{{"serviceId":"Lamp","method":"SET","paras":{{"on": 1}}}},"#,
                r#""callbackUrl":"http://127.0.0.1:9/cb/","expireTime":172800,"status":"{}","#,
                r#""creationTime":"{}","issuedTimes":0,"maxRetransmit":2}}"#
            ),
            id, device, status, at
        )
    };
    assert_eq!((made.status, made.text), (201, shown("PENDING")));

    let path = format!("{COMMANDS}/{id}");
    assert_eq!(na.call("GET", &path, "").await.text, shown("PENDING"));
    for (body, code) in [
        ("{}", "100022"),
        (r#"{"status":"CANCELLED"}"#, "100022"),
        ("", "100022"),
    ] {
        assert_eq!(
            na.call("PUT", &path, body).await.error(),
            error(400, code),
            "{body}"
        );
    }
    let cancel = r#"{"status":"CANCELED"}"#;
    let canceled = na.call("PUT", &path, cancel).await;
    assert_eq!((canceled.status, canceled.text), (200, shown("CANCELED")));
    assert_eq!(na.call("PUT", &path, cancel).await.error(), error(409, "100435"));
    for unknown in ["0".repeat(32), "x".to_owned(), "%ff".to_owned()] {
        let answer = na.call("PUT", &format!("{COMMANDS}/{unknown}"), cancel).await;
        assert_eq!(answer.status, 404, "{unknown}: {answer:?}");
    }
}

#[tokio::test]
async fn the_history_names_the_request() {
    let world = World::start().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let authorization = format!("Bearer {}", na.token);
    let headers = [
        ("app_key", "app-1"),
        ("authorization", &authorization),
        ("x-request-id", "my-request-7"),
    ];
    let made = world
        .bare("POST", COMMANDS, &headers, &command(&device, ""))
        .await;
    assert_eq!(made.headers["x-request-id"], "my-request-7");
    let path = format!("/downlink/v1/commands/{}", made.at("/commandId"));
    let history = na.call("GET", &path, "").await;
    assert_eq!(
        (history.at("/events/0/seq"), history.at("/events/0/status")),
        ("1".into(), "PENDING".into())
    );
    assert!(
        history.at("/events/0/detail").contains("my-request-7"),
        "{history:?}"
    );
    assert!(history.at("/events/0/at").ends_with('Z'));
    assert_eq!(history.at("/command/commandId"), made.at("/commandId"));
    let unknown = format!("/downlink/v1/commands/{}", "0".repeat(32));
    assert_eq!(na.call("GET", &unknown, "").await.error(), error(404, "100434"));
}

#[tokio::test]
async fn commands_of_others_are_unknown() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    let device = na.device("n1").await;
    let path = format!("{COMMANDS}/{}", na.command(&device).await.at("/commandId"));
    assert_eq!(
        stranger.call("GET", &path, "").await.error(),
        error(404, "100434")
    );
    assert_eq!(
        stranger
            .call("PUT", &path, r#"{"status":"CANCELED"}"#)
            .await
            .error(),
        error(404, "100434")
    );
    assert_eq!(stranger.command(&device).await.error(), error(404, "100418"));
    assert_eq!(na.call("GET", &path, "").await.at("/status"), "PENDING");
    assert_eq!(
        stranger
            .call("GET", COMMANDS, "")
            .await
            .at("/pagination/totalSize"),
        "0"
    );
}

/// Over the wire, each with its own status, code and field; the finer rules have tests beside their parsers.
#[tokio::test]
async fn bad_creations_leave_nothing() {
    let world = World::with(vec![("commands", "max_paras_bytes", 32.into())]).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let good = command(&device, "");
    let with = |more: &str| command(&device, more);
    let rows = [
        (String::new(), 400, "100022", "body"),
        ("{".to_owned(), 400, "100022", "body"),
        ("null".to_owned(), 400, "100022", "body"),
        ("[".repeat(100_000), 400, "100022", "body"),
        (good.replace(&device, "no-such-device"), 404, "100418", ""),
        (
            good.replace(&format!("\"{device}\""), "17"),
            400,
            "100022",
            "deviceId",
        ),
        (good.replace("\"SET\"", "7"), 400, "100022", "command.method"),
        (
            good.replace("Lamp", &"s".repeat(65)),
            400,
            "100022",
            "command.serviceId",
        ),
        (good.replace(r#"{"on": 1}"#, "[]"), 400, "100022", "command.paras"),
        (
            good.replace(r#"{"on": 1}"#, &format!(r#"{{"on":"{}"}}"#, "x".repeat(30))),
            400,
            "100022",
            "command.paras",
        ),
        (with(r#","expireTime":-1"#), 400, "100022", "expireTime"),
        (with(r#","expireTime":"soon""#), 400, "100022", "expireTime"),
        (with(r#","maxRetransmit":4"#), 400, "100022", "maxRetransmit"),
        (with(r#","callbackUrl":7"#), 400, "100022", "callbackUrl"),
        (with(r#","callbackUrl":"""#), 400, "100222", "callbackUrl"),
        (
            with(r#","callbackUrl":"http://h/x""#),
            400,
            "100222",
            "callbackUrl",
        ),
        (with(r#","expireTime":0"#), 409, "100428", ""),
    ];
    for (body, status, code, field) in rows {
        let answer = na.call("POST", COMMANDS, &body).await;
        let start: String = body.chars().take(200).collect();
        assert_eq!(answer.error(), error(status, code), "{start}: {answer:?}");
        assert!(
            field.is_empty() || answer.at("/error_desc").contains(&format!(" {field}: ")),
            "{answer:?}"
        );
    }
    assert_eq!(
        na.call("GET", COMMANDS, "").await.at("/pagination/totalSize"),
        "0"
    );
}

#[tokio::test]
async fn what_clients_send_besides_is_no_error() {
    let world = World::start().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let authorization = format!("Bearer {}", na.token);
    for kind in [
        "applicaton/json",
        "text/plain",
        "application/x-www-form-urlencoded",
    ] {
        let headers = [
            ("app_key", "app-1"),
            ("authorization", authorization.as_str()),
            ("content-type", kind),
        ];
        let answer = world
            .bare(
                "POST",
                COMMANDS,
                &headers,
                &command(&device, r#","expireTime":"60""#),
            )
            .await;
        assert_eq!(
            (answer.status, answer.at("/expireTime")),
            (201, "60".to_owned()),
            "{kind}"
        );
    }
    let empty = command(&device, "").replace(r#"{"on": 1}"#, "{}");
    assert_eq!(na.call("POST", COMMANDS, &empty).await.status, 201);
}

#[tokio::test]
async fn a_queue_has_a_limit() {
    let world = World::with(vec![("commands", "queue_limit", 2.into())]).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    for _ in 0..2 {
        assert_eq!(na.command(&device).await.status, 201);
    }
    assert_eq!(na.command(&device).await.error(), error(400, "100223"));
}

#[tokio::test]
async fn an_application_has_a_limit_of_open_commands() {
    let world = World::with(vec![("commands", "max_open_per_app", 2.into())]).await;
    let na = world.na().await;
    let devices = [na.device("n1").await, na.device("n2").await];
    let mut ids = Vec::new();
    for device in &devices {
        let made = na.command(device).await;
        assert_eq!(made.status, 201);
        ids.push(made.at("/commandId"));
    }
    assert_eq!(na.command(&devices[0]).await.error(), error(503, "100501"));
    let path = format!("{COMMANDS}/{}", ids[1]);
    na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
    assert_eq!(na.command(&devices[0]).await.status, 201);
}

#[tokio::test]
async fn lists_and_their_filters() {
    let world = World::start().await;
    let na = world.na().await;
    let (first, second) = (na.device("n1").await, na.device("n2").await);
    let mut ids = Vec::new();
    for device in [&first, &second, &first] {
        ids.push(na.command(device).await.at("/commandId"));
    }
    // Ids rise with time; those of one millisecond, of different devices, stand in no order of creation.
    let mut sorted = ids.clone();
    sorted.sort();
    let oldest = ids.iter().position(|id| *id == sorted[0]).unwrap();
    for (query, expected, total) in [
        (String::new(), vec![2, 1, 0], "3"),
        (format!("?deviceId={first}"), vec![2, 0], "2"),
        (format!("?deviceid={second}&appid=app-1"), vec![1], "1"),
        ("?pageNo=1&pageSize=2".to_owned(), vec![oldest], "3"),
        ("?pageNo=7".to_owned(), vec![], "3"),
        ("?endTime=20000101T000000Z".to_owned(), vec![], "0"),
        (
            "?startTime=20000101T000000Z&endTime=29990101T000000Z".to_owned(),
            vec![2, 1, 0],
            "3",
        ),
    ] {
        let answer = na.call("GET", &format!("{COMMANDS}{query}"), "").await;
        let found: Vec<String> = answer.json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|command| command["commandId"].as_str().unwrap().to_owned())
            .collect();
        let mut expected: Vec<String> = expected
            .into_iter()
            .map(|place: usize| ids[place].clone())
            .collect();
        expected.sort_by(|a, b| b.cmp(a));
        assert_eq!(
            (found, answer.at("/pagination/totalSize")),
            (expected, total.to_owned()),
            "{query}"
        );
    }
    let answer = na
        .call("GET", &format!("{COMMANDS}?pageNo=1&pageSize=2"), "")
        .await;
    assert!(
        answer
            .text
            .starts_with(r#"{"pagination":{"pageNo":1,"pageSize":2,"totalSize":3},"data":[{"#)
    );
    for (query, expected) in [
        ("pageSize=0", error(400, "100022")),
        ("pageSize=1001", error(400, "100022")),
        ("pageNo=-1", error(400, "100022")),
        ("endTime=2020", error(400, "100022")),
        ("deviceId=nothing", error(404, "100418")),
    ] {
        let answer = na.call("GET", &format!("{COMMANDS}?{query}"), "").await;
        assert_eq!(answer.error(), expected, "{query}");
    }
}

/// A create call with a key.
async fn keyed(na: &super::world::Na<'_>, key: &str, body: &str) -> super::world::Answer {
    let authorization = format!("Bearer {}", na.token);
    let headers = [
        ("authorization", authorization.as_str()),
        ("idempotency-key", key),
    ];
    na.world.bare("POST", COMMANDS, &headers, body).await
}

#[tokio::test]
async fn a_call_that_is_repeated_with_its_key_is_answered_again() {
    let world = World::start().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let body = command(&device, r#","callbackUrl":"http://127.0.0.1:9/cb/""#);
    let first = keyed(&na, "order 7", &body).await;
    assert_eq!(first.status, 201);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let path = format!("{COMMANDS}/{}", first.at("/commandId"));
    na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
    // What became of it, or of its device, makes no difference.
    na.call("DELETE", &format!("{}/{device}", super::world::DEVICES), "")
        .await;
    let again = keyed(&na, "order 7", &body).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = body.replace(r#"{"on": 1}"#, r#"{"on": 2}"#);
    let answer = keyed(&na, "order 7", &other).await;
    assert_eq!(answer.error(), error(409, "100227"));
    assert!(answer.text.contains("Idempotency-Key"), "{answer:?}");
    assert_eq!(
        na.call("GET", COMMANDS, "").await.at("/pagination/totalSize"),
        "1"
    );
    let dir = world.stop().await;
    let world = World::on(dir, Vec::new()).await;
    let na = world.na().await;
    assert_eq!(keyed(&na, "order 7", &body).await.text, first.text);
}

#[tokio::test]
async fn keys_that_are_none_and_one_too_many() {
    let more = vec![("commands", "max_idempotency_keys_per_app", 1.into())];
    let world = World::with(more).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let body = command(&device, "");
    for bad in ["", "a\tb", &"x".repeat(256)] {
        let answer = keyed(&na, bad, &body).await;
        assert_eq!(answer.error(), error(400, "100022"), "{bad:?}");
        assert!(answer.text.contains("Idempotency-Key"), "{answer:?}");
    }
    assert_eq!(keyed(&na, &"x".repeat(255), &body).await.status, 201);
    assert_eq!(keyed(&na, "k", &body).await.error(), error(503, "100501"));
    assert_eq!(na.command(&device).await.status, 201);
}

#[tokio::test]
async fn the_older_path_creates_too() {
    let world = World::start().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let body = r#"{"command":{"serviceId":"Lamp","method":"SET","paras":{"on":1}},"expireTime":60,"requestId":"r1","callbackUrl":"http://127.0.0.1:9/cb"}"#;
    let path = |device: &str| format!("/iocm/app/cmd/v1.2.0/devices/{device}/commands");
    let made = na.call("POST", &path(&device), body).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(
        (made.at("/deviceId"), made.at("/expireTime"), made.at("/status")),
        (device.clone(), "60".into(), "PENDING".into())
    );
    let shown = na
        .call("GET", &format!("{COMMANDS}/{}", made.at("/commandId")), "")
        .await;
    assert_eq!(shown.text, made.text);
    assert_eq!(
        na.call("POST", &path("no-such"), body).await.error(),
        error(404, "100418")
    );
    assert_eq!(
        na.call("POST", &path(&device), "{}").await.error(),
        error(400, "100022")
    );
}
