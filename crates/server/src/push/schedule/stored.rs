//! Stored pushes: read when their receiver can take them, and what the store says of receivers.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{CommandId, Timestamp};
use downlink_store::{Attempt, Diverted, Fate, OrderKey, PushId, Ready, ReceiverKey, StoredReceiver, Stowed};

use super::Schedule;
use super::ends::later;
use super::held::Place;
use super::receiver::ReceiverId;
use crate::push::desk::Whom;

/// What is to be read: [`Pushes::ready`](downlink_store::Pushes::ready) of a receiver.
#[derive(Debug, Clone)]
pub(in crate::push) struct Refill {
    pub(in crate::push) receiver: ReceiverKey,
    pub(in crate::push) except: Vec<PushId>,
    pub(in crate::push) limit: usize,
    /// Read as if the longest pause had passed.
    pub(in crate::push) ahead: bool,
}

impl Schedule {
    /// What the store says of a receiver: whether it is held, its rate, whether something waits.
    pub(in crate::push) fn stored(&mut self, known: &StoredReceiver, now: Duration, wall: Timestamp) {
        let id = self.receiver_of(known.app, &known.origin);
        self.by_stored.insert(known.key, id);
        let Some(receiver) = self.receivers.get_mut(&id) else {
            return;
        };
        receiver.key = Some(known.key);
        receiver.rated = known.rate.is_some();
        receiver.flow.set_rate(known.rate);
        receiver.held = known.held_at.is_some();
        if known.waiting > 0 {
            receiver.rows.stir();
        }
        if receiver.held {
            self.loaded -= receiver.rows.unload();
            self.divert_all(id, wall);
        }
        self.settle(id, now);
    }

    /// The operator changed what is stored of a receiver: it is read anew. `again`: pushes of commands are sent again; what is
    /// in mind of commands comes behind them in the table, or is told by the sweep if nothing of its command is there.
    pub(in crate::push) fn changed(&mut self, key: ReceiverKey, again: bool, now: Duration, wall: Timestamp) {
        let Some(id) = self.by_stored.get(&key).copied() else {
            return;
        };
        if let Some(receiver) = self.receivers.get_mut(&id) {
            self.loaded -= receiver.rows.forget();
        }
        if again {
            self.divert_all(id, wall);
            let of_it = self.commands.iter().filter(|(_, held)| held.receiver == id);
            let of_it: Vec<CommandId> = of_it.map(|(command, _)| *command).collect();
            for command in of_it {
                self.give_way(command, now);
            }
        }
        self.settle(id, now);
    }

    /// The receivers that are held, as far as is known here.
    pub(in crate::push) fn held(&self) -> impl Iterator<Item = ReceiverKey> {
        let held = self.receivers.values().filter(|receiver| receiver.held);
        held.filter_map(|receiver| receiver.key)
    }

