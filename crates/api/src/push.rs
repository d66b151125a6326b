//! What is pushed to a receiver when a command changes: one compact JSON body, members in the platform's order.
//!
//! Compact matters: the platform's own SDKs dispatch by looking for substrings without blanks.

use serde_json::value::RawValue;

/// The body that tells a receiver of one change of a command:
/// `{"deviceId":"…","commandId":"…","result":{"resultCode":"SENT","resultDetail":null}}`.
///
/// `status` is the word on the wire. `result` is the device's own result as JSON text; it stands in `resultDetail`
/// as it came if it is a JSON object. Receivers know `resultDetail` as null or an object, so anything else (text
/// that is not JSON, an array, a number) becomes null: a body that every receiver can read is worth more there.
pub fn status_change(device_id: &str, command_id: &str, status: &str, result: Option<&str>) -> Vec<u8> {
    let detail = result.and_then(object).unwrap_or("null");
    let mut body = Vec::with_capacity(104 + device_id.len() + command_id.len() + status.len() + detail.len());
    body.extend_from_slice(b"{\"deviceId\":");
    put_text(&mut body, device_id);
    body.extend_from_slice(b",\"commandId\":");
    put_text(&mut body, command_id);
    body.extend_from_slice(b",\"result\":{\"resultCode\":");
    put_text(&mut body, status);
    body.extend_from_slice(b",\"resultDetail\":");
    body.extend_from_slice(detail.as_bytes());
    body.extend_from_slice(b"}}");
    body
}

/// The text without blanks around it, if it is a JSON object.
pub(crate) fn object(text: &str) -> Option<&str> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let whole = text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
    whole.then_some(text)
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    // Ids and statuses, nearly always: nothing in them is escaped.
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        body.push(b'"');
        body.extend_from_slice(text.as_bytes());
        body.push(b'"');
        return;
    }
    serde_json::to_writer(body, text).expect("text is always JSON, and a buffer takes all of it");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Option<&str>) -> String {
        String::from_utf8(status_change("0d0c-1", "7a", "SUCCESSFUL", result)).unwrap()
    }

    #[test]
    fn the_body_is_compact_and_in_order() {
        assert_eq!(
            String::from_utf8(status_change("0d0c-1", "7a", "SENT", None)).unwrap(),
            r#"{"deviceId":"0d0c-1","commandId":"7a","result":{"resultCode":"SENT","resultDetail":null}}"#
        );
    }

    #[test]
    fn an_object_is_passed_through_and_all_else_is_null() {
        let head =
            r#"{"deviceId":"0d0c-1","commandId":"7a","result":{"resultCode":"SUCCESSFUL","resultDetail":"#;
        for (result, detail) in [
            (r#"{"light":1,"big":123456789012345678901234567890}"#, None),
            (" {\"a\": {}}\n", Some(r#"{"a": {}}"#)),
            ("[1]", Some("null")),
            ("7", Some("null")),
            ("null", Some("null")),
            ("{\"a\":1", Some("null")),
            ("{}{}", Some("null")),
            ("", Some("null")),
        ] {
            let detail = detail.unwrap_or(result);
            assert_eq!(text(Some(result)), format!("{head}{detail}}}}}"), "{result}");
        }
    }

    #[test]
    fn ids_are_escaped() {
        let body = status_change("a\"b", "c\\", "SENT", None);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (value["deviceId"].as_str(), value["commandId"].as_str()),
            (Some("a\"b"), Some("c\\"))
        );
    }
}
