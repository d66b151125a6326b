//! What the cases share: an application with devices, submissions, and a model of what a record must say.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use downlink_core::lifecycle::{Input, Progress, Refusal, Reply, State, step};
use downlink_core::{
    AppId, AppKey, CommandBody, CommandId, DeviceId, DeviceKey, Event, IdMint, Mode, Offer, Policy, Proof,
    ResponseRule, SessionId, Span, Status, StatusSet, Timestamp,
};
use downlink_store::{
    App, AppSettings, Applied, Change, Changed, CreateRefused, Created, Device, Dispatch, NewApp, NewCommand,
    NewDevice, Record, Store, Submission, Target, Told,
};

/// The instant at which the cases begin; the store's process is up since then.
pub(crate) const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The policy that stores under test go by.
pub(crate) fn policy() -> Policy {
    Policy::standard(T0)
}

/// `secs` after the beginning.
pub(crate) fn at(secs: u32) -> Timestamp {
    T0 + Span::from_secs(secs)
}

/// An offer of session `n` whose sends are acknowledged.
pub(crate) fn offer(n: i64) -> Offer {
    Offer {
        session: SessionId(n),
        proof: Proof::Ack,
        needs_mid: false,
        ack_wait: None,
    }
}

/// The same, with mids.
pub(crate) fn mid_offer(n: i64) -> Offer {
    Offer {
        needs_mid: true,
        ack_wait: None,
        ..offer(n)
    }
}

/// An offer whose sends only a result proves.
pub(crate) fn result_only(n: i64) -> Offer {
    Offer {
        proof: Proof::ResultOnly,
        ..offer(n)
    }
}

pub(crate) fn ok_reply() -> Input {
    Input::Replied(Reply {
        ok: true,
        body: Some("{\"r\":1}".into()),
        detail: "0".into(),
    })
}

pub(crate) fn bad_reply() -> Input {
    Input::Replied(Reply {
        ok: false,
        body: None,
        detail: "7".into(),
    })
}

/// A change of a command, whoever speaks.
pub(crate) fn change(command: CommandId, input: Input, now: Timestamp) -> Change {
    Change {
        target: Target::Command(command),
        input,
        now,
        then_send: None,
    }
}

/// A store with one application.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) app: App,
    pub(crate) mint: Mutex<IdMint>,
}

impl World {
    pub(crate) async fn new(store: Arc<dyn Store>) -> Self {
        let app = new_app(&*store, "app").await;
        Self {
            store,
            app,
            mint: Mutex::new(IdMint::after(None)),
        }
    }

    pub(crate) async fn device(&self, name: &str) -> Device {
        self.store
            .register(new_device(self.app.key, name), u64::MAX)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) fn mint(&self, now: Timestamp) -> CommandId {
        self.mint.lock().unwrap().mint(now, 7, 0)
    }

    /// A cached command with an hour to live, all of its changes pushed.
    pub(crate) fn cached(&self, device: &Device, now: Timestamp) -> Submission {
        let command = NewCommand {
            id: self.mint(now),
            app: device.app,
            device: device.key,
            body: Arc::new(CommandBody {
                service: "s".into(),
                method: "m".into(),
                paras: "{\"a\":1}".into(),
            }),
            callback: Some("http://receiver.test/cb".into()),
            push: StatusSet::ALL,
            mode: Mode::Cached {
                expires_at: now + Span::from_secs(3600),
            },
            expire_time: 3600,
            max_retransmit: Some(3),
            response: ResponseRule::Expected {
                within: Span::from_secs(300),
            },
            created_at: now,
            call_id: None,
            detail: "request 1".into(),
        };
        Submission {
            command,
            offer: None,
            queue_limit: 20,
            open_limit: None,
            key: None,
        }
    }

    /// The same, immediate, over `offer`.
    pub(crate) fn immediate(&self, device: &Device, now: Timestamp, offer: Offer) -> Submission {
        let mut submission = self.cached(device, now);
        submission.command.mode = Mode::Immediate;
        submission.command.expire_time = 0;
        submission.offer = Some(offer);
        submission
    }

    pub(crate) async fn create(&self, submission: Submission) -> Created {
        self.try_create(submission).await.unwrap()
    }

    pub(crate) async fn try_create(&self, submission: Submission) -> Result<Created, CreateRefused> {
        self.store.create(submission).await.unwrap()
    }

    /// Creates a cached command that waits; gives its id.
    pub(crate) async fn pending(&self, device: &Device, now: Timestamp) -> CommandId {
        self.create(self.cached(device, now)).await.record.id
    }

    pub(crate) async fn apply(&self, change: Change) -> Changed {
        let mut changed = self.store.apply(vec![change]).await.unwrap();
        assert_eq!(changed.len(), 1);
        changed.remove(0)
    }

