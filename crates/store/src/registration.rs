//! The port's part on registrations of devices over LwM2M, which outlive the process.
//!
//! Only the gateway knows what a registration is; here it is bytes, and when it ends. One that is lost costs its device
//! time, not commands: it has to register anew.

use async_trait::async_trait;
use downlink_core::{DeviceKey, Timestamp};

use crate::{Device, StoreError};

/// What is kept of a device's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRegistration {
    /// Whose.
    pub device: DeviceKey,
    /// When it ends if nothing more is heard. The row stays until it is told to go.
    pub ends_at: Timestamp,
    /// What the gateway has to know of it; opaque here.
    pub bytes: Vec<u8>,
}

/// Registrations of devices. One of each device at the most; it goes with its device.
#[async_trait]
pub trait Registrations {
    /// Keeps registrations, each in the place of its device's one before, and lets go of those of the devices in `ended`: one
    /// transaction. Of a device that is not there nothing is kept. It may wait a little for others to share a commit with.
    async fn keep_registrations(
        &self,
        kept: Vec<KeptRegistration>,
        ended: Vec<DeviceKey>,
    ) -> Result<(), StoreError>;

    /// What is kept, with its devices, by their keys: of those after `after` the first `limit`. Empty: there are no more.
    async fn kept_registrations(
        &self,
        after: DeviceKey,
        limit: u32,
    ) -> Result<Vec<(Device, KeptRegistration)>, StoreError>;
}
