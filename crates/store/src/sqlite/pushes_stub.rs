//! stub
use crate::StoreError;
use crate::push::*;
use async_trait::async_trait;
use downlink_core::*;
use std::sync::Arc;
#[async_trait]
impl Pushes for super::SqliteStore {
    async fn divert(&self, _diverted: Vec<Diverted>) -> Result<Vec<Option<Stowed>>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn settle(&self, _settled: Vec<Settled>) -> Result<Vec<ReceiverKey>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn ready(
        &self,
        _receiver: ReceiverKey,
        _except: Vec<PushId>,
        _now: Timestamp,
        _limit: u32,
        _max_bytes: usize,
    ) -> Result<Ready, StoreError> {
        Err(StoreError::Busy)
    }
    async fn receiver(&self, _key: ReceiverKey) -> Result<Option<StoredReceiver>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn receivers(
        &self,
        _after: Option<ReceiverKey>,
        _busy: bool,
        _limit: u32,
    ) -> Result<Vec<StoredReceiver>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn set_held(
        &self,
        _app: AppKey,
        _origin: Arc<str>,
        _held: bool,
        _now: Timestamp,
    ) -> Result<StoredReceiver, StoreError> {
        Err(StoreError::Busy)
    }
    async fn set_rate(
        &self,
        _app: AppKey,
        _origin: Arc<str>,
        _rate: Option<u32>,
    ) -> Result<StoredReceiver, StoreError> {
        Err(StoreError::Busy)
    }
    async fn stored_pushes(
        &self,
        _filter: PushFilter,
        _after: Option<PushId>,
        _limit: u32,
    ) -> Result<Vec<StoredPush>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn replay(
        &self,
        _filter: PushFilter,
        _now: Timestamp,
        _limit: u32,
    ) -> Result<(u64, Vec<ReceiverKey>), StoreError> {
        Err(StoreError::Busy)
    }
    async fn drop_pushes(
        &self,
        _filter: PushFilter,
        _now: Timestamp,
        _limit: u32,
    ) -> Result<u64, StoreError> {
        Err(StoreError::Busy)
    }
    async fn give_up_old(
        &self,
        _limits: PushLimits,
        _now: Timestamp,
        _limit: u32,
    ) -> Result<Vec<GivenUp>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn prune_pushes(
        &self,
        _limits: PushLimits,
        _now: Timestamp,
        _limit: u32,
    ) -> Result<u64, StoreError> {
        Err(StoreError::Busy)
    }
    async fn push_totals(&self, _now: Timestamp) -> Result<PushTotals, StoreError> {
        Err(StoreError::Busy)
    }
}