    /// Applies an input that must be taken.
    pub(crate) async fn must(&self, command: CommandId, input: Input, now: Timestamp) -> Applied {
        let changed = self.apply(change(command, input.clone(), now)).await;
        match changed.outcome {
            Some(Ok(applied)) => applied,
            other => panic!("{input:?} gave {other:?}"),
        }
    }

    pub(crate) async fn refusal(&self, command: CommandId, input: Input, now: Timestamp) -> Option<Refusal> {
        self.apply(change(command, input, now))
            .await
            .outcome
            .map(|outcome| outcome.unwrap_err())
    }

    pub(crate) async fn send_next(
        &self,
        device: DeviceKey,
        offer: Offer,
        now: Timestamp,
    ) -> Option<Dispatch> {
        self.store
            .send_next(device, offer, now)
            .await
            .unwrap()
            .map(|(_, dispatch)| dispatch)
    }

    pub(crate) async fn told(&self, command: CommandId, seq: u16) {
        self.store.told(vec![Told { command, seq }]).await.unwrap();
    }

    pub(crate) async fn record(&self, command: CommandId) -> Record {
        self.store.load(self.app.key, command).await.unwrap().unwrap()
    }

    pub(crate) async fn statuses(&self, command: CommandId) -> Vec<Status> {
        self.record(command)
            .await
            .events
            .iter()
            .map(|event| event.status)
            .collect()
    }
}

pub(crate) async fn new_app(store: &dyn Store, id: &str) -> App {
    let app = NewApp {
        id: AppId::new(id),
        name: format!("the {id}"),
        secret_hash: "hash".into(),
        settings: AppSettings::default(),
        created_at: T0,
    };
    store.create_app(app).await.unwrap().unwrap()
}

pub(crate) fn new_device(app: AppKey, name: &str) -> NewDevice {
    NewDevice {
        app,
        id: DeviceId::new(format!("id-{name}")),
        node_id: format!("node-{name}"),
        secret: vec![1, 2, 3],
        verify_code: "code".into(),
        info: "{}".into(),
        created_at: T0,
        bind_until: None,
        gateway: None,
    }
}

/// What a record must say, by `step` alone.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) progress: Progress,
    pub(crate) expected: Record,
}

impl Model {
    pub(crate) fn new(submission: &Submission, device: &Device) -> Self {
        let new = &submission.command;
        let pending = Event {
            status: Status::Pending,
            at: new.created_at,
            detail: new.detail.clone(),
        };
        let expected = Record {
            id: new.id,
            app: new.app,
            device: new.device,
            device_id: device.id.clone(),
            body: new.body.clone(),
            callback: new.callback.clone(),
            expire_time: new.expire_time,
            max_retransmit: new.max_retransmit,
            status: Status::Pending,
            sends: 0,
            created_at: new.created_at,
            sent_at: None,
            delivered_at: None,
            executed_at: None,
            result: None,
            events: vec![pending],
        };
        let progress = Progress {
            state: State::Pending,
            mode: new.mode,
            response: new.response,
        };
        Self { progress, expected }
    }

    pub(crate) fn apply(&mut self, input: Input, now: Timestamp) -> Result<(), Refusal> {
        let transition = step(&self.progress, input, now, &policy())?;
        let record = &mut self.expected;
        self.progress.state = transition.state;
        if let State::Sent(sent) = transition.state {
            record.sends = sent.sends;
        }
        for event in transition.events {
            if event.status == Status::Sent {
                record.sent_at.get_or_insert(event.at);
            }
            record.events.push(event);
        }
        if transition.proves_delivery {
            record.delivered_at.get_or_insert(now);
        }
        if matches!(transition.state, State::Successful | State::FailedByDevice) {
            record.executed_at = Some(now);
        }
        record.result = transition.result.or(record.result.take());
        record.status = transition.state.status();
        Ok(())
    }
}

/// A future on the heap.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs futures at once, first polled in their order, so that what they ask for is asked in this order.
pub(crate) async fn all_at_once<T: Send>(futures: Vec<Boxed<T>>) -> Vec<T> {
    let mut running: Vec<(Option<Boxed<T>>, Option<T>)> =
        futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, output) in &mut running {
            if let Some(polled) = future
                && let Poll::Ready(value) = polled.as_mut().poll(context)
            {
                (*future, *output) = (None, Some(value));
            }
        }
        match running.iter().all(|(future, _)| future.is_none()) {
            true => Poll::Ready(
                running
                    .iter_mut()
                    .filter_map(|(_, output)| output.take())
                    .collect(),
            ),
            false => Poll::Pending,
        }
    })
    .await
}

/// A small random source; prints its seed, so that a failure can be had again.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let fresh = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 1);
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(fresh | 1);
        println!("SEED={seed}");
        Self(seed)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % sides
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}
