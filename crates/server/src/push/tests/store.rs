//! A store of which only the part on pushes works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use downlink_core::{AppId, AppKey, CommandId, DeviceKey, Offer, Policy, Timestamp, TopicFamily};
use downlink_store::*;

use super::table::Table;

#[derive(Default)]
pub(in crate::push) struct FakeStore {
    table: Mutex<Table>,
    told: Mutex<HashMap<CommandId, u16>>,
    refusals: Mutex<u32>,
    /// Receivers cannot be read.
    hidden: Mutex<bool>,
}

impl FakeStore {
    /// There is this to be pushed.
    pub(super) fn know(&self, duty: &PushDuty) {
        self.table.lock().unwrap().know(duty);
    }

    /// Refuses the next so many calls.
    pub(super) fn refuse(&self, times: u32) {
        *self.refusals.lock().unwrap() = times;
    }

    /// From now on receivers can be read, or cannot.
    pub(super) fn hide_receivers(&self, hidden: bool) {
        *self.hidden.lock().unwrap() = hidden;
    }

    /// Up to which change the command's pushes were recorded as accepted.
    pub(super) fn told_of(&self, command: CommandId) -> u16 {
        self.told.lock().unwrap().get(&command).copied().unwrap_or(0)
    }

    fn record(&self, told: Vec<Told>) -> Result<(), StoreError> {
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(StoreError::Busy);
        }
        let mut known = self.told.lock().unwrap();
        for Told { command, seq } in told {
            let before = known.entry(command).or_default();
            *before = seq.max(*before);
        }
        Ok(())
    }
}

macro_rules! unused {
    ($noun:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* } $($rest:tt)*) => {
        #[async_trait]
        impl $noun for FakeStore {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                let _unused = ($($arg,)*);
                unreachable!("pushing needs no {}", stringify!($name))
            })*
            $($rest)*
        }
    };
}

unused! {
    Commands {
        fn create(a: Submission) -> Result<Created, CreateRefused>;
        fn apply(a: Vec<Change>) -> Vec<Changed>;
        fn apply_and_load(a: AppKey, c: Change) -> (Changed, Option<Record>);
        fn send_next(a: DeviceKey, b: Offer, c: Timestamp) -> Option<(Applied, Dispatch)>;
        fn load(a: AppKey, b: CommandId) -> Option<Record>;
        fn load_push(a: CommandId) -> Option<PushDuty>;
        fn list(a: AppKey, b: CommandFilter, c: u64, d: u32) -> Page<Record>;
        fn take_expiring(a: Timestamp, b: u32) -> Vec<CommandId>;
        fn queue(a: DeviceKey, b: u32) -> Vec<CommandId>;
        fn with_queue(a: Vec<DeviceKey>) -> Vec<DeviceKey>;
        fn left_queues(a: u32) -> Vec<DeviceKey>;
        fn sweep_open(a: Option<CommandId>, b: u32) -> (Vec<OpenCommand>, Option<CommandId>);
        fn prune(a: Timestamp, b: Timestamp, c: u32) -> u64;
        fn last_id() -> Option<CommandId>;
        fn count_open() -> u64;
    }
    async fn told(&self, told: Vec<Told>) -> Result<(), StoreError> {
        self.record(told)
    }
    fn figures(&self) -> downlink_store::Figures {
        downlink_store::Figures::default()
    }
    fn policy(&self) -> Policy {
        unreachable!("pushing needs no policy")
    }
}

unused! {
    RequestKeys {
        fn repeat(a: AppKey, b: Arc<str>, c: [u8; 32], d: Timestamp) -> Option<Result<Repeat, CreateRefused>>;
        fn prune_request_keys(a: Timestamp, b: u32) -> u64;
    }
}