    /// Something may have become ready of a receiver. False: it is not known here; the store has to say what it is.
    pub(in crate::push) fn stir(&mut self, key: ReceiverKey, now: Duration) -> bool {
        let Some(id) = self.by_stored.get(&key).copied() else {
            return false;
        };
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.rows.stir();
        }
        self.settle(id, now);
        true
    }

    /// A receiver is taken to work again: if its breaker is open, a stored push is tried now, before its time if none
    /// is due.
    pub(in crate::push) fn probe(&mut self, whom: &Whom, now: Duration) {
        let id = match whom {
            Whom::Key(key) => self.by_stored.get(key),
            Whom::Named(app, origin) => self.by_key.get(&(*app, Arc::clone(origin))),
        };
        let Some(id) = id.copied() else { return };
        if let Some(receiver) = self.receivers.get_mut(&id)
            && receiver.health.probe_now(now)
        {
            receiver.rows.look_ahead_once();
        }
        self.settle(id, now);
    }

    /// The next read of stored pushes that is to be made. It must come back by [`Schedule::refilled`] or
    /// [`Schedule::not_refilled`].
    pub(in crate::push) fn take_refill(&mut self, now: Duration) -> Option<Refill> {
        self.wake(now);
        let most = self.most_rows();
        while let Some(id) = self.to_read.pop_front() {
            let Some(receiver) = self.receivers.get_mut(&id) else {
                continue;
            };
            receiver.wants_rows = false;
            if let (Some(limit), Some(key)) = (receiver.wanted_rows(now, most), receiver.key) {
                let wanted = receiver.rows.begin_read(now);
                return Some(Refill {
                    receiver: key,
                    except: wanted.except,
                    limit,
                    ahead: wanted.ahead,
                });
            }
        }
        None
    }

    /// A read gave this.
    pub(in crate::push) fn refilled(
        &mut self,
        key: ReceiverKey,
        ready: Ready,
        now: Duration,
        wall: Timestamp,
    ) {
        let Some(id) = self.by_stored.get(&key).copied() else {
            return;
        };
        let mut stored = Vec::new();
        if let Some(receiver) = self.receivers.get_mut(&id) {
            let (kept, pushes): (Vec<_>, Vec<_>) = ready
                .pushes
                .into_iter()
                .partition(|push| push.keeps_until.is_some_and(|until| until > wall));
            let kept = kept.iter().filter_map(|push| push.keeps_until);
            let next_at = kept.chain(ready.next_at).min();
            let next_at = next_at.map(|at| later(at, now, wall));
            let new = receiver.rows.end_read(pushes, ready.more, next_at);
            self.loaded += new;
            stored.extend(receiver.rows.newest(new).filter_map(OrderKey::command));
            if receiver.held {
                self.loaded -= receiver.rows.unload();
            }
        }
        for command in stored {
            self.give_way(command, now);
        }
        self.settle(id, now);
    }

    /// A command has stored pushes that wait. If it is held here as well, it was sent again meanwhile: what was to be told of it
    /// from here is stored, behind them. What is in flight ends as it does.
    fn give_way(&mut self, command: CommandId, now: Duration) {
        let Some(held) = self.commands.get_mut(&command) else {
            return;
        };
        let was_queued = held.place == Place::Queued;
        let freed = held.leave_to_store();
        let (id, accepted, is_done) = (held.receiver, held.accepted, held.is_done());
        self.weight -= freed;
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.weight -= freed;
            if was_queued {
                receiver.unqueue(command);
            }
        }
        if is_done {
            self.let_go(command);
            self.recent.keep(command, accepted, now);
        }
    }

    /// A read failed.
    pub(in crate::push) fn not_refilled(&mut self, key: ReceiverKey, now: Duration) {
        let Some(id) = self.by_stored.get(&key).copied() else {
            return;
        };
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.rows.fail_read();
        }
        self.settle(id, now);
    }

    /// The store has made stored pushes of these; `stowed` says where, in the same order.
    pub(in crate::push) fn diverted(
        &mut self,
        diverted: &[Diverted],
        stowed: &[Option<Stowed>],
        now: Duration,
        wall: Timestamp,
    ) -> Vec<ReceiverKey> {
        let mut strangers = Vec::new();
        for (one, stowed) in diverted.iter().zip(stowed) {
            let known = self.diverts.done(one.command);
            // What was heard of since may be in neither: nothing of the command waited, so that it did not join.
            let upto = stowed.as_ref().map_or(known, |stowed| stowed.upto);
            self.recent.keep(one.command, upto, now);
            let Some(stowed) = stowed else { continue };
            let due = match &one.failed {
                Some((_, Fate::Again(at))) => Some(later(*at, now, wall)),
                Some((_, Fate::Dead(_) | Fate::Accepted)) | None => None,
            };
            if !self.stowed(stowed, &one.origin, due, now) && !strangers.contains(&stowed.receiver) {
                strangers.push(stowed.receiver);
            }
        }
        strangers
    }

    fn stowed(&mut self, stowed: &Stowed, origin: &Arc<str>, due: Option<Duration>, now: Duration) -> bool {
        let by_key = self.by_key.get(&(stowed.app, Arc::clone(origin)));
        let Some(id) = by_key.copied() else {
            return false;
        };
        self.by_stored.insert(stowed.receiver, id);
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.key = Some(stowed.receiver);
            match due {
                Some(at) => receiver.rows.due_at(at),
                None => receiver.rows.stir(),
            }
        }
        self.settle(id, now);
        true
    }

    /// Has a command become stored pushes, with the attempt that failed if there was one.
    pub(super) fn divert(&mut self, command: CommandId, failed: Option<(Attempt, Fate)>, wall: Timestamp) {
        let Some(held) = self.let_go(command) else {
            return;
        };
        let Some(receiver) = self.receivers.get(&held.receiver) else {
            return;
        };
        let origin = Arc::clone(&receiver.origin);
        self.diverts
            .add(command, origin, (held.accepted, held.last_seq()), failed, wall);
    }

    /// Has all commands of a receiver that are not in flight become stored pushes.
    pub(super) fn divert_all(&mut self, id: ReceiverId, wall: Timestamp) {
        let Some(receiver) = self.receivers.get_mut(&id) else {
            return;
        };
        for command in receiver.take_fresh() {
            self.divert(command, None, wall);
        }
    }
}
