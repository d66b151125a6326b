//! A store in memory, with as much of the port as the gateway and the engine use between them. It calls the same
//! life cycle as a real one; its apply can be held up or made to fail.

mod others;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use downlink_core::lifecycle::{Flight, Input, Progress, Refusal, Sent, State, deadline, step};
use downlink_core::{
    AppKey, CommandBody, CommandId, DeviceId, DeviceKey, Event, Mid, Mode, Offer, Policy, Status, Timestamp,
    TopicFamily,
};
use downlink_store::*;
use tokio::sync::Semaphore;

use crate::clock;
use crate::secrets::Sealer;

pub(super) const APP: AppKey = AppKey(1);

pub(super) struct FakeStore {
    rows: Mutex<BTreeMap<CommandId, Row>>,
    devices: Mutex<Vec<Device>>,
    policy: Policy,
    /// Each apply needs one.
    pub(super) applies: Semaphore,
    /// Applies that began.
    pub(super) begun: AtomicUsize,
    pub(super) failing: AtomicBool,
    /// After as many look-ups, devices have another secret.
    pub(super) looks_left: AtomicUsize,
    /// Somebody wants to be told of everything.
    pub(super) subscribed: AtomicBool,
    pub(super) presence: Mutex<Vec<bool>>,
    pub(super) reports: Mutex<Vec<Report>>,
}

pub(super) struct Row {
    pub(super) progress: Progress,
    pub(super) device: DeviceKey,
    pub(super) events: Vec<Event>,
    pub(super) result: Option<String>,
    body: Arc<CommandBody>,
    mid: Option<Mid>,
    number: u16,
}

impl FakeStore {
    pub(super) fn new() -> Self {
        Self {
            rows: Mutex::default(),
            devices: Mutex::default(),
            policy: Policy::standard(clock::now()),
            applies: Semaphore::new(1_000_000),
            begun: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            looks_left: AtomicUsize::new(usize::MAX),
            subscribed: AtomicBool::new(false),
            presence: Mutex::default(),
            reports: Mutex::default(),
        }
    }

    pub(super) fn add_device(&self, sealer: &Sealer, id: &str, node: &str, secret: &str) -> DeviceKey {
        let mut devices = self.devices.lock().unwrap();
        let key = DeviceKey(i64::try_from(devices.len()).unwrap() + 1);
        devices.push(Device {
            key,
            app: APP,
            id: DeviceId::new(id),
            node_id: node.to_owned(),
            secret: sealer.seal(id, secret),
            verify_code: String::new(),
            info: "{}".to_owned(),
            created_at: clock::now(),
            modified_at: clock::now(),
            activated_at: None,
            bind_until: None,
            family: None,
            gateway: None,
            link: Link::None,
            heard_at: None,
            product: None,
            work_mode: None,
        });
        key
    }

    pub(super) fn device_at(&self, key: DeviceKey) -> Device {
        let devices = self.devices.lock().unwrap();
        devices.iter().find(|device| device.key == key).unwrap().clone()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<CommandId, Row>> {
        self.rows.lock().unwrap()
    }

    pub(super) fn status(&self, command: CommandId) -> Status {
        self.rows()[&command].progress.state.status()
    }

    pub(super) fn look<T>(&self, command: CommandId, look: impl FnOnce(&Row) -> T) -> T {
        look(&self.rows()[&command])
    }

    pub(super) fn is_lost(&self, command: CommandId) -> bool {
        let state = self.rows()[&command].progress.state;
        matches!(
            state,
            State::Sent(Sent {
                flight: Flight::Lost { .. },
                ..
            })
        )
    }
}

impl Row {
    fn step(
        &mut self,
        id: CommandId,
        input: Input,
        now: Timestamp,
        policy: &Policy,
    ) -> Option<Result<Applied, Refusal>> {
        let from = self.progress.state.status();
        let transition = match step(&self.progress, input, now, policy) {
            Ok(transition) => transition,
            Err(refusal) => return Some(Err(refusal)),
        };
        self.progress.state = transition.state;
        self.events.extend(transition.events);
        self.result = transition.result.or(self.result.take());
        Some(Ok(Applied {
            command: id,
            app: APP,
            device: self.device,
            from,
            status: self.progress.state.status(),
            seq: u16::try_from(self.events.len()).unwrap(),
            deadline: deadline(&self.progress, policy),
            push: None,
        }))
    }

