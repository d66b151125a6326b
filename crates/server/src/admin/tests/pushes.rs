//! Stored pushes and receivers as the operator meets them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use downlink_core::{CommandId, Timestamp};
use downlink_store::{Attempt, Diverted, Fate, Pushes};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::clock;
use crate::http::tests::world::{APP, Answer, COMMANDS, Na, World, command};

const ORIGIN: &str = "http://127.0.0.1:9";

/// A server whose own pushes nothing wakes, so that what is stored is what the test stores.
async fn quiet() -> World {
    let more = vec![
        ("engine", "hints", false.into()),
        ("engine", "open_sweep_ms", 3_600_000.into()),
    ];
    World::with(more).await
}

/// A cancelled command whose push failed, with this fate. Gives its id.
async fn stored(world: &World, na: &Na<'_>, device: &str, fate: Fate) -> String {
    let body = command(device, r#","callbackUrl":"http://127.0.0.1:9/cb""#);
    let id = na.call("POST", COMMANDS, &body).await.at("/commandId");
    let path = format!("{COMMANDS}/{id}");
    na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
    let now = clock::now();
    let diverted = Diverted {
        command: id.parse::<CommandId>().unwrap(),
        origin: ORIGIN.into(),
        accepted: 1,
        failed: Some((attempt(now), fate)),
        now,
    };
    assert!(world.store().divert(vec![diverted]).await.unwrap()[0].is_some());
    id
}

fn attempt(at: Timestamp) -> Attempt {
    Attempt {
        at,
        took_ms: 12,
        outcome: "status".into(),
        phase: "answer".into(),
        status: Some(503),
        asked_for_pause: false,
        detail: "503".into(),
        excerpt: "busy <b>".into(),
    }
}

fn dead() -> Fate {
    Fate::Dead("gone".into())
}

fn again() -> Fate {
    Fate::Again(Timestamp::from_millis(clock::now().as_millis() + 3_600_000))
}

fn list(answer: &Answer, member: &str) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()[member].as_array().unwrap().clone()
}

async fn pushes(world: &World, query: &str) -> Vec<Value> {
    let answer = world
        .operate("GET", &format!("/admin/v1/pushes{query}"), "")
        .await;
    list(&answer, "pushes")
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.at("/error/code"))
}

#[tokio::test]
async fn pushes_are_listed_and_shown_with_their_attempts() {
    let world = quiet().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let first = stored(&world, &na, &device, dead()).await;
    let second = stored(&world, &na, &device, again()).await;
    let all = pushes(&world, "").await;
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["app"], &all[0]["origin"]), (&APP.into(), &ORIGIN.into()));
    assert_eq!(
        (&all[0]["webhookId"], &all[0]["status"], &all[0]["deadBecause"]),
        (&format!("{first}-2").into(), &"CANCELED".into(), &"gone".into())
    );
    assert!(all[0].get("attempts").is_none());
    for (query, ids) in [
        ("?state=dead", vec![&first]),
        ("?state=due", vec![&second]),
        ("?state=held", vec![]),
        ("?app=app-1", vec![&first, &second]),
        ("?since=20991231T000000Z", vec![]),
        (&format!("?command={second}"), vec![&second]),
        ("?limit=1", vec![&first]),
        (&format!("?after={}", all[0]["id"]), vec![&second]),
        ("?receiver=99", vec![]),
    ] {
        let found = pushes(&world, query).await;
        let found: Vec<_> = found
            .iter()
            .map(|push| push["commandId"].as_str().unwrap())
            .collect();
        assert_eq!(found, ids, "{query}");
    }
    let page = world.operate("GET", "/admin/v1/pushes?limit=1", "").await;
    assert_eq!(page.json()["nextAfter"], all[0]["id"]);
    let one = world
        .operate("GET", &format!("/admin/v1/pushes/{}", all[0]["id"]), "")
        .await;
    assert_eq!(
        (
            one.at("/attempts/0/excerpt"),
            one.at("/attempts/0/status"),
            one.at("/attempts/0/tookMs")
        ),
        ("busy <b>".into(), "503".into(), "12".into())
    );
    for query in ["?state=gone", "?command=x", "?since=yesterday"] {
        let answer = world
            .operate("GET", &format!("/admin/v1/pushes{query}"), "")
            .await;
        assert_eq!(code(&answer), (400, "invalid".into()), "{query}");
    }
    let none = world.operate("GET", "/admin/v1/pushes?app=none", "").await;
    assert_eq!(code(&none), (404, "unknown_app".into()));
    let none = world.operate("GET", "/admin/v1/pushes/999", "").await;
    assert_eq!(code(&none), (404, "unknown_push".into()));
}

