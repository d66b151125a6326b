//! The feed: an application's changes of commands, pulled or streamed. An extension.

use downlink_core::{CommandId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::command::raw_object;
use crate::time::IsoTime;

/// A page of the feed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedBody<'a> {
    /// The changes, oldest first.
    pub items: Vec<FeedEntry<'a>>,
    /// What to ask after next time.
    pub next_cursor: String,
    /// There are more already.
    pub more: bool,
}

/// One change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedEntry<'a> {
    /// The place after it.
    pub cursor: String,
    /// The same as in the push that tells it.
    pub webhook_id: String,
    /// Of which command.
    pub command_id: String,
    /// Of which device.
    pub device_id: &'a str,
    /// Its place in the command's record.
    pub sequence: u16,
    /// The status from then on.
    pub status: &'static str,
    /// When.
    pub at: IsoTime,
    /// The device's result, if it is a JSON object.
    pub result_detail: Option<&'a RawValue>,
}

impl<'a> FeedEntry<'a> {
    /// The entry of a change.
    pub fn new(
        cursor: String,
        command: CommandId,
        device_id: &'a str,
        sequence: u16,
        status: &'static str,
        at: Timestamp,
        result: Option<&'a str>,
    ) -> Self {
        Self {
            cursor,
            webhook_id: format!("{command}-{sequence}"),
            command_id: command.to_string(),
            device_id,
            sequence,
            status,
            at: IsoTime(at),
            result_detail: result.and_then(raw_object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_on_the_wire() {
        let command = CommandId::from_parts(1, 7, 1, 2);
        let entry = |result| {
            let entry = FeedEntry::new(
                "c".into(),
                command,
                "d",
                4,
                "SUCCESSFUL",
                Timestamp::from_millis(0),
                result,
            );
            serde_json::to_string(&entry).unwrap()
        };
        let golden = format!(
            r#"{{"cursor":"c","webhookId":"{command}-4","commandId":"{command}","deviceId":"d","sequence":4,"status":"SUCCESSFUL","at":"1970-01-01T00:00:00.000Z","resultDetail":{{"a": 1}}}}"#
        );
        assert_eq!(entry(Some(r#"{"a": 1}"#)), golden);
        for none in [None, Some("7"), Some("[]"), Some("{")] {
            assert!(entry(none).ends_with(r#""resultDetail":null}"#));
        }
    }
}
