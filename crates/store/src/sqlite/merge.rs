//! Moving the tail into the tables by device: a slice with each commit that creates commands, so that none waits for it.

use downlink_core::{CommandId, DeviceKey};
use rusqlite::{Connection, params};

use super::batch::Batch;
use super::failure::Failure;
use super::tail::Newest;

/// So many are moved for each that is created: the tail is moved in a quarter of the time in which it grew.
const FOR_EACH: usize = 4;
/// No more than these with one commit.
const AT_ONCE: usize = 256;

/// What is being moved.
#[derive(Debug)]
pub(super) struct Merge {
    /// Ids that sort before it are in the tables. Mostly no id, but a little more than one.
    begin: Vec<u8>,
    /// The size of the tail at which it is moved.
    at: usize,
    /// What is still to be moved, the first last.
    due: Vec<(DeviceKey, CommandId)>,
    /// The highest id of what is moved in this round.
    highest: Option<CommandId>,
    /// Moved by the transaction under way.
    moved: Vec<(DeviceKey, CommandId)>,
    /// `begin` as of the transaction under way, where that ends the round.
    next_begin: Option<Vec<u8>>,
}

impl Merge {
    pub(super) fn new(begin: Vec<u8>, at: usize) -> Self {
        Self {
            begin,
            at: at.max(1),
            due: Vec::new(),
            highest: None,
            moved: Vec::new(),
            next_begin: None,
        }
    }

    /// Whether a new command with this id goes into the tail; else it goes into the tables at once.
    pub(super) fn goes_to_tail(&self, id: CommandId) -> bool {
        id.to_bytes().as_slice() >= self.begin.as_slice()
    }

    /// Begins a round if the tail is long enough.
    fn begin_round(&mut self, newest: &Newest) {
        if self.due.is_empty() && newest.len() >= self.at {
            self.due = newest.by_device();
            self.due.reverse();
            self.highest = self.due.iter().map(|(_, id)| *id).max();
        }
    }

    fn is_round_over(&self) -> bool {
        self.due.is_empty() && !self.moved.is_empty()
    }

    /// Takes the next slice, `created` being what the transaction created.
    fn take(&mut self, created: usize) -> &[(DeviceKey, CommandId)] {
        let many = (created * FOR_EACH).min(AT_ONCE).min(self.due.len());
        let slice = self.due.drain(self.due.len() - many..);
        self.moved.extend(slice.rev());
        &self.moved
    }

    /// The transaction is kept.
    pub(super) fn committed(&mut self) -> Vec<(DeviceKey, CommandId)> {
        if let Some(begin) = self.next_begin.take() {
            self.begin = begin;
        }
        std::mem::take(&mut self.moved)
    }

    /// The transaction is undone: what it moved is to be moved again.
    pub(super) fn undone(&mut self) {
        self.next_begin = None;
        self.due.extend(self.moved.drain(..).rev());
        self.highest = self.highest.max(self.due.iter().map(|(_, id)| *id).max());
    }
}

/// A command on its way into the tables: its device, its id, its place in the queue if it has one.
type Moving = (DeviceKey, CommandId, Option<i64>);

impl Batch {
    /// Moves a slice of the tail, if there is one to be moved.
    pub(super) fn merge(&mut self) -> Result<(), Failure> {
        let created = self.created_in_tail();
        if created.is_empty() {
            return Ok(());
        }
        for (device, id, place) in self.next_slice(created.len()) {
            list(&self.sql, device, id)?;
            if let Some(ord) = place {
                enqueue(&self.sql, device, ord, id)?;
            }
        }
        match self.merge.is_round_over() {
            true => self.end_round(&created),
            false => Ok(()),
        }
    }

    /// The next slice, as the batch leaves it.
    fn next_slice(&mut self, created: usize) -> Vec<Moving> {
        let newest = self.tail.lock();
        self.merge.begin_round(&newest);
        let slice = self.merge.take(created).iter();
        // The record of one may have been dropped since the round began.
        let held = slice
            .filter(|(device, id)| newest.holds(*device, *id) && !self.dropped.contains(&(*device, *id)));
        held.map(|&(device, id)| {
            let place = match self.entries.get(&id) {
                Some(entry) => entry.is_queued().then_some(entry.row.ord),
                None => newest.place(device, id),
            };
            (device, id, place)
        })
        .collect()
    }

    /// All of the round is moved: what sorts before anything that is left is in the tables.
    fn end_round(&mut self, created: &[CommandId]) -> Result<(), Failure> {
        let Some(highest) = self.merge.highest.take() else {
            return Ok(());
        };
        let moved = self.merge.moved.iter().map(|(_, id)| *id).collect();
        let left = self.tail.lock().lowest_without(&moved);
        let lowest = left.into_iter().chain(created.iter().copied()).min();
        let begin = match lowest {
            Some(lowest) if lowest < highest => lowest.to_bytes().to_vec(),
            Some(_) | None => after(highest),
        };
        self.sql
            .prepare_cached("UPDATE tail SET begin = ?1")?
            .execute([&begin])?;
        self.merge.next_begin = Some(begin);
        Ok(())
    }
}

/// Sorts after this id and before all higher ones.
fn after(id: CommandId) -> Vec<u8> {
    let mut bytes = id.to_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Enters a command in the list of its device.
pub(super) fn list(sql: &Connection, device: DeviceKey, id: CommandId) -> Result<(), Failure> {
    sql.prepare_cached("INSERT OR IGNORE INTO of_device (device, id) VALUES (?1, ?2)")?
        .execute(params![device.0, id.to_bytes()])?;
    Ok(())
}

/// Enters a command in the queue of its device.
pub(super) fn enqueue(sql: &Connection, device: DeviceKey, ord: i64, id: CommandId) -> Result<(), Failure> {
    sql.prepare_cached("INSERT OR IGNORE INTO queued (device, ord, id) VALUES (?1, ?2, ?3)")?
        .execute(params![device.0, ord, id.to_bytes()])?;
    Ok(())
}

/// Takes a command out of the queue of its device.
pub(super) fn dequeue(sql: &Connection, device: DeviceKey, ord: i64) -> Result<(), Failure> {
    sql.prepare_cached("DELETE FROM queued WHERE device = ?1 AND ord = ?2")?
        .execute(params![device.0, ord])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(device: i64, n: u32) -> (DeviceKey, CommandId) {
        (DeviceKey(device), CommandId::from_parts(1, 0, n, 0))
    }

    fn newest() -> Newest {
        let mut newest = Newest::default();
        for (device, id) in [one(2, 1), one(1, 2), one(2, 3), one(1, 4), one(3, 5)] {
            newest.add(device, id);
        }
        newest
    }

    #[test]
    fn slices_go_by_device_and_what_was_undone_is_taken_again() {
        let mut merge = Merge::new(Vec::new(), 5);
        merge.begin_round(&newest());
        assert_eq!(merge.take(1), [one(1, 2), one(1, 4), one(2, 1), one(2, 3)]);
        merge.undone();
        assert_eq!(merge.take(1).len(), 4);
        assert_eq!(merge.committed(), [one(1, 2), one(1, 4), one(2, 1), one(2, 3)]);
        assert_eq!(merge.take(1), [one(3, 5)]);
        assert!(merge.is_round_over());
    }

    #[test]
    fn a_round_begins_when_the_tail_is_long_enough() {
        let mut merge = Merge::new(Vec::new(), 6);
        merge.begin_round(&newest());
        assert_eq!(merge.take(9), []);
    }
}
