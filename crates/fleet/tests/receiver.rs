//! The receiver, spoken to over a raw socket.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use downlink_fleet::Receiver;
use downlink_fleet::receiver::{Plan, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

async fn send(stream: &mut TcpStream, path: &str, body: &str) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nx-mark: m\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// The response's head and body, read until the length it announces; what there was if the connection ended before.
async fn response(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let got = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = got.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return got;
            }
        }
        match tokio::time::timeout(SOON, stream.read(&mut buffer))
            .await
            .expect("an answer in time")
        {
            Ok(0) | Err(_) => return got,
            Ok(n) => text.extend_from_slice(&buffer[..n]),
        }
    }
}

async fn post(receiver: &Receiver, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    send(&mut stream, path, body).await;
    response(&mut stream).await
}

#[tokio::test]
async fn records_what_came_and_says_ok() {
    let receiver = Receiver::start().await.unwrap();
    let body = r#"{"deviceId":"d","commandId":"c","result":{"resultCode":"SENT","resultDetail":null}}"#;
    assert!(post(&receiver, "/cb?x=1", body).await.ends_with("\r\n\r\nok"));
    let push = receiver.nth(0, SOON).await.unwrap();
    assert_eq!(
        (push.path.as_str(), &push.body[..], push.header("x-mark")),
        ("/cb?x=1", body.as_bytes(), Some("m"))
    );
    let told = push.command().unwrap();
    assert_eq!(
        (
            told.device_id.as_str(),
            told.status.as_str(),
            told.detail.is_null()
        ),
        ("d", "SENT", true)
    );
    assert_eq!(receiver.read(|pushes| pushes.statuses_of("c")), ["SENT"]);
    receiver.wait_status("c", "SENT", SOON).await.unwrap();
}

#[tokio::test]
async fn fails_as_often_as_it_is_told() {
    let receiver = Receiver::start().await.unwrap();
    receiver.plan(Plan::fail_then_ok(
        2,
        Reply::status(503).header("retry-after", "1"),
    ));
    for expected in ["HTTP/1.1 503", "HTTP/1.1 503", "HTTP/1.1 200"] {
        let answer = post(&receiver, "/", "{}").await;
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(answer.contains("retry-after: 1"), expected.ends_with("503"));
    }
    assert_eq!(receiver.pushes().len(), 3);
}

#[tokio::test]
async fn chooses_by_push() {
    let receiver = Receiver::start().await.unwrap();
    receiver.plan(Plan::choose(|push| {
        Reply::status(if push.path == "/bad" { 500 } else { 204 })
    }));
    assert!(post(&receiver, "/bad", "{}").await.starts_with("HTTP/1.1 500"));
    assert!(post(&receiver, "/good", "{}").await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn closes_without_an_answer() {
    let receiver = Receiver::start().await.unwrap();
    receiver.plan(Plan::always(Reply::Close));
    assert_eq!(post(&receiver, "/", "{}").await, "");
    assert_eq!(receiver.pushes().len(), 1);
}

#[tokio::test]
async fn stalls_until_it_is_taken_down() {
    let mut receiver = Receiver::start().await.unwrap();
    receiver.plan(Plan::always(Reply::Stall));
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    send(&mut stream, "/", "{}").await;
    receiver
        .wait_until(SOON, |pushes| pushes.len() == 1)
        .await
        .unwrap();
    receiver.down().await;
    assert_eq!(response(&mut stream).await, "");
}

#[tokio::test]
async fn stalls_in_the_body() {
    let receiver = Receiver::start().await.unwrap();
    receiver.plan(Plan::always(Reply::StallBody));
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    send(&mut stream, "/", "{}").await;
    let head = response(&mut stream).await;
    assert!(
        head.starts_with("HTTP/1.1 200") && !head.contains("content-length"),
        "{head}"
    );
}

#[tokio::test]
async fn goes_down_and_comes_up_on_the_same_port_with_its_records() {
    let mut receiver = Receiver::start().await.unwrap();
    post(&receiver, "/1", "{}").await;
    receiver.down().await;
    assert!(TcpStream::connect(receiver.address()).await.is_err());
    receiver.up().await.unwrap();
    post(&receiver, "/2", "{}").await;
    let paths: Vec<_> = receiver.pushes().into_iter().map(|push| push.path).collect();
    assert_eq!(paths, ["/1", "/2"]);
}

#[tokio::test]
async fn a_wait_in_vain_tells_what_had_come() {
    let receiver = Receiver::start().await.unwrap();
    post(&receiver, "/only", "{}").await;
    let error = receiver
        .wait_until(Duration::from_millis(20), |pushes| pushes.len() == 2)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/only {}"), "{error}");
}
