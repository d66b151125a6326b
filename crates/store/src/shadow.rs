//! The port's part on device shadows: what each property of a device was when it was last reported, and what its
//! application desires it to be.
//!
//! What is reported comes in by [`report`](crate::Subscriptions::report). What is desired is told to the device by a
//! command a service, made in the transaction that keeps it; how that command ends is how the change ended, and is told
//! to subscribers in the transaction of that end.

use async_trait::async_trait;
use downlink_core::{DeviceKey, Timestamp};

use crate::{CreateRefused, Created, HistoryFilter, Page, StoreError, Submission};

/// How much of shadows is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShadowLimits {
    /// Properties of a device that are kept as reported, and as many that may be desired; 0: no shadows are kept.
    pub properties: u32,
    /// Bytes of a reported value, as JSON; a longer one is passed over.
    pub value_bytes: u32,
    /// Changes of what is desired that are kept of a device, beside those under way.
    pub changes: u32,
    /// What devices report over MQTT is kept too.
    pub of_mqtt: bool,
}

/// A property's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowProperty {
    /// Which property.
    pub name: String,
    /// The value, as JSON.
    pub value: String,
    /// When it was so, as the device said; of a desired one, when it was asked for.
    pub at: Timestamp,
}

/// A service of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShadowService {
    /// Which service.
    pub service: String,
    /// What the device reported, by name.
    pub reported: Vec<ShadowProperty>,
    /// What is desired, by name.
    pub desired: Vec<ShadowProperty>,
}

/// What is to be desired of a service from now on. Properties that it does not name stay as they are.
#[derive(Debug, Clone)]
pub struct Desire {
    /// Which service.
    pub service: String,
    /// Properties and their values, as JSON.
    pub set: Vec<(String, String)>,
    /// Properties of which nothing is desired any more.
    pub unset: Vec<String>,
    /// Tells the device what is `set`; its body's parameters are kept as the change. None, if nothing is.
    pub tell: Option<Submission>,
}

/// Why nothing is desired. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DesireRefused {
    /// The device has as many desired properties as it may.
    #[error("too many properties of the device are desired")]
    TooMany,
    /// The commands that were to tell it may not be created.
    #[error(transparent)]
    Untold(#[from] CreateRefused),
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredStatus {
    /// The device was not told yet, or did not say that it has it.
    UnderWay,
    /// The device has it.
    Delivered,
    /// It will not be told any more.
    Failed,
}

/// A change of what is desired of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredChange {
    /// Which service.
    pub service: String,
    /// What it set: a JSON object as text.
    pub properties: String,
    /// What became of it.
    pub status: DesiredStatus,
    /// When it was asked for.
    pub at: Timestamp,
}

/// Shadows of devices. A removed device has none.
#[async_trait]
pub trait Shadows {
    /// Whether what a device reports is kept in its shadow; `of_mqtt`: it speaks MQTT. Reads memory only.
    fn keeps_shadow(&self, of_mqtt: bool) -> bool;

    /// A device's shadow: by service.
    async fn shadow(&self, device: DeviceKey) -> Result<Vec<ShadowService>, StoreError>;

    /// Keeps what is desired of a device, and creates the commands that tell it: all of it or nothing. Gives what was
    /// created, in order; sends are the caller's to write. All submissions are cached commands of this device, with one
    /// pair of limits and without a key.
    async fn desire(
        &self,
        device: DeviceKey,
        desires: Vec<Desire>,
        now: Timestamp,
    ) -> Result<Result<Vec<Created>, DesireRefused>, StoreError>;

    /// What was desired of a device, newest first, `skip` of them left out. The filter's times are those of asking.
    async fn desired_changes(
        &self,
        device: DeviceKey,
        filter: HistoryFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<DesiredChange>, StoreError>;

    /// Drops up to `limit` rows of shadows of removed devices. Gives how many steps it took; 0: nothing is left.
    async fn prune_shadows(&self, limit: u32) -> Result<u64, StoreError>;
}
