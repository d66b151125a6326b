//! The port's part on stored pushes: what did not reach its receiver at the first attempt, waits for a receiver that is
//! held, found no room in memory, or belongs to a subscription.
//!
//! A change of a command is told from the command's own row as long as that succeeds. When it does not, it becomes a
//! push of its own, in the transaction that records the failure, and with it all later changes of the command, as
//! long as the command has stored pushes that wait: so order per [`OrderKey`] is a property of the table. Of each key
//! the earliest push that waits is *ready*, those after it are *behind*; one that is accepted, given up or dropped makes
//! the next one ready in the same transaction. Only what is ready is ever attempted.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Status, Timestamp};

use crate::StoreError;

/// The store's key of a receiver: an application's scheme, host and port. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverKey(pub i64);

/// The store's key of a stored push. Rises with each one, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub i64);

/// What pushes are ordered by: those of one key go one after the other, each when the one before was accepted or given
/// up. A command, or a device towards one receiver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey([u8; 16]);

impl OrderKey {
    /// The changes of a command.
    pub const fn of_command(command: CommandId) -> Self {
        Self(command.to_bytes())
    }

    /// What one receiver is told of a device. Keys of receivers are never negative, so bit 64 is clear; in a command's id
    /// (RFC 9562: the variant) it is set.
    pub fn of_device(device: DeviceKey, receiver: ReceiverKey) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&device.0.to_be_bytes());
        bytes[8..].copy_from_slice(&(receiver.0 & i64::MAX).to_be_bytes());
        Self(bytes)
    }

    /// The command, if it is one's.
    pub fn command(self) -> Option<CommandId> {
        (self.0[8] & 0x80 != 0).then(|| CommandId::from_bytes(self.0))
    }

    /// The device, if it is one's.
    pub fn device(self) -> Option<DeviceKey> {
        let (device, _) = self.0.split_at(8);
        let device = i64::from_be_bytes(device.try_into().ok()?);
        (self.0[8] & 0x80 == 0).then_some(DeviceKey(device))
    }

    /// As stored.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The key with these stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What a push says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushContent {
    /// A change of a command; the key of its order names the command.
    Change {
        /// Of which device.
        device_id: DeviceId,
        /// The status it tells.
        status: Status,
        /// The device's result as JSON text, with SUCCESSFUL and FAILED.
        result: Option<Arc<str>>,
    },
    /// A notice to a subscription, its body as it goes over the wire.
    Notice {
        /// What stands in `webhook-id`: the same in all attempts.
        id: Arc<str>,
        /// The body.
        body: Arc<str>,
    },
}

impl PushContent {
    /// Bytes of what may be long of it: a result, a body.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Change { result, .. } => result.as_ref().map_or(0, |result| result.len()),
            Self::Notice { body, .. } => body.len(),
        }
    }
}

/// A stored push that may be attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyPush {
    /// Which one.
    pub id: PushId,
    /// Its order.
    pub key: OrderKey,
    /// Its place in that order; of a command, the change's place in the record.
    pub seq: u32,
    /// Where it goes.
    pub url: Arc<str>,
    /// What it says.
    pub content: PushContent,
    /// Attempts so far.
    pub tries: u32,
    /// When what it tells happened.
    pub at: Timestamp,
    /// Its receiver asked that it be left alone until then, and this is kept to whatever else happens.
    pub keeps_until: Option<Timestamp>,
}

/// What is ready of a receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ready {
    /// Those that are due, the one due first before the others.
    pub pushes: Vec<ReadyPush>,
    /// When the first that is ready and not due falls due; none: there is none, or not all that is due was given.
    pub next_at: Option<Timestamp>,
    /// There is more that is due than was given.
    pub more: bool,
}

/// How an attempt went, for the record. Of one push the last few are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, milliseconds.
    pub took_ms: u32,
    /// How it ended, one word: `status`, `timeout`, `dns`, `connect`, `tls`, `not_allowed`, `broken`.
    pub outcome: Arc<str>,
    /// How far it came: `resolve`, `connect`, `tls`, `answer`, `body`.
    pub phase: Arc<str>,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The answer asked for a pause.
    pub asked_for_pause: bool,
    /// What went wrong, for people. Names no path or query.
    pub detail: Arc<str>,
    /// The first bytes of the answer's body, at the most 256, as text with what is not readable replaced.
    pub excerpt: Arc<str>,
}

