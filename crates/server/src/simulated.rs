//! A server in the hand of a simulation: the real engine, store, sweeps, gateways, pushes and REST interface, on one
//! thread, with time, chance, disk and wires given from outside.
//!
//! After [`set_clock`] and [`set_chance`] this thread's clock is the runtime's, which can be paused, and its random numbers
//! come from the seed. All other threads are as ever.

mod hands;
mod node;
mod wires;

pub use downlink_store::sqlite::by_hand::Fate;

pub use self::hands::Disk;
pub use self::node::{ADMIN_TOKEN, Node, boot};
pub use self::wires::{Datagrams, Letter, Receivers, Reply};

use std::cell::{Cell, RefCell};

use downlink_core::Timestamp;
use tokio::time::Instant;

thread_local! {
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
    static CHANCE: RefCell<Option<u64>> = const { RefCell::new(None) };
}

/// A wall clock that goes with the runtime's.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    began_at_ms: i64,
}

/// Has this thread's wall clock show `wall_ms` (milliseconds since 1970) now, and go on with the runtime's. To be called
/// inside the runtime; again for every runtime, and where the clock jumps.
pub fn set_clock(wall_ms: i64) {
    let clock = Clock {
        began: Instant::now(),
        began_at_ms: wall_ms,
    };
    CLOCK.set(Some(clock));
}

/// Has this thread's random numbers come from `seed`.
pub fn set_chance(seed: u64) {
    CHANCE.set(Some(seed));
}

/// The simulated wall clock, if there is one.
pub(crate) fn now() -> Option<Timestamp> {
    let clock = CLOCK.get()?;
    let since = i64::try_from(clock.began.elapsed().as_millis()).unwrap_or(i64::MAX);
    Some(Timestamp::from_millis(clock.began_at_ms.saturating_add(since)))
}

/// Fills from the seed. False: there is none.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    CHANCE.with_borrow_mut(|state| {
        let Some(state) = state else { return false };
        for piece in bytes.chunks_mut(8) {
            let number = next(state).to_le_bytes();
            piece.copy_from_slice(&number[..piece.len()]);
        }
        true
    })
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
