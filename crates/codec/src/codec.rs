//! The codec of a product, of whichever kind.

use crate::document::{Node, parse};
use crate::error::{DecodeError, DefinitionError, EncodeError};
use crate::message::{FromDevice, ToDevice};
use crate::{Binary, MAX_DOCUMENT, MAX_MESSAGE, Script, ScriptHost, shape};

/// The codec of a product.
#[derive(Debug, Clone, PartialEq)]
pub enum Codec {
    /// The device speaks the platform's JSON itself.
    Json,
    /// A list of messages and fields.
    Binary(Binary),
    /// A program.
    Script(Script),
}

impl Codec {
    /// Checks a document (JSON or TOML) with a member `kind`: `json`, `binary` or `javascript`.
    ///
    /// # Errors
    /// What is wrong, with the path of the member or the line of the script.
    pub fn from_document(text: &str) -> Result<Self, DefinitionError> {
        within(text)?;
        let document = parse(text)?;
        let root = Node::root(&document);
        match root.needed_text("kind")?.as_str() {
            "json" => {
                root.only(&["kind", "note"])?;
                Ok(Self::Json)
            }
            "binary" => Binary::load(&document).map(Self::Binary),
            "javascript" => {
                root.only(&["kind", "note", "source"])?;
                Self::from_script(&root.needed_text("source")?)
            }
            other => Err(root.rule_at("kind", format!("must be json, binary or javascript, not {other}"))),
        }
    }

    /// Checks a script that stands by itself.
    ///
    /// # Errors
    /// It is not JavaScript, or has neither `decode` nor `encode`.
    pub fn from_script(source: &str) -> Result<Self, DefinitionError> {
        within(source)?;
        Script::load(source).map(Self::Script)
    }

    /// The bytes for a device; `None`: nothing is to be sent. A command of which nothing is sent has failed.
    ///
    /// Only scripts use the host, and the host's thread for as long as a script may run.
    ///
    /// # Errors
    /// Why there are none.
    pub fn encode(&self, host: &ScriptHost, message: &ToDevice<'_>) -> Result<Option<Vec<u8>>, EncodeError> {
        let bytes = match (self, message) {
            (Self::Json, ToDevice::Command(command)) => {
                let text = shape::command_for_device(command);
                let text = text.map_err(|reason| EncodeError::Field {
                    field: "paras".to_owned(),
                    reason,
                })?;
                Some(text.into_bytes())
            }
            (Self::Json, ToDevice::ReportAnswer(_)) => None,
            (Self::Binary(binary), message) => binary.encode(message)?,
            (Self::Script(script), message) => host.encode(script, message)?,
        };
        match &bytes {
            Some(bytes) if bytes.len() > MAX_MESSAGE => Err(EncodeError::TooLong {
                bytes: bytes.len(),
                limit: MAX_MESSAGE,
            }),
            Some(_) | None => Ok(bytes),
        }
    }

    /// What a device's bytes say. `topic` is where they came in, for scripts that ask.
    ///
    /// # Errors
    /// Why they say nothing.
    pub fn decode(
        &self,
        host: &ScriptHost,
        bytes: &[u8],
        topic: Option<&str>,
    ) -> Result<FromDevice, DecodeError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLong {
                bytes: bytes.len(),
                limit: MAX_MESSAGE,
            });
        }
        match self {
            Self::Json => {
                let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Field {
                    field: "the message".to_owned(),
                    reason: "must be a JSON object, and is not even text".to_owned(),
                })?;
                shape::from_device(text).map_err(|(field, reason)| DecodeError::Field { field, reason })
            }
            Self::Binary(binary) => binary.decode(bytes),
            Self::Script(script) => host.decode(script, bytes, topic),
        }
    }

    /// Whether there are answers to reports.
    pub fn answers_reports(&self) -> bool {
        match self {
            Self::Json => false,
            Self::Binary(binary) => binary.answers_reports(),
            Self::Script(script) => script.answers_reports(),
        }
    }

    /// Whether a result of this command can be matched by its mid. If not, DELIVERED is as far as it gets. Of a script
    /// nobody knows before it has run: it is taken to.
    pub fn carries_mid(&self, service: &str, command: &str) -> bool {
        match self {
            Self::Json | Self::Script(_) => true,
            Self::Binary(binary) => binary.carries_mid(service, command),
        }
    }
}

fn within(text: &str) -> Result<(), DefinitionError> {
    match text.len() {
        ..=MAX_DOCUMENT => Ok(()),
        length => Err(DefinitionError::Rule {
            path: "the document".to_owned(),
            rule: format!("has {length} bytes, {MAX_DOCUMENT} is the most"),
        }),
    }
}
