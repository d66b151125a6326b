//! A parameter of a command, a member of an answer, or a property: its type and its limits.

use std::fmt;
use std::str::FromStr;

use super::Decimal;

/// The types that profiles know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// A whole number.
    Int,
    /// A whole number of up to 64 bits.
    Long,
    /// A number.
    Decimal,
    /// A text.
    String,
    /// A text that is a time; in which form is between application and device.
    DateTime,
    /// A JSON object.
    JsonObject,
    /// One of a list of texts.
    Enum,
    /// True or false.
    Boolean,
    /// A list of texts.
    StringList,
}

impl DataType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Int,
        Self::Long,
        Self::Decimal,
        Self::String,
        Self::DateTime,
        Self::JsonObject,
        Self::Enum,
        Self::Boolean,
        Self::StringList,
    ];

    /// The word that profiles use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Long => "long",
            Self::Decimal => "decimal",
            Self::String => "string",
            Self::DateTime => "DateTime",
            Self::JsonObject => "jsonObject",
            Self::Enum => "enum",
            Self::Boolean => "boolean",
            Self::StringList => "string list",
        }
    }

    /// What a value of it is, to be read after `must be`.
    pub const fn described(self) -> &'static str {
        match self {
            Self::Int | Self::Long => "a whole number",
            Self::Decimal => "a number",
            Self::String | Self::DateTime | Self::Enum => "a string",
            Self::JsonObject => "a JSON object",
            Self::Boolean => "true or false",
            Self::StringList => "a list of strings",
        }
    }

    /// Whether its values are numbers.
    pub const fn is_number(self) -> bool {
        match self {
            Self::Int | Self::Long | Self::Decimal => true,
            Self::String
            | Self::DateTime
            | Self::JsonObject
            | Self::Enum
            | Self::Boolean
            | Self::StringList => false,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no type that profiles know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of int, long, decimal, string, DateTime, jsonObject, enum, boolean, string list")]
pub struct NotADataType;

impl FromStr for DataType {
    type Err = NotADataType;

    /// In whatever case, and whatever stands between the two words of a `string list`: profiles differ in it.
    fn from_str(text: &str) -> Result<Self, NotADataType> {
        let plain = |text: &str| -> String {
            let letters = text.chars().filter(|c| !matches!(c, ' ' | '_' | '-'));
            letters.map(|c| c.to_ascii_lowercase()).collect()
        };
        let text = plain(text);
        Self::ALL
            .into_iter()
            .find(|kind| plain(kind.as_str()) == text)
            .ok_or(NotADataType)
    }
}

/// See the module. A limit that says nothing of values of its type is kept and never looked at, as profiles are full of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Para {
    /// Its name, 1 to 64 characters.
    pub name: String,
    /// What its values are.
    pub kind: DataType,
    /// It has to be given.
    pub required: bool,
    /// Numbers are this at the least.
    pub min: Option<Decimal>,
    /// Numbers are this at the most.
    pub max: Option<Decimal>,
    /// Numbers are this far apart, counted from `min`, or from zero.
    pub step: Option<Decimal>,
    /// Texts have so many characters at the most, and so has each of a list; of a JSON object its text.
    pub max_length: Option<u32>,
    /// Values are among these; empty: whatever.
    pub listed: Vec<String>,
}

impl Para {
    /// One of this name and type that has no limits and may be left out.
    pub fn new(name: impl Into<String>, kind: DataType) -> Self {
        Self {
            name: name.into(),
            kind,
            required: false,
            min: None,
            max: None,
            step: None,
            max_length: None,
            listed: Vec::new(),
        }
    }

    /// The rule of limits that is broken, if one is.
    pub(super) fn examine(&self) -> Result<(), &'static str> {
        if !self.kind.is_number() {
            return Ok(());
        }
        if self.min.zip(self.max).is_some_and(|(min, max)| min > max) {
            return Err("min must not be above max");
        }
        match self.step {
            Some(step) if step < Decimal::ZERO => Err("step must not be below 0"),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_in_whatever_case() {
        for (text, kind) in [
            ("int", DataType::Int),
            ("INT", DataType::Int),
            ("dateTime", DataType::DateTime),
            ("string list", DataType::StringList),
            ("StringList", DataType::StringList),
            ("jsonobject", DataType::JsonObject),
        ] {
            assert_eq!(text.parse(), Ok(kind), "{text}");
        }
        for kind in DataType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert!(NotADataType.to_string().contains(kind.as_str()), "{kind}");
        }
        assert_eq!("float".parse::<DataType>(), Err(NotADataType));
    }
}
