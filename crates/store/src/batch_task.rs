//! The port's part on batch tasks: an application has one command made for many of its devices.
//!
//! A task is made in one transaction. Then its devices are *gathered*: in bounded steps, each of which keeps the sub-tasks and how
//! far it came together, so that none is doubled or left out whenever the server dies. Then each sub-task has its *turn* in order:
//! its command is made in the transaction that notes so. Last it is *settled* when its command is over. What is registered
//! after a task was made is not its business.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandBody, CommandId, DeviceId, Span, Timestamp};

use crate::{CreateRefused, Created, Page, StoreError, Submission};

/// The store's own key of a batch task. Rises with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchTaskKey(pub i64);

/// Which devices a task is for. None that is named twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchTargets {
    /// Those with these ids, whether they are there or not.
    List(Vec<String>),
    /// Those that say this of themselves.
    Type {
        /// `deviceType`.
        device_type: String,
        /// `manufacturerId`.
        manufacturer_id: String,
        /// `model`.
        model: String,
    },
    /// Those with this `location`.
    Area(String),
    /// Those in these groups, as they are when they are gathered.
    Groups {
        /// How the groups are named.
        naming: GroupNaming,
        /// Their ids or names.
        groups: Vec<String>,
    },
    /// All of the application's.
    All,
}

/// How the groups of a task are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupNaming {
    /// By id, or by name.
    IdOrName,
    /// By id.
    Id,
}

/// A batch task to be made.
#[derive(Debug, Clone)]
pub struct NewBatchTask {
    /// Minted by the caller.
    pub id: Arc<str>,
    /// Whose it is.
    pub app: AppKey,
    /// Unique among the tasks that are kept of the application.
    pub name: String,
    /// For which devices.
    pub targets: BatchTargets,
    /// What they are to do.
    pub body: CommandBody,
    /// Where the changes of its commands are pushed to.
    pub callback: Option<String>,
    /// `maxRetransmit` of its commands.
    pub max_retransmit: Option<u8>,
    /// A JSON array as text, kept and given back.
    pub tags: Option<String>,
    /// How long it may take, in minutes.
    pub minutes: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The most tasks of the application that are not over, itself included.
    pub open_limit: u32,
    /// The most tasks that are kept of the application, itself included.
    pub kept_limit: u32,
}

/// A batch task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTask {
    /// The store's key of it.
    pub key: BatchTaskKey,
    /// Its id.
    pub id: Arc<str>,
    /// Whose it is.
    pub app: AppKey,
    /// Its name.
    pub name: String,
    /// For which devices; a list is left empty here, its ids are in the sub-tasks.
    pub targets: BatchTargets,
    /// What they are to do.
    pub body: CommandBody,
    /// Where the changes of its commands are pushed to.
    pub callback: Option<String>,
    /// `maxRetransmit` of its commands.
    pub max_retransmit: Option<u8>,
    /// As it was given.
    pub tags: Option<String>,
    /// How long it may take, in minutes.
    pub minutes: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Its devices are all known.
    pub is_gathered: bool,
    /// How many devices it has, as far as they are gathered.
    pub total: u64,
    /// How many of these had their turn.
    pub tried: u64,
    /// Sub-tasks in [`SubtaskState::Success`].
    pub success: u64,
    /// Sub-tasks in [`SubtaskState::Fail`].
    pub fail: u64,
    /// Sub-tasks in [`SubtaskState::Timeout`].
    pub timeout: u64,
    /// Sub-tasks in [`SubtaskState::Expired`].
    pub expired: u64,
}

/// Where a batch task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchState {
    /// Its devices are gathered.
    Pending,
    /// Its commands are made, or not over yet.
    Running,
    /// It was over in time.
    Complete,
    /// It was not over in time.
    Timeout,
}

impl BatchTask {
    /// When its time is over.
    pub fn timeout_at(&self) -> Timestamp {
        self.created_at + Span::from_secs(60).times(self.minutes)
    }

