//! Messages as JSON, in the two forms that devices and scripts of the platform know.
//!
//! Legacy: `msgType` (`cloudReq`, `cloudRsp`; `deviceReq`, `deviceRsp`). Later: `msg_type` (`commands`;
//! `properties_report`, `command_response`). What goes out has the members of both; what comes in may be either. Values
//! inside are passed on as the text they are.

use downlink_core::Mid;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Object;
use crate::message::{Command, CommandResult, FromDevice, Report, ReportAnswer, ServiceData, ToDevice};

/// A command as JSON devices get it: the legacy form.
pub(crate) fn command_for_device(command: &Command<'_>) -> Result<String, String> {
    let mut object = Object::default();
    object.put_text("msgType", "cloudReq");
    object.put_text("serviceId", command.service);
    object.put_text("cmd", command.command);
    object.put("paras", paras(command.paras)?);
    object.put("hasMore", bit(command.has_more));
    if let Some(mid) = command.mid {
        object.put("mid", &mid.number().to_string());
    }
    Ok(object.text())
}

/// A message as scripts get it: the members of both forms.
pub(crate) fn for_script(message: &ToDevice<'_>) -> Result<String, String> {
    match message {
        ToDevice::Command(command) => command_for_script(command),
        ToDevice::ReportAnswer(answer) => Ok(answer_for_script(answer)),
    }
}

fn command_for_script(command: &Command<'_>) -> Result<String, String> {
    let mut object = Object::default();
    if let Some(identifier) = command.identifier {
        object.put_text("identifier", identifier);
    }
    object.put_text("msgType", "cloudReq");
    object.put_text("msg_type", "commands");
    object.put_text("serviceId", command.service);
    object.put_text("service_id", command.service);
    object.put_text("cmd", command.command);
    object.put_text("command_name", command.command);
    object.put("paras", paras(command.paras)?);
    object.put("hasMore", bit(command.has_more));
    if let Some(mid) = command.mid {
        let number = mid.number().to_string();
        object.put("mid", &number);
        object.put("request_id", &number);
    }
    Ok(object.text())
}

fn answer_for_script(answer: &ReportAnswer<'_>) -> String {
    let mut object = Object::default();
    if let Some(identifier) = answer.identifier {
        object.put_text("identifier", identifier);
    }
    object.put_text("msgType", "cloudRsp");
    object.put_text("msg_type", "report_answer");
    let request: Vec<_> = answer.request.iter().map(u8::to_string).collect();
    object.put("request", &format!("[{}]", request.join(",")));
    object.put("errcode", &answer.errcode.to_string());
    object.put("hasMore", bit(answer.has_more));
    object.text()
}

fn paras(text: &str) -> Result<&str, String> {
    match text.trim() {
        "" => Ok("{}"),
        text if object::<Any>(text).is_some() => Ok(text),
        _ => Err("must be a JSON object".to_owned()),
    }
}

const fn bit(is: bool) -> &'static str {
    if is { "1" } else { "0" }
}

/// What a device said in the legacy form.
pub(crate) fn said(message: &FromDevice) -> String {
    let mut object = Object::default();
    let (kind, identifier) = match message {
        FromDevice::Report(report) => ("deviceReq", &report.identifier),
        FromDevice::Result(result) => ("deviceRsp", &result.identifier),
    };
    object.put_text("msgType", kind);
    if let Some(identifier) = identifier {
        object.put_text("identifier", identifier);
    }
    match message {
        FromDevice::Report(report) => {
            object.put("hasMore", bit(report.has_more));
            let data: Vec<_> = report.data.iter().map(said_of_service).collect();
            object.put("data", &format!("[{}]", data.join(",")));
        }
        FromDevice::Result(result) => {
            if let Some(mid) = result.mid {
                object.put("mid", &mid.number().to_string());
            }
            object.put("errcode", &result.errcode.to_string());
            if let Some(body) = &result.body {
                object.put("body", body);
            }
        }
    }
    object.text()
}

