//! The port's part on devices.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::product::WorkMode;
use downlink_core::{AppKey, DeviceId, DeviceKey, ProductRef, Timestamp, TopicFamily};

use crate::{Page, StoreError};

/// A device to be registered.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Whose it is.
    pub app: AppKey,
    /// Its id.
    pub id: DeviceId,
    /// Its own name for itself (IMEI, MAC, serial number); unique in the deployment.
    pub node_id: String,
    /// Its secret, encrypted by the caller; opaque here.
    pub secret: Vec<u8>,
    /// The verification code, as given or made.
    pub verify_code: String,
    /// What the application said of it: a JSON object as text, kept and given back.
    pub info: String,
    /// When.
    pub created_at: Timestamp,
    /// If it has not connected by then, the registration lapses; none: never.
    pub bind_until: Option<Timestamp>,
    /// The device that it is connected by; none: it is connected directly.
    pub gateway: Option<DeviceKey>,
}

/// A registered device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The store's key of it.
    pub key: DeviceKey,
    /// Whose it is.
    pub app: AppKey,
    /// Its id.
    pub id: DeviceId,
    /// Its own name for itself.
    pub node_id: String,
    /// Its secret, encrypted.
    pub secret: Vec<u8>,
    /// The verification code.
    pub verify_code: String,
    /// What the application said of it: a JSON object as text.
    pub info: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub modified_at: Timestamp,
    /// When it connected for the first time.
    pub activated_at: Option<Timestamp>,
    /// If it has not connected by then, the registration lapses.
    pub bind_until: Option<Timestamp>,
    /// The topic family it was seen to speak.
    pub family: Option<TopicFamily>,
    /// The device that it is connected by; none: it is connected directly.
    pub gateway: Option<DeviceId>,
    /// Whether it is there.
    pub link: Link,
    /// About when it was last heard; coarser than it happened.
    pub heard_at: Option<Timestamp>,
    /// What its `info` says of its product (`productId`, `manufacturerId`, `model`, `deviceType`), if it does.
    pub product: Option<Arc<ProductRef>>,
    /// How it sleeps, if that was said of this one device.
    pub work_mode: Option<WorkMode>,
}

impl Device {
    /// How it stands now.
    pub fn standing(&self, silence: Silence) -> Standing {
        match (self.link, self.heard_at) {
            (Link::Connected, _) => Standing::Online,
            (Link::Sleeps, Some(heard)) if heard > silence.abnormal => Standing::Online,
            (Link::Sleeps, Some(heard)) if heard > silence.offline => Standing::Abnormal,
            (Link::Sleeps | Link::None, _) if self.activated_at.is_none() => Standing::Inactive,
            (Link::Sleeps | Link::None, _) => Standing::Offline,
        }
    }
}

/// How a device is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Not at all.
    None,
    /// Over a connection to this server, since it was started.
    Connected,
    /// It sleeps most of the time: when it was last heard tells whether it is there.
    Sleeps,
}

/// How a device stands, as applications ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is connected, or was heard lately.
    Online,
    /// It was silent for a while.
    Abnormal,
    /// It is not there. As a filter: those that never were as well.
    Offline,
    /// It never connected.
    Inactive,
}

/// From when on a device that sleeps is taken for silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Last heard then or earlier: [`Standing::Abnormal`].
    pub abnormal: Timestamp,
    /// Last heard then or earlier: [`Standing::Offline`].
    pub offline: Timestamp,
}

/// What was noticed of a device's being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// Which device.
    pub device: DeviceKey,
    /// How it is connected from now on.
    pub link: Link,
    /// When it was heard.
    pub at: Timestamp,
}

/// What is to be changed of a device. What is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// Members to be put into its `info`: a JSON object as text, merged as RFC 7396 says.
    pub info: Option<String>,
    /// Its secret, encrypted by the caller.
    pub secret: Option<Vec<u8>>,
    /// Its own name for itself.
    pub node_id: Option<String>,
    /// The verification code.
    pub verify_code: Option<String>,
    /// What is said concerns this service: told as such.
    pub service: Option<String>,
}

/// Why a device was not changed. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModifyRefused {
    /// It is gone.
    #[error("no such device")]
    NoDevice,
    /// The node id is another device's.
    #[error("the node id is taken")]
    DuplicateNode,
}

/// How a device is looked up when it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName<'a> {
    /// By its id.
    Id(&'a DeviceId),
    /// By its own name for itself.
    Node(&'a str),
}

/// Which devices to list.
#[derive(Debug, Clone, Default)]
pub struct DeviceFilter {
    /// Registered at this instant or later.
    pub from: Option<Timestamp>,
    /// Registered at this instant or earlier.
    pub to: Option<Timestamp>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// This one, and those that are connected by it.
    pub gateway: Option<DeviceKey>,
    /// Whether they are connected directly.
    pub direct: Option<bool>,
    /// Of this type.
    pub device_type: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// At this place.
    pub location: Option<String>,
    /// That stand so.
    pub standing: Option<(Standing, Silence)>,
}

/// Why a device was not registered. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterRefused {
    /// The node id is taken, by whomever.
    #[error("the node id is taken")]
    DuplicateNode,
    /// The device id is taken.
    #[error("the device id is taken")]
    DuplicateId,
    /// The application is at its limit of devices.
    #[error("the application is at its limit of devices")]
    TooMany,
    /// The application is gone.
    #[error("no such application")]
    NoApp,
    /// The gateway is gone, another application's, or connected by a gateway itself.
    #[error("no such gateway")]
    NoGateway,
}

/// Devices. A removed device is gone for every method here; its commands and their records stay.
#[async_trait]
pub trait Devices {
    /// Registers a device. `limit`: the most devices its application may have.
    async fn register(
        &self,
        device: NewDevice,
        limit: u64,
    ) -> Result<Result<Device, RegisterRefused>, StoreError>;

    /// The device with this name. Served from memory where the device was seen lately.
    async fn device(&self, name: DeviceName<'_>) -> Result<Option<Device>, StoreError>;

    /// An application's devices, newest first unless the filter says otherwise, `skip` of them left out.
    async fn devices(
        &self,
        app: AppKey,
        filter: DeviceFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Device>, StoreError>;

    /// Notes that a device connected, and the topic family it speaks if that is known now. Writes only what is new.
    async fn seen(
        &self,
        device: DeviceKey,
        family: Option<TopicFamily>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Says how a device sleeps; none: it goes by its product or application again. False if it is not there.
    async fn set_work_mode(
        &self,
        device: DeviceKey,
        mode: Option<WorkMode>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Notes which devices are there. In order; a removed one is passed over.
    async fn contacts(&self, contacts: Vec<Contact>) -> Result<(), StoreError>;

    /// Changes a device, and tells of it if something changed.
    async fn modify(
        &self,
        device: DeviceKey,
        change: DeviceChange,
        now: Timestamp,
    ) -> Result<Result<(), ModifyRefused>, StoreError>;

    /// Removes a device. What is connected by it goes too (`cascade`), or counts as connected directly from then on.
    /// Gives what was removed, the device itself first; nothing if it was not there. Open commands are the caller's to
    /// end.
    async fn remove(
        &self,
        device: DeviceKey,
        cascade: bool,
        now: Timestamp,
    ) -> Result<Vec<DeviceKey>, StoreError>;

    /// Removes up to `limit` devices that had to connect by `now` and never did. Gives their keys.
    async fn remove_unbound(&self, now: Timestamp, limit: u32) -> Result<Vec<DeviceKey>, StoreError>;
}
