//! Cancel tasks: made for applications, worked off by a sweep.

use std::sync::Arc;

use downlink_core::{AppKey, DeviceKey};
use downlink_store::{CancelTask, CancelTaskKey, CancelTaskRefused, NewCancelTask, StoreError};

use super::Engine;
use crate::clock;
use crate::secrets::random_hex;

impl Engine {
    /// Makes a task that cancels all that is PENDING for the device now. When this returns `Ok`, it is on disk, and whoever
    /// works tasks off is woken.
    pub(crate) async fn create_cancel_task(
        &self,
        app: AppKey,
        device: DeviceKey,
    ) -> Result<Result<CancelTask, CancelTaskRefused>, StoreError> {
        let new = NewCancelTask {
            id: Arc::from(random_hex(16)),
            app,
            device,
            created_at: clock::now(),
            limit: self.settings.cancel_task_limit,
        };
        let made = self.store.create_cancel_task(new).await?;
        if made.is_ok() && self.hints.enabled {
            self.new_cancel_task.notify_one();
        }
        Ok(made)
    }

    /// Waits until a cancel task may have been made. For one waiter.
    pub(crate) async fn new_cancel_task(&self) {
        self.new_cancel_task.notified().await;
    }

    /// Cancels up to `limit` commands of a task, and does what follows from that. True: the task is over.
    pub(crate) async fn step_cancel_task(&self, task: CancelTaskKey, limit: u32) -> Result<bool, StoreError> {
        let mut step = self.store.step_cancel_task(task, limit, clock::now()).await?;
        for applied in &mut step.applied {
            self.follow(applied);
        }
        Ok(step.is_over)
    }
}
