//! Notices: what subscribers are told, as rows of `push`, in the transaction of what they tell.
//!
//! An application that is not subscribed costs a look into memory. What is told of commands is gathered while the batch
//! is made and written at its end, when results are known. What is told of devices stands in `devices`.

mod crowded;
mod devices;
mod silence;

pub(super) use crowded::Crowded;
pub(super) use silence::silent;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use downlink_core::lifecycle::State;
use downlink_core::{AppKey, CommandId, DeviceId, DeviceKey, Event, Status, Timestamp};
use foldhash::HashMap;
use rusqlite::{OptionalExtension, params};
use tokio::sync::Notify;

use super::batch::Batch;
use super::failure::Failure;
use super::pushes::Clock;
use super::state::is_answered;
use crate::{CommandStage, NewCommand, Notice, NotifyType, OrderKey, ReceiverKey, Subscription};

/// Receivers that are remembered as having something ready, at the most.
const MOST_STIRRED: usize = 4096;

/// Receivers that notices made something ready for.
#[derive(Debug, Default)]
pub(super) struct Stirred {
    receivers: Mutex<BTreeSet<ReceiverKey>>,
    some: Notify,
}

impl Stirred {
    fn add(&self, more: &mut BTreeSet<ReceiverKey>) {
        if more.is_empty() {
            return;
        }
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.append(more);
        while receivers.len() > MOST_STIRRED {
            receivers.pop_last();
        }
        drop(receivers);
        self.some.notify_one();
    }

    pub(super) fn take(&self) -> Vec<ReceiverKey> {
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *receivers).into_iter().collect()
    }

    pub(super) async fn wait(&self) {
        self.some.notified().await;
    }
}

/// The batch's part on notices.
#[derive(Debug)]
pub(super) struct Notices {
    /// The same in all ids of this run; random.
    run: u64,
    /// Ids made in this run.
    made: u64,
    /// Receivers for which this transaction made something ready.
    ready: BTreeSet<ReceiverKey>,
    stirred: Arc<Stirred>,
    crowded: Arc<Crowded>,
    /// What this transaction did not tell of, as too much waits.
    dropped: HashMap<AppKey, u64>,
    /// What commands have to tell at the end of the batch.
    news: Vec<News>,
}

/// A change of a command that its application wants to be told of as a notice.
#[derive(Debug)]
struct News {
    command: CommandId,
    stage: CommandStage,
    answered: bool,
    at: Timestamp,
}

/// The call that made a command.
struct Called {
    service: String,
    method: String,
    id: Option<Arc<str>>,
}

impl Called {
    fn of(new: &NewCommand) -> Self {
        Self {
            service: new.body.service.clone(),
            method: new.body.method.clone(),
            id: new.call_id.clone(),
        }
    }
}

/// A receiver's row.
struct Receiver {
    key: ReceiverKey,
    clock: Clock,
}

/// The last push of a key.
struct Last {
    id: i64,
    seq: i64,
    /// Something of the key waits.
    waits: bool,
    /// It is a replaceable notice of this kind that was never attempted, and cannot be in flight: it was behind from the start.
    untouched: Option<String>,
}

impl Notices {
    pub(super) fn new(stirred: Arc<Stirred>, crowded: Arc<Crowded>, run: u64) -> Self {
        Self {
            run,
            made: 0,
            ready: BTreeSet::new(),
            stirred,
            crowded,
            dropped: HashMap::default(),
            news: Vec::new(),
        }
    }

    /// An id that no notice had before.
    fn next_id(&mut self) -> String {
        self.made += 1;
        format!("{:016x}-{}", self.run, self.made)
    }

    /// Whether it is not to be made, as too much of the application waits; counts it then.
    fn drops(&mut self, app: AppKey, kind: NotifyType) -> bool {
        let drops = kind.is_report() && self.crowded.has(app);
        if drops {
            *self.dropped.entry(app).or_default() += 1;
        }
        drops
    }

