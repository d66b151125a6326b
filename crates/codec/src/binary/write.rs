//! Bytes for devices.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::definition::{Extent, Field, Kind, Message, Role};
use super::load::from_base64;
use super::number::{fits, shown};
use crate::MAX_MESSAGE;
use crate::error::EncodeError;
use crate::message::{Command, ReportAnswer};

/// The bytes of a command.
pub(super) fn command(message: &Message, command: &Command<'_>) -> Result<Vec<u8>, EncodeError> {
    let paras = paras(command.paras)?;
    if let Some(name) = paras.keys().find(|name| !takes(message, name)) {
        let reason = format!("{} has no such field", message.name);
        return Err(at_para(name, reason));
    }
    put(message, |field| match field.role {
        Role::Value => {
            let given = paras
                .get(field.name.as_str())
                .map(|raw| raw.get())
                .filter(|json| *json != "null");
            let given = given.or(field.default.as_deref());
            let given = given.ok_or_else(|| at_para(&field.name, "is missing".to_owned()))?;
            value(field, given).map_err(|why| at_para(&field.name, why))
        }
        Role::Mid => {
            let mid = command
                .mid
                .ok_or_else(|| at(&field.name, "the command has no mid".to_owned()))?;
            whole(field, mid.number().into())
        }
        Role::HasMore => whole(field, command.has_more.into()),
        Role::Id | Role::Errcode | Role::Constant(_) | Role::LengthOf(_) => of_message(message, field),
    })
}

/// The bytes of an answer to a report.
pub(super) fn answer(message: &Message, answer: &ReportAnswer<'_>) -> Result<Vec<u8>, EncodeError> {
    put(message, |field| match field.role {
        Role::Errcode => whole(field, answer.errcode.into()),
        Role::HasMore => whole(field, answer.has_more.into()),
        Role::Value | Role::Id | Role::Mid | Role::Constant(_) | Role::LengthOf(_) => {
            of_message(message, field)
        }
    })
}

fn of_message(message: &Message, field: &Field) -> Result<Vec<u8>, EncodeError> {
    match field.role {
        Role::Id => whole(field, message.id.unwrap_or_default()),
        Role::Constant(number) => whole(field, number),
        // Filled in when its field is there; the checks leave no other role without a value.
        Role::LengthOf(_) | Role::Value | Role::Mid | Role::Errcode | Role::HasMore => whole(field, 0),
    }
}

fn paras(text: &str) -> Result<BTreeMap<String, &RawValue>, EncodeError> {
    match text.trim() {
        "" => Ok(BTreeMap::new()),
        text => serde_json::from_str(text).map_err(|error| {
            let reason = format!("must be a JSON object: {error}");
            at("paras", reason)
        }),
    }
}

fn takes(message: &Message, name: &str) -> bool {
    let mut fields = message.fields.iter();
    fields.any(|field| field.role == Role::Value && field.name == name)
}

fn at(field: &str, reason: String) -> EncodeError {
    EncodeError::Field {
        field: field.to_owned(),
        reason,
    }
}

fn at_para(name: &str, reason: String) -> EncodeError {
    at(&format!("paras.{name}"), reason)
}

/// Puts the fields one behind the other; gaps are zero.
fn put(
    message: &Message,
    mut bytes_of: impl FnMut(&Field) -> Result<Vec<u8>, EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut starts = Vec::with_capacity(message.fields.len());
    for field in &message.fields {
        if let Some(offset) = field.offset {
            bytes.resize(offset, 0);
        }
        starts.push(bytes.len());
        let part = bytes_of(field)?;
        if let Kind::Text(Extent::Told(told_by)) | Kind::Bytes(Extent::Told(told_by)) = field.kind {
            let by = &message.fields[told_by];
            let length = fits(by.kind, part.len() as i128);
            let length = length.map_err(|_| {
                at_para(
                    &field.name,
                    format!("{} bytes are too many for {}", part.len(), by.name),
                )
            })?;
            let length = whole(by, length)?;
            bytes[starts[told_by]..][..length.len()].copy_from_slice(&length);
        }
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_MESSAGE {
            return Err(EncodeError::TooLong {
                bytes: bytes.len(),
                limit: MAX_MESSAGE,
            });
        }
    }
    Ok(bytes)
}

fn whole(field: &Field, number: i128) -> Result<Vec<u8>, EncodeError> {
    let number =
        fits(field.kind, number).map_err(|why| at(&field.name, format!("{number} does not fit: {why}")))?;
    Ok(integer_bytes(field.kind, number))
}

fn integer_bytes(kind: Kind, number: i128) -> Vec<u8> {
    let all = number.to_be_bytes();
    let length = kind.fixed().unwrap_or(0).min(all.len());
    all[all.len() - length..].to_vec()
}

/// The bytes of a JSON value, or why it does not suit the field.
pub(super) fn value(field: &Field, json: &str) -> Result<Vec<u8>, String> {
    match field.kind {
        Kind::Integer { .. } => Ok(integer_bytes(field.kind, field.form.whole(field.kind, json)?)),
        Kind::Float => {
            let real = field.form.real(json)? as f32;
            match real.is_finite() {
                true => Ok(real.to_be_bytes().to_vec()),
                false => Err(format!("{} does not fit four bytes", shown(json))),
            }
        }
        Kind::Double => Ok(field.form.real(json)?.to_be_bytes().to_vec()),
        Kind::Text(extent) => {
            let text = serde_json::from_str::<String>(json);
            let text = text.map_err(|_| format!("must be a text, not {}", shown(json)))?;
            filled(text.into_bytes(), extent)
        }
        Kind::Bytes(extent) => {
            let bytes = serde_json::from_str::<String>(json)
                .ok()
                .and_then(|text| from_base64(&text));
            exact(
                bytes.ok_or_else(|| "must be a text in base64".to_owned())?,
                extent,
            )
        }
    }
}

/// Text is filled up with zero bytes.
fn filled(mut bytes: Vec<u8>, extent: Extent) -> Result<Vec<u8>, String> {
    if let Extent::Fixed(length) = extent {
        if bytes.len() > length {
            return Err(format!(
                "has {} bytes, the field takes {length} at most",
                bytes.len()
            ));
        }
        bytes.resize(length, 0);
    }
    Ok(bytes)
}

/// Bytes are not: nobody could tell what was added.
fn exact(bytes: Vec<u8>, extent: Extent) -> Result<Vec<u8>, String> {
    match extent {
        Extent::Fixed(length) if bytes.len() != length => Err(format!(
            "has {} bytes, the field takes exactly {length}",
            bytes.len()
        )),
        Extent::Fixed(_) | Extent::Told(_) | Extent::Rest => Ok(bytes),
    }
}
