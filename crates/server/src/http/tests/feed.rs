//! The feed over the wire: pages, cursors, and the stream of the same.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{COMMANDS, Na, World, error};

const FEED: &str = "/downlink/v1/feed";
const PATIENCE: Duration = Duration::from_secs(20);

async fn switch(world: &World, app: &str, body: &str) {
    let path = format!("/admin/v1/apps/{app}");
    let changed = world.operate("PATCH", &path, body).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

/// Makes a change: a command is created and cancelled. Gives its id.
async fn change(na: &Na<'_>, device: &str) -> String {
    let id = na.command(device).await.at("/commandId");
    let path = format!("{COMMANDS}/{id}");
    let answer = na.call("PUT", &path, r#"{"status":"CANCELED"}"#).await;
    assert_eq!(answer.status, 200);
    id
}

/// The answer to a stream's call as it comes, on a connection of its own.
struct Streamed {
    stream: TcpStream,
    text: String,
}

impl Streamed {
    async fn open(na: &Na<'_>, query: &str, header: &str) -> Self {
        let mut stream = TcpStream::connect(na.world.plain()).await.unwrap();
        let head = format!(
            "GET {FEED}/stream{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{header}\r\n",
            na.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let text = String::new();
        Self { stream, text }
    }

    /// Reads on until all of these were there.
    async fn until(&mut self, parts: &[&str]) -> &str {
        while !parts.iter().all(|part| self.text.contains(part)) {
            assert!(self.read().await, "ended: {}", self.text);
        }
        &self.text
    }

    /// False: it has ended.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let read = read
            .unwrap_or_else(|_| panic!("nothing more: {}", self.text))
            .unwrap_or(0);
        self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        read > 0
    }

    async fn rest(mut self) -> String {
        while self.read().await {}
        self.text
    }
}

#[tokio::test]
async fn a_feed_is_pulled_page_by_page() {
    let world = World::start().await;
    let na = world.na().await;
    let device = na.device("n1").await;
    assert_eq!(na.call("GET", FEED, "").await.error(), error(409, "900409"));
    switch(&world, &na.app, r#"{"feed":true}"#).await;
    let head = na.call("GET", &format!("{FEED}?cursor=head"), "").await;
    assert_eq!(
        (head.at("/items"), head.at("/more")),
        ("[]".into(), "false".into())
    );
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(change(&na, &device).await);
    }
    let first = na.call("GET", &format!("{FEED}?limit=2"), "").await;
    assert_eq!(first.at("/more"), "true");
    let golden = format!(
        r#"{{"cursor":"{}","webhookId":"{id}-2","commandId":"{id}","deviceId":"{device}","sequence":2,"status":"CANCELED","at":"{}","resultDetail":null}}"#,
        first.at("/items/0/cursor"),
        first.at("/items/0/at"),
        id = ids[0]
    );
    assert!(first.text.contains(&golden), "{golden} in {first:?}");
    assert_eq!(first.at("/nextCursor"), first.at("/items/1/cursor"));
    let path = format!("{FEED}?cursor={}", first.at("/nextCursor"));
    let second = na.call("GET", &path, "").await;
    assert_eq!(
        (second.at("/items/0/commandId"), second.at("/more")),
        (ids[2].clone(), "false".into())
    );
    let path = format!("{FEED}?cursor={}", head.at("/nextCursor"));
    let all = na.call("GET", &path, "").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn bad_cursors_are_told_apart() {
    let world = World::start().await;
    let (other, secret) = world.other_app().await;
    let (na, stranger) = (world.na().await, world.na_of(&other, &secret).await);
    switch(&world, &na.app, r#"{"feed":true}"#).await;
    switch(&world, &other, r#"{"feed":true}"#).await;
    let theirs = stranger.call("GET", FEED, "").await.at("/nextCursor");
    let ours = na.call("GET", FEED, "").await.at("/nextCursor");
    for (query, status, code) in [
        ("?cursor=nonsense".to_owned(), 400, "100022"),
        (format!("?cursor={theirs}"), 400, "100022"),
        ("?limit=0".to_owned(), 400, "100022"),
        ("?limit=many".to_owned(), 400, "100022"),
    ] {
        let answer = na.call("GET", &format!("{FEED}{query}"), "").await;
        assert_eq!(answer.error(), error(status, code), "{query}");
    }
    // Off and on again: what happened in between is not there, and who read before is told so.
    switch(&world, &na.app, r#"{"feed":false}"#).await;
    switch(&world, &na.app, r#"{"feed":true}"#).await;
    for path in [FEED.to_owned(), format!("{FEED}/stream")] {
        let answer = na.call("GET", &format!("{path}?cursor={ours}"), "").await;
        assert_eq!(answer.error(), error(410, "900410"), "{path}");
    }
}

#[tokio::test]
async fn a_stream_tells_each_change_and_resumes() {
    // Without wake-ups getting lost this would still pass; with them lost it would take longer than patience lasts.
    let world = World::with(vec![("engine", "queue_sweep_ms", 600_000.into())]).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    switch(&world, &na.app, r#"{"feed":true}"#).await;
    let before = change(&na, &device).await;
    let mut streamed = Streamed::open(&na, "", "").await;
    streamed
        .until(&["200 OK", "text/event-stream", &format!("{before}-2")])
        .await;
    let after = change(&na, &device).await;
    let text = streamed.until(&[&format!("{after}-2")]).await;
    assert_eq!(text.matches("data: ").count(), 2);
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let first: Value = serde_json::from_str(data).unwrap();
    let cursor = first["cursor"].as_str().unwrap();
    assert!(text.contains(&format!("id: {cursor}\n")));
    // The header counts, and the URL of the first call does not.
    let header = format!("Last-Event-ID: {cursor}\r\n");
    let mut resumed = Streamed::open(&na, "?cursor=head", &header).await;
    let text = resumed.until(&[&format!("{after}-2")]).await;
    assert!(!text.contains(&before));
    let mut at_head = Streamed::open(&na, "?cursor=head", "").await;
    at_head.until(&["id: "]).await;
    let last = change(&na, &device).await;
    let text = at_head.until(&[&format!("{last}-2")]).await;
    assert!(!text.contains(&after));
    assert_eq!(text.matches("data: ").count(), 1);
}

#[tokio::test]
async fn streams_outlive_the_limits_of_a_request_and_end_at_stop() {
    let world = World::with(vec![("northbound", "request_timeout_secs", 1.into())]).await;
    let na = world.na().await;
    let device = na.device("n1").await;
    switch(&world, &na.app, r#"{"feed":true}"#).await;
    let mut streamed = Streamed::open(&na, "", "").await;
    streamed.until(&["id: "]).await;
    // Twice as long as a connection without a request may stay, and some more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let id = change(&na, &device).await;
    streamed.until(&[&format!("{id}-2")]).await;
    world.stop().await;
    let text = tokio::time::timeout(PATIENCE, streamed.rest()).await.unwrap();
    assert!(text.ends_with("0\r\n\r\n"), "not cut off: {text}");
}

#[tokio::test]
async fn streams_are_bounded_and_end_when_the_feed_does() {
    let world = World::with(vec![
        ("feed", "streams_per_app", 1.into()),
        ("engine", "queue_sweep_ms", 50.into()),
    ])
    .await;
    let na = world.na().await;
    let path = format!("{FEED}/stream");
    assert_eq!(na.call("GET", &path, "").await.error(), error(409, "900409"));
    switch(&world, &na.app, r#"{"feed":true}"#).await;
    let mut streamed = Streamed::open(&na, "", "").await;
    streamed.until(&["id: "]).await;
    assert_eq!(na.call("GET", &path, "").await.error(), error(503, "100501"));
    switch(&world, &na.app, r#"{"feed":false}"#).await;
    let end = "event: error\ndata: {\"error_code\":\"900409\"";
    streamed.until(&[end, "\r\n0\r\n\r\n"]).await;
}
