//! The engine: the one door to command state, for applications, devices and the clock alike.
//!
//! Every change goes through [`Engine::create`], [`Engine::apply`] or [`Engine::send_next`]; each commits in the
//! store first, then counts the transition, sets the deadline, and hints at what follows (push, next send).
//! A hint that is lost costs latency, never a command: the sweeps find what it would have told.
//! A [`Dispatch`] is not a hint: it is a committed Send, and whoever gets it writes it or reports the session lost.

mod batch_tasks;
mod cancel_tasks;
mod contacts;
mod create;
mod deadlines;
mod desires;
mod feeds;
pub(crate) mod gate;
mod presence;
mod removal;
mod sessions;
mod terms;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use downlink_core::lifecycle::Input;
use downlink_core::{AppKey, CommandId, DeviceKey, IdMint, Offer, SessionId, Timestamp};
use downlink_store::{
    AppSettings, Applied, Change, Changed, Dispatch, PushDuty, ReceiverKey, Record, Store, StoreError, Target,
};
use tokio::sync::{Notify, broadcast, mpsc};

use crate::clock;
use crate::products::ProductBook;
use crate::secrets::IdRandom;
use crate::telemetry::{Metrics, RefusalLabel};
use crate::trace::Traces;

pub(crate) use batch_tasks::BatchRequest;
pub(crate) use contacts::Contacts;
pub(crate) use create::{Answered, CallKey, CancelError, CreateError, CreateRequest};
pub(crate) use deadlines::{DeadlineHint, Deadlines};
pub(crate) use desires::DesireError;
pub(crate) use feeds::{Follower, Followers};
pub(crate) use presence::{Presence, Word};
pub(crate) use sessions::{CloseReason, Inbox, Reach, SessionHandle, Sessions, Taken, ToSession};

/// The door. Cheap to share; holds no command state itself.
pub(crate) struct Engine {
    store: Arc<dyn Store>,
    sessions: Sessions,
    contacts: Contacts,
    presence: Presence,
    outdated: broadcast::Sender<Outdated>,
    products: ProductBook,
    followers: Arc<Followers>,
    traces: Traces,
    mint: Mutex<Mint>,
    last_session: Mutex<SessionId>,
    hints: Hints,
    new_cancel_task: Notify,
    new_batch_task: Notify,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// Queues of removed devices may be left: after a start, and when one could not be cancelled.
    queues_left: AtomicBool,
}

/// What a gateway may know of a device is not so any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outdated {
    /// It was removed.
    Removed(DeviceKey),
    /// Its secret is another.
    Secret(DeviceKey),
}

/// Words of devices that changed that a gateway may have waiting; what it misses it finds out with their next message.
const OUTDATED: usize = 1024;

/// Makes ids of commands.
struct Mint {
    ids: IdMint,
    random: IdRandom,
}

impl Mint {
    fn mint(&mut self, now: Timestamp, bucket: u16) -> CommandId {
        self.ids.mint(now, bucket, self.random.next())
    }
}

/// Where hints go.
pub(crate) struct Hints {
    /// Off: none is given, the sweeps do all. For tests.
    pub(crate) enabled: bool,
    /// To the push dispatcher.
    pub(crate) push: mpsc::Sender<PushDuty>,
    /// To the push dispatcher: receivers of which the store has news.
    pub(crate) receivers: mpsc::Sender<ReceiverKey>,
    /// To the owner of the deadlines.
    pub(crate) deadlines: mpsc::Sender<DeadlineHint>,
}

/// The operator's limits on what is created.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) default_expire_secs: u32,
    pub(crate) max_expire_secs: u32,
    pub(crate) queue_limit: u32,
    /// Open commands of an application; none: no limit.
    pub(crate) open_limit: Option<u64>,
    pub(crate) response_wait_secs: u32,
    /// How long a key of a create call is kept, and how many an application may have.
    pub(crate) key_keep_secs: u32,
    pub(crate) key_limit: u64,
    /// Cancel tasks that are kept of an application.
    pub(crate) cancel_task_limit: u32,
    /// Batch tasks of an application: that are not over, and that are kept.
    pub(crate) batch_open_limit: u32,
    pub(crate) batch_kept_limit: u32,
    /// Silence after which a device gets no commands; 0: none.
    pub(crate) max_silence_days: u32,
    pub(crate) max_inflight: usize,
    pub(crate) feed_streams_per_app: usize,
    pub(crate) feed_streams: usize,
    /// Silence after which a device that sleeps is ABNORMAL, and OFFLINE.
    pub(crate) abnormal_after_secs: u32,
    pub(crate) offline_after_secs: u32,
    /// How old the note of a device's last message may be.
    pub(crate) heard_every_secs: u32,
}