    /// Sub-tasks that are over.
    pub const fn complete(&self) -> u64 {
        self.success + self.fail + self.timeout + self.expired
    }

    /// Where it stands now.
    pub fn state(&self, now: Timestamp) -> BatchState {
        match self.ended_at {
            Some(ended) if ended <= self.timeout_at() => BatchState::Complete,
            Some(_) => BatchState::Timeout,
            None if now >= self.timeout_at() => BatchState::Timeout,
            None if self.is_gathered => BatchState::Running,
            None => BatchState::Pending,
        }
    }

    /// How much of it is over, in thousandths, rounded down; nothing while its devices are gathered.
    pub fn progress(&self) -> u64 {
        match (self.ended_at, self.is_gathered) {
            (Some(_), _) => 1000,
            (None, false) => 0,
            (None, true) => per_mille(self.complete(), self.total),
        }
    }

    /// How much of what is over went well, in thousandths, rounded down.
    pub fn success_rate(&self) -> u64 {
        per_mille(self.success, self.complete())
    }
}

fn per_mille(part: u64, whole: u64) -> u64 {
    (part * 1000).checked_div(whole).unwrap_or(0)
}

/// Where a sub-task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SubtaskState {
    /// It had no turn yet.
    Pending = 0,
    /// Its command is not over.
    WaitResult = 1,
    /// Its command was carried out; or was delivered, and no result is expected.
    Success = 2,
    /// Its command could not be made, failed, or was cancelled.
    Fail = 3,
    /// It had no turn in time, or its command was sent and not answered.
    Timeout = 4,
    /// Its command was never sent.
    Expired = 5,
}

impl SubtaskState {
    /// All of them, in the order of their stored codes.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::WaitResult,
        Self::Success,
        Self::Fail,
        Self::Timeout,
        Self::Expired,
    ];

    /// The stored code.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What a task does for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtask {
    /// Its place in the task, from 0.
    pub n: u64,
    /// The device's public id, as it was given.
    pub device_id: DeviceId,
    /// Where it stands.
    pub state: SubtaskState,
    /// Its command, once that is made.
    pub command: Option<CommandId>,
    /// Why it failed, as it was given to the store.
    pub error: Option<String>,
    /// The device's result as JSON text, if the command's record has one.
    pub result: Option<String>,
}

/// Which sub-tasks to list. All of a task unless narrowed.
#[derive(Debug, Clone, Default)]
pub struct SubtaskFilter {
    /// In one of these states; empty: in any.
    pub states: Vec<SubtaskState>,
    /// Of this device.
    pub device: Option<DeviceId>,
    /// With this command.
    pub command: Option<CommandId>,
}

/// Why no batch task was made. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefused {
    /// As many of the application's tasks as may be are not over.
    #[error("too many batch tasks of the application are not over")]
    TooManyOpen,
    /// As many of the application's tasks as may be are kept.
    #[error("too many batch tasks of the application are kept")]
    TooManyKept,
    /// The application has a task of this name.
    #[error("a batch task has this name")]
    NameTaken,
    /// The application has no such group.
    #[error("no group {0}")]
    NoGroup(String),
}

/// A turn of one sub-task: the command that is to be made, or why there is none, as the application is told.
pub type Turn = Result<Submission, String>;

/// How the application is told why no command was made.
pub type RefusalText = Arc<dyn Fn(CreateRefused) -> String + Send + Sync>;

/// What came of some turns.
#[derive(Debug)]
pub struct BatchStep {
    /// The commands that were made.
    pub created: Vec<Created>,
    /// The application has as many open commands as it may: the rest waits for a later turn.
    pub is_held: bool,
}

/// Batch tasks.
#[async_trait]
pub trait BatchTasks {
    /// Makes a batch task. Nothing is gathered yet.
    async fn create_batch_task(
        &self,
        new: NewBatchTask,
    ) -> Result<Result<BatchTaskKey, BatchRefused>, StoreError>;