    /// The transaction is kept.
    pub(super) fn committed(&mut self) {
        self.stirred.add(&mut self.ready);
        self.crowded.count(&mut self.dropped);
        self.news.clear();
    }

    /// The transaction is undone. Ids that were given are not given again.
    pub(super) fn undone(&mut self) {
        self.ready.clear();
        self.dropped.clear();
        self.news.clear();
    }
}

impl Batch {
    /// Tells the application of it, if it is subscribed to that and not crowded.
    pub(super) fn tell(
        &mut self,
        app: AppKey,
        device: DeviceKey,
        notice: &Notice<'_>,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let kind = notice.notify_type();
        let Some(subscription) = self.subscribers.to(app, kind) else {
            return Ok(());
        };
        if self.notices.drops(app, kind) {
            return Ok(());
        }
        let body = self.writer.body(notice);
        let receiver = self.receiver_of(&subscription)?;
        let key = OrderKey::of_device(device, receiver.key);
        let last = self.last_of(key)?;
        let replaceable = matches!(notice, Notice::Presence { .. });
        if let (true, Some(last)) = (replaceable, &last)
            && last.untouched.as_deref() == Some(kind.as_str())
        {
            return self.tell_instead(last.id, &body, &receiver, at);
        }
        let id = self.append(&subscription, &receiver, key, last.as_ref(), &body, at)?;
        if replaceable {
            self.sql
                .prepare_cached("UPDATE push SET replaceable = 1 WHERE id = ?1")?
                .execute([id])?;
        }
        Ok(())
    }

    /// The receiver's row, made if there is none.
    fn receiver_of(&self, subscription: &Subscription) -> Result<Receiver, Failure> {
        let mut statement = self.sql.prepare_cached(
            "INSERT INTO receiver (app, origin) VALUES (?1, ?2) \
             ON CONFLICT (app, origin) DO UPDATE SET origin = origin \
             RETURNING key, held_at, held_ms",
        )?;
        Ok(
            statement.query_row(params![subscription.app.0, subscription.origin], |row| {
                Ok(Receiver {
                    key: ReceiverKey(row.get(0)?),
                    clock: Clock {
                        held_at: row.get(1)?,
                        held_ms: row.get(2)?,
                    },
                })
            })?,
        )
    }

    fn last_of(&self, key: OrderKey) -> Result<Option<Last>, Failure> {
        let mut statement = self.sql.prepare_cached(
            "SELECT id, seq, state < 2 OR EXISTS \
             (SELECT 1 FROM push w WHERE w.order_key = p.order_key AND w.state < 2), \
             iif(state = 1 AND tries = 0 AND replaceable IS 1, kind, NULL) \
             FROM push p WHERE order_key = ?1 ORDER BY seq DESC LIMIT 1",
        )?;
        let last = statement.query_row([key.to_bytes()], |row| {
            Ok(Last {
                id: row.get(0)?,
                seq: row.get(1)?,
                waits: row.get(2)?,
                untouched: row.get(3)?,
            })
        });
        Ok(last.optional()?)
    }

    fn tell_instead(&self, push: i64, body: &str, to: &Receiver, at: Timestamp) -> Result<(), Failure> {
        self.sql
            .prepare_cached("UPDATE push SET body = ?2, at = ?3, born = ?4, next_at = ?3 WHERE id = ?1")?
            .execute(params![push, body, at.as_millis(), to.clock.at(at)])?;
        Ok(())
    }

