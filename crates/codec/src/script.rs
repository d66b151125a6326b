//! Codecs that are programs (JavaScript): global functions `decode(payload, topic)`, `encode(message)`, `answer(message)`.
//!
//! A script belongs to somebody else and may be hostile or just wrong. Each call has an engine of its own, so nothing is
//! kept from one device for another; the engine ends it when it is out of time, memory or stack; no I/O is there to
//! be had. A call works on its caller's thread: the server has threads for that and gives up on calls that overstay.

#[cfg(not(feature = "codec-js"))]
mod absent;
#[cfg(feature = "codec-js")]
mod engine;
mod pool;
#[cfg(feature = "codec-js")]
mod values;

#[cfg(not(feature = "codec-js"))]
use absent as engine;

pub use pool::{Busy, PoolLimits, ScriptPool};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{DecodeError, DefinitionError, EncodeError, ScriptError};
use crate::message::{FromDevice, ToDevice};
use crate::shape;

/// The most bytes of the JSON that a script makes of one message.
pub const MAX_RESULT: usize = 256 * 1024;

/// A script that was checked: it can be read, runs to its end, and has `decode` or `encode`.
#[derive(Debug, Clone)]
pub struct Script {
    source: Arc<str>,
    functions: Functions,
    /// Shared by all copies: set once it has proved that nothing but the end of the process ends it.
    stopped: Arc<AtomicBool>,
}

impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Script {}

/// Which of its functions a script has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Functions {
    decode: bool,
    encode: bool,
    answer: bool,
}

impl Script {
    /// Whether there are answers to reports.
    pub(crate) const fn answers_reports(&self) -> bool {
        self.functions.answer
    }

    /// Checks a script by running it once, without calling its functions.
    ///
    /// # Errors
    /// What the engine says, with the line; or that it has no function to call.
    pub(crate) fn load(source: &str) -> Result<Self, DefinitionError> {
        let functions = engine::functions(&ScriptHost::default(), source)?;
        if !functions.decode && !functions.encode {
            let why = "the script has neither a function decode nor a function encode";
            return Err(ScriptError::Contract(why.to_owned()).into());
        }
        Ok(Self {
            source: source.into(),
            functions,
            stopped: Arc::default(),
        })
    }

    /// From now on every call of it fails at once.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), ScriptError> {
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(ScriptError::Stopped),
            false => Ok(()),
        }
    }

    /// Which script, copies of one being the same.
    fn key(&self) -> usize {
        Arc::as_ptr(&self.stopped) as usize
    }
}

/// Runs scripts, each call within limits. It keeps nothing between calls; every thread may have its own or share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptHost {
    /// How long one call may keep the processor, loading the script included.
    pub time: Duration,
    /// How many bytes of memory the engine may take for one call, its own 200 KB among them.
    pub memory: usize,
    /// How many bytes of stack.
    pub stack: usize,
}

impl Default for ScriptHost {
    /// 20 ms, 8 MiB, 128 KiB.
    fn default() -> Self {
        Self {
            time: Duration::from_millis(20),
            memory: 8 * 1024 * 1024,
            stack: 128 * 1024,
        }
    }
}

impl ScriptHost {
    /// Calls `encode` for a command, `answer` for the answer to a report. A script without `answer` answers nothing.
    ///
    /// # Errors
    /// The script failed, or did not return bytes.
    pub fn encode(&self, script: &Script, message: &ToDevice<'_>) -> Result<Option<Vec<u8>>, EncodeError> {
        script.check()?;
        let function = match message {
            ToDevice::Command(_) if !script.functions.encode => {
                return Err(ScriptError::Contract("the script has no function encode".to_owned()).into());
            }
            ToDevice::Command(_) => "encode",
            ToDevice::ReportAnswer(_) if !script.functions.answer => return Ok(None),
            ToDevice::ReportAnswer(_) => "answer",
        };
        let text = shape::for_script(message).map_err(|reason| EncodeError::Field {
            field: "paras".to_owned(),
            reason,
        })?;
        let bytes = engine::bytes(self, &script.source, function, &text)?;
        Ok(bytes.filter(|bytes| !bytes.is_empty()))
    }

    /// Calls `decode` with the device's bytes.
    ///
    /// # Errors
    /// The script failed, or did not return a message of a known form.
    pub fn decode(
        &self,
        script: &Script,
        bytes: &[u8],
        topic: Option<&str>,
    ) -> Result<FromDevice, DecodeError> {
        script.check()?;
        if !script.functions.decode {
            return Err(ScriptError::Contract("the script has no function decode".to_owned()).into());
        }
        let text = engine::message(self, &script.source, bytes, topic)?;
        shape::from_device(&text).map_err(|(field, reason)| DecodeError::Field {
            field: format!("what decode returned: {field}"),
            reason,
        })
    }
}

#[cfg(all(test, feature = "codec-js"))]
mod tests;
