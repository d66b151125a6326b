//! Pushes where the runtime has several threads.

use super::receiver::{Answer, Receiver};
use super::{Running, config, sent, until};
use crate::samples::threads;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_threads_pushes_are_sent_and_who_waits_for_them_is_told() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let receiver = Receiver::start(move |_| Answer::When(gate.clone())).await;
    let running = Running::start(&config(&[receiver.address]));
    let idle = running.desk.when_idle();
    assert!(threads().contains(&"push".to_owned()), "{:?}", threads());
    for n in 0..50 {
        running.push(sent(n, &receiver.url("/"))).await;
    }
    idle.wait().await;
    assert_eq!(running.metrics.push_backlog.get(), 50, "all hints were read");
    release.send(true).unwrap();
    until(|| async { (receiver.requests().len() == 50).then_some(()) }).await;
    running.stop().await;
    until(|| async { (!threads().contains(&"push".to_owned())).then_some(()) }).await;
}