unused! {
    DeviceGroups {
        fn create_group(a: NewDeviceGroup) -> Result<DeviceGroup, GroupRefused>;
        fn group(a: AppKey, b: Arc<str>) -> Option<DeviceGroup>;
        fn groups(a: AppKey, b: Option<String>, c: u64, d: u32) -> Page<DeviceGroup>;
        fn modify_group(a: AppKey, b: Arc<str>, c: DeviceGroupChange) -> Result<DeviceGroup, GroupRefused>;
        fn remove_group(a: AppKey, b: Arc<str>) -> bool;
        fn add_to_group(a: AppKey, b: Arc<str>, c: Vec<downlink_core::DeviceId>, d: u64) -> Result<(), GroupRefused>;
        fn take_from_group(a: AppKey, b: Arc<str>, c: Vec<downlink_core::DeviceId>) -> Result<(), GroupRefused>;
        fn group_members(a: AppKey, b: Arc<str>, c: u64, d: u32) -> Option<Page<downlink_core::DeviceId>>;
    }
}

unused! {
    BatchTasks {
        fn create_batch_task(a: NewBatchTask) -> Result<BatchTaskKey, BatchRefused>;
        fn batch_task(a: AppKey, b: Arc<str>) -> Option<BatchTask>;
        fn subtasks(a: BatchTaskKey, b: SubtaskFilter, c: u64, d: u32) -> Page<Subtask>;
        fn open_batch_tasks(a: Option<BatchTaskKey>, b: u32) -> Vec<BatchTask>;
        fn gather_batch(a: BatchTaskKey, b: u32, c: Timestamp) -> bool;
        fn batch_turns(a: BatchTaskKey, b: u32) -> Vec<downlink_core::DeviceId>;
        fn step_batch(a: BatchTaskKey, b: u64, c: Vec<Turn>, d: RefusalText, e: Timestamp) -> BatchStep;
        fn expire_batch(a: BatchTaskKey, b: u32, c: String, d: Timestamp) -> u64;
        fn settle_batch(a: BatchTaskKey, b: u64, c: u32, d: Timestamp) -> Option<u64>;
        fn prune_batch_tasks(a: Timestamp, b: u32) -> u64;
    }
}

unused! {
    CancelTasks {
        fn create_cancel_task(a: NewCancelTask) -> Result<CancelTask, CancelTaskRefused>;
        fn cancel_tasks(a: AppKey, b: CancelTaskFilter, c: u64, d: u32, e: u32) -> Page<ShownCancelTask>;
        fn open_cancel_tasks(a: Option<CancelTaskKey>, b: u32) -> Vec<CancelTaskKey>;
        fn step_cancel_task(a: CancelTaskKey, b: u32, c: Timestamp) -> CancelStep;
        fn prune_cancel_tasks(a: Timestamp, b: u32) -> u64;
    }
}

