//! The dispatcher against real receivers on loopback.

mod attempt;
mod book;
pub(super) mod full;
mod http2;
mod receiver;
mod store;
mod table;
mod threads;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppKey, CommandId, DeviceId, Status};
use downlink_store::{PushDuty, PushEvent, ReceiverKey};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::receiver::{Answer, Receiver, Request};
pub(super) use self::store::FakeStore;
use crate::telemetry::Metrics;
use crate::{clock, config};

/// Longer than anything here takes; only a failing test waits this long.
const LONG: Duration = Duration::from_secs(30);

/// Waits until `found` gives something, looking often. For conditions that nothing signals.
async fn until<T, F: Future<Output = Option<T>>>(mut found: impl FnMut() -> F) -> T {
    let look = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, look).await.expect("in time")
}

pub(super) fn config(allow: &[SocketAddr]) -> config::Push {
    let mut push = config::load(None, std::iter::empty(), Vec::new()).unwrap().push;
    push.allow = allow
        .iter()
        .map(|address| format!("{}/32:{}", address.ip(), address.port()))
        .collect();
    push.retry_first_ms = 5;
    push.retry_longest_ms = 20;
    push.record_wait_ms = 20;
    push.record_gather_ms = 0;
    push
}

fn id(n: u32) -> CommandId {
    CommandId::from_parts(1, 0, n, 0)
}

fn duty(n: u32, url: &str, events: &[(u16, Status, Option<&str>)]) -> PushDuty {
    let event = |(seq, status, result): &(u16, Status, Option<&str>)| PushEvent {
        seq: *seq,
        status: *status,
        at: clock::now(),
        result: result.map(Into::into),
    };
    PushDuty {
        command: id(n),
        app: AppKey(1),
        device_id: DeviceId::new("0d0c-1"),
        receiver: url.into(),
        events: events.iter().map(event).collect(),
    }
}

pub(super) fn sent(n: u32, url: &str) -> PushDuty {
    duty(n, url, &[(1, Status::Sent, None)])
}

/// A dispatcher, its store, and what ends it.
struct Running {
    hints: mpsc::Sender<PushDuty>,
    _receivers: mpsc::Sender<ReceiverKey>,
    store: Arc<FakeStore>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    fn start(config: &config::Push) -> Self {
        Self::with(config, Vec::new())
    }

