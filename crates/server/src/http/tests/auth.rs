use super::world::{APP, COMMANDS, DEVICES, LOGIN, LOGOUT, REFRESH, SECRET, World, error};

#[tokio::test]
async fn logins_good_and_bad() {
    let world = World::start().await;
    let answer = world.login_as(APP, SECRET).await;
    let (access, refresh) = (answer.at("/accessToken"), answer.at("/refreshToken"));
    let golden = format!(
        r#"{{"scope":"default","tokenType":"bearer","expiresIn":3600,"accessToken":"{access}","refreshToken":"{refresh}"}}"#
    );
    assert_eq!((answer.status, answer.text), (200, golden));
    let long = "x".repeat(257);
    for (body, status, code) in [
        (format!("appId={APP}&Secret={SECRET}"), 200, ""),
        (format!(r#"{{"appId":"{APP}","secret":"{SECRET}"}}"#), 200, ""),
        (format!("appId={APP}&secret=wrong"), 401, "100208"),
        (format!("appId=nobody&secret={SECRET}"), 401, "100208"),
        (format!("appId={APP}"), 400, "102202"),
        (format!("appId={APP}&secret="), 400, "102202"),
        (String::new(), 400, "102202"),
        (format!("appId={APP}&secret={long}"), 400, "100022"),
        ("{".to_owned(), 400, "100022"),
    ] {
        let answer = world.bare("POST", LOGIN, &[], &body).await;
        assert_eq!(answer.error(), error(status, code), "{body}");
    }
}

#[tokio::test]
async fn strangers_may_not_send_long_bodies() {
    let world = World::start().await;
    let limit = 16 * 1024;
    for path in [LOGIN, REFRESH, LOGOUT] {
        let form = format!("appId={APP}&secret=wrong&x={}", "x".repeat(limit));
        let answer = world.bare("POST", path, &[], &form).await;
        assert_eq!(answer.error(), error(413, "100022"), "{path}");
    }
    let form = format!("appId={APP}&secret={SECRET}&x=");
    let fits = format!("{form}{}", "x".repeat(limit - form.len()));
    assert_eq!(world.bare("POST", LOGIN, &[], &fits).await.status, 200);
}

#[tokio::test]
async fn who_may_call() {
    let world = World::start().await;
    let (other, _) = world.other_app().await;
    let na = world.na().await;
    let (big, small) = (format!("Bearer {}", na.token), format!("bearer {}", na.token));
    let more = format!("{big}x");
    type Row<'a> = (Vec<(&'a str, &'a str)>, u16, &'a str);
    let rows: [Row<'_>; 11] = [
        (vec![("app_key", APP), ("authorization", &big)], 200, ""),
        (vec![("APP_KEY", APP), ("authorization", &small)], 200, ""),
        (vec![("x-app-key", APP), ("authorization", &big)], 200, ""),
        (vec![("app_key", APP), ("access_token", &na.token)], 200, ""),
        (vec![("app_key", APP)], 403, "1010005"),
        (
            vec![("app_key", APP), ("authorization", "Bearer ")],
            403,
            "1010005",
        ),
        (
            vec![("app_key", APP), ("authorization", "Bearer x")],
            403,
            "1010005",
        ),
        (vec![("app_key", APP), ("authorization", &more)], 403, "1010005"),
        (
            vec![("app_key", APP), ("authorization", &na.token)],
            403,
            "1010005",
        ),
        (vec![("app_key", &other), ("authorization", &big)], 403, "1010005"),
        (vec![("authorization", &big)], 200, ""),
    ];
    for (headers, status, code) in rows {
        let answer = world.bare("GET", DEVICES, &headers, "").await;
        assert_eq!(answer.error(), error(status, code), "{headers:?}");
    }
    let answer = world.bare("GET", DEVICES, &[("app_key", APP)], "").await;
    assert_eq!(
        answer.text,
        r#"{"resultcode":"1010005","resultmsg":"Invalid access token or appId."}"#
    );
    for (query, expected) in [
        (format!("?appid={APP}"), error(200, "")),
        ("?appId=".to_owned(), error(200, "")),
        (format!("?appId={other}"), error(403, "100217")),
    ] {
        assert_eq!(
            na.call("GET", &format!("{COMMANDS}{query}"), "").await.error(),
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn refresh_gives_new_tokens_and_leaves_the_old_ones() {
    let world = World::start().await;
    let (other, other_secret) = world.other_app().await;
    let na = world.na().await;
    let body = |app: &str, secret: &str, token: &str| {
        format!(r#"{{"appId":"{app}","secret":"{secret}","refreshToken":"{token}"}}"#)
    };
    let fresh = world
        .bare("POST", REFRESH, &[], &body(APP, SECRET, &na.refresh))
        .await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_ne!(fresh.at("/accessToken"), na.token);
    assert_eq!(na.call("GET", DEVICES, "").await.status, 200);
    for (body, expected) in [
        (body(APP, SECRET, "wrong"), error(401, "100208")),
        (body(APP, SECRET, &na.token), error(401, "100208")),
        (body(APP, "wrong", &na.refresh), error(401, "100208")),
        (body(&other, &other_secret, &na.refresh), error(401, "100208")),
        (body(APP, SECRET, ""), error(400, "102202")),
    ] {
        assert_eq!(
            world.bare("POST", REFRESH, &[], &body).await.error(),
            expected,
            "{body}"
        );
    }
}

#[tokio::test]
async fn logout_ends_a_token_that_was_in_use() {
    let world = World::start().await;
    let (na, other) = (world.na().await, world.na().await);
    assert_eq!(na.call("GET", DEVICES, "").await.status, 200);
    let body = format!(r#"{{"accessToken":"{}"}}"#, na.token);
    assert_eq!(world.bare("POST", LOGOUT, &[], &body).await.status, 204);
    assert_eq!(na.call("GET", DEVICES, "").await.error(), error(403, "1010005"));
    assert_eq!(other.call("GET", DEVICES, "").await.status, 200);
    assert_eq!(world.bare("POST", LOGOUT, &[], &body).await.status, 204);
    assert_eq!(
        world.bare("POST", LOGOUT, &[], "{}").await.error(),
        error(400, "102202")
    );
    let header = ("authorization", format!("Bearer {}", other.token));
    assert_eq!(
        world
            .bare("POST", LOGOUT, &[(header.0, &header.1)], "")
            .await
            .status,
        204
    );
    assert_eq!(
        other.call("GET", DEVICES, "").await.error(),
        error(403, "1010005")
    );
}

#[tokio::test]
async fn tokens_survive_a_restart() {
    let world = World::start().await;
    let token = world.na().await.token;
    let world = World::on(world.stop().await, Vec::new()).await;
    let authorization = format!("Bearer {token}");
    let answer = world
        .bare(
            "GET",
            DEVICES,
            &[("app_key", APP), ("authorization", &authorization)],
            "",
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn the_oldest_tokens_are_revoked_beyond_the_limit_even_if_in_use() {
    let world = World::with(vec![("auth", "max_tokens_per_app", 2.into())]).await;
    let (first, second) = (world.na().await, world.na().await);
    assert_eq!(first.call("GET", DEVICES, "").await.status, 200);
    let third = world.na().await;
    assert_eq!(
        first.call("GET", DEVICES, "").await.error(),
        error(403, "1010005")
    );
    assert_eq!(second.call("GET", DEVICES, "").await.status, 200);
    assert_eq!(third.call("GET", DEVICES, "").await.status, 200);
}

#[tokio::test]
async fn a_token_ends_in_time() {
    let world = World::with(vec![("auth", "access_token_secs", 0.into())]).await;
    let na = world.na().await;
    assert_eq!(na.call("GET", DEVICES, "").await.error(), error(403, "1010005"));
}
