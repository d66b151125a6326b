//! Codecs for devices that speak in bytes, described and not programmed: each message is a list of fields.
//!
//! Numbers are big-endian. Which message a device sent is told by its id field, which stands at the same place in every
//! message; commands and results are matched by the mid field. A definition is checked as a whole when it is loaded, so
//! that what is left to fail afterwards is the values.

mod check;
mod definition;
mod load;
mod number;
mod read;
mod write;

use serde_json::Value;

use crate::document::Node;
use crate::error::{DecodeError, DefinitionError, EncodeError};
use crate::message::{Command, FromDevice, ReportAnswer, ToDevice};
use definition::{Kind, Message, Purpose, Role};
pub use read::FieldTrace;

/// A definition that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    messages: Vec<Message>,
}

impl Binary {
    /// Checks a document of the kind `binary`.
    ///
    /// # Errors
    /// The first member that breaks a rule, with its path.
    pub(crate) fn load(document: &Value) -> Result<Self, DefinitionError> {
        let messages = load::messages(&Node::root(document))?;
        Ok(Self { messages })
    }

    /// The bytes for a device; none if the definition says nothing about answers to reports.
    ///
    /// # Errors
    /// No such command, or a parameter that does not suit its field.
    pub fn encode(&self, message: &ToDevice<'_>) -> Result<Option<Vec<u8>>, EncodeError> {
        match message {
            ToDevice::Command(command) => self.encode_command(command).map(Some),
            ToDevice::ReportAnswer(answer) => self.encode_answer(answer),
        }
    }

    fn encode_command(&self, command: &Command<'_>) -> Result<Vec<u8>, EncodeError> {
        let message = self.command(command.service, command.command);
        let message = message.ok_or_else(|| EncodeError::NoMessage {
            service: command.service.to_owned(),
            command: command.command.to_owned(),
        })?;
        write::command(message, command)
    }

    fn report_answer(&self) -> Option<&Message> {
        self.messages
            .iter()
            .find(|message| message.purpose == Purpose::ReportAnswer)
    }

    /// Whether there are answers to reports.
    pub(crate) fn answers_reports(&self) -> bool {
        self.report_answer().is_some()
    }

    fn encode_answer(&self, answer: &ReportAnswer<'_>) -> Result<Option<Vec<u8>>, EncodeError> {
        let message = self.report_answer();
        message.map(|message| write::answer(message, answer)).transpose()
    }

    fn command(&self, service: &str, command: &str) -> Option<&Message> {
        self.messages
            .iter()
            .find(|message| message.purpose.is_command(service, command))
    }

    /// What the device's bytes say.
    ///
    /// # Errors
    /// No message with this id, a message that is too short, or a field with a value it cannot have.
    pub fn decode(&self, bytes: &[u8]) -> Result<FromDevice, DecodeError> {
        read::decode(self.message_of(bytes)?, bytes)
    }

    /// The same field by field, for people: what stands where, as far as it can be read.
    ///
    /// # Errors
    /// As [`Self::decode`], if not even the kind of message can be told.
    pub fn explain(&self, bytes: &[u8]) -> Result<(String, Vec<FieldTrace>), DecodeError> {
        let message = self.message_of(bytes)?;
        Ok((message.name.clone(), read::trace(message, bytes)))
    }

    /// Bytes that this codec made itself, field by field.
    pub fn explain_command(&self, service: &str, command: &str, bytes: &[u8]) -> Vec<FieldTrace> {
        let message = self.command(service, command);
        message.map_or_else(Vec::new, |message| read::trace(message, bytes))
    }

    /// Whether a result of this command can be matched: it carries a mid, and some message brings it back.
    pub fn carries_mid(&self, service: &str, command: &str) -> bool {
        let sent = self
            .command(service, command)
            .is_some_and(|message| message.has(Role::Mid));
        sent && self.messages.iter().any(|m| m.purpose == Purpose::Response)
    }

    fn message_of(&self, bytes: &[u8]) -> Result<&Message, DecodeError> {
        let mut from_device = self
            .messages
            .iter()
            .filter(|message| message.purpose.is_from_device());
        let Some(first) = from_device.next() else {
            return Err(DecodeError::Field {
                field: "messages".to_owned(),
                reason: "the codec has no report and no response".to_owned(),
            });
        };
        let Some((name, offset, kind)) = first.id_field() else {
            return Ok(first);
        };
        let id = read::id(bytes, name, offset, kind)?;
        std::iter::once(first)
            .chain(from_device)
            .find(|message| message.id == Some(id))
            .ok_or_else(|| DecodeError::NoMessage {
                id,
                field: name.to_owned(),
                offset,
            })
    }
}

impl Message {
    fn id_field(&self) -> Option<(&str, usize, Kind)> {
        let field = self.fields.iter().find(|field| field.role == Role::Id)?;
        Some((&field.name, field.offset?, field.kind))
    }

    fn has(&self, role: Role) -> bool {
        self.fields.iter().any(|field| field.role == role)
    }
}

#[cfg(test)]
mod tests;
