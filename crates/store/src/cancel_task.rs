//! The port's part on cancel tasks: an application withdraws all that waits for one of its devices.
//!
//! A task is made in one transaction, which counts what waits and notes where it ends, and worked off in steps: each is a
//! transaction of a bounded size, so that nobody waits for a long queue. What is created after the task is not its business.
//! A task that is not over is taken up again after a restart; where it stands is what is left in the queue.

use std::sync::Arc;

use async_trait::async_trait;
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Timestamp};

use crate::{Applied, Page, Record, StoreError};

/// The most commands of a task that are shown with it: those that stood first in the queue.
pub const SHOWN_OF_A_TASK: usize = 100;

/// The store's own key of a cancel task. Rises with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CancelTaskKey(pub i64);

/// Where a cancel task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CancelTaskState {
    /// Nothing was done yet.
    Waiting = 0,
    /// Some of it is done.
    Running = 1,
    /// All was cancelled, or there was nothing to cancel.
    Success = 2,
    /// Some was cancelled; the rest left the queue otherwise before its turn.
    PartSuccess = 3,
    /// There was something to cancel, and none of it was.
    Failed = 4,
}

impl CancelTaskState {
    /// All of them, in the order of their stored codes.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Running,
        Self::Success,
        Self::PartSuccess,
        Self::Failed,
    ];

    /// The word on the wire, as the platform spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITTING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::PartSuccess => "PART_SUCCESS",
            Self::Failed => "FAILED",
        }
    }

    /// The stored code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// How a task ends that cancelled so many of so many.
    pub const fn end(canceled: u64, total: u64) -> Self {
        match canceled {
            all if all >= total => Self::Success,
            0 => Self::Failed,
            _ => Self::PartSuccess,
        }
    }
}

/// A cancel task to be made.
#[derive(Debug, Clone)]
pub struct NewCancelTask {
    /// Minted by the caller.
    pub id: Arc<str>,
    /// Whose it is.
    pub app: AppKey,
    /// Of which device the commands are.
    pub device: DeviceKey,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The most tasks that are kept of the application. The oldest that is over gives way; where none is, it is refused.
    pub limit: u32,
}

/// A cancel task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelTask {
    /// The store's key of it.
    pub key: CancelTaskKey,
    /// Its id.
    pub id: Arc<str>,
    /// The device's public id.
    pub device_id: DeviceId,
    /// Where it stands.
    pub state: CancelTaskState,
    /// How many commands were PENDING when it was made.
    pub total: u64,
    /// How many of these it has cancelled.
    pub canceled: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The first of its commands, [`SHOWN_OF_A_TASK`] at the most.
    pub commands: Vec<CommandId>,
}

/// A cancel task with the records of its first commands, as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCancelTask {
    /// The task.
    pub task: CancelTask,
    /// Those of [`CancelTask::commands`] whose records are kept, as far as the list had room.
    pub records: Vec<Record>,
}

/// Why no cancel task was made. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelTaskRefused {
    /// The application has no such device (any more).
    #[error("no such device")]
    NoDevice,
    /// As many of the application's tasks as are kept are not over.
    #[error("too many cancel tasks of the application are not over")]
    TooMany,
}

/// Which cancel tasks to list. All of one application's unless narrowed.
#[derive(Debug, Clone, Default)]
pub struct CancelTaskFilter {
    /// The one with this id.
    pub id: Option<Arc<str>>,
    /// Of this device only.
    pub device: Option<DeviceKey>,
    /// In this state only.
    pub state: Option<CancelTaskState>,
    /// Made at this instant or later.
    pub from: Option<Timestamp>,
    /// Made at this instant or earlier.
    pub to: Option<Timestamp>,
}

/// A step of a cancel task.
#[derive(Debug, Clone)]
pub struct CancelStep {
    /// What it changed: commands that are CANCELED now.
    pub applied: Vec<Applied>,
    /// Nothing is left to do.
    pub is_over: bool,
}

/// Cancel tasks.
#[async_trait]
pub trait CancelTasks {
    /// Makes a cancel task of all that is PENDING for a device. Cancels nothing yet.
    async fn create_cancel_task(
        &self,
        new: NewCancelTask,
    ) -> Result<Result<CancelTask, CancelTaskRefused>, StoreError>;

    /// An application's cancel tasks, newest first, `skip` of them left out; with the records of no more than `max_records`
    /// commands in all.
    async fn cancel_tasks(
        &self,
        app: AppKey,
        filter: CancelTaskFilter,
        skip: u64,
        limit: u32,
        max_records: u32,
    ) -> Result<Page<ShownCancelTask>, StoreError>;

    /// Tasks that are not over, after this one, oldest first, at the most `limit`.
    async fn open_cancel_tasks(
        &self,
        after: Option<CancelTaskKey>,
        limit: u32,
    ) -> Result<Vec<CancelTaskKey>, StoreError>;

    /// Cancels up to `limit` of a task's commands. One that is over, or is not there, changes nothing and is over. Not
    /// urgent: may wait for other work to share a commit with.
    async fn step_cancel_task(
        &self,
        task: CancelTaskKey,
        limit: u32,
        now: Timestamp,
    ) -> Result<CancelStep, StoreError>;

    /// Forgets tasks that were over before `before`, at the most `limit`. Gives how many.
    async fn prune_cancel_tasks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_places_and_ends_follow_the_counts() {
        for (place, state) in CancelTaskState::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.code()), place);
        }
        for (canceled, total, state) in [
            (0, 0, CancelTaskState::Success),
            (5, 5, CancelTaskState::Success),
            (1, 5, CancelTaskState::PartSuccess),
            (0, 5, CancelTaskState::Failed),
        ] {
            assert_eq!(CancelTaskState::end(canceled, total), state);
        }
    }
}
