//! How changes of commands become stored pushes: when an attempt failed or there was no room, and after that as long as
//! something waits.

use downlink_core::{CommandId, Timestamp};

use super::receivers::{self, Clock};
use super::rows::{NewChange, Owed, RowState};
use crate::sqlite::batch::Batch;
use crate::sqlite::failure::Failure;
use crate::{Attempt, Diverted, Fate, OrderKey, ReceiverKey, Stowed};

/// The first change of those diverted.
struct First<'a> {
    state: RowState,
    next_at: Timestamp,
    attempt: Option<&'a Attempt>,
    dead_because: Option<&'a str>,
}

impl<'a> First<'a> {
    fn of(diverted: &'a Diverted) -> Self {
        let fresh = Self {
            state: RowState::Ready,
            next_at: diverted.now,
            attempt: diverted.failed.as_ref().map(|(attempt, _)| attempt),
            dead_because: None,
        };
        match diverted.failed.as_ref().map(|(_, fate)| fate) {
            Some(Fate::Again(at)) => Self {
                next_at: *at,
                ..fresh
            },
            Some(Fate::Dead(why)) => Self {
                state: RowState::Dead,
                dead_because: Some(why),
                ..fresh
            },
            // What was accepted is not diverted; told again is better than lost.
            Some(Fate::Accepted) | None => fresh,
        }
    }
}

impl Batch {
    /// Makes stored pushes of what a command has still to tell.
    pub(super) fn divert(&mut self, diverted: &Diverted) -> Result<Option<Stowed>, Failure> {
        let (id, now) = (diverted.command, diverted.now);
        let Some(entry) = self.open(id)? else {
            return Ok(None);
        };
        if diverted.accepted > entry.row.acked {
            self.settle(id, diverted.accepted);
        }
        let Some(row) = self.entries.get(&id).map(|entry| &entry.row) else {
            return Ok(None);
        };
        let (owed, app, upto) = (Owed::of(row), row.app, row.seq());
        let Some(url) = row.receiver.clone().filter(|_| !owed.is_empty()) else {
            return Ok(None);
        };
        let receiver = receivers::find_or_make(&self.sql, app, &diverted.origin)?.key;
        let Some(clock) = Clock::of(&self.sql, receiver)? else {
            return Err(Failure::corrupt("a receiver that was just found is gone"));
        };
        let (first, mut ready_next) = (First::of(diverted), false);
        let (mut waiting, mut dead) = (0, 0);
        let given_up = owed.first().map(|change| u32::from(change.seq));
        let given_up = given_up.filter(|_| first.state == RowState::Dead);
        for (n, change) in owed.into_iter().enumerate() {
            let place = match n {
                0 => (first.state, first.next_at, first.attempt, first.dead_because),
                _ if ready_next => (RowState::Ready, now, None, None),
                _ => (RowState::Behind, now, None, None),
            };
            let (state, next_at, attempt, dead_because) = place;
            ready_next = state == RowState::Dead;
            waiting += i64::from(state != RowState::Dead);
            dead += i64::from(state == RowState::Dead);
            NewChange {
                command: id,
                app,
                receiver,
                url: &url,
                change,
                state,
                born: clock.at(change.at),
                next_at,
                attempt,
                dead_because,
            }
            .insert(&self.sql)?;
        }
        receivers::count(&self.sql, receiver, waiting, dead)?;
        self.settle(id, u16::MAX);
        self.set_outbox(id, (waiting > 0).then_some(receiver));
        if let Some(seq) = given_up {
            self.tell_given_up(app, OrderKey::of_command(id), seq, now)?;
        }
        Ok(Some(Stowed { app, receiver, upto }))
    }

    /// Has new changes of a command that has stored pushes join them.
    pub(in crate::sqlite) fn join_stored(
        &mut self,
        id: CommandId,
        receiver: ReceiverKey,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some(row) = self.entries.get(&id).map(|entry| &entry.row) else {
            return Ok(());
        };
        let owed = Owed::of(row);
        if owed.is_empty() {
            return Ok(());
        }
        // Without a receiver there is nobody to tell: its application was removed.
        if let (Some(clock), Some(url)) = (Clock::of(&self.sql, receiver)?, row.receiver.as_deref()) {
            for change in &owed {
                NewChange {
                    command: id,
                    app: row.app,
                    receiver,
                    url,
                    change: *change,
                    state: RowState::Behind,
                    born: clock.at(change.at),
                    next_at: now,
                    attempt: None,
                    dead_because: None,
                }
                .insert(&self.sql)?;
            }
            receivers::count(&self.sql, receiver, owed.len() as i64, 0)?;
        }
        self.settle(id, u16::MAX);
        Ok(())
    }
}
