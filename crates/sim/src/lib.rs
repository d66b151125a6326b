//! The deterministic simulation: the real server ([`downlink_server::simulated`]) on one thread, in a world of devices,
//! applications and receivers whose every accident comes from one seed, held to the promises that stand in [`ledger`].
//!
//! A run is a row of steps at instants of virtual time. The same seed gives the same log, to the letter, in any process.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chance;
mod device;
pub mod ledger;
mod life;
pub mod lives;
mod outside;
mod sleeper;
mod wire;
mod world;

pub use self::device::Manner;
pub use self::outside::{DiskMood, StopAt};
pub use self::world::fault::Mood;
pub use self::world::script::{Script, play};
pub use self::world::{Report, run};
