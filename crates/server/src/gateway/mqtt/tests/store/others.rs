//! What the gateway and the engine use little of: notices are noted; applications, feeds, stored pushes and trust are not there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use downlink_core::{AppId, AppKey, DeviceKey, ProductRef, Timestamp};
use downlink_store::*;

use super::FakeStore;

#[async_trait]
impl Feed for FakeStore {
    async fn read_feed(&self, _: AppKey, _: Option<u64>, _: u32, _: usize) -> Result<FeedPage, StoreError> {
        unimplemented!()
    }

    async fn feed_head(&self, _: AppKey) -> Result<Option<u64>, StoreError> {
        unimplemented!()
    }

    async fn prune_feed(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl History for FakeStore {
    fn keeps_history(&self) -> bool {
        false
    }

    async fn history(
        &self,
        _: DeviceKey,
        _: HistoryFilter,
        _: u64,
        _: u32,
    ) -> Result<Page<ServiceData>, StoreError> {
        unimplemented!()
    }

    async fn latest_data(&self, _: Vec<DeviceKey>) -> Result<Vec<(DeviceKey, ServiceData)>, StoreError> {
        unimplemented!()
    }

    async fn prune_history(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Shadows for FakeStore {
    fn keeps_shadow(&self, _: bool) -> bool {
        false
    }

    async fn shadow(&self, _: DeviceKey) -> Result<Vec<ShadowService>, StoreError> {
        unimplemented!()
    }

    async fn desire(
        &self,
        _: DeviceKey,
        _: Vec<Desire>,
        _: Timestamp,
    ) -> Result<Result<Vec<Created>, DesireRefused>, StoreError> {
        unimplemented!()
    }

    async fn desired_changes(
        &self,
        _: DeviceKey,
        _: HistoryFilter,
        _: u64,
        _: u32,
    ) -> Result<Page<DesiredChange>, StoreError> {
        unimplemented!()
    }

    async fn prune_shadows(&self, _: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

/// The gateway and the engine know nothing of stored pushes.
macro_rules! unused {
    ($noun:ident { $(fn $name:ident($($type:ty),*) -> $out:ty;)* }) => {
        #[async_trait]
        impl $noun for FakeStore {
            $(async fn $name(&self, $(_: $type),*) -> Result<$out, StoreError> {
                unimplemented!()
            })*
        }
    };
}

unused! {
    RequestKeys {
        fn repeat(AppKey, Arc<str>, [u8; 32], Timestamp) -> Option<Result<Repeat, CreateRefused>>;
        fn prune_request_keys(Timestamp, u32) -> u64;
    }
}

unused! {
    BatchTasks {
        fn create_batch_task(NewBatchTask) -> Result<BatchTaskKey, BatchRefused>;
        fn batch_task(AppKey, Arc<str>) -> Option<BatchTask>;
        fn subtasks(BatchTaskKey, SubtaskFilter, u64, u32) -> Page<Subtask>;
        fn open_batch_tasks(Option<BatchTaskKey>, u32) -> Vec<BatchTask>;
        fn gather_batch(BatchTaskKey, u32, Timestamp) -> bool;
        fn batch_turns(BatchTaskKey, u32) -> Vec<downlink_core::DeviceId>;
        fn step_batch(BatchTaskKey, u64, Vec<Turn>, RefusalText, Timestamp) -> BatchStep;
        fn expire_batch(BatchTaskKey, u32, String, Timestamp) -> u64;
        fn settle_batch(BatchTaskKey, u64, u32, Timestamp) -> Option<u64>;
        fn prune_batch_tasks(Timestamp, u32) -> u64;
    }
}

unused! {
    DeviceGroups {
        fn create_group(NewDeviceGroup) -> Result<DeviceGroup, GroupRefused>;
        fn group(AppKey, Arc<str>) -> Option<DeviceGroup>;
        fn groups(AppKey, Option<String>, u64, u32) -> Page<DeviceGroup>;
        fn modify_group(AppKey, Arc<str>, DeviceGroupChange) -> Result<DeviceGroup, GroupRefused>;
        fn remove_group(AppKey, Arc<str>) -> bool;
        fn add_to_group(AppKey, Arc<str>, Vec<downlink_core::DeviceId>, u64) -> Result<(), GroupRefused>;
        fn take_from_group(AppKey, Arc<str>, Vec<downlink_core::DeviceId>) -> Result<(), GroupRefused>;
        fn group_members(AppKey, Arc<str>, u64, u32) -> Option<Page<downlink_core::DeviceId>>;
    }
}

unused! {
    CancelTasks {
        fn create_cancel_task(NewCancelTask) -> Result<CancelTask, CancelTaskRefused>;
        fn cancel_tasks(AppKey, CancelTaskFilter, u64, u32, u32) -> Page<ShownCancelTask>;
        fn open_cancel_tasks(Option<CancelTaskKey>, u32) -> Vec<CancelTaskKey>;
        fn step_cancel_task(CancelTaskKey, u32, Timestamp) -> CancelStep;
        fn prune_cancel_tasks(Timestamp, u32) -> u64;
    }
}

unused! {
    Pushes {
        fn divert(Vec<Diverted>) -> Vec<Option<Stowed>>;
        fn settle(Vec<Settled>) -> Vec<ReceiverKey>;
        fn ready(ReceiverKey, Vec<PushId>, Timestamp, u32, usize) -> Ready;
        fn receiver(ReceiverKey) -> Option<StoredReceiver>;
        fn receivers(Option<ReceiverKey>, bool, u32) -> Vec<StoredReceiver>;
        fn set_held(AppKey, Arc<str>, bool, Timestamp) -> StoredReceiver;
        fn set_rate(AppKey, Arc<str>, Option<u32>) -> StoredReceiver;
        fn stored_pushes(PushFilter, Option<PushId>, u32) -> Vec<StoredPush>;
        fn replay(PushFilter, Timestamp, u32) -> (u64, Vec<ReceiverKey>);
        fn drop_pushes(PushFilter, Timestamp, u32) -> u64;
        fn give_up_old(PushLimits, Timestamp, u32) -> Vec<GivenUp>;
        fn prune_pushes(PushLimits, Timestamp, u32) -> u64;
        fn forget_dead(downlink_store::ReceiverKey, u32) -> u64;
        fn push_totals(Timestamp) -> PushTotals;
    }
}

#[async_trait]
impl Products for FakeStore {
    fn product_changes(&self) -> u64 {
        0
    }

    async fn put_product(&self, _: NewProduct, _: u32) -> Result<Result<Put, PutRefused>, StoreError> {
        unimplemented!()
    }

    async fn product(&self, _: AppKey, _: &str) -> Result<Option<Product>, StoreError> {
        unimplemented!()
    }

    async fn products(&self, _: AppKey, _: u64, _: u32) -> Result<Page<ProductHead>, StoreError> {
        unimplemented!()
    }

    async fn remove_product(&self, _: AppKey, _: &str) -> Result<Option<ProductHead>, StoreError> {
        unimplemented!()
    }

    async fn product_of(&self, _: AppKey, _: &ProductRef) -> Result<Option<Product>, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Registrations for FakeStore {
    async fn keep_registrations(
        &self,
        _: Vec<KeptRegistration>,
        _: Vec<DeviceKey>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    async fn kept_registrations(
        &self,
        _: DeviceKey,
        _: u32,
    ) -> Result<Vec<(Device, KeptRegistration)>, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Trust for FakeStore {
    async fn trusts(&self) -> Result<Vec<(AppKey, AppTrust)>, StoreError> {
        unimplemented!()
    }

    async fn trust(&self, _: AppKey) -> Result<AppTrust, StoreError> {
        unimplemented!()
    }

    async fn add_signing_key(
        &self,
        _: AppKey,
        _: SigningKey,
        _: Timestamp,
        _: u32,
    ) -> Result<Result<(), AddKeyRefused>, StoreError> {
        unimplemented!()
    }

    async fn remove_signing_key(&self, _: AppKey, _: Arc<str>, _: Timestamp) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn set_push_tls(&self, _: AppKey, _: Option<PushTls>) -> Result<bool, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Subscriptions for FakeStore {
    async fn subscribe(&self, _: Subscription) -> Result<Result<Subscription, SubscribeRefused>, StoreError> {
        unimplemented!()
    }

    async fn subscription(&self, _: AppKey, _: &str) -> Result<Option<Subscription>, StoreError> {
        unimplemented!()
    }

    async fn subscriptions(
        &self,
        _: AppKey,
        _: SubscriptionFilter,
        _: u64,
        _: u32,
    ) -> Result<Page<Subscription>, StoreError> {
        unimplemented!()
    }

    async fn unsubscribe(&self, _: AppKey, _: &str) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn unsubscribe_many(&self, _: AppKey, _: SubscriptionFilter) -> Result<u64, StoreError> {
        unimplemented!()
    }

    fn wants(&self, _: AppKey, _: &[NotifyType]) -> bool {
        self.subscribed.load(Ordering::SeqCst)
    }

    async fn presence(&self, _: DeviceKey, online: bool, _: Timestamp) -> Result<(), StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Busy);
        }
        self.presence.lock().unwrap().push(online);
        Ok(())
    }

    async fn tell_silent(&self, _: Silence, _: u32, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn report(&self, _: DeviceKey, reports: Vec<Report>, _: Timestamp) -> Result<(), StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Busy);
        }
        self.reports.lock().unwrap().extend(reports);
        Ok(())
    }

    fn set_crowded(&self, _: foldhash::HashSet<AppKey>) -> Vec<(AppKey, u64)> {
        Vec::new()
    }

    fn is_crowded(&self, _: AppKey) -> bool {
        false
    }

    fn take_stirred(&self) -> Vec<downlink_store::ReceiverKey> {
        Vec::new()
    }

    async fn stirred(&self) {
        std::future::pending().await
    }
}

#[async_trait]
impl Grants for FakeStore {
    async fn grant(&self, _: AppKey, _: AppKey) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn withdraw(&self, _: AppKey, _: AppKey) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn granted(&self, _: AppKey, _: &AppId) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }

    async fn grants(&self, _: AppKey, _: u32) -> Result<Vec<App>, StoreError> {
        unimplemented!()
    }
}

#[async_trait]
impl Apps for FakeStore {
    async fn create_app(&self, _: NewApp) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }

    async fn app(&self, _: &AppId) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }

    async fn app_by_key(&self, _: AppKey) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }

    async fn apps(&self, _: u64, _: u32) -> Result<Vec<App>, StoreError> {
        unimplemented!()
    }

    async fn set_app_settings(&self, _: AppKey, _: AppSettingsChange) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }

    async fn set_app_secret(&self, _: AppKey, _: String) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn remove_app(&self, _: AppKey, _: Timestamp) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn remove_left_devices(&self, _: Timestamp, _: u32) -> Result<Vec<DeviceKey>, StoreError> {
        unimplemented!()
    }

    async fn add_token(&self, _: NewToken, _: u32) -> Result<(), StoreError> {
        unimplemented!()
    }

    async fn token(&self, _: [u8; 32], _: TokenKind, _: Timestamp) -> Result<Option<Token>, StoreError> {
        unimplemented!()
    }

    async fn revoke_token(&self, _: [u8; 32], _: TokenKind) -> Result<bool, StoreError> {
        unimplemented!()
    }

    async fn prune_tokens(&self, _: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