#[tokio::test]
async fn what_was_given_up_is_sent_again_or_dropped() {
    let world = quiet().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    for fate in [dead(), dead(), dead(), again()] {
        stored(&world, &na, &device, fate).await;
    }
    let dead = pushes(&world, "?state=dead").await;
    let path = format!("/admin/v1/pushes/{}", dead[0]["id"]);
    let replayed = world.operate("POST", &format!("{path}/replay"), "").await;
    assert_eq!((replayed.status, replayed.at("/replayed")), (200, "1".into()));
    let refused = world.operate("POST", &format!("{path}/replay"), "").await;
    assert_eq!(code(&refused), (409, "not_dead".into()));
    assert_eq!(world.operate("DELETE", &path, "").await.status, 204);
    assert_eq!(world.operate("DELETE", &path, "").await.status, 404);

    let receiver = format!("/admin/v1/receivers/{}", dead[1]["receiver"]);
    let late = format!("{receiver}/replay");
    let none = world
        .operate("POST", &late, r#"{"since":"20991231T000000Z"}"#)
        .await;
    assert_eq!(
        (none.at("/replayed"), none.at("/more")),
        ("0".into(), "false".into())
    );
    let rest = world.operate("POST", &late, "").await;
    assert_eq!(rest.at("/replayed"), "2");
    assert_eq!(pushes(&world, "?state=due").await.len(), 3);
    let dropped = world
        .operate("POST", &format!("{receiver}/drop"), r#"{"state":"due"}"#)
        .await;
    assert_eq!(
        (dropped.at("/dropped"), dropped.at("/more")),
        ("3".into(), "false".into())
    );
    assert_eq!(pushes(&world, "").await.len(), 0);
    for (body, status) in [("{}", 400), (r#"{"state":"all"}"#, 400), ("", 400)] {
        let answer = world.operate("POST", &format!("{receiver}/drop"), body).await;
        assert_eq!(answer.status, status, "{body}");
    }
    let unknown = world.operate("POST", "/admin/v1/receivers/999/replay", "").await;
    assert_eq!(code(&unknown), (404, "unknown_receiver".into()));
}

/// One whose receivers are dead, and that goes on, filled the disk with what was given up.
#[tokio::test]
async fn of_too_many_that_were_given_up_the_oldest_go() {
    let world = quiet().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let mut ids = Vec::new();
    for fate in [dead(), again(), dead(), dead()] {
        ids.push(stored(&world, &na, &device, fate).await);
    }
    let dir = world.stop().await;
    let more = vec![
        ("engine", "hints", false.into()),
        ("engine", "open_sweep_ms", 3_600_000.into()),
        ("push", "max_dead_per_app", 2.into()),
    ];
    let world = World::on(dir, more).await;
    let fewer = async {
        while pushes(&world, "?state=dead").await.len() != 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, fewer).await.expect("in time");
    let left = pushes(&world, "?state=dead").await;
    assert_eq!(left[0]["commandId"], ids[2].as_str(), "the oldest is gone");
    assert_eq!(pushes(&world, "?state=due").await.len(), 1, "it waits still");
    let counted = async {
        while !world
            .operate("GET", "/metrics", "")
            .await
            .text
            .contains("\ndownlink_push_dead_dropped_total 1\n")
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, counted).await.expect("in time");
}

#[tokio::test]
async fn a_receiver_is_held_released_and_given_a_rate() {
    let world = quiet().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    let named = r#"{"app":"app-1","url":"http://0x7f.1:9/any?x"}"#;
    let held = world.operate("POST", "/admin/v1/receivers/hold", named).await;
    assert_eq!((held.status, held.at("/origin")), (200, ORIGIN.into()));
    assert_ne!(held.at("/heldAt"), "null");
    stored(&world, &na, &device, again()).await;
    let key = held.at("/key");
    let rated = world
        .operate(
            "PUT",
            "/admin/v1/receivers/rate",
            &format!(r#"{{"key":{key},"rate":7}}"#),
        )
        .await;
    assert_eq!(
        (rated.at("/rate"), rated.at("/waiting")),
        ("7".into(), "1".into())
    );
    let all = world.operate("GET", "/admin/v1/receivers?busy=true", "").await;
    let all = list(&all, "receivers");
    assert_eq!((all.len(), &all[0]["app"]), (1, &APP.into()));
    let released = world
        .operate(
            "POST",
            "/admin/v1/receivers/release",
            &format!(r#"{{"key":{key}}}"#),
        )
        .await;
    assert_eq!(
        (released.at("/heldAt"), released.at("/key")),
        ("null".into(), key.clone())
    );
    let unlimited = format!(r#"{{"key":{key},"rate":null}}"#);
    let rated = world.operate("PUT", "/admin/v1/receivers/rate", &unlimited).await;
    assert_eq!(rated.at("/rate"), "null");
    for (body, status) in [
        (format!(r#"{{"key":{key}}}"#), 400),
        (format!(r#"{{"key":{key},"rate":0}}"#), 400),
        (r#"{"key":999,"rate":1}"#.to_owned(), 404),
        (r#"{"app":"app-1","rate":1}"#.to_owned(), 400),
        (r#"{"app":"app-1","url":"ftp://x/","rate":1}"#.to_owned(), 400),
        (r#"{"app":"none","url":"http://x/","rate":1}"#.to_owned(), 404),
    ] {
        let answer = world.operate("PUT", "/admin/v1/receivers/rate", &body).await;
        assert_eq!(answer.status, status, "{body}");
    }
}

#[tokio::test]
async fn a_test_push_is_asked_for_by_application_and_url() {
    let world = quiet().await;
    for (body, status) in [("{}", 400), (r#"{"app":"none","url":"http://h/x"}"#, 404)] {
        let answer = world.operate("POST", "/admin/v1/pushes/test", body).await;
        assert_eq!(answer.status, status, "{body}");
    }
}

/// Waits until the list of receivers shows this at `pointer` of the first one.
async fn shown(world: &World, query: &str, pointer: &str, value: Value) -> Value {
    let path = format!("/admin/v1/receivers{query}");
    for _ in 0..1000 {
        let all = list(&world.operate("GET", &path, "").await, "receivers");
        if let Some(first) = all.into_iter().next()
            && first.pointer(pointer) == Some(&value)
        {
            return first;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{pointer} never was {value}");
}

#[tokio::test]
async fn receivers_are_shown_with_what_was_learnt_of_them() {
    let world = World::with(Vec::new()).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    // Ten that are not allowed set the breaker.
    for _ in 0..15 {
        let body = command(&device, r#","callbackUrl":"http://127.0.0.1:9/cb""#);
        let id = na.call("POST", COMMANDS, &body).await.at("/commandId");
        let path = format!("{COMMANDS}/{id}");
        na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
    }
    let open = shown(&world, "?busy=true", "/state/breaker", "open".into()).await;
    assert_eq!(open["origin"], ORIGIN);
    let limit = open["state"]["limit"].as_u64().unwrap();
    assert!((1..=256).contains(&limit), "{open}");
    let live = shown(&world, "?live=true", "/state/breaker", "open".into()).await;
    assert_eq!((&live["key"], &live["app"]), (&open["key"], &APP.into()));
    // Shown alone, too.
    let named = format!(r#"{{"key":{}}}"#, open["key"]);
    let held = world.operate("POST", "/admin/v1/receivers/hold", &named).await;
    assert_eq!(held.at("/state/breaker"), "open");
}

/// A receiver that fails until it is told to work. Gives its URL, the switch, and how many pushes it took.
async fn receiver() -> (String, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (works, took) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (switch, count) = (Arc::clone(&works), Arc::clone(&took));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/cb", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let works = switch.load(Relaxed);
            let status = if works { "200 OK" } else { "500 No" };
            // One that was closed again unused counts for nothing.
            if answer(stream, status).await.is_some() {
                count.fetch_add(usize::from(works), Relaxed);
            }
        }
    });
    (url, works, took)
}

/// Reads one request and answers it.
async fn answer(mut stream: TcpStream, status: &str) -> Option<()> {
    let mut request = String::new();
    loop {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).await.ok().filter(|read| *read > 0)?;
        request.push_str(std::str::from_utf8(&some[..read]).unwrap());
        // The body is one JSON object.
        if request.ends_with('}') {
            break;
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()
}

#[tokio::test]
async fn a_test_push_or_a_release_that_finds_a_receiver_works_has_it_probed_at_once() {
    // Left alone it would be probed after three minutes, and its pushes tried after half an hour.
    let more = vec![
        ("push", "allow", vec!["127.0.0.1/32".to_owned()].into()),
        ("push", "retry_first_ms", 3_600_000.into()),
        ("push", "retry_longest_ms", 3_600_000.into()),
    ];
    let world = World::with(more).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    for by_release in [false, true] {
        let (url, works, took) = receiver().await;
        for _ in 0..12 {
            let body = command(&device, &format!(r#","callbackUrl":"{url}""#));
            let id = na.call("POST", COMMANDS, &body).await.at("/commandId");
            let path = format!("{COMMANDS}/{id}");
            na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
        }
        shown(&world, "?busy=true", "/state/breaker", "open".into()).await;
        works.store(true, Relaxed);
        let named = format!(r#"{{"app":"{APP}","url":"{url}"}}"#);
        let (path, extra) = match by_release {
            true => ("/admin/v1/receivers/release", 0),
            false => ("/admin/v1/pushes/test", 1),
        };
        assert_eq!(world.operate("POST", path, &named).await.status, 200);
        for _ in 0..1000 {
            if took.load(Relaxed) >= 12 + extra {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(took.load(Relaxed), 12 + extra, "by release: {by_release}");
        let live = world.operate("GET", "/admin/v1/receivers?live=true", "").await;
        assert_eq!(live.at("/receivers/0/state/breaker"), "closed");
    }
}
