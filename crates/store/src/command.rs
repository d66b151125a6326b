//! The port's part on commands.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::lifecycle::{Deadline, Input, Refusal};
use downlink_core::{
    AppKey, CommandBody, CommandId, DeviceId, DeviceKey, Event, Mid, Mode, Offer, Policy, Proof,
    ResponseRule, SessionId, Status, StatusSet, Timestamp,
};

use crate::{RequestKey, StoreError};

/// A command to be created.
#[derive(Debug, Clone)]
pub struct NewCommand {
    /// Minted by the caller; creating the same id again answers with the stored record and changes nothing.
    pub id: CommandId,
    /// Whose it is.
    pub app: AppKey,
    /// For which device.
    pub device: DeviceKey,
    /// What to do.
    pub body: Arc<CommandBody>,
    /// Where its changes are pushed to.
    pub callback: Option<String>,
    /// Which changes are pushed there; empty without a callback.
    pub push: StatusSet,
    /// How it waits for its device.
    pub mode: Mode,
    /// `expireTime` as the application gave it, in seconds; echoed as given.
    pub expire_time: u64,
    /// `maxRetransmit` as the application gave it.
    pub max_retransmit: Option<u8>,
    /// Whether a result is expected.
    pub response: ResponseRule,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The application's own id of the call, by which notices name it; none: they name the command.
    pub call_id: Option<Arc<str>>,
    /// For the first event: which request made it.
    pub detail: String,
}

/// A create call: the command, and the session that could take it at once.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The command.
    pub command: NewCommand,
    /// The device's reachable session, if it has one.
    pub offer: Option<Offer>,
    /// The most PENDING commands its device may have, itself included.
    pub queue_limit: u32,
    /// The most open commands (those that are not final) its application may have, itself included; none: no limit.
    pub open_limit: Option<u64>,
    /// The key under which it is not created twice, if the application gave one.
    pub key: Option<RequestKey>,
}

/// Why a command was not created. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreateRefused {
    /// The application has no such device (any more).
    #[error("no such device")]
    NoDevice,
    /// The device's queue is at its limit.
    #[error("the device's queue is full")]
    QueueFull,
    /// The application has as many open commands as it may.
    #[error("too many commands of the application are open")]
    TooManyOpen,
    /// Immediate, and the device is not reachable.
    #[error("the device is not reachable")]
    NotReachable,
    /// Its key was used for a call that asked for something else.
    #[error("the key was used for another request")]
    KeyTaken,
    /// Its key was used for a command whose record is kept no longer.
    #[error("the command of the key is kept no longer")]
    AnswerGone,
    /// The application has as many keys as it may.
    #[error("too many keys of the application are kept")]
    TooManyKeys,
}

/// A command that was created.
#[derive(Debug, Clone)]
pub struct Created {
    /// What the store keeps of it.
    pub record: Record,
    /// What changed and what follows; `from` is PENDING.
    pub applied: Applied,
    /// To be written to the offered session now: the Send is committed.
    pub send: Option<Dispatch>,
    /// It was there already, under this id or this key: nothing changed.
    pub existed: bool,
    /// It was there already, under this key: the status that was answered the first time.
    pub repeats: Option<Status>,
}

/// What is meant by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The command with this id, whoever speaks: server, application, deadline.
    Command(CommandId),
    /// As above, but only if it belongs to this device: what a device says of a command.
    OfDevice(DeviceKey, CommandId),
    /// The device's command that carries this mid.
    Mid(DeviceKey, Mid),
    /// As the first, but only if it belongs to this application.
    OfApp(AppKey, CommandId),
}

/// One input to one command.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which command.
    pub target: Target,
    /// What happened to it.
    pub input: Input,
    /// When.
    pub now: Timestamp,
    /// If this change takes the command out of its device's queue, the next due command of the device is sent over
    /// this session in the same transaction.
    pub then_send: Option<Offer>,
}

/// The answer to one [`Change`].
#[derive(Debug, Clone)]
pub struct Changed {
    /// What changed, or why nothing did; `None` where there is no such open command.
    pub outcome: Option<Result<Applied, Refusal>>,
    /// The next command, sent in the same transaction.
    pub next: Option<(Applied, Dispatch)>,
}

