//! The rules that hold between members: roles, ids, mids.

use super::definition::{Field, Kind, Message, Purpose, Role};
use super::write;
use crate::document::Node;
use crate::error::DefinitionError;

/// One field by itself.
pub(super) fn field(node: &Node<'_>, field: &Field, purpose: &Purpose) -> Result<(), DefinitionError> {
    if let Some(why) = misplaced(field, purpose) {
        return Err(node.rule(why));
    }
    if field.role == Role::Mid
        && !matches!(
            field.kind,
            Kind::Integer {
                bytes: 2 | 4,
                signed: false
            }
        )
    {
        return Err(node.rule_at("type", "a mid goes up to 65535: it must be uint16 or uint32"));
    }
    if let Some(default) = &field.default {
        if field.role != Role::Value || !matches!(purpose, Purpose::Command { .. }) {
            return Err(node.rule_at("default", "is for parameters of commands only"));
        }
        write::value(field, default).map_err(|why| node.rule_at("default", why))?;
    }
    let needs_service = matches!(purpose, Purpose::Report { .. }) && field.role == Role::Value;
    if needs_service && field.service.is_none() {
        return Err(node.rule_at("service", "is missing, here or in the message"));
    }
    Ok(())
}

/// Why a field of this role has no place in such a message.
const fn misplaced(field: &Field, purpose: &Purpose) -> Option<&'static str> {
    match (field.role, purpose) {
        (Role::Mid, Purpose::Report { .. } | Purpose::ReportAnswer) => {
            Some("a mid is for commands and responses only")
        }
        (Role::Errcode, Purpose::Command { .. } | Purpose::Report { .. }) => {
            Some("an errcode is for responses and report answers only")
        }
        (Role::HasMore, Purpose::Response) => Some("has_more is not for responses"),
        (Role::Value, Purpose::ReportAnswer) => {
            Some("a report answer has no values of its own: give the field `value` or `is`")
        }
        (Role::Mid, Purpose::Command { .. } | Purpose::Response)
        | (Role::Errcode, Purpose::Response | Purpose::ReportAnswer)
        | (Role::HasMore, Purpose::Command { .. } | Purpose::Report { .. } | Purpose::ReportAnswer)
        | (Role::Value, Purpose::Command { .. } | Purpose::Response | Purpose::Report { .. })
        | (Role::Id | Role::Constant(_) | Role::LengthOf(_), _) => None,
    }
}

/// One message by itself; `nodes` are its fields.
pub(super) fn message(node: &Node<'_>, nodes: &[Node<'_>], message: &Message) -> Result<(), DefinitionError> {
    twice(nodes, message)?;
    let id_field = message.fields.iter().find(|field| field.role == Role::Id);
    match (message.id, id_field) {
        (Some(_), None) => {
            return Err(node.rule_at("id", "no field says where it stands: give one `is = \"id\"`"));
        }
        (None, Some(_)) => {
            return Err(node.rule_at("id", "is missing: what the id field of this message holds"));
        }
        (Some(id), Some(field)) => {
            super::number::fits(field.kind, id).map_err(|why| node.rule_at("id", why))?;
            if field.offset.is_none() {
                return Err(node.rule_at("fields", "the id must stand before fields of varying length"));
            }
        }
        (None, None) => {}
    }
    if message.purpose == Purpose::Response && !message.has(Role::Mid) {
        let rule = "a response needs a field with `is = \"mid\"`: without it no command can be matched";
        return Err(node.rule_at("fields", rule));
    }
    Ok(())
}

/// Each role once, each name once (in reports once per service).
fn twice(nodes: &[Node<'_>], message: &Message) -> Result<(), DefinitionError> {
    for (place, field) in message.fields.iter().enumerate() {
        let before = &message.fields[..place];
        let special = !matches!(field.role, Role::Value | Role::Constant(_) | Role::LengthOf(_));
        if special && before.iter().any(|other| other.role == field.role) {
            return Err(nodes[place].rule_at("is", "there is such a field already"));
        }
        let same_name = |other: &Field| {
            let counts = other.role == field.role || matches!(other.role, Role::LengthOf(_));
            counts && other.name == field.name && other.service == field.service
        };
        let named = matches!(field.role, Role::Value | Role::LengthOf(_));
        if named && before.iter().any(same_name) {
            return Err(nodes[place].rule_at("name", format!("{} is there already", field.name)));
        }
    }
    Ok(())
}

/// All messages together.
pub(super) fn messages(nodes: &[Node<'_>], messages: &[Message]) -> Result<(), DefinitionError> {
    same_place(nodes, messages)?;
    for (place, message) in messages.iter().enumerate() {
        let before = &messages[..place];
        if let Some((member, rule)) = before.iter().find_map(|other| clash(message, other)) {
            return Err(nodes[place].rule_at(member, rule));
        }
    }
    let from_device = || (0..messages.len()).filter(|place| messages[*place].purpose.is_from_device());
    if from_device().count() > 1
        && let Some(place) = from_device().find(|place| messages[*place].id.is_none())
    {
        let rule = "is missing: reports and responses are told apart by it";
        return Err(nodes[place].rule_at("id", rule));
    }
    if let Some(place) = (0..messages.len()).find(|place| messages[*place].purpose == Purpose::Response) {
        let sent = |m: &Message| matches!(m.purpose, Purpose::Command { .. }) && m.has(Role::Mid);
        if !messages.iter().any(sent) {
            let rule = "no command carries a mid (`is = \"mid\"`), so no response can be matched";
            return Err(nodes[place].rule(rule));
        }
    }
    Ok(())
}

/// The id stands at the same place in every message.
fn same_place(nodes: &[Node<'_>], messages: &[Message]) -> Result<(), DefinitionError> {
    let mut places = messages
        .iter()
        .map(|m| m.id_field().map(|(_, offset, kind)| (offset, kind)));
    let Some(first) = places.clone().flatten().next() else {
        return Ok(());
    };
    match places.position(|place| place.is_some_and(|place| place != first)) {
        None => Ok(()),
        Some(place) => {
            let rule = format!(
                "the id must be of one type and at byte {} in every message",
                first.0
            );
            Err(nodes[place].rule_at("fields", rule))
        }
    }
}

/// What two messages may not have in common.
fn clash(one: &Message, other: &Message) -> Option<(&'static str, String)> {
    if let Purpose::Command { service, command } = &one.purpose
        && other.purpose.is_command(service, command)
    {
        return Some((
            "command",
            format!("there is a message for {command} of {service} already"),
        ));
    }
    if one.purpose == Purpose::ReportAnswer && other.purpose == Purpose::ReportAnswer {
        return Some(("type", "there is a report_answer already".to_owned()));
    }
    let same_way = one.purpose.is_from_device() == other.purpose.is_from_device();
    match one.id {
        Some(id) if same_way && other.id == Some(id) => Some((
            "id",
            format!("{} has the id {id} already, in the same direction", other.name),
        )),
        Some(_) | None => None,
    }
}
