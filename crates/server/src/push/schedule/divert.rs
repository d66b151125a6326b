//! Commands whose pushes are on their way into the table of stored pushes.
//!
//! From when it is decided until the store has done it, a command is known here and nowhere else, so that no hint brings it
//! back. Bounded by its owner: who asks for room first looks at [`Diverts::len`].

use std::collections::VecDeque;
use std::sync::Arc;

use downlink_core::{CommandId, Timestamp};
use downlink_store::{Attempt, Diverted, Fate};
use foldhash::HashMap;

#[derive(Default)]
pub(super) struct Diverts {
    waiting: VecDeque<Diverted>,
    /// Up to which change each was known when it was diverted.
    known: HashMap<CommandId, u16>,
}

impl Diverts {
    /// Commands on their way.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the command is on its way. What is heard of it now is stored with it, or told by the sweep if nothing of the
    /// command waits in the table.
    pub(super) fn knows(&self, command: CommandId) -> bool {
        self.known.contains_key(&command)
    }

    pub(super) fn add(
        &mut self,
        command: CommandId,
        origin: Arc<str>,
        (accepted, upto): (u16, u16),
        failed: Option<(Attempt, Fate)>,
        now: Timestamp,
    ) {
        self.known.insert(command, upto);
        self.waiting.push_back(Diverted {
            command,
            origin,
            accepted,
            failed,
            now,
        });
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<Diverted> {
        let some = most.min(self.waiting.len());
        self.waiting.drain(..some).collect()
    }

    /// The store has it. Gives up to which change it was known.
    pub(super) fn done(&mut self, command: CommandId) -> u16 {
        self.known.remove(&command).unwrap_or(0)
    }

    /// The store did not take these: to be taken again, first.
    pub(super) fn failed(&mut self, diverted: Vec<Diverted>) {
        for one in diverted.into_iter().rev() {
            self.waiting.push_front(one);
        }
    }
}
