//! The two ends that Downlink stands between, simulated: [`device`] is an MQTT device that can misbehave in every way
//! that matters to a command, [`lwm2m`] a fleet of CoAP devices that sleep, [`receiver`] is the HTTP server of an
//! application that gets pushes.
//!
//! All are real programs on real sockets. They know the public interfaces only and share no code with the server, so
//! that a mistake cannot cancel itself out; the ciphers under DTLS (`downlink-psk`) are the exception, which known answers and
//! foreign clients test. Tests, `downlink demo` and `downlink device simulate` use them.
//! Everything they remember has a limit; what did not fit is counted.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod credentials;
pub mod device;
pub mod ledger;
pub mod lwm2m;
pub mod packet;
pub mod receiver;
pub mod topic;
mod wait;

pub use device::Device;
pub use ledger::Ledger;
pub use receiver::Receiver;
pub use wait::TimedOut;
