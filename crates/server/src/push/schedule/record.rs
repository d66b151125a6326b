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
    /// With the time from which on each is to be recorded. Most have been by then.
    later: VecDeque<(Duration, CommandId)>,
    wait: Duration,
    most: usize,
}

/// The share of the wait within which those that became due are gathered, so that they do not ring one by one.
const GATHERED: u32 = 4;

impl ToRecord {
    /// Nothing waits longer than `wait`, and no more than `most` do.
    pub(super) fn new(wait: Duration, most: usize) -> Self {
        Self {
            next: VecDeque::new(),
            later: VecDeque::new(),
            wait,
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
            }
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
        self.later.front().map(|(at, _)| *at + self.wait / GATHERED)
    }
}

#[cfg(test)]
mod tests;
