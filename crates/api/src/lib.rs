//! What goes over the wire between Downlink and its applications: bodies of the REST interface and of the pushes,
//! error codes, the time format. Pure: no sockets, no clock, no store.
//!
//! Requests are read strictly where a wrong value would be guessed at, and leniently where existing clients differ:
//! unknown members are ignored, null is the same as absent, numbers may come as strings of digits.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batch_task;
pub mod cancel_task;
pub mod command;
pub mod data;
pub mod device;
pub mod device_group;
pub mod error;
pub mod feed;
pub mod field;
pub mod invoke;
pub mod notice;
pub mod product;
pub mod push;
pub mod shadow;
pub mod subscription;
pub mod time;
pub mod token;

pub use error::Code;
pub use field::Invalid;
