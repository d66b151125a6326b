//! Batch tasks: made for applications, worked off and settled by sweeps.
//!
//! What a command of a task is checked against (its device, what that has muted, its product) is looked at when its turn comes;
//! what is wrong fails that sub-task alone. Then it is created as any other, in the transaction that notes its turn.

use std::sync::Arc;

use downlink_api::Code;
use downlink_core::{CommandBody, DeviceId, Timestamp};
use downlink_store::{
    App, BatchRefused, BatchTargets, BatchTask, BatchTaskKey, Device, DeviceName, NewBatchTask, StoreError,
    Submission, Turn,
};

use super::{CreateError, CreateRequest, Engine, gate};
use crate::clock;
use crate::secrets::random_hex;

/// A batch task that is asked for, checked and parsed.
#[derive(Debug, Clone)]
pub(crate) struct BatchRequest {
    pub(crate) name: String,
    pub(crate) targets: BatchTargets,
    pub(crate) body: CommandBody,
    pub(crate) callback: Option<String>,
    pub(crate) max_retransmit: Option<u8>,
    /// A JSON array as text.
    pub(crate) tags: Option<String>,
    pub(crate) minutes: u32,
}

/// How an application is told why a command was not made.
pub(crate) type Tell = fn(CreateError) -> String;

impl Engine {
    /// Makes a batch task; gives its id. When this returns `Ok`, it is on disk, and whoever works tasks off is woken.
    pub(crate) async fn create_batch_task(
        &self,
        app: &App,
        request: BatchRequest,
    ) -> Result<Result<Arc<str>, BatchRefused>, StoreError> {
        let id: Arc<str> = Arc::from(random_hex(16));
        let new = NewBatchTask {
            id: Arc::clone(&id),
            app: app.key,
            name: request.name,
            targets: request.targets,
            body: request.body,
            callback: request.callback,
            max_retransmit: request.max_retransmit,
            tags: request.tags,
            minutes: request.minutes,
            created_at: clock::now(),
            open_limit: self.settings.batch_open_limit,
            kept_limit: self.settings.batch_kept_limit,
        };
        let made = self.store.create_batch_task(new).await?;
        if made.is_ok() && self.hints.enabled {
            self.new_batch_task.notify_one();
        }
        Ok(made.map(|_key| id))
    }

    /// Waits until a batch task may have been made. For one waiter.
    pub(crate) async fn new_batch_task(&self) {
        self.new_batch_task.notified().await;
    }

    /// Looks at up to `limit` devices more for a task. True: all are gathered.
    pub(crate) async fn gather_batch(&self, task: BatchTaskKey, limit: u32) -> Result<bool, StoreError> {
        self.store.gather_batch(task, limit, clock::now()).await
    }

    /// Ends up to `limit` sub-tasks of a task whose time is over. Gives how many.
    pub(crate) async fn expire_batch(&self, task: BatchTaskKey, limit: u32) -> Result<u64, StoreError> {
        let told = Code::Congested.body("The time of the batch task was over before the turn of the device.");
        let told = String::from_utf8_lossy(&told).into_owned();
        self.store.expire_batch(task, limit, told, clock::now()).await
    }

    /// Gives up to `limit` sub-tasks their turn, and does what follows from that. Gives how many had it; fewer than are left
    /// where the application is at a limit and has to wait.
    pub(crate) async fn step_batch(
        &self,
        task: &BatchTask,
        limit: u32,
        tell: Tell,
    ) -> Result<u64, StoreError> {
        let Some(app) = self.store.app_by_key(task.app).await? else {
            // Its devices went with it, and so does what is left to do.
            return self.expire_batch(task.key, limit).await;
        };
        if self.is_crowded(app.key, task.callback.is_some()) {
            return Ok(0);
        }
        let now = clock::now();
        let devices = self.store.batch_turns(task.key, limit).await?;
        let mut turns = Vec::with_capacity(devices.len());
        for device in devices {
            turns.push(self.turn(&app, task, &device, tell, now).await?);
        }
        let asked = turns.len();
        let text = Arc::new(move |refused| tell(CreateError::Refused(refused)));
        let step = self
            .store
            .step_batch(task.key, task.tried, turns, text, now)
            .await?;
        let made = step.created.len();
        for created in step.created {
            let device = created.record.device;
            match self.after_create(device, created).await {
                Ok(_) => {}
                // It is on disk; the sweeps see to it.
                Err(error) => tracing::warn!(%error, "a command of a batch task could not be handed over"),
            }
        }
        Ok(match step.is_held {
            true => made as u64,
            false => asked as u64,
        })
    }

    async fn turn(
        &self,
        app: &App,
        task: &BatchTask,
        id: &DeviceId,
        tell: Tell,
        now: Timestamp,
    ) -> Result<Turn, StoreError> {
        let found = self.store.device(DeviceName::Id(id)).await?;
        let Some(device) = found.filter(|device| device.app == app.key) else {
            return Ok(Err(told(Code::NoDeviceData)));
        };
        let body = &task.body;
        if let Err(code) = gate::pass(
            &device,
            &body.service,
            &body.method,
            self.settings.max_silence_days,
        ) {
            return Ok(Err(told(code)));
        }
        match self.submission(app, task, device, now).await {
            Ok(submission) => Ok(Ok(submission)),
            Err(CreateError::Store(error)) => Err(error),
            Err(error) => Ok(Err(tell(error))),
        }
    }

    async fn submission(
        &self,
        app: &App,
        task: &BatchTask,
        device: Device,
        now: Timestamp,
    ) -> Result<Submission, CreateError> {
        let left = task.timeout_at().as_millis() - now.as_millis();
        let request = CreateRequest {
            device: device.key,
            device_id: device.id,
            product: device.product,
            work_mode: device.work_mode,
            body: task.body.clone(),
            callback: task.callback.clone(),
            // Always kept for a device that is not there: as long as the task may take.
            expire_time: Some((left.max(1).cast_unsigned()).div_ceil(1000)),
            max_retransmit: task.max_retransmit,
            request_id: format!("of batch task {}", task.id),
            key: None,
            call_id: None,
            unanswered: false,
        };
        let terms = self.terms(app, &request).await?;
        let session = self.sessions().of(request.device);
        let offer = session
            .as_ref()
            .filter(|session| !session.is_full(self.settings.max_inflight))
            .and_then(|session| session.offer());
        let mode = self.mode(request.expire_time, now);
        Ok(Submission {
            command: self.command(app, request, mode, terms, now),
            offer,
            queue_limit: self.settings.queue_limit,
            open_limit: self.settings.open_limit,
            key: None,
        })
    }

    /// Looks at up to `limit` sub-tasks whose commands were not over, and settles those whose are. Gives from where to go on.
    pub(crate) async fn settle_batch(
        &self,
        task: BatchTaskKey,
        from: u64,
        limit: u32,
    ) -> Result<Option<u64>, StoreError> {
        self.store.settle_batch(task, from, limit, clock::now()).await
    }
}

fn told(code: Code) -> String {
    String::from_utf8_lossy(&code.body("")).into_owned()
}
