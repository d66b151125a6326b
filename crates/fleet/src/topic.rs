//! The two families of topics: what a device subscribes to, how a command reads, and how its answer is written.

use std::fmt;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::packet::Qos;

/// Which family of topics a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// `/huawei/v1/devices/{id}/…`: JSON with a number (mid) that the answer repeats.
    #[default]
    Legacy,
    /// `$oc/devices/{id}/sys/commands/…`: the request id stands in the topic.
    Oc,
}

/// By what a command is named on the wire, and its answer with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The number of the older family, 1–65535.
    Mid(u16),
    /// The request id of the newer one: the command's id.
    RequestId(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mid(mid) => write!(f, "mid:{mid}"),
            Self::RequestId(id) => f.write_str(id),
        }
    }
}

/// A command as it reached the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its name on the wire.
    pub key: Key,
    /// `serviceId`, or `service_id`; empty if it was not there.
    pub service: String,
    /// `cmd`, or `command_name`; empty if it was not there.
    pub method: String,
    /// `paras`; null if it was not there.
    pub paras: Value,
    /// The quality of service it came with.
    pub qos: Qos,
    /// Whether it was marked as a repetition of a PUBLISH in this session.
    pub dup: bool,
    /// The bytes it came as.
    pub payload: Bytes,
}

impl Family {
    /// The filter under which the device `id` gets its commands.
    pub fn command_filter(self, id: &str) -> String {
        match self {
            Self::Legacy => format!("/huawei/v1/devices/{id}/command/json"),
            Self::Oc => format!("$oc/devices/{id}/sys/commands/#"),
        }
    }

    /// Where the device `id` answers the command `key`.
    pub fn answer_topic(self, id: &str, key: &Key) -> String {
        match self {
            Self::Legacy => format!("/huawei/v1/devices/{id}/data/json"),
            Self::Oc => format!("$oc/devices/{id}/sys/commands/response/request_id={key}"),
        }
    }

    /// The answer to the command `key`: `code` 0 is success, `body` is an object.
    pub fn answer_payload(self, key: &Key, method: &str, code: i64, body: &Value) -> Bytes {
        let answer = match (self, key) {
            (Self::Legacy, Key::Mid(mid)) => {
                json!({"msgType": "deviceRsp", "mid": mid, "errcode": code, "body": body})
            }
            (Self::Legacy, Key::RequestId(_)) | (Self::Oc, _) => {
                json!({"result_code": code, "response_name": format!("{method}_RSP"), "paras": body})
            }
        };
        answer.to_string().into()
    }

    /// Reads a message to the device `id` as a command; `None` if it is not one.
    pub fn read_command(
        self,
        id: &str,
        topic: &str,
        payload: &Bytes,
        qos: Qos,
        dup: bool,
    ) -> Option<Command> {
        let message: Value = serde_json::from_slice(payload).ok()?;
        let (key, service, method) = match self {
            Self::Legacy => (legacy_key(id, topic, &message)?, "serviceId", "cmd"),
            Self::Oc => (oc_key(id, topic)?, "service_id", "command_name"),
        };
        Some(Command {
            key,
            service: text(&message, service),
            method: text(&message, method),
            paras: message.get("paras").cloned().unwrap_or(Value::Null),
            qos,
            dup,
            payload: payload.clone(),
        })
    }
}

fn legacy_key(id: &str, topic: &str, message: &Value) -> Option<Key> {
    let ours = topic == Family::Legacy.command_filter(id) && text(message, "msgType") == "cloudReq";
    let mid = message
        .get("mid")
        .and_then(Value::as_u64)
        .and_then(|mid| u16::try_from(mid).ok())?;
    (ours && mid != 0).then_some(Key::Mid(mid))
}

fn oc_key(id: &str, topic: &str) -> Option<Key> {
    let request_id = topic
        .strip_prefix("$oc/devices/")?
        .strip_prefix(id)?
        .strip_prefix("/sys/commands/request_id=")?;
    Some(Key::RequestId(request_id.to_owned()))
}

fn text(message: &Value, member: &str) -> String {
    message
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(family: Family, topic: &str, payload: &'static str) -> Option<Command> {
        family.read_command(
            "d_1",
            topic,
            &Bytes::from_static(payload.as_bytes()),
            Qos::One,
            false,
        )
    }

    #[test]
    fn a_legacy_command_and_its_answer() {
        let text = r#"{"msgType":"cloudReq","serviceId":"Lamp","mid":42,"cmd":"SWITCH","paras":{"value":1}}"#;
        let command = read(Family::Legacy, "/huawei/v1/devices/d_1/command/json", text).unwrap();
        assert_eq!(
            (command.key.clone(), command.service.as_str()),
            (Key::Mid(42), "Lamp")
        );
        assert_eq!(
            (command.method.as_str(), &command.paras),
            ("SWITCH", &json!({"value": 1}))
        );
        let answer = Family::Legacy.answer_payload(&command.key, "SWITCH", 1, &json!({"result": 0}));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            answer,
            json!({"msgType": "deviceRsp", "mid": 42, "errcode": 1, "body": {"result": 0}})
        );
        assert_eq!(
            Family::Legacy.answer_topic("d_1", &command.key),
            "/huawei/v1/devices/d_1/data/json"
        );
    }

    #[test]
    fn an_oc_command_and_its_answer() {
        let text = r#"{"service_id":"Lamp","command_name":"SWITCH","paras":{"value":"ON"}}"#;
        let command = read(Family::Oc, "$oc/devices/d_1/sys/commands/request_id=ab12", text).unwrap();
        assert_eq!(command.key, Key::RequestId("ab12".into()));
        assert_eq!(
            Family::Oc.answer_topic("d_1", &command.key),
            "$oc/devices/d_1/sys/commands/response/request_id=ab12"
        );
        let answer: Value =
            serde_json::from_slice(&Family::Oc.answer_payload(&command.key, "SWITCH", 0, &json!({})))
                .unwrap();
        assert_eq!(
            answer,
            json!({"result_code": 0, "response_name": "SWITCH_RSP", "paras": {}})
        );
    }

    #[test]
    fn what_is_not_a_command_to_this_device_is_none() {
        let legacy = r#"{"msgType":"cloudReq","mid":42}"#;
        assert!(read(Family::Legacy, "/huawei/v1/devices/other/command/json", legacy).is_none());
        assert!(
            read(
                Family::Legacy,
                "/huawei/v1/devices/d_1/command/json",
                r#"{"msgType":"cloudReq","mid":0}"#
            )
            .is_none()
        );
        assert!(
            read(
                Family::Legacy,
                "/huawei/v1/devices/d_1/command/json",
                r#"{"msgType":"cloudRsp","mid":1}"#
            )
            .is_none()
        );
        assert!(read(Family::Legacy, "/huawei/v1/devices/d_1/command/json", "not json").is_none());
        // The device's own filter matches its answers too; an echo of one is no command.
        assert!(
            read(
                Family::Oc,
                "$oc/devices/d_1/sys/commands/response/request_id=ab12",
                "{}"
            )
            .is_none()
        );
        assert!(read(Family::Oc, "$oc/devices/d_12/sys/commands/request_id=ab12", "{}").is_none());
    }
}