    fn with(config: &config::Push, own: Vec<SocketAddr>) -> Self {
        let (hints, duties) = mpsc::channel(1000);
        let (receivers, inbox) = mpsc::channel(1);
        let inbox = super::Hints {
            duties,
            receivers: inbox,
            look_every: LONG,
        };
        let (store, metrics) = (Arc::new(FakeStore::default()), Arc::new(Metrics::new()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let port: Arc<FakeStore> = Arc::clone(&store);
        let trust = book::empty(book::no_roots());
        let started = super::start(
            port,
            inbox,
            config,
            own,
            trust,
            Arc::clone(&metrics),
            &tasks,
            &stop,
        );
        started.unwrap();
        Self {
            hints,
            _receivers: receivers,
            store,
            metrics,
            tasks,
            stop,
        }
    }

    async fn push(&self, duty: PushDuty) {
        self.store.know(&duty);
        self.hints.send(duty).await.unwrap();
    }

    async fn told(&self, n: u32, seq: u16) {
        until(|| async { (self.store.told_of(id(n)) >= seq).then_some(()) }).await;
    }

    /// Waits until an attempt with this outcome was counted.
    async fn counted(&self, outcome: &str) {
        self.counted_times(outcome, 1).await;
    }

    async fn counted_times(&self, outcome: &str, times: u64) {
        let line = format!("downlink_push_attempts_total{{outcome=\"{outcome}\"}} ");
        let count = || {
            let text = self.metrics.render();
            let count = text.lines().find_map(|metric| metric.strip_prefix(&line))?;
            count.parse::<u64>().ok().filter(|count| *count >= times)
        };
        until(|| async { count() }).await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(LONG, self.tasks.wait())
            .await
            .expect("stops");
    }
}

#[tokio::test]
async fn a_push_has_its_body_and_headers_and_is_recorded() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::start(&config(&[receiver.address]));
    let url = receiver.url("/cmd?token=secret#part");
    let events = [
        (1, Status::Sent, None),
        (4, Status::Successful, Some("{\"a\": 1}")),
    ];
    running.push(duty(7, &url, &events)).await;
    running.told(7, 4).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    let (first, last) = (&requests[0], &requests[1]);
    assert_eq!(first.line, "POST /cmd?token=secret HTTP/1.1");
    let command = id(7);
    assert_eq!(
        first.body,
        format!(
            r#"{{"deviceId":"0d0c-1","commandId":"{command}","result":{{"resultCode":"SENT","resultDetail":null}}}}"#
        )
    );
    assert!(
        last.body
            .ends_with(r#""result":{"resultCode":"SUCCESSFUL","resultDetail":{"a": 1}}}"#)
    );
    assert_eq!(last.header("webhook-id"), Some(format!("{command}-4")).as_deref());
    assert_eq!(last.header("downlink-sequence"), Some("4"));
    assert_eq!(last.header("content-type"), Some("application/json"));
    assert_eq!(last.header("host"), Some(receiver.address.to_string()).as_deref());
    assert!(
        last.header("user-agent")
            .is_some_and(|agent| agent.starts_with("downlink/"))
    );
    let stamp: i64 = last.header("webhook-timestamp").unwrap().parse().unwrap();
    assert!((clock::now().as_millis() / 1000 - stamp).abs() < 60);
    assert!(
        running
            .metrics
            .render()
            .contains("downlink_push_first_attempt_seconds_count 2")
    );
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_never_dialled() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::start(&config(&[]));
    let port = receiver.address.port();
    for (n, host) in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "localhost",
        "[::ffff:127.0.0.1]",
    ]
    .iter()
    .enumerate()
    {
        running
            .push(sent(n as u32, &format!("http://{host}:{port}/cmd")))
            .await;
    }
    running.push(sent(9, "ftp://127.0.0.1:21/")).await;
    running.counted_times("NotAllowed", 12).await;
    assert_eq!((receiver.connections(), running.store.told_of(id(0))), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn own_listeners_are_never_dialled_though_the_range_is_allowed() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::with(&config(&[receiver.address]), vec![receiver.address]);
    running.push(sent(1, &receiver.url("/"))).await;
    running.counted("NotAllowed").await;
    assert_eq!(receiver.connections(), 0);
    running.stop().await;
}

#[tokio::test]
async fn redirects_are_failures_and_are_not_followed() {
    let elsewhere = Receiver::start(|_| Answer::Status(200)).await;
    let to = elsewhere.url("/x");
    let receiver = Receiver::start(move |_| Answer::Redirect(to.clone())).await;
    let running = Running::start(&config(&[receiver.address, elsewhere.address]));
    running.push(sent(1, &receiver.url("/"))).await;
    running.counted("Status").await;
    until(|| async { (receiver.requests().len() >= 3).then_some(()) }).await;
    assert_eq!((elsewhere.connections(), running.store.told_of(id(1))), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_dripping_answer_is_cut_by_the_clock() {
    let receiver = Receiver::start(|_| Answer::Drip).await;
    let mut config = config(&[receiver.address]);
    config.timeout_secs = 1;
    let running = Running::start(&config);
    running.push(sent(1, &receiver.url("/"))).await;
    running.counted("Timeout").await;
    until(|| async { (receiver.cut() >= 1).then_some(()) }).await;
    assert_eq!(running.store.told_of(id(1)), 0);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_of_64_mib_is_cut_at_the_limit() {
    let receiver = Receiver::start(|_| Answer::Huge).await;
    let running = Running::start(&config(&[receiver.address]));
    running.push(sent(1, &receiver.url("/"))).await;
    running.told(1, 1).await;
    until(|| async { (receiver.cut() == 1).then_some(()) }).await;
    running.stop().await;
}

#[tokio::test]
async fn connections_are_used_again() {
    let receiver = Receiver::start(|_| Answer::Status(204)).await;
    let mut config = config(&[receiver.address]);
    config.max_in_flight_per_receiver = 4;
    let running = Running::start(&config);
    for n in 0..200 {
        running.push(sent(n, &receiver.url("/cmd"))).await;
    }
    for n in 0..200 {
        running.told(n, 1).await;
    }
    let most = receiver.connections();
    assert!(most <= 8, "{most} connections for 200 pushes, 4 at a time");
    assert_eq!(receiver.requests().len(), 200);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_its_receiver_closed_costs_no_attempt() {
    let receiver = Receiver::start(|_| Answer::ThenClose).await;
    let running = Running::start(&config(&[receiver.address]));
    for n in 0..40 {
        running.push(sent(n, &receiver.url("/cmd"))).await;
        running.told(n, 1).await;
    }
    let counted = running.metrics.render();
    assert!(!counted.contains(r#"outcome="Broken""#), "{counted}");
    assert_eq!((receiver.requests().len(), receiver.connections()), (40, 40));
    running.stop().await;
}

#[tokio::test]
async fn an_acceptance_whose_body_is_cut_off_is_one_all_the_same() {
    let receiver = Receiver::start(|_| Answer::CutOff).await;
    let running = Running::start(&config(&[receiver.address]));
    running.push(sent(1, &receiver.url("/cmd"))).await;
    running.told(1, 1).await;
    assert_eq!(receiver.requests().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn idle_connections_are_let_go_after_a_while() {
    let receiver = Receiver::start(|_| Answer::Status(204)).await;
    let mut config = config(&[receiver.address]);
    config.idle_secs = 0;
    let running = Running::start(&config);
    for n in 0..3 {
        running.push(sent(n, &receiver.url("/cmd"))).await;
        running.told(n, 1).await;
        until(|| async { (receiver.open() == 0).then_some(()) }).await;
    }
    assert_eq!(receiver.connections(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_fails_and_works_again_gets_all_in_order() {
    // The first three attempts of each change fail, each in another way.
    let receiver = Receiver::start(|earlier| match earlier {
        0 => Answer::Status(503),
        1 => Answer::Close,
        2 => Answer::Status(404),
        _ => Answer::Status(200),
    })
    .await;
    let running = Running::start(&config(&[receiver.address]));
    let events = [
        (1, Status::Sent, None),
        (2, Status::Delivered, None),
        (3, Status::Timeout, None),
    ];
    for n in 0..20 {
        running.push(duty(n, &receiver.url("/cmd"), &events[..1])).await;
        running.push(duty(n, &receiver.url("/cmd"), &events)).await;
    }
    for n in 0..20 {
        running.told(n, 3).await;
        let ids: Vec<String> = receiver
            .requests()
            .iter()
            .filter_map(Request::webhook_id)
            .collect();
        let of_command: Vec<String> = ids
            .into_iter()
            .filter(|webhook| webhook.starts_with(&id(n).to_string()))
            .collect();
        let expected: Vec<String> = [1, 2, 3]
            .iter()
            .flat_map(|seq| vec![format!("{}-{seq}", id(n)); 4])
            .collect();
        assert_eq!(of_command, expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let hanging = Receiver::start(|_| Answer::Never).await;
    let healthy = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::start(&config(&[hanging.address, healthy.address]));
    for n in 0..600 {
        running.push(sent(n, &hanging.url("/"))).await;
    }
    until(|| async { (hanging.requests().len() >= 8).then_some(()) }).await;
    for n in 1000..1100 {
        running.push(sent(n, &healthy.url("/"))).await;
    }
    for n in 1000..1100 {
        running.told(n, 1).await;
    }
    assert_eq!(
        hanging.requests().len(),
        8,
        "no more than are tried with before it has answered"
    );
    drop(hanging);
    running.stop.cancel();
}

#[tokio::test]
async fn what_the_store_refused_to_record_is_recorded_later_and_not_pushed_again() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::start(&config(&[receiver.address]));
    running.store.refuse(2);
    running.push(sent(1, &receiver.url("/"))).await;
    running.push(sent(1, &receiver.url("/"))).await;
    running.told(1, 1).await;
    // As a sweep would that read the row before it was recorded.
    running.push(sent(1, &receiver.url("/"))).await;
    running.push(sent(2, &receiver.url("/"))).await;
    running.told(2, 1).await;
    assert_eq!(receiver.requests().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_known_who_is_held() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let running = Running::start(&config(&[receiver.address]));
    // It has not run yet: nothing was waited for.
    running.store.hide_receivers(true);
    running.push(sent(1, &receiver.url("/"))).await;
    let metrics = || running.metrics.render();
    until(|| async { metrics().contains("downlink_push_backlog 1\n").then_some(()) }).await;
    assert_eq!(receiver.requests().len(), 0);
    running.store.hide_receivers(false);
    running.told(1, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn at_stop_attempts_in_flight_are_finished_and_recorded_and_none_is_started() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let receiver = Receiver::start(move |_| Answer::When(gate.clone())).await;
    let running = Running::start(&config(&[receiver.address]));
    let events = [(1, Status::Sent, None), (2, Status::Delivered, None)];
    running.push(duty(1, &receiver.url("/"), &events)).await;
    until(|| async { (receiver.requests().len() == 1).then_some(()) }).await;
    running.stop.cancel();
    let store = Arc::clone(&running.store);
    let stopped = tokio::spawn(running.stop());
    release.send(true).unwrap();
    stopped.await.unwrap();
    assert_eq!((store.told_of(id(1)), receiver.requests().len()), (1, 1));
}

#[tokio::test]
async fn beyond_the_backlog_pushes_are_stored_and_sent_all_the_same() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let receiver = Receiver::start(move |_| Answer::When(gate.clone())).await;
    let mut config = config(&[receiver.address]);
    config.max_backlog = 10;
    let running = Running::start(&config);
    for n in 0..50 {
        running.push(sent(n, &receiver.url("/"))).await;
    }
    until(|| async { (receiver.requests().len() == 8).then_some(()) }).await;
    until(|| async { (running.metrics.push_backlog.get() <= 10 + 5 + 4).then_some(()) }).await;
    release.send(true).unwrap();
    // As the sweep does: what found no room even on its way into the store is hinted at again.
    until(|| async {
        let untold = (0..50).filter(|n| running.store.told_of(id(*n)) == 0);
        let untold: Vec<u32> = untold.collect();
        for n in &untold {
            running.push(sent(*n, &receiver.url("/"))).await;
        }
        untold.is_empty().then_some(())
    })
    .await;
    assert_eq!(receiver.requests().len(), 50, "each once");
    running.stop().await;
}

#[tokio::test]
async fn a_bad_entry_is_an_error_that_names_it() {
    let mut config = config(&[]);
    config.allow = vec!["10.0.0.0/8".to_owned(), "10.0.0.0/40".to_owned()];
    let (_hints, duties) = mpsc::channel(1);
    let (_receivers, receivers) = mpsc::channel(1);
    let inbox = super::Hints {
        duties,
        receivers,
        look_every: LONG,
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let store = Arc::new(FakeStore::default());
    let error = super::start(
        store,
        inbox,
        &config,
        Vec::new(),
        book::empty(book::no_roots()),
        Arc::new(Metrics::new()),
        &tasks,
        &stop,
    );
    assert!(error.err().unwrap().to_string().contains("10.0.0.0/40"));
}
