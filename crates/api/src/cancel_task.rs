//! Bodies around cancel tasks.

use serde::{Deserialize, Serialize};

use crate::command::{DeviceCommandResp, Pagination};
use crate::field::{self, Invalid, Member};

/// Reads the body of a call that makes a cancel task: gives the device's id.
pub fn parse_cancel_task(text: &str) -> Result<String, Invalid> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, rename = "deviceId", alias = "deviceid")]
        device_id: Member<'a>,
    }
    let body: Body<'_> = field::object("body", text)?;
    field::required("deviceId", body.device_id, 64)
}

/// A cancel task, members in the documented order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelTaskResp<'a> {
    /// 32 hex digits.
    pub task_id: &'a str,
    /// Whose.
    pub app_id: &'a str,
    /// Of which device the commands are.
    pub device_id: &'a str,
    /// `WAITTING` (so spelt), `RUNNING`, `SUCCESS`, `PART_SUCCESS`, `FAILED`.
    pub status: &'static str,
    /// How many commands were PENDING when it was made.
    pub total_count: u64,
    /// The first of them, as they stand.
    pub device_commands: Vec<DeviceCommandResp<'a>>,
}

/// A page of cancel tasks.
#[derive(Debug, Serialize)]
pub struct CancelTaskPage<'a> {
    /// Which page.
    pub pagination: Pagination,
    /// Its tasks.
    pub data: Vec<CancelTaskResp<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_asked_for_by_device() {
        for good in [r#"{"deviceId":"d1"}"#, r#"{"deviceid":"d1","appId":"x"}"#] {
            assert_eq!(parse_cancel_task(good), Ok("d1".to_owned()), "{good}");
        }
        for (bad, field) in [
            ("", "body"),
            ("[]", "body"),
            ("{}", "deviceId"),
            (r#"{"deviceId":null}"#, "deviceId"),
            (r#"{"deviceId":7}"#, "deviceId"),
            (r#"{"deviceId":""}"#, "deviceId"),
        ] {
            assert_eq!(parse_cancel_task(bad).unwrap_err().field, field, "{bad}");
        }
    }

    #[test]
    fn members_stand_in_the_documented_order() {
        let task = CancelTaskResp {
            task_id: "t",
            app_id: "a",
            device_id: "d",
            status: "WAITTING",
            total_count: 0,
            device_commands: Vec::new(),
        };
        let expected = r#"{"taskId":"t","appId":"a","deviceId":"d","status":"WAITTING","totalCount":0,"deviceCommands":[]}"#;
        assert_eq!(serde_json::to_string(&task).unwrap(), expected);
    }
}
