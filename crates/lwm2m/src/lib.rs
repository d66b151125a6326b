//! CoAP and LwM2M towards sleeping devices: one pure machine, the [`Station`], for all devices of a gateway.
//!
//! Nothing here knows a socket, a runtime, a clock or a random source. Datagrams, instants ([`Millis`]) and a seed
//! come in; [`Output`]s go out: datagrams to send, and what the devices did. Input from the network never panics,
//! and every table has a limit in [`Settings`] and a counter in [`Counters`] for when it is reached.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answers;
mod arguments;
mod assembly;
mod bucket;
pub mod coap;
mod counters;
mod device;
mod exchanges;
mod flight;
mod location;
mod order;
mod outbox;
mod output;
mod peer;
mod random;
mod recent;
mod registry;
mod schedule;
mod settings;
mod station;
mod time;

pub use counters::Counters;
pub use output::{Access, ExchangeId, NotReachable, Outcome, Output, Parting, Refusal, WorkMode};
pub use peer::{DeviceNumber, Peer};
pub use settings::{AckSchedule, Reordered, Settings};
pub use station::{Registration, Station};
pub use time::Millis;
