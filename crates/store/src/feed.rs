//! The port's part on the feed: an application's changes of commands in the order of their commits, to be read after a
//! place.
//!
//! Kept only for applications that asked for it. Numbers rise by one from change to change of an application and follow
//! the order of the commits: who has read up to a number misses nothing that is committed later. What is too old is
//! pruned from the front, and who asks for what was pruned is told so.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceId, Status, Timestamp};

use crate::StoreError;

/// A change in an application's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedItem {
    /// Its number.
    pub n: u64,
    /// Of which command.
    pub command: CommandId,
    /// Of which device.
    pub device_id: DeviceId,
    /// Its place in the command's record.
    pub seq: u16,
    /// The status it tells.
    pub status: Status,
    /// When it happened.
    pub at: Timestamp,
    /// The device's result as JSON text, with the change that it made, as long as the command's record is kept.
    pub result: Option<Arc<str>>,
}

/// What reading a feed gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// Changes, oldest first.
    Read {
        /// Those asked for.
        items: Vec<FeedItem>,
        /// All up to this number was read; the place to go on after.
        upto: u64,
        /// There are more already.
        more: bool,
    },
    /// Something after that place is not kept any more.
    Expired,
    /// The application has no feed.
    Off,
}

/// Feeds.
#[async_trait]
pub trait Feed {
    /// The changes after number `after` (none: from the oldest that is kept), at the most `limit` and fewer if their
    /// results pass `max_bytes`, but at least one.
    async fn read_feed(
        &self,
        app: AppKey,
        after: Option<u64>,
        limit: u32,
        max_bytes: usize,
    ) -> Result<FeedPage, StoreError>;

    /// The number after which only changes come that are committed from now on; none: the application has no feed.
    async fn feed_head(&self, app: AppKey) -> Result<Option<u64>, StoreError>;

    /// Deletes changes from before `before`, the oldest of each application first, at the most `limit`. Gives how many.
    async fn prune_feed(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