/// What is to become of a push after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Accepted,
    /// It is tried again at this instant.
    Again(Timestamp),
    /// It is given up.
    Dead(Arc<str>),
}

/// The end of an attempt at a stored push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which one.
    pub id: PushId,
    /// How it went, unless it was accepted.
    pub attempt: Option<Attempt>,
    /// What becomes of it.
    pub fate: Fate,
    /// When the attempt ended.
    pub now: Timestamp,
}

/// A command whose pushes are to become stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverted {
    /// Which command.
    pub command: CommandId,
    /// Its receiver's scheme, host and port; the application is the command's.
    pub origin: Arc<str>,
    /// All up to this change was accepted.
    pub accepted: u16,
    /// The attempt at the next change that failed, and its fate (never [`Fate::Accepted`]); none: it was not attempted.
    pub failed: Option<(Attempt, Fate)>,
    /// When.
    pub now: Timestamp,
}

/// Where a command's pushes are, once they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stowed {
    /// Whose.
    pub app: AppKey,
    /// Under which receiver.
    pub receiver: ReceiverKey,
    /// All changes of the command up to this one are told or stored.
    pub upto: u16,
}

/// A receiver that the store knows: one that has stored pushes, is held, or was given a rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceiver {
    /// The store's key of it.
    pub key: ReceiverKey,
    /// Whose.
    pub app: AppKey,
    /// Scheme, host and port.
    pub origin: Arc<str>,
    /// Held since then: it keeps its pushes, and their age stands still.
    pub held_at: Option<Timestamp>,
    /// Pushes a second at the most; none: no limit of its own.
    pub rate: Option<u32>,
    /// Stored pushes that wait.
    pub waiting: u64,
    /// Stored pushes that were given up.
    pub dead: u64,
}

/// What state a stored push is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushState {
    /// It waits: to be due, for those before it, or for its receiver to be released.
    Due,
    /// It waits, and its receiver is held.
    Held,
    /// It was given up.
    Dead,
}

/// A stored push, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPush {
    /// Which one.
    pub id: PushId,
    /// Whose.
    pub app: AppKey,
    /// Of which receiver.
    pub receiver: ReceiverKey,
    /// Scheme, host and port of the receiver.
    pub origin: Arc<str>,
    /// Its order.
    pub key: OrderKey,
    /// Its place in that order.
    pub seq: u32,
    /// What it says.
    pub content: PushContent,
    /// Its state.
    pub state: PushState,
    /// Others of its key come before it.
    pub behind: bool,
    /// Why it was given up.
    pub dead_because: Option<Arc<str>>,
    /// Attempts so far.
    pub tries: u32,
    /// When what it tells happened.
    pub at: Timestamp,
    /// When it is due (or was, or was given up).
    pub next_at: Timestamp,
    /// The last attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// Which stored pushes. All unless narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushFilter {
    /// This one.
    pub id: Option<PushId>,
    /// Of this application.
    pub app: Option<AppKey>,
    /// Of this receiver.
    pub receiver: Option<ReceiverKey>,
    /// Of this command.
    pub command: Option<CommandId>,
    /// In this state.
    pub state: Option<PushState>,
    /// What they tell happened at this instant or later.
    pub since: Option<Timestamp>,
}

/// What was given up in one step of the sweep, or by the end of an attempt: for the log and the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Of which receiver.
    pub receiver: ReceiverKey,
    /// How many.
    pub pushes: u64,
}

/// How long stored pushes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushLimits {
    /// How old a push becomes before it is given up, where its application has no other limit; time during which its
    /// receiver was held does not count.
    pub max_age: downlink_core::Span,
    /// How long a receiver is held before its pushes are given up.
    pub max_held: downlink_core::Span,
    /// How long pushes that were given up are kept.
    pub keep_dead: downlink_core::Span,
}

/// Sums over all stored pushes, for the metrics. Cheap: nothing is counted for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushTotals {
    /// Waiting.
    pub waiting: u64,
    /// Given up.
    pub dead: u64,
    /// When the oldest one fell due of those that are ready, due and not held; none: nothing is.
    pub oldest_due: Option<Timestamp>,
}

