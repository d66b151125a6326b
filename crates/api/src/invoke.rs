//! Bodies around the invocation of a device's service (`sendCommand`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::field::{self, Invalid, Member};
use crate::time::WireTime;

/// A request to have a device do something now, checked as far as its text goes. Who it is from and whom it is to
/// (`from`, `toType`, `to`, `callbackURL`) is not read: the path and the subscriptions say it.
#[derive(Debug, PartialEq, Eq)]
pub struct Invoke<'a> {
    /// Whether the device is to answer.
    pub answer: bool,
    /// 1 to 128 characters.
    pub method: String,
    /// The application's own id of the call, at most 128 characters.
    pub request_id: Option<String>,
    /// A JSON object, as it came; empty where it is absent.
    pub paras: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    header: Member<'a>,
    #[serde(borrow)]
    body: Member<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    #[serde(borrow)]
    mode: Member<'a>,
    #[serde(borrow)]
    method: Member<'a>,
    #[serde(borrow, alias = "requestid")]
    request_id: Member<'a>,
}

impl<'a> Invoke<'a> {
    /// Reads the body of an invocation; `max_paras`: the most bytes that its `body` may have.
    pub fn parse(text: &'a str, max_paras: usize) -> Result<Self, Invalid> {
        let body: Body<'a> = field::object("body", text)?;
        let header = body.header.ok_or_else(|| Invalid::missing("header"))?;
        let header: Header<'a> = field::object("header", header.get())?;
        Ok(Self {
            answer: answer(header.mode)?,
            method: field::required("header.method", header.method, 128)?,
            request_id: field::text("header.requestId", header.request_id, 0, 128)?
                .filter(|id| !id.is_empty()),
            paras: paras(body.body, max_paras)?,
        })
    }
}

/// ACK is the default.
fn answer(mode: Member<'_>) -> Result<bool, Invalid> {
    match field::text("header.mode", mode, 0, 16)?.as_deref() {
        None | Some("") => Ok(true),
        Some(mode) if mode.eq_ignore_ascii_case("ACK") => Ok(true),
        Some(mode) if mode.eq_ignore_ascii_case("NOACK") => Ok(false),
        Some(_) => Err(Invalid::new("header.mode", "must be ACK or NOACK")),
    }
}

fn paras(member: Member<'_>, max: usize) -> Result<Cow<'_, str>, Invalid> {
    let Some(raw) = member else {
        return Ok(Cow::Borrowed("{}"));
    };
    match raw.get() {
        text if !text.starts_with('{') => Err(Invalid::new("body", "must be a JSON object")),
        text if text.len() > max => Err(Invalid::new("body", format!("must have at most {max} bytes"))),
        text => Ok(Cow::Borrowed(text)),
    }
}

/// What an invocation is answered with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoked<'a> {
    /// The application's own, or the command's.
    pub request_id: &'a str,
    /// `sent`.
    pub status: &'static str,
    /// When. The platform's pages and its SDK spell the name differently, so it stands here under both.
    pub timestamp: WireTime,
    /// The same.
    pub time_stamp: WireTime,
}

#[cfg(test)]
mod tests {
    use downlink_core::Timestamp;

    use super::*;

    #[test]
    fn what_is_read_and_what_is_left_out() {
        let full = r#"{"header":{"mode":"NOACK","from":"/users/1","toType":"GATEWAY","to":"x","method":"SET","requestId":"r"},"body":{"a": 1}}"#;
        let read = Invoke::parse(full, 100).unwrap();
        assert_eq!(
            (
                read.answer,
                read.method.as_str(),
                read.request_id.as_deref(),
                &*read.paras
            ),
            (false, "SET", Some("r"), r#"{"a": 1}"#)
        );
        for least in [
            r#"{"header":{"method":"SET"}}"#,
            r#"{"header":{"mode":"ack","method":"SET","requestId":""},"body":null}"#,
        ] {
            let read = Invoke::parse(least, 100).unwrap();
            assert_eq!(
                (read.answer, read.request_id, &*read.paras),
                (true, None, "{}"),
                "{least}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bad, field) in [
            ("", "body"),
            ("{}", "header"),
            (r#"{"header":"x"}"#, "header"),
            (r#"{"header":{}}"#, "header.method"),
            (r#"{"header":{"method":"m","mode":"MAYBE"}}"#, "header.mode"),
            (r#"{"header":{"method":"m","requestId":7}}"#, "header.requestId"),
            (r#"{"header":{"method":"m"},"body":[]}"#, "body"),
            (r#"{"header":{"method":"m"},"body":{"a":"0123456789"}}"#, "body"),
        ] {
            assert_eq!(Invoke::parse(bad, 15).unwrap_err().field, field, "{bad}");
        }
    }

    #[test]
    fn the_answer_on_the_wire() {
        let at = WireTime(Timestamp::from_millis(1_700_000_000_000));
        let answer = Invoked {
            request_id: "r",
            status: "sent",
            timestamp: at,
            time_stamp: at,
        };
        let expected = r#"{"requestId":"r","status":"sent","timestamp":"20231114T221320Z","timeStamp":"20231114T221320Z"}"#;
        assert_eq!(serde_json::to_string(&answer).unwrap(), expected);
    }
}
