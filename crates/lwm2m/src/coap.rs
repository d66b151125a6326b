//! The CoAP packet (RFC 7252 §3, RFC 7959 §2.2): bytes to a borrowed [`Message`] and back. Knows no state.

mod block;
mod build;
mod code;
mod describe;
mod message;
pub mod option;

pub use block::Block;
pub use build::Builder;
pub use code::{Code, Kind};
pub use describe::describe;
pub use message::{Fault, Message, Options, Token};
