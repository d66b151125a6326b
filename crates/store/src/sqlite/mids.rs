//! The numbers (mids) by which devices of the older topic family name a command.
//!
//! Counted per device and taken in blocks. The first block of a device that is not known here (after a start, or after a
//! long rest) begins where a clock stands that runs faster than almost any device is sent commands: so a number does not come
//! again soon, not after a restart either, and nothing has to be written for a device that gets few. One that gets more has
//! the highest number of its block kept with it, and goes on behind that, as long as the clock is not past it. Numbers that an
//! earlier round still maps are passed by. A wall clock that is set back does not set this one back ([`clock`]); from then on
//! the first block of a device is kept with it as well.

pub(super) mod clock;

use downlink_core::{CommandId, DeviceKey, Mid, Offer, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::batch::Batch;
use super::failure::Failure;

/// Numbers in a block that is kept with the device.
const BLOCK: u16 = 64;
/// Numbers in the block that the clock gives: it moves on by as many each second.
const BY_CLOCK: u16 = 16;
/// Blocks in the whole range: after as many without a free number there is none.
const BLOCKS: u16 = u16::MAX / BLOCK + 2;
/// How many numbers there are.
const ALL: u32 = u16::MAX as u32;

/// Numbers reserved for one device.
#[derive(Debug)]
pub(super) struct Block {
    first: Mid,
    size: u16,
    /// How many were handed out or passed by.
    used: u16,
    /// Bit n: the n-th is still mapped from an earlier round.
    mapped: u64,
}

impl Block {
    fn take(&mut self) -> Option<Mid> {
        while self.used < self.size {
            let n = self.used;
            self.used += 1;
            if self.mapped & (1 << n) == 0 {
                return Some(self.first.forward(n));
            }
        }
        None
    }

    /// Gives up what is left: it may not be kept with the device after all.
    pub(super) fn retire(&mut self) {
        self.used = self.size;
    }
}

/// Where the clock stands.
fn by_clock(now: Timestamp) -> Mid {
    let second = now
        .as_millis()
        .div_euclid(1000)
        .rem_euclid(i64::from(ALL))
        .unsigned_abs();
    let place = second * u64::from(BY_CLOCK) % u64::from(ALL);
    Mid::FIRST.forward(place as u16)
}

/// The first number after `kept`, unless the clock is past it. Past is up to half round.
fn after(kept: Mid, clock: Mid) -> Mid {
    let ahead = (u32::from(kept.number()) + ALL - u32::from(clock.number())) % ALL;
    if ahead < ALL / 2 { kept.next() } else { clock }
}

impl Batch {
    /// Gives the command a mid if the offer asks for one and it has none. False: all are taken.
    pub(super) fn map_mid(&mut self, id: CommandId, offer: Offer, now: Timestamp) -> Result<bool, Failure> {
        let device = match self.entries.get(&id) {
            Some(entry) if offer.needs_mid && entry.row.mid.is_none() => entry.row.device,
            Some(_) | None => return Ok(true),
        };
        let Some(mid) = self.take_mid(device, id, now)? else {
            return Ok(false);
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.row.mid = Some(mid);
            entry.new_mid = true;
            self.mapped.insert((device, mid), id);
        }
        Ok(true)
    }

    fn take_mid(&mut self, device: DeviceKey, id: CommandId, now: Timestamp) -> Result<Option<Mid>, Failure> {
        for _ in 0..=BLOCKS {
            let block = match self.mids.get(&device) {
                None => self.first_block(device, id, now)?,
                Some(block) => match block.take() {
                    Some(mid) => return Ok(Some(mid)),
                    None => {
                        let first = block.first.forward(block.size);
                        self.kept_block(device, first)?
                    }
                },
            };
            self.mids.put(device, block);
        }
        Ok(None)
    }

    /// The block from which `id` takes its number; 1 is the first number of a device's first command.
    fn first_block(&mut self, device: DeviceKey, id: CommandId, now: Timestamp) -> Result<Block, Failure> {
        let kept: u16 = self
            .sql
            .prepare_cached("SELECT mid FROM device WHERE key = ?1")?
            .query_row([device.0], |row| row.get(0))?;
        let clock = by_clock(self.mid_clock.at(now));
        match Mid::new(kept).map(|kept| after(kept, clock)) {
            // Nothing but what is kept says where this block is: without it the next start would hand it out again.
            Some(first) if first != clock => self.kept_block(device, first),
            None if !self.has_others(device, id)? => self.block(device, Mid::FIRST, BY_CLOCK),
            Some(_) | None if self.mid_clock.is_ahead() => self.kept_block(device, clock),
            Some(_) | None => self.block(device, clock, BY_CLOCK),
        }
    }

    /// Whether the device has, or had, a command beside this one.
    fn has_others(&self, device: DeviceKey, id: CommandId) -> Result<bool, Failure> {
        let touched = self.queues.get(&device).map_or(&[][..], |view| view.touched());
        let in_memory =
            touched.iter().any(|one| *one != id) || self.tail.lock().ids(device).iter().any(|one| *one != id);
        let mut statement = self
            .sql
            .prepare_cached("SELECT 1 FROM of_device WHERE device = ?1 AND id <> ?2 LIMIT 1")?;
        Ok(in_memory || statement.exists(params![device.0, id.to_bytes()])?)
    }

    fn kept_block(&self, device: DeviceKey, first: Mid) -> Result<Block, Failure> {
        self.sql
            .prepare_cached("UPDATE device SET mid = ?2 WHERE key = ?1")?
            .execute(params![device.0, first.forward(BLOCK - 1).number()])?;
        self.block(device, first, BLOCK)
    }

    fn block(&self, device: DeviceKey, first: Mid, size: u16) -> Result<Block, Failure> {
        let last = first.forward(size - 1);
        let mapped = if first <= last {
            self.mapped(device, first, first, last)?
        } else {
            let end = Mid::FIRST.forward(u16::MAX - 1);
            self.mapped(device, first, first, end)? | self.mapped(device, first, Mid::FIRST, last)?
        };
        Ok(Block {
            first,
            size,
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
    pub(super) fn by_mid(&self, device: DeviceKey, mid: Mid) -> Result<Option<CommandId>, Failure> {
        let known = self.mapped.get(&(device, mid)).copied();
        match known.and_then(|id| self.entries.get(&id)) {
            // A mid stays with its command for as long as that has a working row.
            Some(entry) if entry.row.mid == Some(mid) && !entry.is_over() => Ok(known),
            Some(_) | None => self.stored_mid(device, mid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mid(number: u16) -> Mid {
        Mid::new(number).unwrap()
    }

    #[test]
    fn the_clock_moves_on_by_a_block_a_second_and_goes_round() {
        let at = |secs: i64| by_clock(Timestamp::from_millis(secs * 1000)).number();
        assert_eq!([at(0), at(1), at(2)], [1, 17, 33]);
        assert_eq!(by_clock(Timestamp::from_millis(1999)), mid(17));
        // 65,535 numbers at 16 a second last for 4,095.9 s.
        assert_eq!([at(4095), at(4096)], [65_521, 2]);
    }

    #[test]
    fn a_kept_number_counts_until_the_clock_is_past_it() {
        assert_eq!(after(mid(80), mid(17)), mid(81));
        assert_eq!(after(mid(80), mid(80)), mid(81));
        assert_eq!(after(mid(80), mid(97)), mid(97));
        assert_eq!(after(mid(5), mid(65_530)), mid(6), "round the end");
        assert_eq!(after(mid(65_530), mid(5)), mid(5));
    }
}
