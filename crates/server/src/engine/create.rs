//! Creating and cancelling: the application's side of the door.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use downlink_api::Invalid;
use downlink_core::id::bucket_of;
use downlink_core::lifecycle::{Input, Refusal};
use downlink_core::product::{Unfit, WorkMode};
use downlink_core::{
    AppKey, CommandBody, CommandId, DeviceId, DeviceKey, Mode, ProductRef, ResponseRule, Span, Status,
    StatusSet, Timestamp,
};
use downlink_store::{
    App, Change, CreateRefused, Created, Dispatch, NewCommand, NotifyType, Record, RequestKey, StoreError,
    Submission, Target,
};

use super::terms::Terms;
use super::{AppSettings, Engine, ToSession};
use crate::clock;

/// A create call, checked and parsed.
#[derive(Debug, Clone)]
pub(crate) struct CreateRequest {
    pub(crate) device: DeviceKey,
    pub(crate) device_id: DeviceId,
    /// What the device says of its product.
    pub(crate) product: Option<Arc<ProductRef>>,
    /// How it is said to sleep, if that was said of this device.
    pub(crate) work_mode: Option<WorkMode>,
    pub(crate) body: CommandBody,
    pub(crate) callback: Option<String>,
    /// In seconds; `None`: the default. 0: immediate.
    pub(crate) expire_time: Option<u64>,
    pub(crate) max_retransmit: Option<u8>,
    /// The request's id, for the command's first event.
    pub(crate) request_id: String,
    /// The key that the application gave the call.
    pub(crate) key: Option<CallKey>,
    /// The application's own id of the call, by which notices name it.
    pub(crate) call_id: Option<String>,
    /// The device is not to answer, whatever its product says.
    pub(crate) unanswered: bool,
}

/// The key of a create call: the same key and the same hash of what is asked for are the same call.
#[derive(Debug, Clone)]
pub(crate) struct CallKey {
    pub(crate) text: Arc<str>,
    pub(crate) asked: [u8; 32],
}

/// What a create call made, or an earlier one with the same key.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The command, as it stands now.
    pub(crate) record: Record,
    /// An earlier call made it: the status that was answered then.
    pub(crate) repeats: Option<Status>,
}

