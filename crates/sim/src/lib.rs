//! The deterministic simulation: the real server ([`downlink_server::simulated`]) on one thread, in a world of devices,
//! applications and receivers whose every accident comes from one seed, held to the promises that stand in [`ledger`].
//!
//! A run is a row of steps at instants of virtual time. The same seed gives the same log, to the letter, in any process.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chance;
mod device;
pub mod ledger;
mod life;
mod outside;
mod sleeper;
mod wire;
mod world;

pub use self::world::{Report, run};