    /// An application's batch task with this id.
    async fn batch_task(&self, app: AppKey, id: Arc<str>) -> Result<Option<BatchTask>, StoreError>;

    /// Sub-tasks in their order, `skip` of them left out.
    async fn subtasks(
        &self,
        task: BatchTaskKey,
        filter: SubtaskFilter,
        skip: u64,
        limit: u32,
    ) -> Result<Page<Subtask>, StoreError>;

    /// Tasks that are not over, after this one, oldest first, at the most `limit`.
    async fn open_batch_tasks(
        &self,
        after: Option<BatchTaskKey>,
        limit: u32,
    ) -> Result<Vec<BatchTask>, StoreError>;

    /// Looks at up to `limit` devices more for a task. True: all are gathered. Not urgent.
    async fn gather_batch(&self, task: BatchTaskKey, limit: u32, now: Timestamp) -> Result<bool, StoreError>;

    /// The devices whose turn is next, at the most `limit`.
    async fn batch_turns(&self, task: BatchTaskKey, limit: u32) -> Result<Vec<DeviceId>, StoreError>;

    /// Makes the commands of the sub-tasks from place `first` on, one after the other, in one transaction. Where another one's
    /// turn is next, nothing is done. Not urgent.
    async fn step_batch(
        &self,
        task: BatchTaskKey,
        first: u64,
        turns: Vec<Turn>,
        text: RefusalText,
        now: Timestamp,
    ) -> Result<BatchStep, StoreError>;

    /// Ends up to `limit` sub-tasks that had no turn, `error` says why. Gives how many. Not urgent.
    async fn expire_batch(
        &self,
        task: BatchTaskKey,
        limit: u32,
        error: String,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Looks at up to `limit` sub-tasks whose commands were not over, from place `from` on, and settles those whose are. Gives from
    /// where to go on; none: that were all. Not urgent.
    async fn settle_batch(
        &self,
        task: BatchTaskKey,
        from: u64,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError>;

    /// Forgets tasks that were over before `before`, and their sub-tasks, at the most `limit` rows. Gives how many rows.
    async fn prune_batch_tasks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> BatchTask {
        BatchTask {
            key: BatchTaskKey(1),
            id: "t".into(),
            app: AppKey(1),
            name: "n".into(),
            targets: BatchTargets::All,
            body: CommandBody {
                service: "s".into(),
                method: "m".into(),
                paras: "{}".into(),
            },
            callback: None,
            max_retransmit: None,
            tags: None,
            minutes: 10,
            created_at: Timestamp::from_millis(1000),
            ended_at: None,
            is_gathered: true,
            total: 3,
            tried: 3,
            success: 1,
            fail: 1,
            timeout: 0,
            expired: 0,
        }
    }

    #[test]
    fn states_follow_the_clock_and_the_end() {
        let late = task().timeout_at();
        let early = Timestamp::from_millis(late.as_millis() - 1);
        let with = |is_gathered, ended_at| BatchTask {
            is_gathered,
            ended_at,
            ..task()
        };
        for (task, now, state) in [
            (with(false, None), early, BatchState::Pending),
            (with(true, None), early, BatchState::Running),
            (with(false, None), late, BatchState::Timeout),
            (with(true, None), late, BatchState::Timeout),
            (with(true, Some(early)), late, BatchState::Complete),
            (
                with(true, Some(late + Span::from_secs(1))),
                late,
                BatchState::Timeout,
            ),
        ] {
            assert_eq!(task.state(now), state, "{task:?}");
        }
    }

    #[test]
    fn shares_are_rounded_down() {
        assert_eq!((task().progress(), task().success_rate()), (666, 500));
        let none = BatchTask {
            total: 0,
            success: 0,
            fail: 0,
            ..task()
        };
        assert_eq!((none.progress(), none.success_rate()), (0, 0));
        let over = BatchTask {
            ended_at: Some(Timestamp::from_millis(5)),
            ..none
        };
        assert_eq!(over.progress(), 1000);
    }
}
