//! How things stand with receivers, for the operator: copies, made when asked for.

use std::cmp::Reverse;
use std::time::Duration;

use downlink_core::{Span, Timestamp};
use downlink_store::ReceiverKey;

use super::held::Held;
use super::receiver::Receiver;
use super::{Health, Schedule};
use crate::push::desk::{Breaker, ReceiverState};

impl Schedule {
    /// How it stands with a receiver; none: it is not in memory.
    pub(in crate::push) fn state_of(
        &self,
        key: ReceiverKey,
        now: Duration,
        wall: Timestamp,
    ) -> Option<ReceiverState> {
        let receiver = self.receivers.get(self.by_stored.get(&key)?)?;
        Some(state(receiver, now, wall))
    }

    /// When what a change tells happened that waits in memory for its first attempt, and waits longest: of those that are next with their receivers.
    pub(in crate::push) fn oldest_waiting(&self) -> Option<Timestamp> {
        let next = self.receivers.values().filter_map(Receiver::next_fresh);
        let next = next.filter_map(|command| self.commands.get(&command));
        next.filter_map(Held::next_at).min()
    }

    /// Up to `most` receivers: those whose breaker is open first, then those with the most under way.
    pub(in crate::push) fn live(&self, most: usize, now: Duration, wall: Timestamp) -> Vec<ReceiverState> {
        let mut all: Vec<&Receiver> = self.receivers.values().collect();
        all.sort_by_key(|one| {
            (
                !one.health.is_braked(),
                Reverse(one.in_flight),
                one.app,
                &one.origin,
            )
        });
        all.truncate(most);
        all.into_iter().map(|one| state(one, now, wall)).collect()
    }
}

fn state(receiver: &Receiver, now: Duration, wall: Timestamp) -> ReceiverState {
    let breaker = match &receiver.health {
        Health::Working { failures } => Breaker::Closed { failures: *failures },
        Health::Braked { .. } => Breaker::Open {
            next_probe_at: receiver.health.probe_at().map(|at| instant(at, now, wall)),
        },
    };
    let paused = Some(receiver.paused_until).filter(|until| *until > now);
    ReceiverState {
        app: receiver.app,
        origin: receiver.origin.clone(),
        key: receiver.key,
        breaker,
        in_flight: receiver.in_flight,
        limit: receiver.flow.limit(),
        paused_until: paused.map(|until| instant(until, now, wall)),
        in_memory: receiver.commands + receiver.rows.loaded(),
    }
}

/// When that is; what is past is now.
fn instant(at: Duration, now: Duration, wall: Timestamp) -> Timestamp {
    let ms = at.saturating_sub(now).as_millis();
    wall + Span::from_millis(u32::try_from(ms).unwrap_or(u32::MAX))
}
