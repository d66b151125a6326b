//! One attempt at a time: what it sends, and what it reports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::AppKey;
use tokio::net::TcpListener;

use super::full::Full;
use super::receiver::{Answer, Receiver};
use super::tls::Authority;
use super::{book, config};
use crate::push::client::{Client, Outgoing};
use crate::push::connect::{ConnectError, DialFailure, LookUpGauges};
use crate::push::guard::Guard;
use crate::push::outcome::{Outcome, Phase, Report};
use crate::push::target::Target;
use crate::push::tls::Roots;

fn client(allow: &[SocketAddr]) -> Client {
    client_trusting(allow, book::no_roots())
}

fn client_trusting(allow: &[SocketAddr], roots: Roots) -> Client {
    let mut config = config(allow);
    config.timeout_secs = 1;
    let guard = Guard::new(&config.allow, Vec::new()).unwrap();
    Client::new(&config, guard, book::empty(roots), LookUpGauges::default())
}

pub(super) fn outgoing(url: &str) -> Outgoing {
    Outgoing {
        app: AppKey(1),
        target: Arc::new(Target::of(url)),
        webhook_id: "push-1".into(),
        sequence: 1,
        body: "{}".into(),
    }
}

async fn attempt(receiver: &Receiver) -> Report {
    client(&[receiver.address])
        .attempt(&outgoing(&receiver.url("/")))
        .await
}

async fn answered(head: &'static str, body: &'static str) -> Report {
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    attempt(&Receiver::start(move |_| Answer::Raw(answer.clone())).await).await
}

#[tokio::test]
async fn an_answer_is_reported_with_status_excerpt_and_pause() {
    let down = answered("503 x\r\nretry-after: 120", "down <b>for\x1b[2J</b> now").await;
    assert!(matches!(down.outcome, Outcome::Throttled(503)));
    assert_eq!(
        (down.outcome.word(), down.phase.word(), down.status),
        ("status", "body", Some(503))
    );
    assert_eq!(&*down.excerpt, "down <b>for\u{fffd}[2J</b> now");
    assert_eq!(down.retry_after, Some(Duration::from_secs(120)));

    let fine = answered("202 x\r\nretry-after: 5", "secret").await;
    assert!(fine.outcome.is_accepted());
    assert_eq!(
        (&*fine.excerpt, fine.retry_after, fine.status),
        ("", None, Some(202))
    );

    let gone = answered("410 x\r\nretry-after: 5", "no").await;
    assert!(matches!(gone.outcome, Outcome::Gone));
    assert_eq!((gone.outcome.word(), gone.retry_after), ("status", None));
}

#[tokio::test]
async fn an_answer_that_drips_is_a_timeout_that_tells_what_came() {
    let head = "HTTP/1.1 429 x\r\nretry-after: 9\r\ncontent-length: 100\r\n\r\nslow d";
    let receiver = Receiver::start(move |_| Answer::Raw(head.to_owned())).await;
    let report = attempt(&receiver).await;
    assert!(
        matches!(report.outcome, Outcome::Timeout(Phase::Body)),
        "{report:?}"
    );
    assert_eq!((report.phase, report.status), (Phase::Body, Some(429)));
    assert_eq!(&*report.excerpt, "slow d");
    assert_eq!(report.retry_after, Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn what_went_wrong_is_told_apart() {
    let silent = attempt(&Receiver::start(|_| Answer::Never).await).await;
    assert_eq!((silent.outcome.word(), silent.phase), ("timeout", Phase::Answer));
    let closing = attempt(&Receiver::start(|_| Answer::Close).await).await;
    assert_eq!((closing.outcome.word(), closing.phase), ("broken", Phase::Answer));
    let garbage = attempt(&Receiver::start(|_| Answer::Raw("SSH-2.0-x\r\n".to_owned())).await).await;
    assert_eq!((garbage.outcome.word(), garbage.status), ("broken", None));

    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = client(&[closed])
        .attempt(&outgoing(&format!("http://{closed}/")))
        .await;
    assert!(
        matches!(
            refused.outcome,
            Outcome::NotConnected(ConnectError::Dial {
                why: DialFailure::Refused,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(
        (refused.outcome.word(), refused.phase),
        ("connect", Phase::Connect)
    );

    let forbidden = client(&[]).attempt(&outgoing("http://10.0.0.1/")).await;
    assert_eq!(
        (forbidden.outcome.word(), forbidden.phase),
        ("not_allowed", Phase::Resolve)
    );
    let unnamed = client(&[]).attempt(&outgoing("http://nowhere.invalid/")).await;
    assert_eq!((unnamed.outcome.word(), unnamed.phase), ("dns", Phase::Resolve));
}

/// Whether 429 or 503: without a pause that is asked for, or with one that nobody can read, the schedule's own counts.
#[tokio::test]
async fn a_receiver_that_throttles_without_a_pause_asks_for_none() {
    for (status, head) in [
        (429, "429 x"),
        (503, "503 x"),
        (503, "503 x\r\nretry-after: soon"),
    ] {
        let report = answered(head, "").await;
        assert!(
            matches!(report.outcome, Outcome::Throttled(told) if told == status),
            "{report:?}"
        );
        assert_eq!(report.retry_after, None, "{head}");
    }
}

/// A receiver that answers no SYN: connections wait in its queue, and nobody accepts them.
#[tokio::test]
async fn a_connection_that_does_not_come_is_a_timeout_while_connecting() {
    let full = Full::listen().await;
    let report = client(&[full.address])
        .attempt(&outgoing(&format!("http://{}/", full.address)))
        .await;
    assert_eq!(
        (report.outcome.word(), report.phase),
        ("timeout", Phase::Connect),
        "{report:?}"
    );
    assert_eq!(report.status, None);
}

#[tokio::test]
async fn silence_in_the_handshake_is_a_timeout_in_tls() {
    // The kernel accepts; nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let report = client_trusting(&[address], book::trusting(&[Authority::new().der()], true))
        .attempt(&outgoing(&format!("https://{address}/")))
        .await;
    assert_eq!(
        (report.outcome.word(), report.phase),
        ("timeout", Phase::Tls),
        "{report:?}"
    );
    assert_eq!(report.status, None);
}

#[tokio::test]
async fn no_part_of_a_push_can_begin_a_header_of_its_own() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let client = client(&[receiver.address]);
    let injected = "x\r\nx-injected: 1";
    let mut push = outgoing(&receiver.url("/"));
    push.webhook_id = injected.into();
    assert_eq!(client.attempt(&push).await.outcome.word(), "broken");
    // The line ends in a URL are dropped or escaped by its parser; what is left is one line.
    let push = outgoing(&receiver.url("/a\r\nx-injected: 1\r\n?b=\r\nx-injected: 2 HTTP/1.1"));
    assert!(client.attempt(&push).await.outcome.is_accepted());
    let host = outgoing(&format!("http://{}\r\nx-injected: 1/", receiver.address));
    assert!(!client.attempt(&host).await.outcome.is_accepted());
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("x-injected"), None);
    assert_eq!(requests[0].line.split(' ').count(), 3, "{}", requests[0].line);
}
