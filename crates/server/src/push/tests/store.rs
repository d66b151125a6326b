//! A store of which only the part on pushes works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use downlink_core::{AppId, AppKey, CommandId, DeviceKey, Offer, Policy, Timestamp, TopicFamily};
use downlink_store::*;

#[derive(Default)]
pub(super) struct FakeStore {
    told: Mutex<HashMap<CommandId, u16>>,
    refusals: Mutex<u32>,
}

impl FakeStore {
    /// Refuses the next so many calls.
    pub(super) fn refuse(&self, times: u32) {
        *self.refusals.lock().unwrap() = times;
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
        fn send_next(a: DeviceKey, b: Offer, c: Timestamp) -> Option<(Applied, Dispatch)>;
        fn load(a: AppKey, b: CommandId) -> Option<Record>;
        fn load_push(a: CommandId) -> Option<PushDuty>;
        fn list(a: AppKey, b: CommandFilter, c: u64, d: u32) -> Page<Record>;
        fn take_expiring(a: Timestamp, b: u32) -> Vec<CommandId>;
        fn queue(a: DeviceKey, b: u32) -> Vec<CommandId>;
        fn with_queue(a: Vec<DeviceKey>) -> Vec<DeviceKey>;
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
    Devices {
        fn register(a: NewDevice, b: u64) -> Result<Device, RegisterRefused>;
        fn device(a: DeviceName<'_>) -> Option<Device>;
        fn devices(a: AppKey, b: DeviceFilter, c: u64, d: u32) -> Page<Device>;
        fn seen(a: DeviceKey, b: Option<TopicFamily>, c: Timestamp) -> ();
        fn remove(a: DeviceKey, b: Timestamp) -> bool;
        fn remove_unbound(a: Timestamp, b: u32) -> Vec<DeviceKey>;
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
        fn remove_app(a: AppKey, b: Timestamp) -> Vec<DeviceKey>;
        fn add_token(a: NewToken, b: u32) -> ();
        fn token(a: [u8; 32], b: TokenKind, c: Timestamp) -> Option<Token>;
        fn revoke_token(a: [u8; 32], b: TokenKind) -> bool;
        fn prune_tokens(a: Timestamp) -> u64;
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
    Pushes {
        fn divert(a: Vec<Diverted>) -> Vec<Option<ReceiverKey>>;
        fn settle(a: Vec<Settled>) -> ();
        fn ready(a: ReceiverKey, b: Vec<PushId>, c: Timestamp, d: u32, e: usize) -> Ready;
        fn receiver(a: ReceiverKey) -> Option<StoredReceiver>;
        fn receivers(a: Option<ReceiverKey>, b: bool, c: u32) -> Vec<StoredReceiver>;
        fn set_held(a: AppKey, b: Arc<str>, c: bool, d: Timestamp) -> StoredReceiver;
        fn set_rate(a: AppKey, b: Arc<str>, c: Option<u32>) -> StoredReceiver;
        fn stored_pushes(a: PushFilter, b: Option<PushId>, c: u32) -> Vec<StoredPush>;
        fn replay(a: PushFilter, b: Timestamp, c: u32) -> (u64, Vec<ReceiverKey>);
        fn drop_pushes(a: PushFilter, b: Timestamp, c: u32) -> u64;
        fn give_up_old(a: PushLimits, b: Timestamp, c: u32) -> Vec<GivenUp>;
        fn prune_pushes(a: PushLimits, b: Timestamp, c: u32) -> u64;
        fn push_totals(a: Timestamp) -> PushTotals;
    }
}