    /// Gives the row's id.
    fn append(
        &mut self,
        of: &Subscription,
        to: &Receiver,
        key: OrderKey,
        last: Option<&Last>,
        body: &str,
        at: Timestamp,
    ) -> Result<i64, Failure> {
        let behind = last.is_some_and(|last| last.waits);
        let id = self.notices.next_id();
        let push = self
            .sql
            .prepare_cached(
                "INSERT INTO push (app, receiver, order_key, seq, state, url, kind, notice_id, body, at, born, next_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?10)",
            )?
            .insert(params![
                of.app.0,
                to.key.0,
                key.to_bytes(),
                last.map_or(1, |last| last.seq + 1),
                u8::from(behind),
                of.callback,
                of.notify_type.as_str(),
                id,
                body,
                at.as_millis(),
                to.clock.at(at),
            ])?;
        self.sql
            .prepare_cached("UPDATE receiver SET waiting = waiting + 1 WHERE key = ?1")?
            .execute([to.key.0])?;
        if !behind && to.clock.held_at.is_none() {
            self.notices.ready.insert(to.key);
        }
        Ok(push)
    }

    pub(super) fn wants(&self, app: AppKey, kind: NotifyType) -> bool {
        self.subscribers.to(app, kind).is_some()
    }

    /// Whose it is and its id, if the device is there.
    pub(super) fn live(&mut self, key: DeviceKey) -> Result<Option<(AppKey, DeviceId)>, Failure> {
        let facts = self.facts(key)?.filter(|facts| facts.live);
        Ok(facts.map(|facts| (facts.app, facts.id.clone())))
    }

    /// Notes what there may be to tell of a command's change, at the end of the batch.
    pub(super) fn note_news(&mut self, app: AppKey, command: CommandId, events: &[Event], state: &State) {
        if self.desires.note(command, events) {
            return;
        }
        if !self.wants(app, NotifyType::MessageConfirm) && !self.wants(app, NotifyType::CommandRsp) {
            return;
        }
        for event in events {
            let answered = is_answered(state);
            let stage = match event.status {
                Status::Sent => Some(CommandStage::Sent),
                Status::Delivered => Some(CommandStage::Delivered),
                Status::Successful | Status::Failed => answered.then_some(CommandStage::Executed),
                Status::Pending | Status::Timeout | Status::Expired | Status::Canceled => None,
            };
            let answered = answered && stage == Some(CommandStage::Executed);
            self.notices.news.extend(stage.map(|stage| News {
                command,
                stage,
                answered,
                at: event.at,
            }));
        }
    }

    /// Tells what was noted of commands.
    pub(super) fn tell_news(&mut self) -> Result<(), Failure> {
        for news in std::mem::take(&mut self.notices.news) {
            let Some(entry) = self.entries.get(&news.command) else {
                continue;
            };
            let (app, key) = (entry.row.app, entry.row.device);
            let (fresh, result) = (entry.fresh.clone(), entry.result.clone());
            let called = match fresh {
                Some(new) => Called::of(&new.command),
                None => self.called(news.command)?,
            };
            let device = self.device_id(key)?;
            let app_id = self.app_id(app)?;
            let confirm = Notice::Confirm {
                device: &device,
                app: &app_id,
                command: news.command,
                call_id: called.id.as_deref(),
                stage: news.stage,
                at: news.at,
            };
            self.tell(app, key, &confirm, news.at)?;
            if news.answered && self.wants(app, NotifyType::CommandRsp) {
                let response = Notice::Response {
                    device: &device,
                    app: &app_id,
                    command: news.command,
                    call_id: called.id.as_deref(),
                    service: &called.service,
                    method: &called.method,
                    result: result.as_deref(),
                };
                self.tell(app, key, &response, news.at)?;
            }
        }
        Ok(())
    }

    fn app_id(&self, app: AppKey) -> Result<String, Failure> {
        let mut statement = self.sql.prepare_cached("SELECT id FROM app WHERE key = ?1")?;
        Ok(statement.query_row([app.0], |row| row.get(0))?)
    }

    /// What made a stored command.
    fn called(&self, command: CommandId) -> Result<Called, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT service, method, call_id FROM command WHERE id = ?1")?;
        Ok(statement.query_row([command.to_bytes()], |row| {
            Ok(Called {
                service: row.get(0)?,
                method: row.get(1)?,
                id: row.get(2)?,
            })
        })?)
    }
}
