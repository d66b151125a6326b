//! The port's part on subscriptions: what applications asked to be told of, and what the store tells of by itself.
//!
//! A notice is made in the transaction of what it tells, and only if it is subscribed to then; from there on it is a
//! stored push (see [`crate::push`]), in order with all that its receiver is told of the same device. What it looks
//! like on the wire is a [`NoticeWriter`]'s business.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Status, Timestamp};
use foldhash::HashSet;

use crate::{Page, ReceiverKey, Silence, Standing, StoreError};

/// The most subscriptions of an application.
pub const MAX_SUBSCRIPTIONS: usize = 64;

macro_rules! notify_types {
    ($($(#[$doc:meta])* $name:ident $wire:literal,)*) => {
        /// What can be subscribed to. Not all of it is produced.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum NotifyType { $($(#[$doc])* $name,)* }

        impl NotifyType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name, as it is stored and stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }
        }
    };
}

notify_types! {
    /// A device was registered.
    DeviceAdded "deviceAdded",
    /// A device connected for the first time, or its time to do so ended.
    BindDevice "bindDevice",
    /// A device came or went.
    DeviceInfoChanged "deviceInfoChanged",
    /// A device reported data; one notice a service.
    DeviceDataChanged "deviceDataChanged",
    /// A device reported data; one notice a report.
    DeviceDatasChanged "deviceDatasChanged",
    /// A device was removed.
    DeviceDeleted "deviceDeleted",
    /// A device reported an event.
    DeviceEvent "deviceEvent",
    /// A command went on.
    MessageConfirm "messageConfirm",
    /// A device gave a command's result.
    CommandRsp "commandRsp",
    /// A push was given up. Not of the platform's list.
    PushGivenUp "pushGivenUp",
    /// Not produced.
    RuleEvent "ruleEvent",
    /// What was desired of a device's properties was delivered, or was not.
    DesiredPropertiesStatus "deviceDesiredPropertiesModifyStatusChanged",
    /// What is said of one of a device's services changed.
    ServiceInfoChanged "serviceInfoChanged",
    /// Not produced.
    DeviceModelAdded "deviceModelAdded",
    /// Not produced.
    DeviceModelDeleted "deviceModelDeleted",
    /// Not produced.
    CapabilitiesAdded "deviceCapabilitiesAdded",
    /// Not produced.
    CapabilitiesChanged "deviceCapabilitiesChanged",
    /// Not produced.
    CapabilitiesDeleted "deviceCapabilitiesDeleted",
    /// Not produced.
    SwUpgradeState "swUpgradeStateChangeNotify",
    /// Not produced.
    SwUpgradeResult "swUpgradeResultNotify",
    /// Not produced.
    FwUpgradeState "fwUpgradeStateChangeNotify",
    /// Not produced.
    FwUpgradeResult "fwUpgradeResultNotify",
}

impl NotifyType {
    /// The one with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether it is one of the four that tell of upgrades.
    pub fn is_of_upgrades(self) -> bool {
        [
            Self::SwUpgradeState,
            Self::SwUpgradeResult,
            Self::FwUpgradeState,
            Self::FwUpgradeResult,
        ]
        .contains(&self)
    }

    /// Whether it tells of what a device reports. There may be any number of those, and nobody waits for one in particular.
    pub const fn is_report(self) -> bool {
        matches!(
            self,
            Self::DeviceDataChanged | Self::DeviceDatasChanged | Self::DeviceEvent
        )
    }

    /// A bit of its own.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// What an application wants to be told of, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id: a UUID that the caller made.
    pub id: Arc<str>,
    /// Whose.
    pub app: AppKey,
    /// Of what.
    pub notify_type: NotifyType,
    /// Where to.
    pub callback: Arc<str>,
    /// Scheme, host and port of `callback`: names the receiver, with the application.
    pub origin: Arc<str>,
    /// As it was asked for; `HTTP` if it was not said.
    pub channel: Arc<str>,
    /// When.
    pub created_at: Timestamp,
}

/// Why a subscription was not made. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeRefused {
    /// The application has that kind of notice sent to another URL.
    #[error("it is subscribed to, to another URL")]
    Conflict,
    /// The application is at [`MAX_SUBSCRIPTIONS`].
    #[error("the application is at its limit of subscriptions")]
    TooMany,
    /// The application is gone.
    #[error("no such application")]
    NoApp,
}

/// Which subscriptions of an application. All unless narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// To this.
    pub notify_type: Option<NotifyType>,
    /// With this URL.
    pub callback: Option<String>,
    /// With this channel.
    pub channel: Option<String>,
}

impl SubscriptionFilter {
    /// Whether it lets `subscription` through.
    pub fn fits(&self, subscription: &Subscription) -> bool {
        self.notify_type
            .is_none_or(|kind| kind == subscription.notify_type)
            && self
                .callback
                .as_deref()
                .is_none_or(|url| url == &*subscription.callback)
            && self
                .channel
                .as_deref()
                .is_none_or(|name| name == &*subscription.channel)
    }
}

