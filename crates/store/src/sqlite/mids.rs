//! The numbers (mids) by which devices of the older topic family name a command.
//!
//! Counted per device and handed out in blocks: the highest reserved one is kept with the device, so a number does
//! not come again soon, not after a restart either. Numbers that an earlier round still maps are passed by.

use downlink_core::{CommandId, DeviceKey, Mid, Offer};
use rusqlite::{OptionalExtension, params};

use super::batch::Batch;
use super::failure::Failure;

const BLOCK: u16 = 64;
/// Blocks in the whole range: after as many without a free number there is none.
const BLOCKS: u16 = u16::MAX / BLOCK + 1;

/// Numbers reserved for one device.
#[derive(Debug)]
pub(super) struct Block {
    first: Mid,
    /// How many were handed out or passed by.
    used: u16,
    /// Bit n: the n-th is still mapped from an earlier round.
    mapped: u64,
}

impl Block {
    fn take(&mut self) -> Option<Mid> {
        while self.used < BLOCK {
            let n = self.used;
            self.used += 1;
            if self.mapped & (1 << n) == 0 {
                return Some(self.first.forward(n));
            }
        }
        None
    }
}

impl Batch {
    /// Gives the command a mid if the offer asks for one and it has none. False: all are taken.
    pub(super) fn map_mid(&mut self, id: CommandId, offer: Offer) -> Result<bool, Failure> {
        let device = match self.entries.get(&id) {
            Some(entry) if offer.needs_mid && entry.row.mid.is_none() => entry.row.device,
            Some(_) | None => return Ok(true),
        };
        let Some(mid) = self.take_mid(device)? else {
            return Ok(false);
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.row.mid = Some(mid);
            entry.new_mid = true;
        }
        Ok(true)
    }

    fn take_mid(&mut self, device: DeviceKey) -> Result<Option<Mid>, Failure> {
        for _ in 0..=BLOCKS {
            if let Some(mid) = self.mids.get(&device).and_then(Block::take) {
                return Ok(Some(mid));
            }
            let block = self.reserve(device)?;
            self.mids.put(device, block);
        }
        Ok(None)
    }

    fn reserve(&mut self, device: DeviceKey) -> Result<Block, Failure> {
        let reserved: u16 = self
            .sql
            .prepare_cached("SELECT mid FROM device WHERE key = ?1")?
            .query_row([device.0], |row| row.get(0))?;
        let first = Mid::new(reserved).map_or(Mid::FIRST, Mid::next);
        self.sql
            .prepare_cached("UPDATE device SET mid = ?2 WHERE key = ?1")?
            .execute(params![device.0, first.forward(BLOCK - 1).number()])?;
        let last = first.forward(BLOCK - 1);
        let mapped = if first <= last {
            self.mapped(device, first, first, last)?
        } else {
            let end = Mid::FIRST.forward(u16::MAX - 1);
            self.mapped(device, first, first, end)? | self.mapped(device, first, Mid::FIRST, last)?
        };
        Ok(Block {
            first,
            used: 0,
            mapped,
        })
    }

    /// Which of the block that begins at `first` are mapped, of those from `from` to `to`.
    fn mapped(&self, device: DeviceKey, first: Mid, from: Mid, to: Mid) -> Result<u64, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT mid FROM work WHERE device = ?1 AND mid BETWEEN ?2 AND ?3")?;
        let mut rows = statement.query(params![device.0, from.number(), to.number()])?;
        let mut bits = 0;
        while let Some(row) = rows.next()? {
            let place = (0..BLOCK).find(|n| Some(first.forward(*n)) == row.get(0).ok().and_then(Mid::new));
            bits |= place.map_or(0, |n| 1 << n);
        }
        Ok(bits)
    }

    fn stored_mid(&self, device: DeviceKey, mid: Mid) -> Result<Option<CommandId>, Failure> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT id FROM work WHERE device = ?1 AND mid = ?2")?;
        let id = statement
            .query_row(params![device.0, mid.number()], |row| row.get(0))
            .optional()?;
        Ok(id.map(CommandId::from_bytes))
    }

    /// The command of the device that carries this mid, as the batch leaves it so far.
    pub(super) fn by_mid(&mut self, device: DeviceKey, mid: Mid) -> Result<Option<CommandId>, Failure> {
        let view = self.queues.entry(device).or_default();
        let touched = view.touched().iter().filter_map(|id| self.entries.get(id));
        let here = touched
            .map(|entry| &entry.row)
            .find(|row| row.mid == Some(mid) && !row.is_over());
        match here {
            Some(row) => Ok(Some(row.id)),
            None => self.stored_mid(device, mid),
        }
    }
}
