//! Pushes where the runtime has several threads.

use super::receiver::{Answer, Receiver};
use super::{Running, config, sent, until};
use crate::samples::threads;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_threads_pushes_are_sent_by_one_that_ends_with_them() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::start(&config(&[receiver.address]));
    assert!(threads().contains(&"push".to_owned()), "{:?}", threads());
    for n in 0..50 {
        running.push(sent(n, &receiver.url("/"))).await;
    }
    until(|| async { (receiver.requests().len() == 50).then_some(()) }).await;
    running.stop().await;
    until(|| async { (!threads().contains(&"push".to_owned())).then_some(()) }).await;
}