/// A committed change of one command, and what follows from it.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Which command.
    pub command: CommandId,
    /// Whose.
    pub app: AppKey,
    /// Of which device.
    pub device: DeviceKey,
    /// The status before.
    pub from: Status,
    /// The status now.
    pub status: Status,
    /// Its number of events now.
    pub seq: u16,
    /// When time itself changes it next, as of this commit.
    pub deadline: Option<Deadline>,
    /// What is still to be pushed, if anything is; all of it, not only what this change added.
    pub push: Option<PushDuty>,
}

/// A committed Send: what the session has to write now. The session must report
/// [`Input::SessionLost`] with `written: false` if it does not.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Which command.
    pub command: CommandId,
    /// To which device.
    pub device: DeviceKey,
    /// Over which session.
    pub session: SessionId,
    /// What the send is to prove.
    pub proof: Proof,
    /// By which number the device answers, where its messages carry one.
    pub mid: Option<Mid>,
    /// What to do.
    pub body: Arc<CommandBody>,
    /// How often its transport may repeat it at the most, if the application said so (`maxRetransmit`).
    pub max_retransmit: Option<u8>,
    /// Whether more commands wait for the device.
    pub more: bool,
    /// Which send of this command it is, from 1.
    pub sends: u8,
    /// When its lifetime ends.
    pub expires_at: Option<Timestamp>,
}

/// The changes of one command that its receiver has not accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushDuty {
    /// Which command.
    pub command: CommandId,
    /// Whose.
    pub app: AppKey,
    /// Of which device.
    pub device_id: DeviceId,
    /// The callback URL.
    pub receiver: Arc<str>,
    /// In order of `seq`, without gaps but for statuses that are not pushed. Never empty.
    pub events: Vec<PushEvent>,
}

/// One change to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEvent {
    /// Its place in the command's record.
    pub seq: u16,
    /// The status it tells.
    pub status: Status,
    /// When it happened.
    pub at: Timestamp,
    /// The device's result as JSON text, with SUCCESSFUL and FAILED.
    pub result: Option<Arc<str>>,
}

/// The whole record of a command, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: CommandId,
    /// Whose it is.
    pub app: AppKey,
    /// For which device.
    pub device: DeviceKey,
    /// The device's public id.
    pub device_id: DeviceId,
    /// What to do.
    pub body: Arc<CommandBody>,
    /// Where changes are pushed to.
    pub callback: Option<String>,
    /// `expireTime` as given.
    pub expire_time: u64,
    /// `maxRetransmit` as given.
    pub max_retransmit: Option<u8>,
    /// Where it stands.
    pub status: Status,
    /// How often it was sent.
    pub sends: u8,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first sent.
    pub sent_at: Option<Timestamp>,
    /// The first proof of delivery.
    pub delivered_at: Option<Timestamp>,
    /// When the device's result came.
    pub executed_at: Option<Timestamp>,
    /// The device's result as JSON text.
    pub result: Option<String>,
    /// All that happened, oldest first; `seq` is the place, from 1.
    pub events: Vec<Event>,
}

/// Which commands to list. All of one application's unless narrowed.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    /// Of this device only.
    pub device: Option<DeviceKey>,
    /// Created at this instant or later.
    pub from: Option<Timestamp>,
    /// Created at this instant or earlier.
    pub to: Option<Timestamp>,
    /// Older than this one: for pages that stay put while commands are added.
    pub before: Option<CommandId>,
}

/// Some of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items asked for.
    pub items: Vec<T>,
    /// How many there are in all that match.
    pub total: u64,
}

/// What the recovery sweep reads of an open command.
#[derive(Debug, Clone)]
pub struct OpenCommand {
    /// Which command.
    pub command: CommandId,
    /// Of which device.
    pub device: DeviceKey,
    /// Its next deadline, ack and response ones only: lifetimes are found by [`Commands::take_expiring`].
    pub deadline: Option<Deadline>,
    /// What is still to be pushed.
    pub push: Option<PushDuty>,
}

/// A push accepted by its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Of which command.
    pub command: CommandId,
    /// All up to this event.
    pub seq: u16,
}

