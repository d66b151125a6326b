//! Commands let go lately, and how far their receivers had accepted.
//!
//! A hint made or read just before an acceptance was recorded may arrive after its command was let go. Without this
//! memory it would bring the command back and push again what was accepted. Bounded in number and time; what
//! slips through is one repetition, which receivers have to expect anyway.

use std::collections::VecDeque;

use foldhash::HashMap;
use std::time::Duration;

use downlink_core::CommandId;

/// How long one is remembered: much longer than a hint is under way.
const KEPT: Duration = Duration::from_secs(60);

pub(super) struct Recent {
    accepted: HashMap<CommandId, (u16, Duration)>,
    order: VecDeque<(Duration, CommandId)>,
    most: usize,
}

impl Recent {
    pub(super) fn new(most: usize) -> Self {
        Self {
            accepted: HashMap::default(),
            order: VecDeque::new(),
            most,
        }
    }

    /// Up to which change the command's receiver had accepted; 0 where nothing is remembered.
    pub(super) fn accepted(&self, command: CommandId) -> u16 {
        self.accepted.get(&command).map_or(0, |(seq, _)| *seq)
    }

    /// Remembers a command that is let go.
    pub(super) fn keep(&mut self, command: CommandId, accepted: u16, now: Duration) {
        self.accepted.insert(command, (accepted, now));
        self.order.push_back((now, command));
        while self.order.len() > self.most {
            self.forget_oldest();
        }
    }

    /// Forgets those that were let go long ago.
    pub(super) fn forget(&mut self, now: Duration) {
        while self.order.front().is_some_and(|(at, _)| *at + KEPT <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((at, command)) = self.order.pop_front() else {
            return;
        };
        // It may have been let go again since.
        if self.accepted.get(&command).is_some_and(|(_, kept)| *kept == at) {
            self.accepted.remove(&command);
        }
    }
}
