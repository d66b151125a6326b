//! The port's part on device groups: an application's devices under a name, for what is to be done with many at once.
//!
//! A device may be in any number of groups. It leaves them when it is removed, and a group goes without its devices. Nobody but
//! the application sees or changes its groups.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, DeviceId, Timestamp};

use crate::{Page, StoreError};

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewDeviceGroup {
    /// Minted by the caller.
    pub id: Arc<str>,
    /// Whose it is.
    pub app: AppKey,
    /// Unique among the application's groups.
    pub name: String,
    /// What the application says of it.
    pub description: Option<String>,
    /// The most devices that the application wants in it; 0: as many as `device_limit`.
    pub max_devices: u64,
    /// The first ones in it, each once.
    pub devices: Vec<DeviceId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The most groups of the application, itself included.
    pub group_limit: u64,
    /// The most devices in any group.
    pub device_limit: u64,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceGroup {
    /// Its id.
    pub id: Arc<str>,
    /// Its name.
    pub name: String,
    /// What was said of it.
    pub description: Option<String>,
    /// As it was given; 0: no limit of its own.
    pub max_devices: u64,
    /// How many devices are in it.
    pub devices: u64,
}

/// What is to be another of a group; none: stays.
#[derive(Debug, Clone, Default)]
pub struct DeviceGroupChange {
    /// Its name.
    pub name: Option<String>,
    /// What is said of it.
    pub description: Option<String>,
    /// The most devices in it; never fewer than are in it.
    pub max_devices: Option<u64>,
}

/// Why a group was not made or changed. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefused {
    /// The application has no group with this id.
    #[error("no such group")]
    NoGroup,
    /// The application has a group of this name.
    #[error("a group has this name")]
    NameTaken,
    /// The application has as many groups as it may.
    #[error("too many groups of the application")]
    TooManyGroups,
    /// More devices than may be in it.
    #[error("too many devices in the group")]
    TooManyDevices,
    /// The application has no device with this id.
    #[error("no device with the id {0}")]
    NoDevice(DeviceId),
}

/// Device groups.
#[async_trait]
pub trait DeviceGroups {
    /// Makes a group, with its first devices.
    async fn create_group(
        &self,
        new: NewDeviceGroup,
    ) -> Result<Result<DeviceGroup, GroupRefused>, StoreError>;

    /// An application's group with this id.
    async fn group(&self, app: AppKey, id: Arc<str>) -> Result<Option<DeviceGroup>, StoreError>;

    /// An application's groups (or the one of this name), oldest first, `skip` of them left out.
    async fn groups(
        &self,
        app: AppKey,
        name: Option<String>,
        skip: u64,
        limit: u32,
    ) -> Result<Page<DeviceGroup>, StoreError>;

    /// Changes a group; gives it as it is then.
    async fn modify_group(
        &self,
        app: AppKey,
        id: Arc<str>,
        change: DeviceGroupChange,
    ) -> Result<Result<DeviceGroup, GroupRefused>, StoreError>;

    /// Removes a group. False: there was none.
    async fn remove_group(&self, app: AppKey, id: Arc<str>) -> Result<bool, StoreError>;

    /// Puts devices into a group, all or none; those that are in it count once. `device_limit`: the most in any group.
    async fn add_to_group(
        &self,
        app: AppKey,
        id: Arc<str>,
        devices: Vec<DeviceId>,
        device_limit: u64,
    ) -> Result<Result<(), GroupRefused>, StoreError>;

    /// Takes devices out of a group; those that are not in it are left alone.
    async fn take_from_group(
        &self,
        app: AppKey,
        id: Arc<str>,
        devices: Vec<DeviceId>,
    ) -> Result<Result<(), GroupRefused>, StoreError>;

    /// The devices in a group in the order of their registration, `skip` of them left out; none: there is no such group.
    async fn group_members(
        &self,
        app: AppKey,
        id: Arc<str>,
        skip: u64,
        limit: u32,
    ) -> Result<Option<Page<DeviceId>>, StoreError>;
}
