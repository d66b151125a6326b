//! The tail: the newest commands by device, in memory, until the tables by device get them.
//!
//! A table ordered by device takes each new command on another page, and a page is what a commit writes. So new commands
//! are kept here and moved over many at once, in order of the device, a slice with each commit (see [`merge`](super::merge)).
//! Most commands are over before that and never enter the table of queues. The writer changes the tail after its commits;
//! readers copy what they need of it before their snapshot begins, so that a command that is moved meanwhile is seen twice
//! rather than not at all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use downlink_core::{CommandId, DeviceKey};
use foldhash::{HashMap, HashSet};
use rusqlite::Connection;

use super::failure::Failure;

/// A place in a device's queue.
pub(super) type Queued = (i64, CommandId);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tail {
    inner: Mutex<Newest>,
}

/// The newest commands, by device.
#[derive(Debug, Default)]
pub(super) struct Newest {
    devices: HashMap<DeviceKey, OfDevice>,
    commands: usize,
}

#[derive(Debug, Default)]
struct OfDevice {
    /// In order.
    ids: Vec<CommandId>,
    /// Those of them that are queued, in order.
    queue: Vec<Queued>,
}

impl Tail {
    /// What it holds. Not to be kept over anything that takes time.
    pub(super) fn lock(&self) -> MutexGuard<'_, Newest> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newest {
    /// How many commands it holds.
    pub(super) fn len(&self) -> usize {
        self.commands
    }

    /// Adds a command, not queued.
    pub(super) fn add(&mut self, device: DeviceKey, id: CommandId) {
        let ids = &mut self.devices.entry(device).or_default().ids;
        if let Err(place) = ids.binary_search(&id) {
            ids.insert(place, id);
            self.commands += 1;
        }
    }

    /// Says whether a command is queued, if it is held here. Gives whether it is.
    pub(super) fn set_queued(&mut self, device: DeviceKey, (ord, id): Queued, queued: bool) -> bool {
        let Some(of) = self.devices.get_mut(&device) else {
            return false;
        };
        if of.ids.binary_search(&id).is_err() {
            return false;
        }
        match (of.queue.binary_search(&(ord, id)), queued) {
            (Err(place), true) => of.queue.insert(place, (ord, id)),
            (Ok(place), false) => {
                of.queue.remove(place);
            }
            (Ok(_), true) | (Err(_), false) => {}
        }
        true
    }

    /// Takes a command out.
    pub(super) fn remove(&mut self, device: DeviceKey, id: CommandId) {
        let Some(of) = self.devices.get_mut(&device) else {
            return;
        };
        if let Ok(place) = of.ids.binary_search(&id) {
            of.ids.remove(place);
            self.commands -= 1;
        }
        of.queue.retain(|(_, queued)| *queued != id);
        if of.ids.is_empty() {
            self.devices.remove(&device);
        }
    }

    pub(super) fn holds(&self, device: DeviceKey, id: CommandId) -> bool {
        self.ids(device).binary_search(&id).is_ok()
    }

    /// The commands of a device that are held here, in order.
    pub(super) fn ids(&self, device: DeviceKey) -> &[CommandId] {
        self.devices.get(&device).map_or(&[], |of| &of.ids)
    }

    /// The part of a device's queue that is held here, in order.
    pub(super) fn queue(&self, device: DeviceKey) -> &[Queued] {
        self.devices.get(&device).map_or(&[], |of| &of.queue)
    }

    /// The devices whose queue is held here, or a part of it.
    pub(super) fn with_queue(&self) -> Vec<DeviceKey> {
        let queued = self.devices.iter().filter(|(_, of)| !of.queue.is_empty());
        queued.map(|(device, _)| *device).collect()
    }

    /// All commands, in order of device and id.
    pub(super) fn by_device(&self) -> Vec<(DeviceKey, CommandId)> {
        let of = |(device, of): (&DeviceKey, &OfDevice)| {
            let device = *device;
            of.ids.clone().into_iter().map(move |id| (device, id))
        };
        let mut all: Vec<_> = self.devices.iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }

    /// The place of a command in its device's queue, if it is held here and queued.
    pub(super) fn place(&self, device: DeviceKey, id: CommandId) -> Option<i64> {
        let of_it = self.queue(device).iter().find(|(_, queued)| *queued == id);
        of_it.map(|(ord, _)| *ord)
    }

    /// The lowest id it holds beside these.
    pub(super) fn lowest_without(&self, these: &HashSet<CommandId>) -> Option<CommandId> {
        let lowest = |of: &OfDevice| of.ids.iter().find(|id| !these.contains(id)).copied();
        self.devices.values().filter_map(lowest).min()
    }
}

/// Reads the tail as it was when the store was closed, however it was; with it the id before which there is none, and the
/// highest place in a queue.
pub(super) fn read(sql: &Connection) -> Result<(Tail, Vec<u8>, Option<i64>), Failure> {
    let begin: Vec<u8> = sql.query_row("SELECT begin FROM tail", [], |row| row.get(0))?;
    let mut statement = sql.prepare(
        "SELECT c.id, c.device, w.ord, w.queued FROM command c LEFT JOIN work w ON w.id = c.id WHERE c.id >= ?1 \
         AND NOT EXISTS (SELECT 1 FROM of_device o WHERE o.device = c.device AND o.id = c.id)",
    )?;
    let mut rows = statement.query([&begin])?;
    let (mut newest, mut highest) = (Newest::default(), None);
    while let Some(row) = rows.next()? {
        let (id, device) = (CommandId::from_bytes(row.get(0)?), DeviceKey(row.get(1)?));
        newest.add(device, id);
        if let (Some(ord), Some(true)) = (row.get(2)?, row.get(3)?) {
            newest.set_queued(device, (ord, id), true);
            highest = highest.max(Some(ord));
        }
    }
    let inner = Mutex::new(newest);
    Ok((Tail { inner }, begin, highest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> CommandId {
        CommandId::from_parts(1, 0, n, 0)
    }

    #[test]
    fn a_queue_holds_what_is_held_and_queued() {
        let (mut newest, device) = (Newest::default(), DeviceKey(1));
        for n in [2, 1, 3, 2] {
            newest.add(device, id(n));
        }
        assert_eq!(
            (newest.len(), newest.ids(device)),
            (3, &[id(1), id(2), id(3)][..])
        );
        assert!(newest.set_queued(device, (7, id(2)), true));
        assert!(newest.set_queued(device, (5, id(3)), true));
        assert!(!newest.set_queued(device, (9, id(4)), true), "not held");
        assert_eq!(newest.queue(device), [(5, id(3)), (7, id(2))]);
        assert!(newest.set_queued(device, (5, id(3)), false));
        newest.remove(device, id(2));
        assert_eq!(
            (newest.queue(device), newest.lowest_without(&HashSet::default())),
            (&[][..], Some(id(1)))
        );
        newest.remove(device, id(1));
        newest.remove(device, id(3));
        assert_eq!((newest.len(), newest.devices.len()), (0, 0));
    }
}
