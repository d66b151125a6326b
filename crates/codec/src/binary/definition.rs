//! A checked definition: messages, and their fields in the order of their bytes.

use super::number::Form;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) purpose: Purpose,
    /// What its id field holds.
    pub(super) id: Option<i128>,
    pub(super) fields: Vec<Field>,
}

/// What a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To the device: a command of a service.
    Command { service: String, command: String },
    /// From the device: the result of a command.
    Response,
    /// From the device: data. Fields that name no service belong to this one.
    Report { service: Option<String> },
    /// To the device: its report arrived.
    ReportAnswer,
}

impl Purpose {
    pub(super) const fn is_from_device(&self) -> bool {
        match self {
            Self::Response | Self::Report { .. } => true,
            Self::Command { .. } | Self::ReportAnswer => false,
        }
    }

    pub(super) fn is_command(&self, service: &str, command: &str) -> bool {
        match self {
            Self::Command {
                service: its,
                command: name,
            } => its == service && name == command,
            Self::Response | Self::Report { .. } | Self::ReportAnswer => false,
        }
    }
}

/// One field: some bytes of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) kind: Kind,
    /// Where it begins, from 0; none behind a field whose length varies.
    pub(super) offset: Option<usize>,
    /// The service it belongs to, in reports.
    pub(super) service: Option<String>,
    /// How its number is written in JSON.
    pub(super) form: Form,
    /// What is sent if the parameter is left out: the text of a JSON value.
    pub(super) default: Option<String>,
}

/// What a field is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Parameter, response field or datum.
    Value,
    /// The message's id.
    Id,
    /// The command's mid.
    Mid,
    /// Whether the command worked, or the report was understood: 0.
    Errcode,
    /// Whether more is to come: not 0.
    HasMore,
    /// Always this.
    Constant(i128),
    /// The length in bytes of a later field, by its place in the list.
    LengthOf(usize),
}

/// How bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number of 1, 2, 3, 4 or 8 bytes.
    Integer { bytes: usize, signed: bool },
    /// IEEE 754, 4 bytes.
    Float,
    /// IEEE 754, 8 bytes.
    Double,
    /// UTF-8; a fixed length is filled up with zero bytes.
    Text(Extent),
    /// Any bytes, base64 in JSON.
    Bytes(Extent),
}

/// How long text and bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Always so many bytes.
    Fixed(usize),
    /// As an earlier field says, by its place in the list.
    Told(usize),
    /// To the end of the message.
    Rest,
}

impl Kind {
    /// Its length in bytes, unless that depends on the message.
    pub(super) const fn fixed(self) -> Option<usize> {
        match self {
            Self::Integer { bytes, .. } => Some(bytes),
            Self::Float => Some(4),
            Self::Double => Some(8),
            Self::Text(Extent::Fixed(length)) | Self::Bytes(Extent::Fixed(length)) => Some(length),
            Self::Text(Extent::Told(_) | Extent::Rest) | Self::Bytes(Extent::Told(_) | Extent::Rest) => None,
        }
    }

    /// The lowest and the highest number that fit, of whole numbers.
    pub(super) const fn bounds(self) -> Option<(i128, i128)> {
        match self {
            Self::Integer { bytes, signed: true } => {
                let half = 1i128 << (8 * bytes - 1);
                Some((-half, half - 1))
            }
            Self::Integer { bytes, signed: false } => Some((0, (1i128 << (8 * bytes)) - 1)),
            Self::Float | Self::Double | Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// Whether it is a number, whole or not.
    pub(super) const fn is_number(self) -> bool {
        match self {
            Self::Integer { .. } | Self::Float | Self::Double => true,
            Self::Text(_) | Self::Bytes(_) => false,
        }
    }
}
