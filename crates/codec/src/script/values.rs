//! Values of the engine to bytes and JSON text, and what may be wrong with them.

use std::fmt::Write as _;

use rquickjs::{Array, Error, Function, Object, Value};

use super::MAX_RESULT;
use crate::MAX_MESSAGE;

const PROMISE: &str = "returned a promise; a codec has to return its result";

/// A device's bytes as the text of a list of numbers.
pub(super) fn list(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 + 2);
    text.push('[');
    for (i, byte) in bytes.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(text, "{comma}{byte}").expect("writing to a string cannot fail");
    }
    text.push(']');
    text
}

/// The bytes that a script returned: a list of numbers, an array or buffer of bytes, or a text (its UTF-8).
pub(super) fn bytes<'js>(
    prelude: &Object<'js>,
    value: Value<'js>,
) -> Result<Result<Option<Vec<u8>>, String>, Error> {
    if value.is_null() || value.is_undefined() {
        return Ok(Ok(None));
    }
    if value.is_promise() {
        return Ok(Err(PROMISE.to_owned()));
    }
    if let Some(text) = value.as_string() {
        return Ok(within(text.to_string()?.into_bytes()).map(Some));
    }
    let list: Value<'js> = prelude.get::<_, Function<'js>>("list")?.call((value.clone(),))?;
    match list.as_array() {
        Some(array) => numbers(array),
        None => Ok(Err(format!(
            "returned {}; it has to return a list of numbers",
            shown(&value)
        ))),
    }
}

fn numbers(array: &Array<'_>) -> Result<Result<Option<Vec<u8>>, String>, Error> {
    if array.len() > MAX_MESSAGE {
        return Ok(Err(too_long(MAX_MESSAGE)));
    }
    let mut bytes = Vec::with_capacity(array.len());
    for place in 0..array.len() {
        let value: Value<'_> = array.get(place)?;
        let number = value
            .as_number()
            .filter(|n| n.fract() == 0.0 && (-128.0..256.0).contains(n));
        match number {
            // Signed bytes are what other languages call bytes.
            Some(number) => bytes.push((number as i16 & 0xff) as u8),
            None => {
                let why = format!(
                    "returned {} at [{place}]; bytes are whole numbers from -128 to 255",
                    shown(&value)
                );
                return Ok(Err(why));
            }
        }
    }
    Ok(Ok(Some(bytes)))
}

fn within(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    match bytes.len() {
        ..=MAX_MESSAGE => Ok(bytes),
        _ => Err(too_long(MAX_MESSAGE)),
    }
}

fn too_long(most: usize) -> String {
    format!("returned more than {most} bytes")
}

/// The JSON that a script returned, as a text or as an object.
pub(super) fn text<'js>(prelude: &Object<'js>, value: Value<'js>) -> Result<Result<String, String>, Error> {
    if value.is_promise() {
        return Ok(Err(PROMISE.to_owned()));
    }
    if !value.is_string() && (!value.is_object() || value.is_function()) {
        let why = format!(
            "returned {}; it has to return an object or its JSON",
            shown(&value)
        );
        return Ok(Err(why));
    }
    let text: Value<'js> = prelude.get::<_, Function<'js>>("text")?.call((value,))?;
    let Some(text) = text.as_string() else {
        return Ok(Err("returned an object without JSON".to_owned()));
    };
    let text = text.to_string()?;
    Ok(match text.len() {
        ..=MAX_RESULT => Ok(text),
        _ => Err(too_long(MAX_RESULT)),
    })
}

/// A value in a complaint.
pub(super) fn shown(value: &Value<'_>) -> String {
    match (value.as_string(), value.as_number()) {
        (Some(text), _) => text
            .to_string()
            .map_or("a text".to_owned(), |text| format!("{:?}", cut(&text))),
        (None, Some(number)) => number.to_string(),
        (None, None) => value.type_name().to_owned(),
    }
}

/// The first 200 characters.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
