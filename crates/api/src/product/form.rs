//! The parts of a product's document, and what the core makes of them.

use downlink_core::product::{CommandForm, Decimal, Para, ResponseForm, Service};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::field::Invalid;

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceDoc {
    /// What commands name it by; absent: its kind.
    #[serde(default, alias = "service_id", deserialize_with = "text")]
    pub service_id: String,
    /// What kind of service it is.
    #[serde(default, alias = "service_type", deserialize_with = "text")]
    pub service_type: String,
    /// `Mandatory`, `Optional`, `Master`: kept and shown.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub option: String,
    /// For people.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its devices can be told to do.
    #[serde(default, deserialize_with = "list")]
    pub commands: Vec<CommandDoc>,
    /// What its devices report.
    #[serde(default, deserialize_with = "list")]
    pub properties: Vec<ParaDoc>,
}

/// A command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandDoc {
    /// Its name.
    #[serde(default, alias = "command_name", deserialize_with = "text")]
    pub command_name: String,
    /// Its parameters.
    #[serde(default, deserialize_with = "list")]
    pub paras: Vec<ParaDoc>,
    /// What devices answer; none: they do not.
    #[serde(default, deserialize_with = "list")]
    pub responses: Vec<ResponseDoc>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseDoc {
    /// Its name.
    #[serde(default, alias = "response_name", deserialize_with = "text")]
    pub response_name: String,
    /// What it says.
    #[serde(default, deserialize_with = "list")]
    pub paras: Vec<ParaDoc>,
}

/// A parameter, a member of an answer, or a property. Of its two names it has the one that fits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParaDoc {
    /// Of a property.
    #[serde(
        default,
        alias = "property_name",
        deserialize_with = "text",
        skip_serializing_if = "String::is_empty"
    )]
    pub property_name: String,
    /// Of all others.
    #[serde(
        default,
        alias = "para_name",
        deserialize_with = "text",
        skip_serializing_if = "String::is_empty"
    )]
    pub para_name: String,
    /// What its values are.
    #[serde(default, alias = "data_type", deserialize_with = "text")]
    pub data_type: String,
    /// It has to be given.
    #[serde(default, deserialize_with = "flag")]
    pub required: bool,
    /// Number or text, as it was written.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub min: Value,
    /// Number or text, as it was written.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub max: Value,
    /// Number or text, as it was written.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub step: Value,
    /// Number or text, as it was written.
    #[serde(default, alias = "max_length", skip_serializing_if = "Value::is_null")]
    pub max_length: Value,
    /// Of a property: what may be done to it (`R`, `W`, `E`); kept and shown.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// For people.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What its values are among; absent: whatever.
    #[serde(
        default,
        alias = "enum_list",
        deserialize_with = "list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub enum_list: Vec<Value>,
}

impl ServiceDoc {
    /// What the core makes of it.
    pub(super) fn service(&self) -> Result<Service, Invalid> {
        let id = match self.service_id.is_empty() {
            true => self.service_type.clone(),
            false => self.service_id.clone(),
        };
        let place = format!("services.{id}");
        Ok(Service {
            properties: paras(&place, "properties", &self.properties)?,
            commands: self
                .commands
                .iter()
                .map(|command| command.command(&place))
                .collect::<Result<_, _>>()?,
            kind: self.service_type.clone(),
            id,
        })
    }
}

impl CommandDoc {
    fn command(&self, service: &str) -> Result<CommandForm, Invalid> {
        let place = format!("{service}.commands.{}", self.command_name);
        let response = |response: &ResponseDoc| {
            let place = format!("{place}.responses.{}", response.response_name);
            Ok(ResponseForm {
                name: response.response_name.clone(),
                paras: paras(&place, "paras", &response.paras)?,
            })
        };
        Ok(CommandForm {
            name: self.command_name.clone(),
            paras: paras(&place, "paras", &self.paras)?,
            responses: self.responses.iter().map(response).collect::<Result<_, _>>()?,
        })
    }
}

fn paras(place: &str, of: &str, docs: &[ParaDoc]) -> Result<Vec<Para>, Invalid> {
    docs.iter()
        .map(|doc| doc.para(&format!("{place}.{of}")))
        .collect()
}

impl ParaDoc {
    fn para(&self, place: &str) -> Result<Para, Invalid> {
        let name = match self.para_name.is_empty() {
            true => &self.property_name,
            false => &self.para_name,
        };
        let place = format!("{place}.{name}");
        let kind = self
            .data_type
            .parse()
            .map_err(|rule| Invalid::new(format!("{place}.dataType"), format!("{rule}")))?;
        Ok(Para {
            name: name.clone(),
            kind,
            required: self.required,
            min: number(&place, "min", &self.min)?,
            max: number(&place, "max", &self.max)?,
            step: number(&place, "step", &self.step)?,
            max_length: max_length(&place, &self.max_length)?,
            listed: self.enum_list.iter().map(written).collect(),
        })
    }
}

/// A value as its text: a text without its quotation marks, all else as JSON writes it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A limit; null and an empty text are none.
fn number(place: &str, member: &str, value: &Value) -> Result<Option<Decimal>, Invalid> {
    let text = written(value);
    match value.is_null() || text.is_empty() {
        true => Ok(None),
        false => text
            .parse()
            .map(Some)
            .map_err(|rule| Invalid::new(format!("{place}.{member}"), format!("is {rule}"))),
    }
}

/// Zero is what profiles write where there is no limit.
fn max_length(place: &str, value: &Value) -> Result<Option<u32>, Invalid> {
    let text = written(value);
    if value.is_null() || text.is_empty() {
        return Ok(None);
    }
    let rule = || Invalid::new(format!("{place}.maxLength"), "must be a whole number, 0 or more");
    let length: u32 = text.parse().map_err(|_| rule())?;
    Ok((length > 0).then_some(length))
}

/// A text; null is an empty one.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A list; null is an empty one.
pub(super) fn list<'de, T: DeserializeOwned, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// True or false, also as a text; null is false.
fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(serde::de::Error::custom("`required` must be true or false"))
        }
    }
}
