//! Reading members of a request body, so that whatever is wrong is told by the member's name and its rule.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A member of a body as it came; none where it is absent or null.
pub type Member<'a> = Option<&'a RawValue>;

/// What is wrong with a request: the field, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Which field, with its path (`command.serviceId`), or `body`.
    pub field: Cow<'static, str>,
    /// The rule, to be read after the field's name.
    pub rule: Cow<'static, str>,
    /// It is not there at all, or empty.
    pub missing: bool,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.", self.field, self.rule)
    }
}

impl std::error::Error for Invalid {}

impl Invalid {
    /// This field breaks this rule.
    pub fn new(field: impl Into<Cow<'static, str>>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
            missing: false,
        }
    }

    /// This field has to be there.
    pub fn missing(field: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            rule: Cow::Borrowed("must be given"),
            missing: true,
        }
    }
}

/// Reads a body that has to be a JSON object.
pub fn object<'a, T: Deserialize<'a>>(
    field: impl Into<Cow<'static, str>>,
    text: &'a str,
) -> Result<T, Invalid> {
    // Derived readers take arrays for objects.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(Invalid::new(field, "must be a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| Invalid::new(field, format!("is not valid: {error}")))
}

/// Reads a text of `min` to `max` characters, none of them a control character.
pub fn text(
    field: impl Into<Cow<'static, str>>,
    member: Member<'_>,
    min: usize,
    max: usize,
) -> Result<Option<String>, Invalid> {
    let Some(raw) = member else { return Ok(None) };
    let rule = || match min {
        0 => format!("must be a string of at most {max} characters, without control characters"),
        _ => format!("must be a string of {min} to {max} characters, without control characters"),
    };
    let text: Option<String> = serde_json::from_str(raw.get()).ok();
    let fits =
        |text: &String| (min..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    match text.filter(fits) {
        Some(text) => Ok(Some(text)),
        None => Err(Invalid::new(field, rule())),
    }
}

/// As [`text`], and it has to be there.
pub fn required(
    field: impl Into<Cow<'static, str>>,
    member: Member<'_>,
    max: usize,
) -> Result<String, Invalid> {
    let field = field.into();
    text(field.clone(), member, 1, max)?.ok_or_else(|| Invalid::missing(field))
}

/// Reads an integer from 0 to `max`; also one written as a string of digits, as some clients do.
pub fn integer(
    field: impl Into<Cow<'static, str>>,
    member: Member<'_>,
    max: u64,
) -> Result<Option<u64>, Invalid> {
    let Some(raw) = member else { return Ok(None) };
    let text = raw.get();
    let digits = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    match number(digits, max) {
        Some(number) => Ok(Some(number)),
        None => Err(Invalid::new(field, format!("must be an integer from 0 to {max}"))),
    }
}

/// The number that a text of nothing but digits writes, if it is at most `max`.
pub fn number(digits: &str, max: u64) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|number| *number <= max)
}

/// Reads a boolean; also one written as a string, in whatever case.
pub fn boolean(field: impl Into<Cow<'static, str>>, member: Member<'_>) -> Result<Option<bool>, Invalid> {
    let Some(raw) = member else { return Ok(None) };
    match raw.get().trim_matches('"').to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(Invalid::new(field, "must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn texts_have_their_length_in_characters() {
        assert_eq!(text("f", Some(raw(r#""ää""#)), 1, 2), Ok(Some("ää".to_owned())));
        assert_eq!(text("f", None, 1, 2), Ok(None));
        for bad in [
            "\"\"",
            "\"abc\"",
            "1",
            "true",
            "{}",
            "[\"a\"]",
            r#""\u0000""#,
            r#""\ud800""#,
        ] {
            let error = text("f", Some(raw(bad)), 1, 2).unwrap_err();
            assert_eq!((error.field.as_ref(), error.missing), ("f", false), "{bad}");
        }
    }

    #[test]
    fn integers_may_be_strings_of_digits() {
        for (good, number) in [("0", 0), ("7", 7), ("\"7\"", 7), ("\"007\"", 7)] {
            assert_eq!(integer("f", Some(raw(good)), 7), Ok(Some(number)), "{good}");
        }
        for bad in [
            "8",
            "-1",
            "1.0",
            "1e1",
            "\"\"",
            "\"-1\"",
            "\"a\"",
            "true",
            "[1]",
            "99999999999999999999",
        ] {
            assert!(integer("f", Some(raw(bad)), 7).is_err(), "{bad}");
        }
    }

    #[test]
    fn booleans_may_be_strings() {
        assert_eq!(boolean("f", Some(raw("\"TRUE\""))), Ok(Some(true)));
        assert_eq!(boolean("f", Some(raw("false"))), Ok(Some(false)));
        assert!(boolean("f", Some(raw("1"))).is_err());
    }

    #[test]
    fn arrays_are_no_objects() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct One {
            a: Option<u8>,
        }
        assert!(object::<One>("body", "[1]").is_err());
        assert!(object::<One>("body", "").is_err());
        assert!(object::<One>("body", " {\"b\":1}").is_ok());
    }
}
