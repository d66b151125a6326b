use super::*;
use crate::idle;
use crate::push::client::Outgoing;
use crate::push::desk::Whom;
use crate::push::limits;
use crate::push::outcome::Report;
use crate::push::tests::FakeStore;
use crate::push::tests::{config, sent};

#[tokio::test]
async fn nobody_is_told_that_it_is_idle_before_all_else_was_taken() {
    let ((duty, duties), (receiver, receivers)) = (mpsc::channel(2), mpsc::channel(1));
    let ((ask, asks), (idle, waiting)) = (mpsc::channel(1), idle::pair(Duration::from_secs(60)));
    let mut inbox = Some(Inbox {
        duties,
        receivers,
        asks,
        waiting,
    });
    let waits = tokio::spawn(async move { idle.wait().await });
    tokio::task::yield_now().await;
    let key = ReceiverKey(1);
    ask.send(Ask::Probe(Whom::Key(key))).await.unwrap();
    receiver.send(key).await.unwrap();
    for n in 0..2 {
        duty.send(sent(n, "http://receiver.example/")).await.unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(hint_from(&mut inbox).await, Event::Duty(Some(_))));
    }
    assert!(matches!(hint_from(&mut inbox).await, Event::Receiver(Some(_))));
    assert!(matches!(hint_from(&mut inbox).await, Event::Asked(_)));
    let Event::Idle(waiting) = hint_from(&mut inbox).await else {
        panic!("whoever waits is told at last");
    };
    assert!(!waits.is_finished());
    waiting.send(()).unwrap();
    waits.await.unwrap();
}

#[tokio::test]
async fn the_operator_is_answered_in_a_turn_that_something_else_began() {
    let ((_duty, duties), (_receiver, receivers)) = (mpsc::channel(1), mpsc::channel(1));
    let ((ask, asks), (_idle, waiting)) = (mpsc::channel(1), idle::pair(Duration::ZERO));
    let mut inbox = Inbox {
        duties,
        receivers,
        asks,
        waiting,
    };
    let store = Arc::new(FakeStore::default());
    let metrics = Arc::new(Metrics::new());
    let limits = limits(&config(&[]));
    let mut dispatcher = Dispatcher::new(limits, Arc::new(Never), store, metrics, Duration::ZERO);
    let (answer, answered) = tokio::sync::oneshot::channel();
    ask.send(Ask::Live(9, answer)).await.unwrap();
    dispatcher.take_waiting(Some(&mut inbox));
    assert!(answered.await.unwrap().is_empty());
}

/// Makes attempts that never end.
struct Never;

impl Sends for Never {
    async fn attempt(&self, _: &Outgoing) -> Report {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_though_attempts_are_under_way() {
    let ((duty, duties), (_receiver, receivers)) = (mpsc::channel(2), mpsc::channel(1));
    let longest = Duration::from_secs(60);
    let ((_ask, asks), (idle, waiting)) = (mpsc::channel(1), idle::pair(longest));
    let inbox = Inbox {
        duties,
        receivers,
        asks,
        waiting,
    };
    duty.send(sent(1, "http://receiver.example/")).await.unwrap();
    let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
    let limits = limits(&config(&[]));
    let store = Arc::new(FakeStore::default());
    let dispatcher = Dispatcher::new(limits, Arc::new(Never), store, Arc::clone(&metrics), longest);
    let running = tokio::spawn(dispatcher.run(inbox, stop));
    let began = Instant::now();
    idle.wait().await;
    assert!(began.elapsed() < longest, "told, not given up");
    assert_eq!(metrics.push_backlog.get(), 1);
    running.abort();
}
