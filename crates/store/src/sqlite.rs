//! The embedded store, on SQLite.
#![allow(missing_docs, unused)]
use crate::app::*;
use crate::command::*;
use crate::device::*;
use crate::*;
use downlink_core::*;
use std::path::PathBuf;
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub data_dir: PathBuf,
    pub policy: Policy,
    pub write_queue: usize,
    pub max_batch: usize,
    pub readers: usize,
    pub cache_kib: u32,
    pub min_free_bytes: u64,
    pub min_free_percent: u8,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct OpenError;
pub struct SqliteStore;

#[async_trait::async_trait]
impl crate::Commands for SqliteStore {
    async fn create(&self, submission: Submission) -> Result<Result<Created, CreateRefused>, StoreError> {
        unimplemented!()
    }
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        unimplemented!()
    }
    async fn send_next(
        &self,
        device: DeviceKey,
        offer: Offer,
        now: Timestamp,
    ) -> Result<Option<(Applied, Dispatch)>, StoreError> {
        unimplemented!()
    }
    async fn told(&self, told: Vec<Told>) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn load(&self, app: AppKey, command: CommandId) -> Result<Option<Record>, StoreError> {
        unimplemented!()
    }
    async fn load_push(&self, command: CommandId) -> Result<Option<PushDuty>, StoreError> {
        unimplemented!()
    }
    async fn list(
        &self,
        app: AppKey,
        filter: CommandFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Record>, StoreError> {
        unimplemented!()
    }
    async fn take_expiring(&self, now: Timestamp, limit: u32) -> Result<Vec<CommandId>, StoreError> {
        unimplemented!()
    }
    async fn queue(&self, device: DeviceKey, limit: u32) -> Result<Vec<CommandId>, StoreError> {
        unimplemented!()
    }
    async fn sweep_open(
        &self,
        after: Option<CommandId>,
        limit: u32,
    ) -> Result<(Vec<OpenCommand>, Option<CommandId>), StoreError> {
        unimplemented!()
    }
    async fn prune(&self, now: Timestamp, keep_from: Timestamp, limit: u32) -> Result<u64, StoreError> {
        unimplemented!()
    }
    async fn last_id(&self) -> Result<Option<CommandId>, StoreError> {
        unimplemented!()
    }
    async fn count_open(&self) -> Result<u64, StoreError> {
        unimplemented!()
    }
    fn policy(&self) -> Policy {
        unimplemented!()
    }
}
#[async_trait::async_trait]
impl crate::Devices for SqliteStore {
    async fn register(
        &self,
        device: NewDevice,
        limit: u64,
    ) -> Result<Result<Device, RegisterRefused>, StoreError> {
        unimplemented!()
    }
    async fn device(&self, name: DeviceName<'_>) -> Result<Option<Device>, StoreError> {
        unimplemented!()
    }
    async fn devices(
        &self,
        app: AppKey,
        filter: DeviceFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Device>, StoreError> {
        unimplemented!()
    }
    async fn seen(
        &self,
        device: DeviceKey,
        family: Option<TopicFamily>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn remove(&self, device: DeviceKey, now: Timestamp) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn remove_unbound(&self, now: Timestamp, limit: u32) -> Result<Vec<DeviceKey>, StoreError> {
        unimplemented!()
    }
}
#[async_trait::async_trait]
impl crate::Apps for SqliteStore {
    async fn token(
        &self,
        hash: [u8; 32],
        kind: TokenKind,
        now: Timestamp,
    ) -> Result<Option<Token>, StoreError> {
        unimplemented!()
    }
    async fn revoke_token(&self, hash: [u8; 32], kind: TokenKind) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn create_app(&self, app: NewApp) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }
    async fn app(&self, id: &AppId) -> Result<Option<App>, StoreError> {
        unimplemented!()
    }
    async fn apps(&self, skip: u64, limit: u32) -> Result<Vec<App>, StoreError> {
        unimplemented!()
    }
    async fn set_app_secret(&self, app: AppKey, secret_hash: String) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn remove_app(
        &self,
        app: AppKey,
        now: Timestamp,
    ) -> Result<Vec<downlink_core::DeviceKey>, StoreError> {
        unimplemented!()
    }
    async fn add_token(&self, token: NewToken, limit: u32) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn prune_tokens(&self, now: Timestamp) -> Result<u64, StoreError> {
        unimplemented!()
    }
}
impl SqliteStore {
    pub fn open(_: SqliteOptions) -> Result<Self, OpenError> {
        unimplemented!()
    }
    pub async fn close(&self) {}
}
