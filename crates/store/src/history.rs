//! The port's part on what devices reported before.

use async_trait::async_trait;
use downlink_core::{DeviceKey, Timestamp};

use crate::{Page, ServiceData, StoreError};

/// Which of a device's data. All of it unless narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Of this service.
    pub service: Option<String>,
    /// With this property.
    pub property: Option<String>,
    /// Of this instant or later, by the time that the device gave.
    pub from: Option<Timestamp>,
    /// Of this instant or earlier.
    pub to: Option<Timestamp>,
}

/// What devices reported: kept by [`report`](crate::Subscriptions::report), as many rows of a device as the store was
/// opened for.
#[async_trait]
pub trait History {
    /// Whether what devices report is kept at all. Reads memory only.
    fn keeps_history(&self) -> bool;

    /// A device's data, newest first, `skip` of them left out.
    async fn history(
        &self,
        device: DeviceKey,
        filter: HistoryFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<ServiceData>, StoreError>;

    /// The last data that is kept of each service of these devices: device by device, by service.
    async fn latest_data(&self, devices: Vec<DeviceKey>)
    -> Result<Vec<(DeviceKey, ServiceData)>, StoreError>;

    /// Drops up to `limit` data that came before `before`. Gives how many.
    async fn prune_history(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
