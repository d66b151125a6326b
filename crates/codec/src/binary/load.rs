//! From the document to the definition: what each member may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::check;
use super::definition::{Extent, Field, Kind, Message, Purpose, Role};
use super::number::{Form, Scale, fits};
use crate::MAX_MESSAGE;
use crate::document::Node;
use crate::error::DefinitionError;

/// The most messages of one codec.
const MAX_MESSAGES: usize = 256;
/// The most fields of one message.
const MAX_FIELDS: usize = 256;
/// The most words for the numbers of one field.
const MAX_NAMES: usize = 256;

const TYPES: &str = "int8, int16, int24, int32, int64, uint8, uint16, uint24, uint32, uint64, float, double, \
    string, varstring, array, variant";

/// Reads and checks all messages of a document.
pub(super) fn messages(root: &Node<'_>) -> Result<Vec<Message>, DefinitionError> {
    root.only(&["kind", "note", "messages"])?;
    let nodes = root.list_of("messages", MAX_MESSAGES)?;
    let messages = nodes.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    check::messages(&nodes, &messages)?;
    Ok(messages)
}

fn message(node: &Node<'_>) -> Result<Message, DefinitionError> {
    node.only(&["name", "type", "id", "service", "command", "fields", "note"])?;
    let purpose = purpose(node)?;
    let id = node.integer_of("id")?;
    let nodes = node.list_of("fields", MAX_FIELDS)?;
    let mut fields = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let field = field(node, &purpose, &mut fields)?;
        fields.push(field);
    }
    let name = node.text_of("name")?.unwrap_or_else(|| name_of(&purpose, id));
    let message = Message {
        name,
        purpose,
        id,
        fields,
    };
    check::message(node, &nodes, &message)?;
    Ok(message)
}

fn purpose(node: &Node<'_>) -> Result<Purpose, DefinitionError> {
    let kind = node.needed_text("type")?;
    let purpose = match kind.as_str() {
        "command" => Purpose::Command {
            service: node.needed_text("service")?,
            command: node.needed_text("command")?,
        },
        "response" => Purpose::Response,
        "report" => Purpose::Report {
            service: node.text_of("service")?,
        },
        "report_answer" => Purpose::ReportAnswer,
        _ => {
            let rule = format!("must be command, response, report or report_answer, not {kind}");
            return Err(node.rule_at("type", rule));
        }
    };
    for (member, only_for) in [("service", "commands and reports"), ("command", "commands")] {
        let fits = match &purpose {
            Purpose::Command { .. } => true,
            Purpose::Report { .. } => member == "service",
            Purpose::Response | Purpose::ReportAnswer => false,
        };
        if !fits && node.member(member)?.is_some() {
            return Err(node.rule_at(
                member,
                format!("is for {only_for} only; results are matched by mid"),
            ));
        }
    }
    Ok(purpose)
}

fn name_of(purpose: &Purpose, id: Option<i128>) -> String {
    let kind = match purpose {
        Purpose::Command { command, .. } => return command.clone(),
        Purpose::Response => "response",
        Purpose::Report { .. } => "report",
        Purpose::ReportAnswer => "report answer",
    };
    id.map_or_else(|| kind.to_owned(), |id| format!("{kind} {id}"))
}

fn field(node: &Node<'_>, purpose: &Purpose, before: &mut [Field]) -> Result<Field, DefinitionError> {
    node.only(&[
        "name",
        "type",
        "is",
        "offset",
        "length",
        "length_field",
        "value",
        "min",
        "max",
        "scale",
        "shift",
        "names",
        "default",
        "service",
        "note",
    ])?;
    let kind = kind(node, before)?;
    let role = role(node, kind)?;
    let name = match role {
        Role::Value | Role::LengthOf(_) => node.needed_text("name")?,
        Role::Id => node.text_of("name")?.unwrap_or_else(|| "id".to_owned()),
        Role::Mid => node.text_of("name")?.unwrap_or_else(|| "mid".to_owned()),
        Role::Errcode => node.text_of("name")?.unwrap_or_else(|| "errcode".to_owned()),
        Role::HasMore => node.text_of("name")?.unwrap_or_else(|| "has_more".to_owned()),
        Role::Constant(_) => node.text_of("name")?.unwrap_or_else(|| "constant".to_owned()),
    };
    let offset = offset(node, before.last())?;
    if offset.unwrap_or(0) + kind.fixed().unwrap_or(0) > MAX_MESSAGE {
        return Err(node.rule(format!(
            "ends behind byte {MAX_MESSAGE}, the most that a message may have"
        )));
    }
    let field = Field {
        name,
        role,
        kind,
        offset,
        service: service(node, purpose)?,
        form: form(node, kind, role)?,
        default: node.member("default")?.map(|node| node.value().to_string()),
    };
    check::field(node, &field, purpose)?;
    Ok(field)
}