    fn send(
        &mut self,
        id: CommandId,
        offer: Offer,
        now: Timestamp,
        policy: &Policy,
    ) -> Option<(Applied, Dispatch)> {
        let applied = self.step(id, Input::Send(offer), now, policy)?.ok()?;
        if offer.needs_mid && self.mid.is_none() {
            self.mid = Mid::new(self.number);
        }
        let dispatch = Dispatch {
            command: id,
            device: self.device,
            session: offer.session,
            proof: offer.proof,
            mid: self.mid,
            body: Arc::clone(&self.body),
            max_retransmit: None,
            more: false,
            sends: 1,
            expires_at: self.progress.mode.expires_at(),
        };
        Some((applied, dispatch))
    }
}

fn next(
    rows: &mut BTreeMap<CommandId, Row>,
    device: DeviceKey,
    offer: Offer,
    now: Timestamp,
    policy: &Policy,
) -> Option<(Applied, Dispatch)> {
    let (&id, row) = rows
        .iter_mut()
        .find(|(_, row)| row.device == device && row.progress.is_queued())?;
    row.send(id, offer, now, policy)
}

#[async_trait]
impl Commands for FakeStore {
    async fn create(&self, submission: Submission) -> Result<Result<Created, CreateRefused>, StoreError> {
        let new = submission.command;
        let mut rows = self.rows();
        let free = !rows
            .values()
            .any(|row| row.device == new.device && row.progress.is_queued());
        let device_id = self.device_at(new.device).id;
        let mut row = Row {
            progress: Progress {
                state: State::Pending,
                mode: new.mode,
                response: new.response,
            },
            device: new.device,
            events: vec![Event {
                status: Status::Pending,
                at: new.created_at,
                detail: new.detail,
            }],
            result: None,
            body: Arc::clone(&new.body),
            mid: None,
            number: u16::try_from(rows.len()).unwrap() + 41,
        };
        let immediate = new.mode == Mode::Immediate;
        let offer = submission.offer.filter(|_| free || immediate);
        let sent = offer.and_then(|offer| row.send(new.id, offer, new.created_at, &self.policy));
        if immediate && sent.is_none() {
            return Ok(Err(CreateRefused::NotReachable));
        }
        let pending = Applied {
            command: new.id,
            app: APP,
            device: new.device,
            from: Status::Pending,
            status: Status::Pending,
            seq: 1,
            deadline: None,
            push: None,
        };
        let record = Record {
            id: new.id,
            app: new.app,
            device: new.device,
            device_id,
            body: new.body,
            callback: None,
            expire_time: new.expire_time,
            max_retransmit: None,
            status: row.progress.state.status(),
            sends: 0,
            created_at: new.created_at,
            sent_at: None,
            delivered_at: None,
            executed_at: None,
            result: None,
            events: row.events.clone(),
        };
        rows.insert(new.id, row);
        let (applied, send) = match sent {
            Some((applied, dispatch)) => (applied, Some(dispatch)),
            None => (pending, None),
        };
        Ok(Ok(Created {
            record,
            applied,
            send,
            existed: false,
            repeats: None,
        }))
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.applies.acquire().await.unwrap().forget();
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test wants it".to_owned()));
        }
        let mut rows = self.rows();
        let mut answers = Vec::new();
        for change in changes {
            let found = rows.iter_mut().find(|(id, row)| match change.target {
                Target::Command(command) | Target::OfApp(_, command) => **id == command,
                Target::OfDevice(device, command) => **id == command && row.device == device,
                Target::Mid(device, mid) => row.device == device && row.mid == Some(mid),
            });
            let Some((&id, row)) = found else {
                answers.push(Changed {
                    outcome: None,
                    next: None,
                });
                continue;
            };
            let (device, queued) = (row.device, row.progress.is_queued());
            let outcome = row.step(id, change.input, change.now, &self.policy);
            let left = queued && !row.progress.is_queued();
            let offer = change.then_send.filter(|_| left);
            let next = offer.and_then(|offer| next(&mut rows, device, offer, change.now, &self.policy));
            answers.push(Changed { outcome, next });
        }
        Ok(answers)
    }