fn said_of_service(service: &ServiceData) -> String {
    let mut object = Object::default();
    object.put_text("serviceId", &service.service);
    object.put("serviceData", &service.data);
    if let Some(time) = &service.event_time {
        object.put_text("eventTime", time);
    }
    object.text()
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(default, borrow, rename = "msgType")]
    legacy: Option<&'a RawValue>,
    #[serde(default, borrow)]
    msg_type: Option<&'a RawValue>,
    #[serde(default, borrow)]
    identifier: Option<&'a RawValue>,
    #[serde(default, borrow, rename = "hasMore")]
    has_more: Option<&'a RawValue>,
    #[serde(default, borrow)]
    mid: Option<&'a RawValue>,
    #[serde(default, borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    errcode: Option<&'a RawValue>,
    #[serde(default, borrow)]
    result_code: Option<&'a RawValue>,
    #[serde(default, borrow)]
    body: Option<&'a RawValue>,
    #[serde(default, borrow)]
    paras: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    services: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Service<'a> {
    #[serde(borrow, alias = "serviceId")]
    service_id: Option<&'a RawValue>,
    #[serde(default, borrow, alias = "serviceData")]
    properties: Option<&'a RawValue>,
    #[serde(default, borrow, alias = "eventTime")]
    event_time: Option<&'a RawValue>,
}

/// What is wrong, and with which member.
pub(crate) type Fault = (String, String);

fn fault<T>(member: impl Into<String>, reason: impl Into<String>) -> Result<T, Fault> {
    Err((member.into(), reason.into()))
}

/// Reads a message of a device, or of its script.
pub(crate) fn from_device(text: &str) -> Result<FromDevice, Fault> {
    let Some(said) = object::<Said<'_>>(text) else {
        return fault("the message", "must be a JSON object");
    };
    let kind = said.legacy.or(said.msg_type).map(RawValue::get);
    match kind.map(|kind| kind.trim_matches('"')) {
        Some("deviceReq" | "properties_report") => report(&said),
        Some("deviceRsp" | "command_response") => result(&said),
        None if said.services.is_some() => report(&said),
        None => fault(
            "msgType",
            "is missing: deviceReq (a report) or deviceRsp (a result)",
        ),
        Some(other) => {
            let reason = "must be deviceReq or deviceRsp (msg_type: properties_report or command_response)";
            fault("msgType", format!("{reason}, not {}", cut(other)))
        }
    }
}

fn report(said: &Said<'_>) -> Result<FromDevice, Fault> {
    let (name, list) = match (said.data, said.services) {
        (Some(data), _) => ("data", data),
        (None, Some(services)) => ("services", services),
        (None, None) => return fault("data", "is missing: the services with what they report"),
    };
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else {
        return fault(name, "must be a list");
    };
    let data = list.iter().enumerate();
    let data = data.map(|(i, entry)| service(&format!("{name}[{i}]"), entry.get()));
    Ok(FromDevice::Report(Report {
        identifier: said.identifier.and_then(text),
        has_more: said
            .has_more
            .is_some_and(|raw| !matches!(raw.get(), "0" | "false" | "null" | "\"0\"")),
        data: data.collect::<Result<_, _>>()?,
    }))
}

fn service(place: &str, entry: &str) -> Result<ServiceData, Fault> {
    let Some(entry) = object::<Service<'_>>(entry) else {
        return fault(place, "must be an object with serviceId and serviceData");
    };
    let Some(service) = entry.service_id.and_then(text).filter(|name| !name.is_empty()) else {
        return fault(format!("{place}.serviceId"), "must be a text, and not empty");
    };
    let data = entry.properties.map_or("", RawValue::get);
    if object::<Any>(data).is_none() {
        return fault(format!("{place}.serviceData"), "must be an object");
    }
    Ok(ServiceData {
        service,
        data: data.to_owned(),
        event_time: entry.event_time.and_then(text),
    })
}