fn kind(node: &Node<'_>, before: &mut [Field]) -> Result<Kind, DefinitionError> {
    let name = node.needed_text("type")?;
    let integer = |bytes, signed| Kind::Integer { bytes, signed };
    let kind = match name.as_str() {
        "int8" => integer(1, true),
        "int16" => integer(2, true),
        "int24" => integer(3, true),
        "int32" => integer(4, true),
        "int64" => integer(8, true),
        "uint8" => integer(1, false),
        "uint16" => integer(2, false),
        "uint24" => integer(3, false),
        "uint32" => integer(4, false),
        "uint64" => integer(8, false),
        "float" => Kind::Float,
        "double" => Kind::Double,
        "string" => Kind::Text(fixed(node)?),
        "array" => Kind::Bytes(fixed(node)?),
        "varstring" => Kind::Text(varying(node, before)?),
        "variant" => Kind::Bytes(varying(node, before)?),
        _ => return Err(node.rule_at("type", format!("must be one of {TYPES}, not {name}"))),
    };
    let (takes_length, takes_field) = match name.as_str() {
        "string" | "array" => (true, false),
        "varstring" | "variant" => (false, true),
        _ => (false, false),
    };
    for (member, takes, who) in [
        ("length", takes_length, "string and array"),
        ("length_field", takes_field, "varstring and variant"),
    ] {
        if !takes && node.member(member)?.is_some() {
            return Err(node.rule_at(member, format!("is for {who} only")));
        }
    }
    Ok(kind)
}

fn fixed(node: &Node<'_>) -> Result<Extent, DefinitionError> {
    match node.count_of("length", MAX_MESSAGE)? {
        Some(0) => Err(node.rule_at("length", "must be at least 1")),
        Some(length) => Ok(Extent::Fixed(length)),
        None => Err(node.rule_at("length", "is missing: how many bytes")),
    }
}

/// A length that an earlier field tells; that field is then there for nothing else.
fn varying(node: &Node<'_>, before: &mut [Field]) -> Result<Extent, DefinitionError> {
    let Some(name) = node.text_of("length_field")? else {
        return Ok(Extent::Rest);
    };
    let place = before.len();
    let found = before
        .iter_mut()
        .enumerate()
        .find(|(_, field)| field.name == name);
    let Some((told_by, field)) = found else {
        return Err(node.rule_at(
            "length_field",
            format!("no field before this one is named {name}"),
        ));
    };
    let plain = matches!(field.kind, Kind::Integer { .. })
        && field.role == Role::Value
        && field.form == Form::default();
    if !plain || field.default.is_some() {
        let rule = format!(
            "{name} must be a whole number that is there for nothing else, without min, scale or the like"
        );
        return Err(node.rule_at("length_field", rule));
    }
    field.role = Role::LengthOf(place);
    field.service = None;
    Ok(Extent::Told(told_by))
}

fn role(node: &Node<'_>, kind: Kind) -> Result<Role, DefinitionError> {
    let is = node.text_of("is")?;
    if let Some(number) = node.integer_of("value")? {
        if is.is_some() {
            return Err(node.rule_at(
                "value",
                "cannot stand beside `is`; the id of a message is the message's own",
            ));
        }
        let number =
            fits(kind, number).map_err(|bounds| node.rule_at("value", format!("does not fit: {bounds}")))?;
        return Ok(Role::Constant(number));
    }
    let role = match is.as_deref() {
        None => return Ok(Role::Value),
        Some("id") => Role::Id,
        Some("mid") => Role::Mid,
        Some("errcode") => Role::Errcode,
        Some("has_more") => Role::HasMore,
        Some(other) => {
            let rule = format!("must be id, mid, errcode or has_more, not {other}");
            return Err(node.rule_at("is", rule));
        }
    };
    if kind.bounds().is_none() {
        return Err(node.rule_at(
            "type",
            "must be a whole number (uint8, uint16 ...) in a field that has `is`",
        ));
    }
    Ok(role)
}

