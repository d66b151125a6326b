//! The shell of Downlink: the only place with sockets and tasks.
//!
//! [`run`] starts and stops everything. [`engine`] is the one door to command state. `gateway` speaks to devices,
//! `http` to applications, `push` to their receivers, `admin` to the operator; `sweep` finds what no hint told of.

#![cfg_attr(
    any(test, feature = "fuzzing"),
    allow(clippy::unwrap_used, clippy::disallowed_methods)
)]

mod admin;
mod clock;
pub mod config;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod http;
mod idle;
mod net;
mod notices;
pub mod offline;
mod products;
mod push;
pub mod run;
pub mod runtime;
#[cfg(test)]
mod samples;
mod secrets;
#[cfg(feature = "simulation")]
pub mod simulated;
mod sweep;
pub mod telemetry;
mod trace;