/// What a device said of one of its services at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceData {
    /// Which service.
    pub service: String,
    /// Its data: a JSON object as text.
    pub data: String,
    /// When, as the device said or, if it did not, the server found.
    pub at: Timestamp,
}

/// Something that happened at a device, as it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvent {
    /// At which service.
    pub service: String,
    /// What kind of event.
    pub event_type: String,
    /// Its particulars: a JSON object as text.
    pub paras: String,
    /// When, as the device said or, if it did not, the server found.
    pub at: Timestamp,
}

/// What one message of a device reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Data of services.
    Data(Vec<ServiceData>),
    /// An event.
    Event(DeviceEvent),
}

/// How far a command came, where every step is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStage {
    /// It was sent.
    Sent,
    /// The device has it.
    Delivered,
    /// The device gave its result.
    Executed,
}

/// A device, as notices show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeDevice {
    /// Its id.
    pub id: DeviceId,
    /// The device that it is connected by; none: it is connected directly.
    pub gateway: Option<DeviceId>,
    /// Its own name for itself.
    pub node_id: String,
    /// What the application said of it: a JSON object as text.
    pub info: String,
}

/// A push that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushGivenUp<'a> {
    /// Of which device it told.
    pub device: &'a DeviceId,
    /// What it told.
    pub told: PushSubject<'a>,
    /// Scheme, host and port of its receiver.
    pub origin: &'a str,
    /// Why, for people.
    pub why: &'a str,
    /// Attempts that were made.
    pub tries: u32,
    /// When what it told happened.
    pub at: Timestamp,
    /// When it was given up.
    pub now: Timestamp,
}

/// What a push that was given up told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushSubject<'a> {
    /// A change of a command.
    Change {
        /// Of which command.
        command: CommandId,
        /// Its place in the record.
        seq: u32,
        /// The status it told.
        status: Status,
    },
    /// A notice.
    Notice {
        /// What stands in its `webhook-id`.
        id: &'a str,
        /// The name of its kind.
        kind: &'a str,
    },
}

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// A device was registered.
    Added(&'a NoticeDevice),
    /// A device connected for the first time; not `in_time`: it did not, and will not.
    Bound {
        /// Which device.
        device: &'a NoticeDevice,
        /// It did.
        in_time: bool,
    },
    /// A device came or went, or was silent for so long that it counts as otherwise.
    Presence {
        /// Which device.
        device: &'a DeviceId,
        /// How it stands now.
        standing: Standing,
    },
    /// What is said of a device changed.
    Changed {
        /// The device, as it is now.
        device: &'a NoticeDevice,
        /// Its node id changed.
        moved: bool,
        /// What the application said of it before: a JSON object as text.
        before: &'a str,
    },
    /// What is said of one of a device's services changed.
    ServiceChanged {
        /// The device, as it is now.
        device: &'a NoticeDevice,
        /// Which service.
        service: &'a str,
    },
    /// A device was removed.
    Deleted {
        /// Which device.
        device: &'a DeviceId,
        /// The device that it was connected by; none: directly.
        gateway: Option<&'a DeviceId>,
    },
    /// Data of one service.
    Data {
        /// Of which device.
        device: &'a DeviceId,
        /// The device that it is connected by, if it is by one.
        gateway: Option<&'a DeviceId>,
        /// The data.
        service: &'a ServiceData,
    },
    /// Data of all services in a report.
    Datas {
        /// Of which device.
        device: &'a DeviceId,
        /// The device that it is connected by, if it is by one.
        gateway: Option<&'a DeviceId>,
        /// The data.
        services: &'a [ServiceData],
    },
    /// An event at a device.
    Event {
        /// At which device.
        device: &'a DeviceId,
        /// The event.
        event: &'a DeviceEvent,
        /// When the server took it.
        now: Timestamp,
    },
    /// A command came to this stage.
    Confirm {
        /// Of which device.
        device: &'a DeviceId,
        /// Whose.
        app: &'a str,
        /// Which command.
        command: CommandId,
        /// The application's own id of the call that made it, if it gave one.
        call_id: Option<&'a str>,
        /// The stage.
        stage: CommandStage,
        /// When.
        at: Timestamp,
    },
    /// A device's result of a command.
    Response {
        /// Of which device.
        device: &'a DeviceId,
        /// Whose.
        app: &'a str,
        /// Which command.
        command: CommandId,
        /// The application's own id of the call that made it, if it gave one.
        call_id: Option<&'a str>,
        /// Of which service.
        service: &'a str,
        /// What it called for.
        method: &'a str,
        /// What the device gave: as it came.
        result: Option<&'a str>,
    },
    /// A change of what is desired of a device's service is over.
    Desired {
        /// Of which device.
        device: &'a DeviceId,
        /// Of which service.
        service: &'a str,
        /// What was desired: a JSON object as text.
        properties: &'a str,
        /// The device has it; else it will not be told any more.
        delivered: bool,
    },
    /// A push was given up. That one of this very kind was is told nobody.
    GivenUp(PushGivenUp<'a>),
}

impl Notice<'_> {
    /// To what one has to subscribe to be told.
    pub fn notify_type(&self) -> NotifyType {
        match self {
            Self::Added(_) => NotifyType::DeviceAdded,
            Self::Bound { .. } => NotifyType::BindDevice,
            Self::Presence { .. } | Self::Changed { .. } => NotifyType::DeviceInfoChanged,
            Self::ServiceChanged { .. } => NotifyType::ServiceInfoChanged,
            Self::Deleted { .. } => NotifyType::DeviceDeleted,
            Self::Data { .. } => NotifyType::DeviceDataChanged,
            Self::Datas { .. } => NotifyType::DeviceDatasChanged,
            Self::Event { .. } => NotifyType::DeviceEvent,
            Self::Confirm { .. } => NotifyType::MessageConfirm,
            Self::Response { .. } => NotifyType::CommandRsp,
            Self::Desired { .. } => NotifyType::DesiredPropertiesStatus,
            Self::GivenUp(_) => NotifyType::PushGivenUp,
        }
    }
}