fn offset(node: &Node<'_>, before: Option<&Field>) -> Result<Option<usize>, DefinitionError> {
    let given = node.count_of("offset", MAX_MESSAGE)?;
    let Some(before) = before else {
        return Ok(Some(given.unwrap_or(0)));
    };
    if matches!(before.kind, Kind::Text(Extent::Rest) | Kind::Bytes(Extent::Rest)) {
        let rule = format!(
            "nothing can follow {}, which goes to the end of the message: give it a length_field",
            before.name
        );
        return Err(node.rule(rule));
    }
    let end = before
        .offset
        .and_then(|offset| Some(offset + before.kind.fixed()?));
    match (given, end) {
        (None, end) => Ok(end),
        (Some(given), Some(end)) if given >= end => Ok(Some(given)),
        (Some(given), Some(end)) => {
            let rule = format!(
                "{given} is inside the field before, {}, which ends before byte {end}",
                before.name
            );
            Err(node.rule_at("offset", rule))
        }
        (Some(_), None) => {
            let rule = "must be left out: the fields before have no fixed length";
            Err(node.rule_at("offset", rule))
        }
    }
}

fn service(node: &Node<'_>, purpose: &Purpose) -> Result<Option<String>, DefinitionError> {
    let own = node.text_of("service")?;
    match purpose {
        Purpose::Report { service } => Ok(own.or_else(|| service.clone())),
        Purpose::Command { .. } | Purpose::Response | Purpose::ReportAnswer if own.is_some() => {
            Err(node.rule_at("service", "is for fields of reports only"))
        }
        Purpose::Command { .. } | Purpose::Response | Purpose::ReportAnswer => Ok(None),
    }
}

fn form(node: &Node<'_>, kind: Kind, role: Role) -> Result<Form, DefinitionError> {
    let takes = kind.is_number() && role == Role::Value;
    for member in ["min", "max", "scale", "shift", "names"] {
        if !takes && node.member(member)?.is_some() {
            return Err(node.rule_at(member, "is for numbers of the application only"));
        }
    }
    let (factor, shift) = (node.number_of("scale")?, node.number_of("shift")?);
    let scale = match (factor, shift) {
        (None, None) => None,
        (factor, shift) => {
            let scale = Scale::new(factor.unwrap_or(1.0), shift.unwrap_or(0.0));
            Some(scale.ok_or_else(|| node.rule_at("scale", "must not be 0"))?)
        }
    };
    let form = Form {
        min: node.number_of("min")?,
        max: node.number_of("max")?,
        scale,
        names: names(node, kind)?,
    };
    let bounded = form.min.is_some() || form.max.is_some() || form.scale.is_some();
    if !form.names.is_empty() && bounded {
        return Err(node.rule_at("names", "cannot stand beside min, max, scale and shift"));
    }
    if form.min.zip(form.max).is_some_and(|(min, max)| min > max) {
        return Err(node.rule_at("min", "is above max"));
    }
    Ok(form)
}

fn names(node: &Node<'_>, kind: Kind) -> Result<Vec<(i128, String)>, DefinitionError> {
    let Some(table) = node.member("names")? else {
        return Ok(Vec::new());
    };
    let mut names: Vec<(i128, String)> = Vec::new();
    for (number, entry) in table.members()? {
        let number = number
            .parse()
            .map_err(|_| entry.rule("must be named by a number, as in 0 = \"OFF\""))?;
        let number = fits(kind, number).map_err(|bounds| entry.rule(bounds))?;
        let word = table.needed_text(&number.to_string())?;
        if names.iter().any(|(_, other)| *other == word) {
            return Err(entry.rule(format!("{word} stands for another number already")));
        }
        names.push((number, word));
    }
    if names.is_empty() || names.len() > MAX_NAMES {
        return Err(table.rule(format!("must have 1 to {MAX_NAMES} entries")));
    }
    names.sort_unstable();
    Ok(names)
}

/// Bytes of a base64 text.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
