//! The port's part on keys of requests: a create call that is repeated with its key is answered as it was the first time,
//! and creates nothing.
//!
//! A key belongs to its application. It is kept in the transaction that creates the command, so there is no instant at which
//! the one is there without the other; a call that was refused keeps nothing and may be tried again.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, Status, Timestamp};

use crate::{CreateRefused, Record, StoreError};

/// The key of a create call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// As the application gave it.
    pub text: Arc<str>,
    /// A hash of all that was asked for: the same key may only ask for the same.
    pub asked: [u8; 32],
    /// Until when it is kept.
    pub until: Timestamp,
    /// The most keys that the application may have, itself included.
    pub limit: u64,
}

/// What an earlier call with the same key made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The command, as it stands now.
    pub record: Record,
    /// Its status as the earlier call was answered.
    pub status: Status,
}

/// Keys of requests.
#[async_trait]
pub trait RequestKeys {
    /// What an earlier call with this key made, as of the last commit; refused if that asked for something else. None:
    /// there was no such call, or it is longer ago than its key is kept. What is created is decided by
    /// [`Commands::create`](crate::Commands::create) alone; this only spares the work of it.
    async fn repeat(
        &self,
        app: AppKey,
        key: Arc<str>,
        asked: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Result<Repeat, CreateRefused>>, StoreError>;

    /// Forgets keys that are kept no longer, at the most `limit`. Gives how many.
    async fn prune_request_keys(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
