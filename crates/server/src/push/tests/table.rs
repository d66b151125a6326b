//! Stored pushes as a plain list: as much of a store as the dispatcher needs.

use std::sync::Arc;

use downlink_core::{AppKey, CommandId, Timestamp};
use downlink_store::*;

#[derive(Default)]
pub(super) struct Table {
    duties: Vec<PushDuty>,
    receivers: Vec<(AppKey, Arc<str>)>,
    rows: Vec<Row>,
    last_id: i64,
}

struct Row {
    receiver: ReceiverKey,
    push: ReadyPush,
    due: Timestamp,
}

impl Table {
    /// The store has this of a command: more changes than before, or the same.
    pub(super) fn know(&mut self, duty: &PushDuty) {
        self.duties.retain(|known| known.command != duty.command);
        self.duties.push(duty.clone());
    }

    pub(super) fn divert(&mut self, one: &Diverted, told: u16) -> Option<Stowed> {
        let duty = self
            .duties
            .iter()
            .find(|duty| duty.command == one.command)?
            .clone();
        let from = one.accepted.max(told);
        let stored = |seq: u16| {
            let same = |row: &&Row| {
                row.push.key == OrderKey::of_command(one.command) && row.push.seq == u32::from(seq)
            };
            self.rows.iter().any(|row| same(&row))
        };
        let left: Vec<_> = duty
            .events
            .iter()
            .filter(|event| event.seq > from && !stored(event.seq))
            .collect();
        let upto = left.last()?.seq;
        let receiver = self.receiver(duty.app, &one.origin);
        for (n, event) in left.into_iter().enumerate() {
            let failed = one.failed.as_ref().filter(|_| n == 0).map(|(_, fate)| fate);
            let due = match failed {
                Some(Fate::Again(at)) => *at,
                Some(Fate::Dead(_) | Fate::Accepted) => continue,
                None => one.now,
            };
            self.last_id += 1;
            let push = ReadyPush {
                id: PushId(self.last_id),
                key: OrderKey::of_command(one.command),
                seq: event.seq.into(),
                url: Arc::clone(&duty.receiver),
                content: PushContent::Change {
                    device_id: duty.device_id.clone(),
                    status: event.status,
                    result: event.result.clone(),
                },
                tries: u32::from(failed.is_some()),
                at: event.at,
                keeps_until: None,
            };
            self.rows.push(Row { receiver, push, due });
        }
        let app = duty.app;
        Some(Stowed { app, receiver, upto })
    }

    fn receiver(&mut self, app: AppKey, origin: &Arc<str>) -> ReceiverKey {
        let known = self
            .receivers
            .iter()
            .position(|one| *one == (app, Arc::clone(origin)));
        let at = known.unwrap_or_else(|| {
            self.receivers.push((app, Arc::clone(origin)));
            self.receivers.len() - 1
        });
        ReceiverKey(at as i64)
    }

    /// Gives what was accepted: of which command, up to where.
    pub(super) fn settle(&mut self, one: &Settled) -> (Option<ReceiverKey>, Option<(CommandId, u16)>) {
        let Some(at) = self.rows.iter().position(|row| row.push.id == one.id) else {
            return (None, None);
        };
        match &one.fate {
            Fate::Again(due) => {
                self.rows[at].due = *due;
                self.rows[at].push.tries += 1;
                (None, None)
            }
            Fate::Dead(_) => (Some(self.rows.remove(at).receiver), None),
            Fate::Accepted => {
                let row = self.rows.remove(at);
                let told = row.push.key.command().map(|id| (id, row.push.seq as u16));
                (Some(row.receiver), told)
            }
        }
    }

    pub(super) fn ready(
        &self,
        receiver: ReceiverKey,
        except: &[PushId],
        now: Timestamp,
        limit: u32,
    ) -> Ready {
        let first = |row: &&Row| {
            let before = |other: &Row| other.push.key == row.push.key && other.push.seq < row.push.seq;
            row.receiver == receiver && !self.rows.iter().any(before)
        };
        let ready: Vec<_> = self
            .rows
            .iter()
            .filter(first)
            .filter(|row| !except.contains(&row.push.id))
            .collect();
        let due: Vec<_> = ready.iter().filter(|row| row.due <= now).collect();
        Ready {
            more: due.len() > limit as usize,
            next_at: ready.iter().map(|row| row.due).filter(|due| *due > now).min(),
            pushes: due
                .into_iter()
                .take(limit as usize)
                .map(|row| row.push.clone())
                .collect(),
        }
    }

    pub(super) fn known(&self, key: ReceiverKey) -> Option<StoredReceiver> {
        let (app, origin) = self.receivers.get(key.0 as usize)?.clone();
        Some(StoredReceiver {
            key,
            app,
            origin,
            held_at: None,
            rate: None,
            waiting: self.rows.iter().filter(|row| row.receiver == key).count() as u64,
            dead: 0,
        })
    }
}