unused! {
    Devices {
        fn register(a: NewDevice, b: u64) -> Result<Device, RegisterRefused>;
        fn device(a: DeviceName<'_>) -> Option<Device>;
        fn devices(a: AppKey, b: DeviceFilter, c: u64, d: u32) -> Page<Device>;
        fn seen(a: DeviceKey, b: Option<TopicFamily>, c: Timestamp) -> ();
        fn set_work_mode(a: DeviceKey, b: Option<downlink_core::product::WorkMode>, c: Timestamp) -> bool;
        fn contacts(a: Vec<Contact>) -> ();
        fn modify(a: DeviceKey, b: DeviceChange, c: Timestamp) -> Result<(), ModifyRefused>;
        fn remove(a: DeviceKey, b: bool, c: Timestamp) -> Vec<DeviceKey>;
        fn remove_unbound(a: Timestamp, b: u32) -> Vec<DeviceKey>;
    }
}

unused! {
    Registrations {
        fn keep_registrations(a: Vec<KeptRegistration>, b: Vec<DeviceKey>) -> ();
        fn kept_registrations(a: DeviceKey, b: u32) -> Vec<(Device, KeptRegistration)>;
    }
}

unused! {
    Grants {
        fn grant(a: AppKey, b: AppKey) -> bool;
        fn withdraw(a: AppKey, b: AppKey) -> bool;
        fn granted(a: AppKey, b: &AppId) -> Option<App>;
        fn grants(a: AppKey, b: u32) -> Vec<App>;
    }
}

unused! {
    Apps {
        fn create_app(a: NewApp) -> Option<App>;
        fn app(a: &AppId) -> Option<App>;
        fn app_by_key(a: AppKey) -> Option<App>;
        fn apps(a: u64, b: u32) -> Vec<App>;
        fn set_app_settings(a: AppKey, b: AppSettingsChange) -> Option<App>;
        fn set_app_secret(a: AppKey, b: String) -> bool;
        fn remove_app(a: AppKey, b: Timestamp) -> bool;
        fn remove_left_devices(a: Timestamp, b: u32) -> Vec<DeviceKey>;
        fn add_token(a: NewToken, b: u32) -> ();
        fn token(a: [u8; 32], b: TokenKind, c: Timestamp) -> Option<Token>;
        fn revoke_token(a: [u8; 32], b: TokenKind) -> bool;
        fn prune_tokens(a: Timestamp) -> u64;
    }
}

#[async_trait]
impl Pushes for FakeStore {
    async fn divert(&self, diverted: Vec<Diverted>) -> Result<Vec<Option<Stowed>>, StoreError> {
        let mut table = self.table.lock().unwrap();
        let divert = |one: &Diverted| table.divert(one, self.told_of(one.command));
        Ok(diverted.iter().map(divert).collect())
    }

    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<ReceiverKey>, StoreError> {
        let mut stirred = Vec::new();
        for one in &settled {
            let (receiver, told) = self.table.lock().unwrap().settle(one);
            stirred.extend(receiver);
            if let Some((command, seq)) = told {
                self.told.lock().unwrap().insert(command, seq);
            }
        }
        Ok(stirred)
    }

    async fn ready(
        &self,
        receiver: ReceiverKey,
        except: Vec<PushId>,
        now: Timestamp,
        limit: u32,
        _max_bytes: usize,
    ) -> Result<Ready, StoreError> {
        Ok(self.table.lock().unwrap().ready(receiver, &except, now, limit))
    }

    async fn receiver(&self, key: ReceiverKey) -> Result<Option<StoredReceiver>, StoreError> {
        Ok(self.table.lock().unwrap().known(key))
    }

    async fn receivers(
        &self,
        _after: Option<ReceiverKey>,
        _busy: bool,
        _limit: u32,
    ) -> Result<Vec<StoredReceiver>, StoreError> {
        if *self.hidden.lock().unwrap() {
            return Err(StoreError::Busy);
        }
        let table = self.table.lock().unwrap();
        Ok((0..).map_while(|key| table.known(ReceiverKey(key))).collect())
    }

    async fn set_held(
        &self,
        _: AppKey,
        _: Arc<str>,
        _: bool,
        _: Timestamp,
    ) -> Result<StoredReceiver, StoreError> {
        unreachable!("the operator's business")
    }

    async fn set_rate(&self, _: AppKey, _: Arc<str>, _: Option<u32>) -> Result<StoredReceiver, StoreError> {
        unreachable!("the operator's business")
    }

    async fn stored_pushes(
        &self,
        _: PushFilter,
        _: Option<PushId>,
        _: u32,
    ) -> Result<Vec<StoredPush>, StoreError> {
        unreachable!("the operator's business")
    }

    async fn replay(
        &self,
        _: PushFilter,
        _: Timestamp,
        _: u32,
    ) -> Result<(u64, Vec<ReceiverKey>), StoreError> {
        unreachable!("the operator's business")
    }

    async fn drop_pushes(&self, _: PushFilter, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unreachable!("the operator's business")
    }

    async fn give_up_old(&self, _: PushLimits, _: Timestamp, _: u32) -> Result<Vec<GivenUp>, StoreError> {
        unreachable!("a sweep's business")
    }

    async fn prune_pushes(&self, _: PushLimits, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unreachable!("a sweep's business")
    }

    async fn forget_dead(&self, _: ReceiverKey, _: u32) -> Result<u64, StoreError> {
        unreachable!("a sweep's business")
    }

    async fn push_totals(&self, _: Timestamp) -> Result<PushTotals, StoreError> {
        unreachable!("a sweep's business")
    }
}

unused! {
    Feed {
        fn read_feed(a: AppKey, b: Option<u64>, c: u32, d: usize) -> FeedPage;
        fn feed_head(a: AppKey) -> Option<u64>;
        fn prune_feed(a: Timestamp, b: u32) -> u64;
    }
}

unused! {
    Products {
        fn put_product(a: NewProduct, b: u32) -> Result<Put, PutRefused>;
        fn product(a: AppKey, b: &str) -> Option<Product>;
        fn products(a: AppKey, b: u64, c: u32) -> Page<ProductHead>;
        fn remove_product(a: AppKey, b: &str) -> Option<ProductHead>;
        fn product_of(a: AppKey, b: &downlink_core::ProductRef) -> Option<Product>;
    }
    fn product_changes(&self) -> u64 {
        0
    }
}

unused! {
    History {
        fn history(a: DeviceKey, b: HistoryFilter, c: u64, d: u32) -> Page<ServiceData>;
        fn latest_data(a: Vec<DeviceKey>) -> Vec<(DeviceKey, ServiceData)>;
        fn prune_history(a: Timestamp, b: u32) -> u64;
    }
    fn keeps_history(&self) -> bool {
        false
    }
}

unused! {
    Shadows {
        fn shadow(a: DeviceKey) -> Vec<ShadowService>;
        fn desire(a: DeviceKey, b: Vec<Desire>, c: Timestamp) -> Result<Vec<Created>, DesireRefused>;
        fn desired_changes(a: DeviceKey, b: HistoryFilter, c: u64, d: u32) -> Page<DesiredChange>;
        fn prune_shadows(a: u32) -> u64;
    }
    fn keeps_shadow(&self, _: bool) -> bool {
        false
    }
}

unused! {
    Trust {
        fn trusts() -> Vec<(AppKey, AppTrust)>;
        fn trust(a: AppKey) -> AppTrust;
        fn add_signing_key(a: AppKey, b: SigningKey, c: Timestamp, d: u32) -> Result<(), AddKeyRefused>;
        fn remove_signing_key(a: AppKey, b: std::sync::Arc<str>, c: Timestamp) -> bool;
        fn set_push_tls(a: AppKey, b: Option<PushTls>) -> bool;
    }
}

unused! {
    Subscriptions {
        fn subscribe(a: Subscription) -> Result<Subscription, SubscribeRefused>;
        fn subscription(a: AppKey, b: &str) -> Option<Subscription>;
        fn subscriptions(a: AppKey, b: SubscriptionFilter, c: u64, d: u32) -> Page<Subscription>;
        fn unsubscribe(a: AppKey, b: &str) -> bool;
        fn unsubscribe_many(a: AppKey, b: SubscriptionFilter) -> u64;
        fn presence(a: DeviceKey, b: bool, c: Timestamp) -> ();
        fn tell_silent(a: Silence, b: u32, c: Timestamp) -> u64;
        fn report(a: DeviceKey, b: Vec<Report>, c: Timestamp) -> ();
    }
    fn wants(&self, _: AppKey, _: &[NotifyType]) -> bool {
        false
    }
    fn set_crowded(&self, _: foldhash::HashSet<AppKey>) -> Vec<(AppKey, u64)> {
        Vec::new()
    }
    fn is_crowded(&self, _: AppKey) -> bool {
        false
    }
    fn take_stirred(&self) -> Vec<ReceiverKey> {
        Vec::new()
    }
    async fn stirred(&self) {
        std::future::pending().await
    }
}
