//! Creating a command, and sending it at once where that is possible.

use std::sync::Arc;

use downlink_core::lifecycle::{Input, Progress, State, step};
use downlink_core::{CommandId, DeviceId, Event, Mode, Offer, Status, Timestamp};

use super::batch::Batch;
use super::events::Events;
use super::failure::Failure;
use super::records;
use super::work_row::WorkRow;
use crate::{Applied, CreateRefused, Created, Dispatch, Record, Submission};

impl Batch {
    pub(super) fn create(
        &mut self,
        submission: &Arc<Submission>,
    ) -> Result<Result<Created, CreateRefused>, Failure> {
        let new = &submission.command;
        if let Some(created) = self.created_before(new.id)? {
            return Ok(Ok(created));
        }
        if let Some(key) = &submission.key
            && let Some(answer) = self.answered_before(new.app, key, new.created_at)?
        {
            return Ok(answer);
        }
        let device_id = match self.facts(new.device)? {
            Some(facts) if facts.live && facts.app == new.app => facts.id.clone(),
            Some(_) | None => return Ok(Err(CreateRefused::NoDevice)),
        };
        let offer = match (new.mode, submission.offer) {
            (Mode::Immediate, None) => return Ok(Err(CreateRefused::NotReachable)),
            (Mode::Immediate, Some(offer)) => Some(offer),
            (Mode::Cached { .. }, Some(offer)) if self.queue_of(new.device, 1)?.is_empty() => Some(offer),
            (Mode::Cached { .. }, Some(_) | None) => None,
        };
        let offer = offer.filter(|offer| {
            step(
                &pending(submission),
                Input::Send(*offer),
                new.created_at,
                &self.policy,
            )
            .is_ok()
        });
        if offer.is_none() && self.is_full(new.device, submission.queue_limit)? {
            return Ok(Err(CreateRefused::QueueFull));
        }
        if let Some(limit) = submission.open_limit
            && self.tallies.open(&self.sql, new.app)?.cast_unsigned() >= limit
        {
            return Ok(Err(CreateRefused::TooManyOpen));
        }
        self.add_pending(submission);
        let send = match offer {
            Some(offer) => self.send_at_once(new.id, offer, new.created_at)?,
            None => None,
        };
        if send.is_none() && new.mode == Mode::Immediate {
            self.drop_unsent(new.id);
            return Ok(Err(CreateRefused::NotReachable));
        }
        let applied = self.applied(new.id, Status::Pending)?;
        let record = self.record_of_new(submission, device_id);
        if let Some(key) = &submission.key {
            self.keep_key(new.app, key, new.id, record.status)?;
        }
        Ok(Ok(Created {
            record,
            applied,
            send,
            existed: false,
            repeats: None,
        }))
    }

    fn add_pending(&mut self, submission: &Arc<Submission>) {
        let new = &submission.command;
        let mut events = Events::new();
        events.push(&first_event(submission), false);
        self.last_ord = (self.last_ord + 1).max(new.created_at.as_millis().saturating_mul(1000));
        self.last_id = self.last_id.max(Some(new.id));
        let row = WorkRow {
            id: new.id,
            app: new.app,
            device: new.device,
            ord: self.last_ord,
            progress: pending(submission),
            sends: 0,
            mid: None,
            push: new.push,
            receiver: new.callback.as_deref().map(Arc::from),
            acked: 1,
            delivered_at: None,
            events,
            outbox: None,
        };
        self.add(row, submission);
    }

    fn send_at_once(
        &mut self,
        id: CommandId,
        offer: Offer,
        now: Timestamp,
    ) -> Result<Option<Dispatch>, Failure> {
        let Some(progress) = self.entries.get(&id).map(|entry| entry.row.progress) else {
            return Ok(None);
        };
        let Ok(transition) = step(&progress, Input::Send(offer), now, &self.policy) else {
            return Ok(None);
        };
        if !self.map_mid(id, offer, now)? {
            return Ok(None);
        }
        self.advance(id, transition, now)?;
        self.dispatch(id, offer, false).map(Some)
    }

    /// The answer to a create call that was answered before.
    pub(super) fn created_before(&mut self, id: CommandId) -> Result<Option<Created>, Failure> {
        if self.last_id.is_none_or(|last| id > last) {
            return Ok(None);
        }
        let Some(record) = self.record(id)? else {
            return Ok(None);
        };
        let applied = match self.open(id)?.map(|entry| entry.row.progress) {
            Some(_) => self.applied(id, Status::Pending)?,
            None => Applied {
                command: id,
                app: record.app,
                device: record.device,
                from: Status::Pending,
                status: record.status,
                seq: u16::try_from(record.events.len()).unwrap_or(u16::MAX),
                deadline: None,
                push: None,
            },
        };
        Ok(Some(Created {
            record,
            applied,
            send: None,
            existed: true,
            repeats: None,
        }))
    }

    /// The record as the batch leaves it so far.
    pub(super) fn record(&mut self, id: CommandId) -> Result<Option<Record>, Failure> {
        let fresh = self.entries.get(&id).and_then(|entry| entry.fresh.clone());
        if let Some(submission) = fresh {
            let device_id = self.device_id(submission.command.device)?;
            return Ok(Some(self.record_of_new(&submission, device_id)));
        }
        let Some(kept) = records::kept(&self.sql, id)? else {
            return Ok(None);
        };
        // Loads the working row, if there is one; one that is over in this batch still says how the command ended.
        self.open(id)?;
        let entry = self.entries.get(&id);
        let result = entry.and_then(|entry| entry.result.clone());
        records::compose(kept, entry.map(|entry| &entry.row), result).map(Some)
    }

    fn record_of_new(&self, submission: &Submission, device_id: DeviceId) -> Record {
        let new = &submission.command;
        let mut record = Record {
            id: new.id,
            app: new.app,
            device: new.device,
            device_id,
            body: Arc::clone(&new.body),
            callback: new.callback.clone(),
            expire_time: new.expire_time,
            max_retransmit: new.max_retransmit,
            status: Status::Pending,
            sends: 0,
            created_at: new.created_at,
            sent_at: None,
            delivered_at: None,
            executed_at: None,
            result: None,
            events: Vec::new(),
        };
        if let Some(entry) = self.entries.get(&new.id) {
            records::overlay(&mut record, &entry.row, entry.result.clone());
        }
        record
    }
}

fn pending(submission: &Submission) -> Progress {
    let new = &submission.command;
    Progress {
        state: State::Pending,
        mode: new.mode,
        response: new.response,
    }
}

fn first_event(submission: &Submission) -> Event {
    let new = &submission.command;
    Event {
        status: Status::Pending,
        at: new.created_at,
        detail: new.detail.clone(),
    }
}