/// How a store fares. Each value is right by itself; together they are not one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits since it was opened.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Requests that wait to be written now.
    pub waiting: u64,
    /// Commands that are kept by device in memory and not in the tables by device yet.
    pub tail: u64,
    /// Times a row was met that cannot be, since it was opened: it concerns what it is a row of, and nothing else.
    pub damaged_rows: u64,
    /// Times a page of the file was met that is damaged or cannot be read, since it was opened.
    pub damaged_file: u64,
}

/// Commands. Every method is one transaction, or joins others in one; an answer means that it is on disk.
#[async_trait]
pub trait Commands {
    /// Creates a command, and sends it in the same transaction if a session is offered and nothing is before it.
    async fn create(&self, submission: Submission) -> Result<Result<Created, CreateRefused>, StoreError>;

    /// The only writer of command state: applies each input to its command by
    /// [`step`](downlink_core::lifecycle::step). A refused member does not fail its neighbours. Answers in the
    /// order of the changes.
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError>;

    /// Applies `change` in the same way, and gives the record of its command as that leaves it, if it changed, is the application's and
    /// can be read.
    async fn apply_and_load(
        &self,
        app: AppKey,
        change: Change,
    ) -> Result<(Changed, Option<Record>), StoreError>;

    /// Sends the oldest due command of a device over the offered session, if its slot is free: one that was lost
    /// with an earlier session first.
    async fn send_next(
        &self,
        device: DeviceKey,
        offer: Offer,
        now: Timestamp,
    ) -> Result<Option<(Applied, Dispatch)>, StoreError>;

    /// Records what receivers accepted. Repeats and strangers are ignored. Not urgent: may wait for other work to
    /// share a commit with.
    async fn told(&self, told: Vec<Told>) -> Result<(), StoreError>;

    /// The record of one command of an application.
    async fn load(&self, app: AppKey, command: CommandId) -> Result<Option<Record>, StoreError>;

    /// What is still to be pushed of one command.
    async fn load_push(&self, command: CommandId) -> Result<Option<PushDuty>, StoreError>;

    /// Commands of an application, newest first, `skip` of them left out.
    async fn list(
        &self,
        app: AppKey,
        filter: CommandFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Record>, StoreError>;

    /// Up to `limit` queued commands whose lifetime ended at `now` or before, the earliest first.
    async fn take_expiring(&self, now: Timestamp, limit: u32) -> Result<Vec<CommandId>, StoreError>;

    /// The queue of a device: PENDING and slot-holding commands, oldest first, at the most `limit`.
    async fn queue(&self, device: DeviceKey, limit: u32) -> Result<Vec<CommandId>, StoreError>;

    /// Those of `devices` whose queue is not empty.
    async fn with_queue(&self, devices: Vec<DeviceKey>) -> Result<Vec<DeviceKey>, StoreError>;

    /// Removed devices whose queue is not empty, at the most `limit`: what waits there was not cancelled when they were removed, or
    /// was sent and runs to its deadline. Goes through the queues of all devices.
    async fn left_queues(&self, limit: u32) -> Result<Vec<DeviceKey>, StoreError>;

    /// One page of the pass over all open commands, by id after `after`, looking at no more than `limit` rows.
    /// Gives those that have a nearer deadline or something to push, and the id to go on from (none: the end).
    async fn sweep_open(
        &self,
        after: Option<CommandId>,
        limit: u32,
    ) -> Result<(Vec<OpenCommand>, Option<CommandId>), StoreError>;

    /// Drops the working rows of final, fully told commands whose late window is over, at the most `limit`, and
    /// the records of commands created before `keep_from` that are final and told. Gives how many.
    async fn prune(&self, now: Timestamp, keep_from: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// The highest id there is: from where the mint goes on.
    async fn last_id(&self) -> Result<Option<CommandId>, StoreError>;

    /// How many commands are open in all, for the metrics.
    async fn count_open(&self) -> Result<u64, StoreError>;

    /// How the store fares, for the metrics. Cheap.
    fn figures(&self) -> Figures;

    /// The policy that `apply` and `sweep_open` go by.
    fn policy(&self) -> Policy;
}
