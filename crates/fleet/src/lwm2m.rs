//! Simulated LwM2M devices over CoAP: [`machine`] is one device without a socket or a clock, [`Fleet`] runs many of them
//! on real sockets, with or without DTLS, through bad [`Weather`].
//!
//! What it does not do: bootstrap, block-wise transfer, objects other than 19, connection ids of DTLS.

pub mod event;
mod exchange;
mod fleet;
mod link;
pub mod machine;
pub mod payload;
pub mod random;
pub mod settings;
mod tunnel;
mod weather;
mod wire;

pub use event::{Event, Tally};
pub use fleet::{Config, Fleet};
pub use machine::Machine;
pub use payload::Payload;
pub use settings::{Access, Code, Outcome, Settings, Write};
pub use tunnel::Key;
pub use weather::Weather;
