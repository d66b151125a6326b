//! Payloads of both families: commands to text, results from text.
//!
//! `paras` and the body of a result are passed on as the text they came as. What devices leave out, add or put in
//! another order is tolerated as far as the meaning stays clear.

use std::fmt::Write;

use downlink_core::lifecycle::Reply;
use downlink_core::{CommandBody, Mid};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A command of the legacy family.
pub(super) fn legacy_command(body: &CommandBody, mid: Mid) -> String {
    let mut text = String::with_capacity(body.paras.len() + body.service.len() + body.method.len() + 80);
    text.push_str(r#"{"msgType":"cloudReq","serviceId":"#);
    push_json_string(&mut text, &body.service);
    text.push_str(r#","cmd":"#);
    push_json_string(&mut text, &body.method);
    let paras = paras(body);
    write!(text, r#","paras":{paras},"mid":{}}}"#, mid.number()).expect("writing to a string cannot fail");
    text
}

/// A command of the `$oc` family.
pub(super) fn oc_command(body: &CommandBody) -> String {
    let mut text = String::with_capacity(body.paras.len() + body.service.len() + body.method.len() + 60);
    write!(text, r#"{{"paras":{},"service_id":"#, paras(body)).expect("writing to a string cannot fail");
    push_json_string(&mut text, &body.service);
    text.push_str(r#","command_name":"#);
    push_json_string(&mut text, &body.method);
    text.push('}');
    text
}

fn paras(body: &CommandBody) -> &str {
    match body.paras.trim() {
        "" => "{}",
        paras => paras,
    }
}

fn push_json_string(text: &mut String, value: &str) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

/// A device's answer, and by which mid it names the command (legacy family only).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) mid: Option<Mid>,
    pub(super) reply: Reply,
}

/// What a message of the legacy family says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LegacyData {
    /// The result of a command.
    Answer(Answer),
    /// A report, or something of a kind not known here.
    Report,
    /// Not JSON, or not an object.
    Unreadable,
}

#[derive(Deserialize)]
struct LegacyMessage<'a> {
    #[serde(default, borrow, rename = "msgType")]
    kind: Option<&'a RawValue>,
    #[serde(default, borrow)]
    mid: Option<&'a RawValue>,
    #[serde(default, borrow)]
    errcode: Option<&'a RawValue>,
    #[serde(default, borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OcMessage<'a> {
    #[serde(default, borrow)]
    result_code: Option<&'a RawValue>,
    #[serde(default, borrow)]
    paras: Option<&'a RawValue>,
}

/// A JSON object of this shape; arrays, which the parser would take for one, are none.
fn object<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    match payload.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(payload).ok(),
        Some(_) | None => None,
    }
}

/// Reads a message of the legacy family. Bodies longer than `most` are left out of the result.
pub(super) fn legacy_data(payload: &[u8], most: usize) -> LegacyData {
    let Some(message) = object::<LegacyMessage<'_>>(payload) else {
        return LegacyData::Unreadable;
    };
    if message.kind.map(RawValue::get) != Some(r#""deviceRsp""#) {
        return LegacyData::Report;
    }
    let mid = match Code::of(message.mid) {
        Code::Is(number) => u16::try_from(number).ok().and_then(Mid::new),
        Code::Absent | Code::Unreadable => None,
    };
    let reply = reply("errcode", Code::of(message.errcode), message.body, most);
    LegacyData::Answer(Answer { mid, reply })
}

/// Reads a result of the `$oc` family; `None`: not JSON, or not an object. Nothing at all is a success without body.
pub(super) fn oc_result(payload: &[u8], most: usize) -> Option<Reply> {
    let payload = match payload {
        [] => b"{}",
        payload => payload,
    };
    let message = object::<OcMessage<'_>>(payload)?;
    Some(reply(
        "result_code",
        Code::of(message.result_code),
        message.paras,
        most,
    ))
}

/// Whether a payload is compressed, which is not read yet.
pub(super) fn is_gzip(payload: &[u8]) -> bool {
    payload.starts_with(&[0x1f, 0x8b])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Absent,
    Is(i64),
    Unreadable,
}

impl Code {
    /// Some devices write numbers as strings.
    fn of(value: Option<&RawValue>) -> Self {
        match value.map(RawValue::get) {
            None => Self::Absent,
            Some(text) => text.trim_matches('"').parse().map_or(Self::Unreadable, Self::Is),
        }
    }
}

