//! What goes over the wire between Downlink and its applications: types of the REST interfaces and of the pushes,
//! error codes. No sockets, no clock, no store.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod push;
