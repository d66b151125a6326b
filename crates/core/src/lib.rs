//! The pure domain of Downlink: ids, commands, their life cycle and the retry policy.
//!
//! Nothing here knows a clock, a random source, a runtime or I/O. Time enters as an argument
//! ([`Timestamp`]), random bits likewise, so that every rule can be tested as a table.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod command;
pub mod device;
pub mod id;
pub mod lifecycle;
pub mod policy;
pub mod product;
pub mod retry;
pub mod time;

pub use command::{CommandBody, Event, Mode, ResponseRule, Status, StatusSet};
pub use device::{Mid, Offer, Proof, SessionId, TopicFamily};
pub use id::{AppId, AppKey, CommandId, DeviceId, DeviceKey, Digits, IdMint};
pub use policy::Policy;
pub use product::{ProductNames, ProductRef, ProductSettings, Profile};
pub use time::{Span, Timestamp};