    async fn apply_and_load(&self, _: AppKey, _: Change) -> Result<(Changed, Option<Record>), StoreError> {
        unimplemented!()
    }

    async fn send_next(
        &self,
        device: DeviceKey,
        offer: Offer,
        now: Timestamp,
    ) -> Result<Option<(Applied, Dispatch)>, StoreError> {
        Ok(next(&mut self.rows(), device, offer, now, &self.policy))
    }

    async fn told(&self, _: Vec<Told>) -> Result<(), StoreError> {
        unimplemented!()
    }

    async fn load(&self, _: AppKey, _: CommandId) -> Result<Option<Record>, StoreError> {
        unimplemented!()
    }

    async fn load_push(&self, _: CommandId) -> Result<Option<PushDuty>, StoreError> {
        unimplemented!()
    }

    async fn list(&self, _: AppKey, _: CommandFilter, _: u64, _: u32) -> Result<Page<Record>, StoreError> {
        unimplemented!()
    }

    async fn take_expiring(&self, _: Timestamp, _: u32) -> Result<Vec<CommandId>, StoreError> {
        unimplemented!()
    }

    async fn with_queue(&self, _: Vec<DeviceKey>) -> Result<Vec<DeviceKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn left_queues(&self, _: u32) -> Result<Vec<DeviceKey>, StoreError> {
        unimplemented!()
    }

    async fn queue(&self, _: DeviceKey, _: u32) -> Result<Vec<CommandId>, StoreError> {
        unimplemented!()
    }

    async fn sweep_open(
        &self,
        _: Option<CommandId>,
        _: u32,
    ) -> Result<(Vec<OpenCommand>, Option<CommandId>), StoreError> {
        unimplemented!()
    }

    async fn prune(&self, _: Timestamp, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }

    async fn last_id(&self) -> Result<Option<CommandId>, StoreError> {
        unimplemented!()
    }

    async fn count_open(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }

    fn figures(&self) -> downlink_store::Figures {
        downlink_store::Figures::default()
    }

    fn policy(&self) -> Policy {
        self.policy
    }
}

#[async_trait]
impl Devices for FakeStore {
    async fn register(&self, _: NewDevice, _: u64) -> Result<Result<Device, RegisterRefused>, StoreError> {
        unimplemented!()
    }

    async fn device(&self, name: DeviceName<'_>) -> Result<Option<Device>, StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Busy);
        }
        let devices = self.devices.lock().unwrap();
        let named = |device: &&Device| match name {
            DeviceName::Id(id) => device.id == *id,
            DeviceName::Node(node) => device.node_id == node,
        };
        let mut found = devices.iter().find(named).cloned();
        if self.looks_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            found.iter_mut().for_each(|device| device.secret = vec![1]);
        }
        Ok(found)
    }

    async fn devices(&self, _: AppKey, _: DeviceFilter, _: u64, _: u32) -> Result<Page<Device>, StoreError> {
        unimplemented!()
    }

    async fn seen(
        &self,
        device: DeviceKey,
        family: Option<TopicFamily>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut devices = self.devices.lock().unwrap();
        let device = devices.iter_mut().find(|one| one.key == device).unwrap();
        device.activated_at.get_or_insert(now);
        device.family = family.or(device.family);
        Ok(())
    }

    async fn set_work_mode(
        &self,
        _: DeviceKey,
        _: Option<downlink_core::product::WorkMode>,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn contacts(&self, _: Vec<Contact>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn modify(
        &self,
        _: DeviceKey,
        _: DeviceChange,
        _: Timestamp,
    ) -> Result<Result<(), ModifyRefused>, StoreError> {
        unimplemented!()
    }

    async fn remove(&self, _: DeviceKey, _: bool, _: Timestamp) -> Result<Vec<DeviceKey>, StoreError> {
        unimplemented!()
    }

    async fn remove_unbound(&self, _: Timestamp, _: u32) -> Result<Vec<DeviceKey>, StoreError> {
        unimplemented!()
    }
}
