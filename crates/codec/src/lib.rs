//! Product codecs: the bytes of devices from commands, and reports and results from the bytes of devices.
//!
//! Pure: no runtime, no socket, no clock but the one that ends scripts. A codec is made of a document that is checked as
//! a whole when it is loaded, so that a bad one is refused where it is uploaded, by name of the member at fault.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod binary;
mod codec;
mod document;
mod error;
mod json;
mod message;
mod script;
mod shape;

pub use binary::{Binary, FieldTrace};
pub use codec::Codec;
pub use downlink_core::Mid;
pub use error::{DecodeError, DefinitionError, EncodeError, ScriptError};
pub use message::{Command, CommandResult, FromDevice, Report, ReportAnswer, ServiceData, ToDevice};
pub use script::{Busy, MAX_RESULT, PoolLimits, Script, ScriptHost, ScriptPool};

/// The most bytes of one message of a device, either way.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most bytes of one definition.
pub const MAX_DOCUMENT: usize = 1024 * 1024;
