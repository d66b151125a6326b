//! The commands under way to one session: written and awaited, or waiting for the device to take more.

use std::collections::VecDeque;

use downlink_core::CommandId;
use downlink_store::Dispatch;

use super::Tick;

/// A command at QoS 0 counts as under way for this long if no result comes.
const BARE_MS: u64 = 30_000;

/// See the module. Empty, it holds no memory: idle sessions are many.
#[derive(Debug, Default)]
pub(super) struct Flight {
    written: Vec<Written>,
    waiting: VecDeque<Box<Dispatch>>,
    last_id: u16,
}

#[derive(Debug)]
struct Written {
    command: CommandId,
    awaits: Awaits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// PUBACK of this packet id; the result has or has not come already.
    Puback { packet_id: u16, answered: bool },
    /// A result, until then.
    Result { until: Tick },
}

impl Flight {
    /// How many count as under way.
    pub(super) fn count(&self, now: Tick) -> usize {
        let counts = |written: &&Written| match written.awaits {
            Awaits::Puback { answered, .. } => !answered,
            Awaits::Result { until } => now < until,
        };
        self.written.iter().filter(counts).count() + self.waiting.len()
    }

    /// How many PUBACKs the device owes.
    pub(super) fn owed(&self) -> usize {
        let owes = |written: &&Written| matches!(written.awaits, Awaits::Puback { .. });
        self.written.iter().filter(owes).count()
    }

    /// A packet id that no PUBACK is owed for. There is one: the table is far smaller than their range.
    pub(super) fn packet_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let taken = self.written.iter().any(|written| {
                matches!(written.awaits, Awaits::Puback { packet_id, .. } if packet_id == self.last_id)
            });
            if !taken {
                return self.last_id;
            }
        }
    }

    /// When the first of the commands at QoS 0 ceases to count. Others look at the count without asking the session, so
    /// it has to look at the clock then.
    pub(super) fn next_lapse(&self) -> Option<Tick> {
        let until = |written: &Written| match written.awaits {
            Awaits::Puback { .. } => None,
            Awaits::Result { until } => Some(until),
        };
        self.written.iter().filter_map(until).min()
    }

    /// Forgets the commands at QoS 0 that no longer count.
    pub(super) fn lapse(&mut self, now: Tick) {
        self.written.retain(|written| match written.awaits {
            Awaits::Puback { .. } => true,
            Awaits::Result { until } => now < until,
        });
        self.slim();
    }

    /// Notes a command as written. With a packet id its PUBACK is owed, without one only a result can come.
    pub(super) fn written(&mut self, command: CommandId, packet_id: Option<u16>, now: Tick) {
        self.lapse(now);
        let awaits = match packet_id {
            Some(packet_id) => Awaits::Puback {
                packet_id,
                answered: false,
            },
            None => Awaits::Result {
                until: now.plus(BARE_MS),
            },
        };
        self.written.push(Written { command, awaits });
    }

    /// The PUBACK of this packet id came: for which command, if it was owed.
    pub(super) fn acked(&mut self, packet_id: u16) -> Option<CommandId> {
        let at = self.written.iter().position(
            |written| matches!(written.awaits, Awaits::Puback { packet_id: id, .. } if id == packet_id),
        )?;
        let command = self.written.remove(at).command;
        self.slim();
        Some(command)
    }

    /// The result of this command came. A PUBACK that is owed stays owed, for `most` commands at the most: a device
    /// that never sends any must not be kept from getting more.
    pub(super) fn answered(&mut self, command: CommandId, most: usize) {
        self.written.retain_mut(|written| match &mut written.awaits {
            Awaits::Puback { answered, .. } => {
                *answered |= written.command == command;
                true
            }
            Awaits::Result { .. } => written.command != command,
        });
        if self.written.len() > most {
            let answered =
                |written: &Written| matches!(written.awaits, Awaits::Puback { answered: true, .. });
            if let Some(at) = self.written.iter().position(answered) {
                self.written.remove(at);
            }
        }
        self.slim();
    }

    /// Whether the PUBACK of this command is owed and nothing else has proved its delivery, or it is not written yet.
    pub(super) fn awaits_proof(&self, command: CommandId) -> bool {
        let owes = |written: &Written| {
            written.command == command && matches!(written.awaits, Awaits::Puback { answered: false, .. })
        };
        self.written.iter().any(owes) || self.waiting.iter().any(|waiting| waiting.command == command)
    }

    /// Keeps a dispatch until the device takes more.
    pub(super) fn wait(&mut self, dispatch: Box<Dispatch>) {
        self.waiting.push_back(dispatch);
    }

    /// The dispatch that has waited longest.
    pub(super) fn take_waiting(&mut self) -> Option<Box<Dispatch>> {
        let first = self.waiting.pop_front();
        self.slim();
        first
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn slim(&mut self) {
        if self.written.is_empty() {
            self.written = Vec::new();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}