/// Why no command was created. Nothing was kept, except as the store's `Unavailable` says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    /// See [`CreateRefused`].
    #[error(transparent)]
    Refused(#[from] CreateRefused),
    /// The device is reachable, and too much is under way to it already.
    #[error("too many commands are under way to the device")]
    Congested,
    /// Too many pushes of the application wait for its receivers.
    #[error("too many pushes of the application wait")]
    Crowded,
    /// The device's product has no such service, or no such command of it.
    #[error(transparent)]
    Unfit(Unfit),
    /// The parameters do not fit the device's product, which is set to refuse such.
    #[error(transparent)]
    Paras(Invalid),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command was not cancelled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CancelError {
    /// The application has no such command.
    #[error("no such command")]
    Unknown,
    /// A device may execute it, or it is final.
    #[error("the command was sent, or is over")]
    NotCancelable,
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What tells of commands besides their callback URLs.
const OF_COMMANDS: [NotifyType; 2] = [NotifyType::MessageConfirm, NotifyType::CommandRsp];

impl Engine {
    /// The answer to a create call that was made before with this key.
    pub(crate) async fn repeat(&self, app: &App, key: &CallKey) -> Result<Option<Answered>, CreateError> {
        let text = Arc::clone(&key.text);
        let found = self.store.repeat(app.key, text, key.asked, clock::now()).await?;
        match found {
            None => Ok(None),
            Some(Ok(repeat)) => Ok(Some(Answered {
                record: repeat.record,
                repeats: Some(repeat.status),
            })),
            Some(Err(refused)) => {
                self.metrics.create_refused.inc();
                Err(refused.into())
            }
        }
    }

    /// Whether so many pushes of the application wait that it may make no command that it is to be told of: at a callback URL, or as one
    /// that is subscribed to what becomes of its commands.
    pub(super) fn is_crowded(&self, app: AppKey, has_callback: bool) -> bool {
        self.store.is_crowded(app) && (has_callback || self.store.wants(app, &OF_COMMANDS))
    }

    /// Creates a command. When this returns `Ok`, it is on disk, and sent if the device is reachable and nothing
    /// is before it.
    pub(crate) async fn create(&self, app: &App, request: CreateRequest) -> Result<Answered, CreateError> {
        if self.is_crowded(app.key, request.callback.is_some()) {
            self.metrics.create_refused.inc();
            return Err(CreateError::Crowded);
        }
        let terms = match self.terms(app, &request).await {
            Ok(terms) => terms,
            Err(error) => {
                self.metrics.create_refused.inc();
                return Err(error);
            }
        };
        let now = clock::now();
        let device = request.device;
        let mode = self.mode(request.expire_time, now);
        let session = self.sessions().of(device);
        let offer = session.as_ref().and_then(|session| session.offer());
        let full = session
            .as_ref()
            .is_some_and(|session| session.is_full(self.settings.max_inflight));
        if mode == Mode::Immediate && offer.is_some() && full {
            self.metrics.create_refused.inc();
            return Err(CreateError::Congested);
        }
        let key = request.key.clone().map(|key| self.request_key(key, now));
        let command = self.command(app, request, mode, terms, now);
        let submission = Submission {
            command,
            offer: offer.filter(|_| !full),
            queue_limit: self.settings.queue_limit,
            open_limit: self.settings.open_limit,
            key,
        };
        let created = match self.store.create(submission).await? {
            Ok(created) => created,
            Err(refused) => {
                self.metrics.create_refused.inc();
                return Err(refused.into());
            }
        };
        self.after_create(device, created).await
    }

    /// Withdraws a command that was never sent.
    pub(crate) async fn cancel(
        &self,
        app: &App,
        command: CommandId,
        request_id: &str,
    ) -> Result<Record, CancelError> {
        let change = Change {
            target: Target::OfApp(app.key, command),
            input: Input::Cancel(format!("request {request_id}")),
            now: clock::now(),
            then_send: None,
        };
        let (changed, record) = self.apply_and_load(app.key, change).await?;
        let record = match record {
            Some(record) => record,
            None => {
                let kept = self.store.load(app.key, command).await?;
                kept.ok_or(CancelError::Unknown)?
            }
        };
        match changed.outcome {
            Some(Ok(_)) => Ok(record),
            // `None`: it is there, but no longer open.
            None
            | Some(Err(
                Refusal::NotCancelable
                | Refusal::Duplicate
                | Refusal::Stray
                | Refusal::TooLate
                | Refusal::NotSendable
                | Refusal::NotDue
                | Refusal::Unaffected,
            )) => Err(CancelError::NotCancelable),
        }
    }

    /// Ends what a removed device had waiting: nothing of it can be executed any more.
    pub(crate) async fn cancel_queue(&self, device: DeviceKey, why: &str) -> Result<(), StoreError> {
        let cancelled = self.cancel_all_of(device, why).await;
        if cancelled.is_err() {
            self.queues_left.store(true, Ordering::Relaxed);
        }
        cancelled
    }

    async fn cancel_all_of(&self, device: DeviceKey, why: &str) -> Result<(), StoreError> {
        const AT_ONCE: u32 = 256;
        loop {
            let queue = self.store.queue(device, AT_ONCE).await?;
            let asked = queue.len();
            let now = clock::now();
            let cancel = |command| Change {
                target: Target::Command(command),
                input: Input::Cancel(why.to_owned()),
                now,
                then_send: None,
            };
            let changed = self.apply(queue.into_iter().map(cancel).collect()).await?;
            let canceled = changed
                .iter()
                .filter(|one| matches!(one.outcome, Some(Ok(_))))
                .count();
            // What was sent stays in the queue and runs to its deadline.
            if canceled == 0 || asked < AT_ONCE as usize {
                return Ok(());
            }
        }
    }

    fn request_key(&self, key: CallKey, now: Timestamp) -> RequestKey {
        RequestKey {
            text: key.text,
            asked: key.asked,
            until: now + Span::from_secs(self.settings.key_keep_secs),
            limit: self.settings.key_limit,
        }
    }

    pub(super) fn mode(&self, expire_time: Option<u64>, now: Timestamp) -> Mode {
        let default = u64::from(self.settings.default_expire_secs);
        let secs = expire_time
            .unwrap_or(default)
            .min(u64::from(self.settings.max_expire_secs));
        match u32::try_from(secs).unwrap_or(self.settings.max_expire_secs) {
            0 => Mode::Immediate,
            secs => Mode::Cached {
                expires_at: now + Span::from_secs(secs),
            },
        }
    }

    pub(super) fn command(
        &self,
        app: &App,
        request: CreateRequest,
        mode: Mode,
        terms: Terms,
        now: Timestamp,
    ) -> NewCommand {
        let bucket = bucket_of(&app.id, &request.device_id);
        let id = self
            .mint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .mint(now, bucket);
        let push = match request.callback {
            None => StatusSet::EMPTY,
            Some(_) => pushed(app.settings, mode),
        };
        NewCommand {
            id,
            app: app.key,
            device: request.device,
            body: Arc::new(request.body),
            callback: request.callback,
            push,
            mode,
            expire_time: request
                .expire_time
                .unwrap_or(u64::from(self.settings.default_expire_secs)),
            max_retransmit: request.max_retransmit,
            response: match request.unanswered {
                true => ResponseRule::None,
                false => terms.response,
            },
            call_id: request.call_id.map(Arc::from),
            created_at: now,
            detail: match terms.remark {
                None => format!("request {}", request.request_id),
                Some(remark) => format!("request {}; {remark}", request.request_id),
            },
        }
    }

    pub(super) async fn after_create(
        &self,
        device: DeviceKey,
        mut created: Created,
    ) -> Result<Answered, CreateError> {
        let answered = Answered {
            record: created.record,
            repeats: created.repeats,
        };
        if created.existed {
            return Ok(answered);
        }
        self.metrics.created.inc();
        self.follow(&mut created.applied);
        match created.send {
            Some(dispatch) => self.hand_over(dispatch).await?,
            // The device may have become reachable between the look at its session and the commit.
            None if created.applied.status == Status::Pending && self.hints.enabled => {
                self.sessions.wake(device)
            }
            None => {}
        }
        Ok(answered)
    }

    /// Gives a committed Send to its session, or takes it back. The command is kept in either case.
    async fn hand_over(&self, dispatch: Dispatch) -> Result<(), StoreError> {
        let session = self
            .sessions
            .of(dispatch.device)
            .filter(|session| session.id == dispatch.session);
        let back = match session {
            None => dispatch,
            Some(session) => match session.hand(ToSession::Dispatch(Box::new(dispatch))) {
                Ok(()) => return Ok(()),
                Err(ToSession::Dispatch(dispatch)) => *dispatch,
                Err(ToSession::Work | ToSession::AckOverdue(_)) => return Ok(()),
            },
        };
        self.not_written(vec![back]).await
    }
}

/// Which changes of a command are pushed, as its application set it.
fn pushed(settings: AppSettings, mode: Mode) -> StatusSet {
    let set = if settings.push_documented_only {
        StatusSet::DOCUMENTED
    } else {
        StatusSet::ALL
    };
    match mode {
        Mode::Immediate if !settings.push_sent_immediate => set.without(Status::Sent),
        Mode::Immediate | Mode::Cached { .. } => set,
    }
}
