//! The store: what is durable, and the only place that decides what a transaction is.
//!
//! [`Store`] is the port: domain verbs over groups, each group one transaction. No query builder, connection or
//! transaction leaks out. An implementation loads rows, calls [`downlink_core::lifecycle::step`], writes what it
//! says. [`sqlite`] is the embedded one; every implementation must pass the suite in `tests/conformance.rs`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod app;
pub mod batch_task;
pub mod cancel_task;
pub mod command;
pub mod device;
pub mod device_group;
pub mod error;
pub mod feed;
mod grant;
pub mod history;
pub mod product;
pub mod push;
pub mod registration;
pub mod request_key;
pub mod shadow;
pub mod sqlite;
pub mod subscription;
pub mod trust;

pub use app::{App, AppSettings, AppSettingsChange, Apps, NewApp, NewToken, Token, TokenKind};
pub use batch_task::{
    BatchRefused, BatchState, BatchStep, BatchTargets, BatchTask, BatchTaskKey, BatchTasks, GroupNaming,
    NewBatchTask, RefusalText, Subtask, SubtaskFilter, SubtaskState, Turn,
};
pub use cancel_task::{
    CancelStep, CancelTask, CancelTaskFilter, CancelTaskKey, CancelTaskRefused, CancelTaskState, CancelTasks,
    NewCancelTask, ShownCancelTask,
};
pub use command::{
    Applied, Change, Changed, CommandFilter, Commands, CreateRefused, Created, Dispatch, Figures, NewCommand,
    OpenCommand, Page, PushDuty, PushEvent, Record, Submission, Target, Told,
};
pub use device::{
    Contact, Device, DeviceChange, DeviceFilter, DeviceName, Devices, Link, ModifyRefused, NewDevice,
    RegisterRefused, Silence, Standing,
};
pub use device_group::{DeviceGroup, DeviceGroupChange, DeviceGroups, GroupRefused, NewDeviceGroup};
pub use error::StoreError;
pub use feed::{Feed, FeedItem, FeedPage};
pub use grant::Grants;
pub use history::{History, HistoryFilter};
pub use product::{Codec, NewProduct, Product, ProductHead, ProductKey, Products, Put, PutRefused};
pub use push::{
    Attempt, Diverted, Fate, GivenUp, OrderKey, PushContent, PushFilter, PushId, PushLimits, PushState,
    PushTotals, Pushes, Ready, ReadyPush, ReceiverKey, Settled, StoredPush, StoredReceiver, Stowed,
};
pub use registration::{KeptRegistration, Registrations};
pub use request_key::{Repeat, RequestKey, RequestKeys};
pub use shadow::{
    Desire, DesireRefused, DesiredChange, DesiredStatus, ShadowLimits, ShadowProperty, ShadowService, Shadows,
};
pub use subscription::{
    CommandStage, DeviceEvent, Notice, NoticeDevice, NoticeWriter, NotifyType, PushGivenUp, PushSubject,
    Report, ServiceData, SubscribeRefused, Subscription, SubscriptionFilter, Subscriptions,
};
pub use trust::{AddKeyRefused, AppTrust, PushTls, SigningKey, Trust};

/// All of the port.
pub trait Store:
    Commands
    + RequestKeys
    + CancelTasks
    + BatchTasks
    + Pushes
    + Devices
    + DeviceGroups
    + Registrations
    + Products
    + Apps
    + Grants
    + Feed
    + History
    + Shadows
    + Subscriptions
    + Trust
    + Send
    + Sync
    + 'static
{
}

impl<T> Store for T where
    T: Commands
        + RequestKeys
        + CancelTasks
        + BatchTasks
        + Pushes
        + Devices
        + DeviceGroups
        + Registrations
        + Products
        + Apps
        + Grants
        + Feed
        + History
        + Shadows
        + Subscriptions
        + Trust
        + Send
        + Sync
        + 'static
{
}