/// Makes the body of a notice. Quick, and always the same for the same notice.
pub trait NoticeWriter: fmt::Debug + Send + Sync {
    /// The body as it goes over the wire.
    fn body(&self, notice: &Notice<'_>) -> String;
}

/// Writes no more than what kind of notice it is: for stores whose notices nobody reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct KindOnly;

impl NoticeWriter for KindOnly {
    fn body(&self, notice: &Notice<'_>) -> String {
        format!(r#"{{"notifyType":"{}"}}"#, notice.notify_type().as_str())
    }
}

/// Subscriptions, and what devices do that only subscribers hear of. A device that is not there makes no notice.
#[async_trait]
pub trait Subscriptions {
    /// Subscribes; one to the same with the same URL that is there already is given instead.
    async fn subscribe(
        &self,
        new: Subscription,
    ) -> Result<Result<Subscription, SubscribeRefused>, StoreError>;

    /// The application's subscription with this id.
    async fn subscription(&self, app: AppKey, id: &str) -> Result<Option<Subscription>, StoreError>;

    /// An application's subscriptions, oldest first, `skip` of them left out.
    async fn subscriptions(
        &self,
        app: AppKey,
        filter: SubscriptionFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Subscription>, StoreError>;

    /// Ends a subscription. What it made so far is still told. False if it was not there.
    async fn unsubscribe(&self, app: AppKey, id: &str) -> Result<bool, StoreError>;

    /// Ends all that the filter lets through. Gives how many.
    async fn unsubscribe_many(&self, app: AppKey, filter: SubscriptionFilter) -> Result<u64, StoreError>;

    /// Whether the application is subscribed to one of these, as of the last commit. Reads memory only.
    fn wants(&self, app: AppKey, kinds: &[NotifyType]) -> bool;

    /// A device came or went. If the last notice that waits for its receiver says the same sort of thing and stands
    /// behind another, it is replaced: of what was never attempted only the newest matters.
    /// That it went is not told of a device that is told to be offline for its silence.
    async fn presence(&self, device: DeviceKey, online: bool, now: Timestamp) -> Result<(), StoreError>;

    /// Tells of up to `limit` devices that sleep and were silent for so long that they are abnormal, or offline, and were not
    /// told so. Gives of how many; fewer than `limit`: that were all. When one is heard again, that is told with its
    /// [`Contact`](crate::Contact). Not urgent.
    async fn tell_silent(&self, silence: Silence, limit: u32, now: Timestamp) -> Result<u64, StoreError>;

    /// What a device reported: kept as far as the store keeps it, and told. Nothing of it if the device's `info` says that
    /// it is `mute`.
    async fn report(&self, device: DeviceKey, reports: Vec<Report>, now: Timestamp)
    -> Result<(), StoreError>;

    /// Applications of which so much waits that they are told of no more reports ([`NotifyType::is_report`]), until this is called
    /// without them. What is reported is kept as ever. Gives how many notices were not made since the last call, of whom. Memory only: with a
    /// restart nobody is crowded.
    fn set_crowded(&self, apps: HashSet<AppKey>) -> Vec<(AppKey, u64)>;

    /// Whether this one is among those that were last named so. Reads memory only.
    fn is_crowded(&self, app: AppKey) -> bool;

    /// The receivers that notices made something ready for since this was last asked. Hints: at the most a few
    /// thousand are remembered, and whoever is not named is found by looking.
    fn take_stirred(&self) -> Vec<ReceiverKey>;

    /// Waits until [`take_stirred`](Self::take_stirred) may have something. For one waiter.
    async fn stirred(&self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_a_name_and_a_bit_of_their_own() {
        let mut bits = 0;
        for kind in NotifyType::ALL {
            assert_eq!(NotifyType::of(kind.as_str()), Some(*kind));
            assert_eq!(bits & kind.bit(), 0, "{kind:?}");
            bits |= kind.bit();
        }
        assert_eq!(NotifyType::of("deviceadded"), None);
    }
}