impl Engine {
    /// An engine on `store`, whose ids go on after `last_id`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        last_id: Option<CommandId>,
        hints: Hints,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            sessions: Sessions::new(),
            contacts: Contacts::default(),
            presence: Presence::default(),
            outdated: broadcast::channel(OUTDATED).0,
            products: ProductBook::new(),
            followers: Arc::new(Followers::new(
                settings.feed_streams_per_app,
                settings.feed_streams,
            )),
            traces: Traces::default(),
            mint: Mutex::new(Mint {
                ids: IdMint::after(last_id),
                random: IdRandom::new(),
            }),
            last_session: Mutex::new(SessionId(0)),
            hints,
            new_cancel_task: Notify::new(),
            new_batch_task: Notify::new(),
            settings,
            metrics,
            queues_left: AtomicBool::new(true),
        }
    }

    /// The store, for reads.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The sessions of connected devices.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Ends what is connected in a device's name: it was removed, or has another secret. To be called when that is
    /// committed.
    pub(crate) fn outdate(&self, what: Outdated) {
        let (Outdated::Removed(device) | Outdated::Secret(device)) = what;
        if let Some(session) = self.sessions.of(device) {
            session.close(CloseReason::Removed);
        }
        // Nobody listens where there is no gateway that remembers.
        let _ = self.outdated.send(what);
    }

    /// Tells of devices that changed from now on.
    pub(crate) fn outdated(&self) -> broadcast::Receiver<Outdated> {
        self.outdated.subscribe()
    }

    /// Those who follow feeds.
    pub(crate) fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// The devices whose packets somebody looks at.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }
    /// The products.
    pub(crate) fn products(&self) -> &ProductBook {
        &self.products
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The metrics, to be kept.
    pub(crate) fn shared_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// A session id later than all before, across restarts too: microseconds of the clock, or one more than the last.
    pub(crate) fn next_session_id(&self) -> SessionId {
        let now = clock::now().as_millis().saturating_mul(1000);
        let mut last = self.last_session.lock().unwrap_or_else(PoisonError::into_inner);
        *last = SessionId(now.max(last.0 + 1));
        *last
    }

    /// Applies inputs to commands: the only way their state changes. One transaction; answers in order.
    /// What follows from each change (deadline, push) has been hinted at when this returns; a `next` dispatch is the
    /// caller's to write.
    pub(crate) async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError> {
        let mut changed = self.store.apply(changes).await?;
        for one in &mut changed {
            self.follow_changed(one);
        }
        Ok(changed)
    }

    /// The same of one command of an application; gives its record too, if it has one.
    async fn apply_and_load(
        &self,
        app: AppKey,
        change: Change,
    ) -> Result<(Changed, Option<Record>), StoreError> {
        let (mut changed, record) = self.store.apply_and_load(app, change).await?;
        self.follow_changed(&mut changed);
        Ok((changed, record))
    }

    fn follow_changed(&self, changed: &mut Changed) {
        match &mut changed.outcome {
            Some(Ok(applied)) => self.follow(applied),
            Some(Err(refusal)) => self.metrics.refused((*refusal).into()),
            None => self.metrics.refused(RefusalLabel::Unknown),
        }
        if let Some((applied, _)) = &mut changed.next {
            self.follow(applied);
        }
    }

    /// Sends the device's next due command over the offered session, if there is one and its slot is free.
    pub(crate) async fn send_next(
        &self,
        device: DeviceKey,
        offer: Offer,
    ) -> Result<Option<Dispatch>, StoreError> {
        let Some((mut applied, dispatch)) = self.store.send_next(device, offer, clock::now()).await? else {
            return Ok(None);
        };
        self.follow(&mut applied);
        Ok(Some(dispatch))
    }

    /// A dispatch that will not be written: its send does not count.
    pub(crate) async fn not_written(&self, dispatches: Vec<Dispatch>) -> Result<(), StoreError> {
        let now = clock::now();
        let lost = |dispatch: Dispatch| Change {
            target: Target::OfDevice(dispatch.device, dispatch.command),
            input: Input::SessionLost {
                session: dispatch.session,
                written: false,
            },
            now,
            then_send: None,
        };
        match dispatches.is_empty() {
            true => Ok(()),
            false => self
                .apply(dispatches.into_iter().map(lost).collect())
                .await
                .map(|_| ()),
        }
    }

    /// Hints at what is to be pushed of a command, as a sweep found it.
    pub(crate) fn hint_push(&self, duty: PushDuty) -> bool {
        let sent = self.hints.push.try_send(duty).is_ok();
        if !sent {
            self.metrics.hints_lost.inc();
        }
        sent
    }

    /// Hints that a receiver's stored pushes are to be looked at: some wait again, or it was held or released.
    pub(crate) fn hint_receiver(&self, receiver: ReceiverKey) {
        if self.hints.enabled && self.hints.receivers.try_send(receiver).is_err() {
            self.metrics.hints_lost.inc();
        }
    }

    /// What a committed change entails: counted, logged, hinted at. Takes the duty to push out of it.
    fn follow(&self, applied: &mut Applied) {
        if applied.from != applied.status {
            self.metrics.transition(applied.from, applied.status);
            tracing::debug!(
                command = %applied.command,
                from = applied.from.as_str(),
                to = applied.status.as_str(),
                seq = applied.seq,
                "command changed"
            );
        }
        if !self.hints.enabled {
            return;
        }
        self.followers.wake(applied.app);
        let hint = DeadlineHint {
            command: applied.command,
            deadline: applied.deadline,
        };
        if self.hints.deadlines.try_send(hint).is_err() {
            self.metrics.hints_lost.inc();
        }
        if let Some(duty) = applied.push.take() {
            self.hint_push(duty);
        }
    }
}
