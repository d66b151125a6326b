//! In place of the engine where scripts were left out of the build: no script can be loaded, so none can be called.

use super::{Functions, ScriptHost};
use crate::error::{DefinitionError, ScriptError};

pub(super) const fn functions(_: &ScriptHost, _: &str) -> Result<Functions, DefinitionError> {
    Err(DefinitionError::NoScripts)
}

pub(super) fn bytes(_: &ScriptHost, _: &str, _: &str, _: &str) -> Result<Option<Vec<u8>>, ScriptError> {
    Err(none())
}

pub(super) fn message(_: &ScriptHost, _: &str, _: &[u8], _: Option<&str>) -> Result<String, ScriptError> {
    Err(none())
}

fn none() -> ScriptError {
    ScriptError::Contract("there are no scripts in this build".to_owned())
}
