//! Codecs that are programs (JavaScript).

use crate::error::{DecodeError, DefinitionError, EncodeError, ScriptError};
use crate::message::{FromDevice, ToDevice};

/// A script that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {}

impl Script {
    pub(crate) fn load(_source: &str) -> Result<Self, DefinitionError> {
        Err(DefinitionError::NoScripts)
    }
}

/// Runs scripts on its thread.
#[derive(Debug, Default)]
pub struct ScriptHost {}

impl ScriptHost {
    pub(crate) fn encode(&self, _: &Script, _: &ToDevice<'_>) -> Result<Option<Vec<u8>>, EncodeError> {
        Err(ScriptError::Contract("no scripts".to_owned()).into())
    }

    pub(crate) fn decode(&self, _: &Script, _: &[u8], _: Option<&str>) -> Result<FromDevice, DecodeError> {
        Err(ScriptError::Contract("no scripts".to_owned()).into())
    }
}
