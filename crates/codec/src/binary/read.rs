//! Bytes of devices. Whatever they are, reading them ends in a message or in an error that names the field.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use downlink_core::Mid;

use super::definition::{Extent, Field, Kind, Message, Purpose, Role};
use crate::MAX_MESSAGE;
use crate::error::DecodeError;
use crate::json::Object;
use crate::message::{CommandResult, FromDevice, Report, ServiceData};

/// One field of one message, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTrace {
    /// The field's name; empty for bytes that belong to none.
    pub name: String,
    /// Where it begins, from 0.
    pub offset: usize,
    /// What stands there.
    pub bytes: Vec<u8>,
    /// Its value as JSON, or what is wrong with it.
    pub value: Result<String, String>,
}

/// A field's value: as JSON, and as a number if it is one.
struct Read {
    at: Range<usize>,
    json: String,
    number: i128,
}

/// The number in the id field.
pub(super) fn id(bytes: &[u8], name: &str, offset: usize, kind: Kind) -> Result<i128, DecodeError> {
    let need = kind.fixed().unwrap_or(0);
    Ok(integer(slice(bytes, name, offset, need)?, kind))
}

/// Reads the message that the id chose.
pub(super) fn decode(message: &Message, bytes: &[u8]) -> Result<FromDevice, DecodeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong {
            bytes: bytes.len(),
            limit: MAX_MESSAGE,
        });
    }
    let mut values: Vec<Read> = Vec::with_capacity(message.fields.len());
    for field in &message.fields {
        let read = read(field, &values, bytes)?;
        values.push(read);
    }
    match &message.purpose {
        Purpose::Response => result(message, &values).map(FromDevice::Result),
        Purpose::Report { .. } | Purpose::Command { .. } | Purpose::ReportAnswer => {
            Ok(FromDevice::Report(report(message, &values)))
        }
    }
}

/// Reads as far as it goes.
pub(super) fn trace(message: &Message, bytes: &[u8]) -> Vec<FieldTrace> {
    let mut values: Vec<Read> = Vec::new();
    let mut traces = Vec::new();
    for field in &message.fields {
        let offset = start(field, &values);
        match read(field, &values, bytes) {
            Ok(read) => {
                traces.push(trace_of(
                    &field.name,
                    offset,
                    &bytes[read.at.clone()],
                    Ok(read.json.clone()),
                ));
                values.push(read);
            }
            Err(error) => {
                let rest = bytes.get(offset..).unwrap_or_default();
                traces.push(trace_of(&field.name, offset, rest, Err(error.to_string())));
                return traces;
            }
        }
    }
    let end = values.last().map_or(0, |read| read.at.end);
    if let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let why = format!("{} bytes after the last field are ignored", rest.len());
        traces.push(trace_of("", end, rest, Err(why)));
    }
    traces
}

fn trace_of(name: &str, offset: usize, bytes: &[u8], value: Result<String, String>) -> FieldTrace {
    FieldTrace {
        name: name.to_owned(),
        offset,
        bytes: bytes.to_vec(),
        value,
    }
}

fn start(field: &Field, before: &[Read]) -> usize {
    let end = before.last().map_or(0, |read| read.at.end);
    field.offset.unwrap_or(end)
}

fn read(field: &Field, before: &[Read], bytes: &[u8]) -> Result<Read, DecodeError> {
    let offset = start(field, before);
    let need = match field.kind {
        Kind::Text(Extent::Told(by)) | Kind::Bytes(Extent::Told(by)) => told(field, before, by)?,
        Kind::Text(Extent::Rest) | Kind::Bytes(Extent::Rest) => bytes.len().saturating_sub(offset),
        kind @ (Kind::Integer { .. } | Kind::Float | Kind::Double | Kind::Text(_) | Kind::Bytes(_)) => {
            kind.fixed().unwrap_or(0)
        }
    };
    let part = slice(bytes, &field.name, offset, need)?;
    let number = match field.kind {
        Kind::Integer { .. } => integer(part, field.kind),
        Kind::Float | Kind::Double | Kind::Text(_) | Kind::Bytes(_) => 0,
    };
    if let Role::Constant(want) = field.role
        && want != number
    {
        return Err(at(field, format!("must be {want}, not {number}")));
    }
    Ok(Read {
        at: offset..offset + need,
        json: json(field, part, number)?,
        number,
    })
}

