//! The owner of the near deadlines: ack, response and slot deadlines of commands that are under way.
//!
//! Held in memory, one per command, bounded; the store's rows are the truth, and the sweep over open commands brings
//! back whatever is missing here (after a start, a lost hint, or above the bound). A deadline that fires too early
//! or for a command that moved on is refused by the life cycle and does no harm.

use std::collections::BTreeSet;

use foldhash::HashMap;

use downlink_core::lifecycle::{Deadline, DeadlineKind};
use downlink_core::{CommandId, Timestamp};

/// A command's next deadline, as of a commit; none: it needs no watching any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadlineHint {
    pub(crate) command: CommandId,
    pub(crate) deadline: Option<Deadline>,
}

/// Deadlines by time. Pure: time enters as an argument.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Deadline, CommandId)>,
    by_command: HashMap<CommandId, Deadline>,
    most: usize,
}

impl Deadlines {
    /// At the most `most` deadlines.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Takes note of a command's next deadline, in place of the one before.
    pub(crate) fn set(&mut self, hint: DeadlineHint) {
        if let Some(old) = self.by_command.remove(&hint.command) {
            self.by_time.remove(&(old, hint.command));
        }
        let Some(deadline) = hint.deadline else { return };
        // Lifetimes last for days and are found by their index.
        if deadline.kind == DeadlineKind::Lifetime || self.by_command.len() >= self.most {
            return;
        }
        self.by_command.insert(hint.command, deadline);
        self.by_time.insert((deadline, hint.command));
    }

    /// Takes note of a deadline that a sweep read, unless something newer is known of the command: what is known of an
    /// acknowledgement is older than a deadline behind it, and may be much later than that.
    pub(crate) fn add_missing(&mut self, hint: DeadlineHint) {
        let known = self.by_command.get(&hint.command).map(|known| known.kind);
        let read = hint.deadline.map(|deadline| deadline.kind);
        let is_newer = match (known, read) {
            (None, _) => true,
            (Some(DeadlineKind::Ack), Some(DeadlineKind::Response | DeadlineKind::Slot)) => true,
            (Some(_), Some(_) | None) => false,
        };
        if is_newer {
            self.set(hint);
        }
    }

    /// Takes out up to `limit` that are due.
    pub(crate) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<(CommandId, DeadlineKind)> {
        let mut due = Vec::new();
        while due.len() < limit {
            match self.by_time.first() {
                Some((deadline, _)) if deadline.at <= now => {}
                Some(_) | None => break,
            }
            if let Some((deadline, command)) = self.by_time.pop_first() {
                self.by_command.remove(&command);
                due.push((command, deadline.kind));
            }
        }
        due
    }

    /// When the first one is due.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(deadline, _)| deadline.at)
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.by_command.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> CommandId {
        CommandId::from_parts(1, 0, n, 0)
    }

    fn hint(n: u32, ms: i64, kind: DeadlineKind) -> DeadlineHint {
        DeadlineHint {
            command: id(n),
            deadline: Some(Deadline {
                at: Timestamp::from_millis(ms),
                kind,
            }),
        }
    }

    #[test]
    fn a_later_hint_replaces_the_earlier_one() {
        let mut deadlines = Deadlines::new(10);
        deadlines.set(hint(1, 5, DeadlineKind::Ack));
        deadlines.set(hint(2, 6, DeadlineKind::Slot));
        deadlines.set(hint(1, 9, DeadlineKind::Response));
        assert_eq!(deadlines.next_at(), Some(Timestamp::from_millis(6)));
        assert_eq!(
            deadlines.take_due(Timestamp::from_millis(8), 9),
            [(id(2), DeadlineKind::Slot)]
        );
        deadlines.set(DeadlineHint {
            command: id(1),
            deadline: None,
        });
        assert_eq!((deadlines.len(), deadlines.next_at()), (0, None));
    }

    #[test]
    fn lifetimes_and_what_is_above_the_bound_are_left_to_the_sweeps() {
        let mut deadlines = Deadlines::new(1);
        deadlines.set(hint(1, 5, DeadlineKind::Lifetime));
        assert_eq!(deadlines.len(), 0);
        deadlines.set(hint(2, 5, DeadlineKind::Ack));
        deadlines.set(hint(3, 5, DeadlineKind::Ack));
        assert_eq!(deadlines.len(), 1);
    }

    #[test]
    fn what_a_sweep_read_never_replaces_what_a_hint_told() {
        let mut deadlines = Deadlines::new(10);
        deadlines.set(hint(1, 9, DeadlineKind::Response));
        deadlines.add_missing(hint(1, 5, DeadlineKind::Ack));
        deadlines.add_missing(hint(2, 12, DeadlineKind::Ack));
        assert_eq!(
            (deadlines.next_at(), deadlines.len()),
            (Some(Timestamp::from_millis(9)), 2)
        );
    }

    #[test]
    fn an_acknowledgement_that_came_is_not_waited_for_because_its_hint_was_lost() {
        let mut deadlines = Deadlines::new(10);
        deadlines.set(hint(1, 240, DeadlineKind::Ack));
        deadlines.add_missing(hint(1, 6, DeadlineKind::Response));
        assert_eq!(
            deadlines.take_due(Timestamp::from_millis(6), 9),
            [(id(1), DeadlineKind::Response)]
        );
        assert_eq!((deadlines.len(), deadlines.next_at()), (0, None));
    }

    #[test]
    fn no_more_are_taken_than_asked_for() {
        let mut deadlines = Deadlines::new(10);
        for n in 0..5 {
            deadlines.set(hint(n, 1, DeadlineKind::Ack));
        }
        assert_eq!(deadlines.take_due(Timestamp::from_millis(1), 3).len(), 3);
        assert_eq!(deadlines.len(), 2);
    }
}
