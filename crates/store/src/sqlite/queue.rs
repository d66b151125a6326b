//! A device's queue, as the batch leaves it so far, and the sending of its head.
//!
//! One command is outstanding per device: what holds the slot stands in the queue itself, before all that waits.

use downlink_core::lifecycle::{Input, State, step};
use downlink_core::{CommandId, DeviceKey, Offer, Timestamp};
use rusqlite::OptionalExtension;

use super::batch::Batch;
use super::failure::Failure;
use super::state;
use super::tail::Queued;
use crate::{Applied, Dispatch};

/// What a batch knows of one device's queue.
#[derive(Default)]
pub(super) struct QueueView {
    /// The first of the queue as the table has it, in order.
    stored: Vec<Queued>,
    /// `stored` is all of it.
    complete: bool,
    /// Commands that the batch changed or created: for these `entries` counts, not the table or the tail.
    touched: Vec<CommandId>,
}

impl QueueView {
    pub(super) fn touch(&mut self, id: CommandId) {
        if !self.touched.contains(&id) {
            self.touched.push(id);
        }
    }

    pub(super) fn touched(&self) -> &[CommandId] {
        &self.touched
    }
}

impl Batch {
    /// The first `want` commands of a device's queue; fewer only if there are no more.
    pub(super) fn queue_of(&mut self, device: DeviceKey, want: usize) -> Result<Vec<CommandId>, Failure> {
        self.read_queue(device, want)?;
        let view = self.queues.entry(device).or_default();
        let mut queue: Vec<Queued> = view
            .touched
            .iter()
            .filter_map(|id| self.entries.get(id))
            .filter(|entry| entry.row.progress.is_queued())
            .map(|entry| (entry.row.ord, entry.row.id))
            .collect();
        let newest = self.tail.lock();
        let kept = view.stored.iter().chain(newest.queue(device));
        queue.extend(kept.filter(|(_, id)| !view.touched.contains(id)));
        queue.sort_unstable();
        queue.truncate(want);
        Ok(queue.into_iter().map(|(_, id)| id).collect())
    }

    /// Reads so much of the queue in the table that `want` are left whatever the batch took out of it.
    fn read_queue(&mut self, device: DeviceKey, want: usize) -> Result<(), Failure> {
        let view = self.queues.entry(device).or_default();
        let need = want.saturating_add(view.touched.len());
        if view.complete || view.stored.len() >= need {
            return Ok(());
        }
        let mut statement = self
            .sql
            .prepare_cached("SELECT ord, id FROM queued WHERE device = ?1 ORDER BY ord")?;
        let mut rows = statement.query([device.0])?;
        view.stored.clear();
        while view.stored.len() < need && !view.complete {
            match rows.next()? {
                Some(row) => view
                    .stored
                    .push((row.get(0)?, CommandId::from_bytes(row.get(1)?))),
                None => view.complete = true,
            }
        }
        Ok(())
    }

    pub(super) fn is_pending(&mut self, id: CommandId) -> Result<bool, Failure> {
        if let Some(entry) = self.entries.get(&id) {
            return Ok(entry.row.progress.state == State::Pending);
        }
        let code: Option<u8> = self
            .sql
            .prepare_cached("SELECT state FROM work WHERE id = ?1")?
            .query_row([id.to_bytes()], |row| row.get(0))
            .optional()?;
        Ok(code == Some(state::PENDING))
    }

    /// Sends the first command of the queue that may be sent, if nothing holds the slot. A PENDING one whose
    /// lifetime is over is passed by: the sweep ends it, and nothing waits for that.
    pub(super) fn send_next(
        &mut self,
        device: DeviceKey,
        offer: Offer,
        now: Timestamp,
    ) -> Result<Option<(Applied, Dispatch)>, Failure> {
        let (mut seen, mut want) = (0, 2);
        loop {
            let queue = self.queue_of(device, want)?;
            for &id in queue.iter().skip(seen) {
                let Some(entry) = self.open(id)? else { continue };
                let (progress, from) = (entry.row.progress, entry.row.status());
                match step(&progress, Input::Send(offer), now, &self.policy) {
                    Ok(transition) => {
                        if !self.map_mid(id, offer, now)? {
                            return Ok(None);
                        }
                        self.advance(id, transition, now)?;
                        let more = queue.len() > 1;
                        let dispatch = self.dispatch(id, offer, more)?;
                        return Ok(Some((self.applied(id, from)?, dispatch)));
                    }
                    Err(_) if progress.state == State::Pending => {}
                    Err(_) => return Ok(None),
                }
            }
            if queue.len() < want {
                return Ok(None);
            }
            (seen, want) = (queue.len(), want * 8);
        }
    }

    /// What the session has to write for the Send just made.
    pub(super) fn dispatch(&mut self, id: CommandId, offer: Offer, more: bool) -> Result<Dispatch, Failure> {
        let Some(entry) = self.entries.get(&id) else {
            return Err(Failure::corrupt(format!("command {id} was not loaded")));
        };
        let (body, max_retransmit) = match &entry.fresh {
            Some(submission) => (submission.command.body.clone(), submission.command.max_retransmit),
            None => super::records::body(&self.sql, id)?,
        };
        let row = &entry.row;
        Ok(Dispatch {
            command: id,
            device: row.device,
            session: offer.session,
            proof: offer.proof,
            mid: row.mid.filter(|_| offer.needs_mid),
            body,
            max_retransmit,
            more,
            sends: row.sends,
            expires_at: row.progress.mode.expires_at(),
        })
    }
}