fn result(said: &Said<'_>) -> Result<FromDevice, Fault> {
    let mid = said.mid.or(said.request_id).and_then(number);
    let (name, code) = match (said.errcode, said.result_code) {
        (Some(code), _) => ("errcode", Some(code)),
        (None, code) => ("result_code", code),
    };
    // None: it worked.
    let Some(errcode) = code.map_or(Some(0), number) else {
        return fault(name, "must be a whole number");
    };
    let body = said
        .body
        .or(said.paras)
        .map(RawValue::get)
        .filter(|body| *body != "null");
    if body.is_some_and(|body| object::<Any>(body).is_none()) {
        return fault("body", "must be an object");
    }
    Ok(FromDevice::Result(CommandResult {
        identifier: said.identifier.and_then(text),
        mid: mid.and_then(|mid| u16::try_from(mid).ok()).and_then(Mid::new),
        errcode,
        body: body.map(str::to_owned),
    }))
}

#[derive(Deserialize)]
struct Any {}

/// A JSON object of this shape; arrays, which the parser would take for one, are none.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).ok(),
        false => None,
    }
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Some write numbers as texts.
fn number(raw: &RawValue) -> Option<i64> {
    raw.get().trim_matches('"').parse().ok()
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_report() {
        let legacy = r#"{"msgType":"deviceReq","hasMore":1,"identifier":"7","data":[
            {"serviceId":"Lamp","serviceData":{"lux": 7.0},"eventTime":"20260102T080000Z"}]}"#;
        let later = r#"{"msg_type":"properties_report","services":[{"service_id":"Lamp","properties":{"lux": 7.0}}]}"#;
        for (text, has_more, event_time) in [(legacy, true, Some("20260102T080000Z")), (later, false, None)] {
            match from_device(text).unwrap() {
                FromDevice::Report(report) => {
                    assert_eq!(report.has_more, has_more);
                    assert_eq!(
                        (report.data[0].service.as_str(), report.data[0].data.as_str()),
                        ("Lamp", r#"{"lux": 7.0}"#)
                    );
                    assert_eq!(report.data[0].event_time.as_deref(), event_time);
                }
                other @ FromDevice::Result(_) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn both_forms_of_a_result() {
        let legacy = r#"{"msgType":"deviceRsp","mid":42,"errcode":0,"body":{"a":1}}"#;
        let later = r#"{"msg_type":"command_response","request_id":"42","result_code":0,"paras":{"a":1}}"#;
        for text in [legacy, later] {
            let want = CommandResult {
                identifier: None,
                mid: Mid::new(42),
                errcode: 0,
                body: Some(r#"{"a":1}"#.to_owned()),
            };
            assert_eq!(from_device(text), Ok(FromDevice::Result(want)));
        }
        match from_device(r#"{"msgType":"deviceRsp"}"#).unwrap() {
            FromDevice::Result(result) => {
                assert_eq!((result.mid, result.errcode, result.body), (None, 0, None))
            }
            other @ FromDevice::Report(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_read_can_be_written() {
        for text in [
            r#"{"msgType":"deviceReq","hasMore":1,"data":[{"serviceId":"L","serviceData":{"a": 1.0},"eventTime":"t"}]}"#,
            r#"{"msgType":"deviceReq","identifier":"7","hasMore":0,"data":[]}"#,
            r#"{"msgType":"deviceRsp","mid":42,"errcode":3,"body":{"a":1}}"#,
            r#"{"msgType":"deviceRsp","errcode":0}"#,
        ] {
            assert_eq!(said(&from_device(text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, member) in [
            ("[]", "the message"),
            ("{", "the message"),
            ("{}", "msgType"),
            (r#"{"msgType":"cloudReq"}"#, "msgType"),
            (r#"{"msgType":"deviceReq"}"#, "data"),
            (r#"{"msgType":"deviceReq","data":{}}"#, "data"),
            (r#"{"msgType":"deviceReq","data":[1]}"#, "data[0]"),
            (
                r#"{"msgType":"deviceReq","data":[{"serviceId":"L","serviceData":{}},{"serviceData":{}}]}"#,
                "data[1].serviceId",
            ),
            (
                r#"{"msgType":"deviceReq","data":[{"serviceId":"L","serviceData":[]}]}"#,
                "data[0].serviceData",
            ),
            (r#"{"msgType":"deviceRsp","mid":1,"errcode":"x"}"#, "errcode"),
            (r#"{"msgType":"deviceRsp","mid":1,"body":[]}"#, "body"),
        ] {
            assert_eq!(from_device(text).unwrap_err().0, member, "{text}");
        }
    }
}