/// Stored pushes. Every method is one transaction, or joins others in one.
#[async_trait]
pub trait Pushes {
    /// Makes stored pushes of what commands have still to tell, as each [`Diverted`] says. Commands of which all is
    /// told or stored already are passed over. Says of each where it is, in order; none: passed over.
    async fn divert(&self, diverted: Vec<Diverted>) -> Result<Vec<Option<Stowed>>, StoreError>;

    /// Records the ends of attempts at stored pushes. One that is gone, given up or behind by now is passed over: what
    /// became of it meanwhile holds. Gives the receivers that have something newly ready by it. Not urgent.
    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<ReceiverKey>, StoreError>;

    /// Up to `limit` pushes of a receiver that are ready and due at `now`, those due first, without any whose id is in
    /// `except`; fewer if their content passes `max_bytes`, but at least one. Reads no more rows than it gives and `except` names,
    /// and one.
    async fn ready(
        &self,
        receiver: ReceiverKey,
        except: Vec<PushId>,
        now: Timestamp,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Ready, StoreError>;

    /// The receiver with this key.
    async fn receiver(&self, key: ReceiverKey) -> Result<Option<StoredReceiver>, StoreError>;

    /// The receivers that the store knows, by key after `after`, at the most `limit`; `busy`: only those that are held, have a rate, or have pushes
    /// that wait.
    async fn receivers(
        &self,
        after: Option<ReceiverKey>,
        busy: bool,
        limit: u32,
    ) -> Result<Vec<StoredReceiver>, StoreError>;

    /// Holds a receiver (it is made known if it was not) or releases it. Gives it as it is then.
    async fn set_held(
        &self,
        app: AppKey,
        origin: Arc<str>,
        held: bool,
        now: Timestamp,
    ) -> Result<StoredReceiver, StoreError>;

    /// Gives a receiver (made known if it was not) a rate of its own, or takes it away. Gives it as it is then.
    async fn set_rate(
        &self,
        app: AppKey,
        origin: Arc<str>,
        rate: Option<u32>,
    ) -> Result<StoredReceiver, StoreError>;

    /// Stored pushes, by id after `after`, at the most `limit`.
    async fn stored_pushes(
        &self,
        filter: PushFilter,
        after: Option<PushId>,
        limit: u32,
    ) -> Result<Vec<StoredPush>, StoreError>;

    /// Sends given-up pushes again: of each key those from the first selected one to the last that there is, in order,
    /// under their original ids. For a command that takes in changes that were accepted after the one given up. Handles up to
    /// `limit` keys. Gives how many pushes wait again, and the receivers that have something ready.
    async fn replay(
        &self,
        filter: PushFilter,
        now: Timestamp,
        limit: u32,
    ) -> Result<(u64, Vec<ReceiverKey>), StoreError>;

    /// Deletes stored pushes, waiting ones too, at the most `limit`. They are never told. Gives how many.
    async fn drop_pushes(&self, filter: PushFilter, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Gives up what is too old, of up to `limit` pushes.
    async fn give_up_old(
        &self,
        limits: PushLimits,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<GivenUp>, StoreError>;

    /// Deletes what was given up long enough ago, at the most `limit`, and forgets receivers that have nothing to be remembered for. Gives how many.
    async fn prune_pushes(&self, limits: PushLimits, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Deletes the oldest that were given up of a receiver, at the most `limit`. Gives how many.
    async fn forget_dead(&self, receiver: ReceiverKey, limit: u32) -> Result<u64, StoreError>;

    /// The sums.
    async fn push_totals(&self, now: Timestamp) -> Result<PushTotals, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whether_it_is_a_commands() {
        let command = CommandId::from_parts(1, 7, 1, 2);
        assert_eq!(OrderKey::of_command(command).command(), Some(command));
        let device = OrderKey::of_device(DeviceKey(i64::MAX), ReceiverKey(3));
        assert_eq!(device.command(), None);
        assert_eq!(device.device(), Some(DeviceKey(i64::MAX)));
        assert_eq!(OrderKey::of_command(command).device(), None);
        assert_eq!(OrderKey::from_bytes(device.to_bytes()), device);
    }
}
