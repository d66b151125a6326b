//! Which acceptances the store is told of next.
//!
//! The last change of a command at once: its working row can go then. One before it a little later, as the last mostly
//! follows soon and says it all: one write for a command instead of one for each change. What a crash takes is
//! repetitions, with the same ids, of pushes accepted within that time.

use std::collections::VecDeque;

use foldhash::HashMap;
use std::time::Duration;

use downlink_core::CommandId;
use downlink_store::Told;

use super::held::Held;

/// Whether and where a command waits for its acceptances to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// Nothing is to be recorded, or it has been taken.
    No,
    /// Among those that wait for their last change.
    Later,
    /// Among those that are next.
    Now,
}

/// The queues of commands to be recorded.
pub(super) struct ToRecord {
    next: VecDeque<CommandId>,
    /// From when on the first of those is to be recorded.
    next_from: Duration,
    /// With the time from which on each is to be recorded. Most have been by then.
    later: VecDeque<(Duration, CommandId)>,
    wait: Duration,
    gather: Duration,
    most: usize,
}

/// As many of those that are next do not wait for more.
const MANY: usize = 512;

/// The share of the wait within which those that became due are gathered, so that they do not ring one by one.
const GATHERED: u32 = 4;

impl ToRecord {
    /// Nothing waits longer than `wait`, and no more than `most` do; the last of a command no longer than `gather`.
    pub(super) fn new(wait: Duration, gather: Duration, most: usize) -> Self {
        Self {
            next: VecDeque::new(),
            next_from: Duration::ZERO,
            later: VecDeque::new(),
            wait,
            gather,
            most,
        }
    }

    /// A change of this command was accepted; `last`: none will follow.
    pub(super) fn note(&mut self, command: CommandId, held: &mut Held, last: bool, now: Duration) {
        let at_once = last || self.wait.is_zero() || self.later.len() >= self.most;
        match (held.noted, at_once) {
            (Noted::Now, _) | (Noted::Later, false) => {}
            (Noted::No | Noted::Later, true) => {
                held.noted = Noted::Now;
                if self.next.is_empty() {
                    self.next_from = now + self.gather;
                }
                self.next.push_back(command);
            }
            (Noted::No, false) => {
                held.noted = Noted::Later;
                self.later
                    .push_back((now + self.wait - self.wait / GATHERED, command));
            }
        }
    }

    /// Takes up to `most` of those that are to be recorded by now.
    pub(super) fn take(
        &mut self,
        commands: &mut HashMap<CommandId, Held>,
        now: Duration,
        most: usize,
    ) -> Vec<Told> {
        while let Some((at, command)) = self.later.front().copied()
            && at <= now
        {
            self.later.pop_front();
            if let Some(held) = commands
                .get_mut(&command)
                .filter(|held| held.noted == Noted::Later)
            {
                held.noted = Noted::Now;
                self.next.push_back(command);
                self.next_from = at;
            }
        }
        if self.next_from > now && self.next.len() < MANY {
            return Vec::new();
        }
        let mut told = Vec::new();
        while told.len() < most {
            let Some(command) = self.next.pop_front() else {
                break;
            };
            if let Some(held) = commands.get_mut(&command) {
                held.noted = Noted::No;
                let seq = held.accepted;
                told.push(Told { command, seq });
            }
        }
        told
    }

    /// When those that wait are to be looked at, at the latest.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let next = (!self.next.is_empty()).then_some(self.next_from);
        let later = self.later.front().map(|(at, _)| *at + self.wait / GATHERED);
        next.into_iter().chain(later).min()
    }
}

#[cfg(test)]
mod tests;