/// 0 or nothing is success. A code that is no number is not.
fn reply(name: &str, code: Code, body: Option<&RawValue>, most: usize) -> Reply {
    let (ok, mut detail) = match code {
        Code::Absent => (true, format!("no {name}")),
        Code::Is(number) => (number == 0, format!("{name} {number}")),
        Code::Unreadable => (false, format!("{name} is not a number")),
    };
    let body = match body.map(RawValue::get) {
        None => None,
        Some(body) if body.len() > most => {
            write!(detail, "; body of {} bytes left out", body.len())
                .expect("writing to a string cannot fail");
            None
        }
        Some(body) if body.starts_with('{') => Some(body.to_owned()),
        Some(_) => {
            detail.push_str("; body left out, it is not an object");
            None
        }
    };
    Reply { ok, body, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(paras: &str) -> CommandBody {
        CommandBody {
            service: "Lamp".into(),
            method: "SWI\"TCH".into(),
            paras: paras.into(),
        }
    }

    #[test]
    fn commands_are_written_as_devices_expect_them() {
        let mid = Mid::new(42).unwrap();
        assert_eq!(
            legacy_command(&body(r#"{"value": 1.0}"#), mid),
            r#"{"msgType":"cloudReq","serviceId":"Lamp","cmd":"SWI\"TCH","paras":{"value": 1.0},"mid":42}"#
        );
        assert_eq!(
            oc_command(&body(r#"{"value":"ON"}"#)),
            r#"{"paras":{"value":"ON"},"service_id":"Lamp","command_name":"SWI\"TCH"}"#
        );
        assert!(oc_command(&body("")).contains(r#""paras":{}"#));
    }

    fn answer(text: &str) -> (Option<u16>, bool, Option<String>, String) {
        match legacy_data(text.as_bytes(), 30) {
            LegacyData::Answer(Answer { mid, reply }) => {
                (mid.map(Mid::number), reply.ok, reply.body, reply.detail)
            }
            other @ (LegacyData::Report | LegacyData::Unreadable) => panic!("{other:?}: {text}"),
        }
    }

    #[test]
    fn results_of_the_legacy_family_are_read_whatever_the_order() {
        let some = |text: &str| Some(text.to_owned());
        #[rustfmt::skip]
        let cases = [
            (r#"{"msgType":"deviceRsp","mid":42,"errcode":0,"body":{"result":0}}"#, (Some(42), true, some(r#"{"result":0}"#), "errcode 0")),
            (r#"{"mid":42,"errcode":1,"msgType":"deviceRsp","hasMore":0,"body":{"a": 1 }}"#, (Some(42), false, some(r#"{"a": 1 }"#), "errcode 1")),
            (r#"{"msgType":"deviceRsp","mid":"7","errcode":"0"}"#, (Some(7), true, None, "errcode 0")),
            (r#"{"msgType":"deviceRsp","mid":65535}"#, (Some(65535), true, None, "no errcode")),
            (r#"{"msgType":"deviceRsp","mid":0,"errcode":-3,"body":null}"#, (None, false, None, "errcode -3")),
            (r#"{"msgType":"deviceRsp","mid":65536,"errcode":null}"#, (None, true, None, "no errcode")),
            (r#"{"msgType":"deviceRsp","mid":{},"errcode":true,"body":"x"}"#, (None, false, None, "errcode is not a number; body left out, it is not an object")),
            (r#"{"msgType":"deviceRsp","mid":1,"errcode":0,"body":{"long":"aaaaaaaaaaaaaaaaaaaaaaaaa"}}"#, (Some(1), true, None, "errcode 0; body of 36 bytes left out")),
        ];
        for (text, (mid, ok, body, detail)) in cases {
            assert_eq!(answer(text), (mid, ok, body, detail.to_owned()), "{text}");
        }
    }

    #[test]
    fn reports_and_noise_are_no_results() {
        for text in [
            r#"{"msgType":"deviceReq","hasMore":0,"data":[{"serviceId":"Lamp","serviceData":{"lux":7}}]}"#,
            r#"{"mid":1,"errcode":0}"#,
            "{}",
        ] {
            assert_eq!(legacy_data(text.as_bytes(), 9), LegacyData::Report, "{text}");
        }
        for noise in [
            b"".as_slice(),
            b"[]",
            b"{",
            b"\x1f\x8b\x08",
            b"{\"mid\":\"\xff\"}",
        ] {
            assert_eq!(legacy_data(noise, 9), LegacyData::Unreadable, "{noise:?}");
        }
    }

    #[test]
    fn results_of_the_oc_family_may_leave_out_what_they_like() {
        let some = |text: &str| Some(text.to_owned());
        #[rustfmt::skip]
        let cases = [
            (r#"{"result_code":0,"response_name":"SWITCH_RSP","paras":{"state":"ON"}}"#, (true, some(r#"{"state":"ON"}"#), "result_code 0")),
            (r#"{"result_code":0}"#, (true, None, "result_code 0")),
            (r#"{"response_name":"","paras":{}}"#, (true, some("{}"), "no result_code")),
            (r#"{"paras":{"a":1},"result_desc":"x","result_code":7}"#, (false, some(r#"{"a":1}"#), "result_code 7")),
            ("{}", (true, None, "no result_code")),
            ("", (true, None, "no result_code")),
            (r#"{"result_code":"nope"}"#, (false, None, "result_code is not a number")),
        ];
        for (text, (ok, body, detail)) in cases {
            let detail = detail.to_owned();
            let expected = Some(Reply { ok, body, detail });
            assert_eq!(oc_result(text.as_bytes(), 99), expected, "{text}");
        }
        for noise in [b"[]".as_slice(), b"nope", b"\x1f\x8b\x08\0"] {
            assert_eq!(oc_result(noise, 99), None, "{noise:?}");
        }
        assert!(is_gzip(b"\x1f\x8b\x08\0") && !is_gzip(b"{}"));
    }
}
