//! Parameters of a create call, as the check of a profile takes them.

use std::borrow::Cow;
use std::fmt;

use downlink_core::product::{Given, Value};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::field::{self, Invalid};

/// The members of `paras`, a JSON object, in their order. Values are looked at one level deep.
pub fn given(paras: &str) -> Result<Vec<Given<'_>>, Invalid> {
    let Members(members) = field::object("command.paras", paras)?;
    Ok(members
        .into_iter()
        .map(|(name, raw)| (name, value(raw)))
        .collect())
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A text, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Reader)
    }
}

fn value(raw: &RawValue) -> Value<'_> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => self::text(text).map_or(Value::Null, Value::Text),
        Some(b'{') => Value::Object {
            chars: text.chars().count(),
        },
        Some(b'[') => Value::List(items(text)),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'-' | b'0'..=b'9') => Value::Number(text),
        Some(_) | None => Value::Null,
    }
}

/// The text that JSON writes; none if it is no text, or writes half a character.
fn text(json: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(json).ok().map(|Text(text)| text)
}

fn items(list: &str) -> Vec<Option<Cow<'_, str>>> {
    let items: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
    items.into_iter().map(|raw| text(raw.get())).collect()
}