fn told(field: &Field, before: &[Read], by: usize) -> Result<usize, DecodeError> {
    let number = before.get(by).map_or(0, |read| read.number);
    let length = usize::try_from(number)
        .ok()
        .filter(|length| *length <= MAX_MESSAGE);
    length.ok_or_else(|| at(field, format!("its length field says {number}")))
}

fn slice<'a>(bytes: &'a [u8], name: &str, offset: usize, need: usize) -> Result<&'a [u8], DecodeError> {
    let end = offset.checked_add(need);
    end.and_then(|end| bytes.get(offset..end))
        .ok_or_else(|| DecodeError::Short {
            field: name.to_owned(),
            offset,
            need,
            have: bytes.len(),
        })
}

fn at(field: &Field, reason: String) -> DecodeError {
    DecodeError::Field {
        field: field.name.clone(),
        reason,
    }
}

fn integer(bytes: &[u8], kind: Kind) -> i128 {
    let unsigned = bytes
        .iter()
        .fold(0i128, |number, byte| number << 8 | i128::from(*byte));
    match kind.bounds() {
        Some((_, high)) if unsigned > high => unsigned - (1i128 << (8 * bytes.len())),
        Some(_) | None => unsigned,
    }
}

fn json(field: &Field, bytes: &[u8], number: i128) -> Result<String, DecodeError> {
    match field.kind {
        Kind::Integer { .. } => Ok(field.form.whole_text(number)),
        Kind::Float => Ok(field.form.float_text(f32::from_be_bytes(array(bytes)))),
        Kind::Double => Ok(field.form.real_text(f64::from_be_bytes(array(bytes)))),
        Kind::Text(extent) => {
            let text = match extent {
                Extent::Fixed(_) => unfilled(bytes),
                Extent::Told(_) | Extent::Rest => bytes,
            };
            let text = std::str::from_utf8(text);
            let text = text.map_err(|_| {
                at(
                    field,
                    "is not text (UTF-8); array and variant take any bytes".to_owned(),
                )
            })?;
            Ok(serde_json::Value::from(text).to_string())
        }
        Kind::Bytes(_) => Ok(format!("\"{}\"", STANDARD.encode(bytes))),
    }
}

/// The slice was cut to the length of the kind.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

fn unfilled(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &bytes[..end]
}

fn number_of(message: &Message, values: &[Read], role: Role) -> Option<i128> {
    let place = message.fields.iter().position(|field| field.role == role)?;
    values.get(place).map(|read| read.number)
}

fn result(message: &Message, values: &[Read]) -> Result<CommandResult, DecodeError> {
    let mid = number_of(message, values, Role::Mid).unwrap_or_default();
    let mid = u16::try_from(mid)
        .ok()
        .and_then(Mid::new)
        .ok_or_else(|| DecodeError::Field {
            field: "mid".to_owned(),
            reason: format!("{mid} is none: mids are 1 to 65535"),
        })?;
    let errcode = number_of(message, values, Role::Errcode).unwrap_or_default();
    let mut body = Object::default();
    for (field, read) in message
        .fields
        .iter()
        .zip(values)
        .filter(|(field, _)| field.role == Role::Value)
    {
        body.put(&field.name, &read.json);
    }
    Ok(CommandResult {
        identifier: None,
        mid: Some(mid),
        // Only 0 and the rest differ.
        errcode: i64::try_from(errcode).unwrap_or(i64::MAX),
        body: Some(body.text()),
    })
}

fn report(message: &Message, values: &[Read]) -> Report {
    let mut services: Vec<(&str, Object)> = Vec::new();
    for (field, read) in message.fields.iter().zip(values) {
        let Some(service) = field.service.as_deref().filter(|_| field.role == Role::Value) else {
            continue;
        };
        let place = services
            .iter()
            .position(|(name, _)| *name == service)
            .unwrap_or_else(|| {
                services.push((service, Object::default()));
                services.len() - 1
            });
        services[place].1.put(&field.name, &read.json);
    }
    let data = services.into_iter().map(|(service, object)| ServiceData {
        service: service.to_owned(),
        data: object.text(),
        event_time: None,
    });
    Report {
        identifier: None,
        has_more: number_of(message, values, Role::HasMore).is_some_and(|number| number != 0),
        data: data.collect(),
    }
}
