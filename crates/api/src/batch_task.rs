//! Bodies around batch tasks.

use std::collections::HashSet;

use downlink_core::CommandId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::command::{Command, callback_url, max_retransmit, paras};
use crate::field::{self, Invalid, Member};
use crate::time::WireTime;

/// How long a task may take, in minutes.
pub const MINUTES: std::ops::RangeInclusive<u64> = 10..=2880;
/// The most groups of a task.
const MAX_GROUPS: usize = 100;
/// The most tags of a task.
const MAX_TAGS: usize = 100;
/// Longest id or name of a device.
const MAX_TEXT: usize = 256;

/// Which devices a task is for.
#[derive(Debug, PartialEq, Eq)]
pub enum BatchDevices {
    /// Those with these ids, each once.
    List(Vec<String>),
    /// Those of this kind.
    Type {
        /// What they are.
        device_type: String,
        /// Who makes them.
        manufacturer_id: String,
        /// Their model.
        model: String,
    },
    /// Those with this `location`.
    Area(String),
    /// Those in these groups, named by id or by name, each once.
    Groups(Vec<String>),
    /// Those in the groups with these ids, each once.
    GroupIds(Vec<String>),
    /// All of the application's.
    All,
}

/// A request to make a batch task, checked as far as its text goes. The rules of callback URLs are the caller's.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateBatchTask<'a> {
    /// The application that it says to be for.
    pub app_id: Option<String>,
    /// 1 to 256 characters.
    pub name: String,
    /// Within [`MINUTES`].
    pub minutes: u32,
    /// For which devices.
    pub devices: BatchDevices,
    /// 1 to 64 characters.
    pub service_id: String,
    /// 1 to 128 characters.
    pub method: String,
    /// A JSON object, as it came.
    pub paras: &'a str,
    /// As it came.
    pub callback_url: Option<String>,
    /// 0 to 3.
    pub max_retransmit: Option<u8>,
    /// A JSON array as text.
    pub tags: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    app_id: Member<'a>,
    #[serde(borrow)]
    task_name: Member<'a>,
    #[serde(borrow)]
    task_type: Member<'a>,
    #[serde(borrow)]
    timeout: Member<'a>,
    #[serde(borrow)]
    param: Member<'a>,
    #[serde(borrow)]
    tags: Member<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Param<'a> {
    #[serde(borrow, rename = "type")]
    kind: Member<'a>,
    #[serde(borrow)]
    device_list: Member<'a>,
    #[serde(borrow)]
    device_type: Member<'a>,
    #[serde(borrow)]
    manufacturer_id: Member<'a>,
    #[serde(borrow)]
    model: Member<'a>,
    #[serde(borrow)]
    device_location: Member<'a>,
    #[serde(borrow, alias = "groupIdList")]
    group_list: Member<'a>,
    #[serde(borrow)]
    command: Member<'a>,
    #[serde(borrow, alias = "callbackurl")]
    callback_url: Member<'a>,
    #[serde(borrow)]
    max_retransmit: Member<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(borrow)]
    service_id: Member<'a>,
    #[serde(borrow)]
    method: Member<'a>,
    #[serde(borrow)]
    paras: Member<'a>,
}

impl<'a> CreateBatchTask<'a> {
    /// Reads the body of a create call. `max_devices`: the most ids in its list; `max_paras`: the most bytes of `paras`.
    pub fn parse(text: &'a str, max_devices: usize, max_paras: usize) -> Result<Self, Invalid> {
        let body: Body<'a> = field::object("body", text)?;
        let name = field::required("taskName", body.task_name, MAX_TEXT)?;
        if field::required("taskType", body.task_type, 64)? != "DeviceCmd" {
            return Err(Invalid::new(
                "taskType",
                "must be DeviceCmd; no other is supported",
            ));
        }
        let minutes = minutes(body.timeout)?;
        let param = body.param.ok_or_else(|| Invalid::missing("param"))?;
        let param: Param<'a> = field::object("param", param.get())?;
        let devices = devices(&param, max_devices)?;
        let command = param.command.ok_or_else(|| Invalid::missing("param.command"))?;
        let command: Asked<'a> = field::object("param.command", command.get())?;
        Ok(Self {
            app_id: field::text("appId", body.app_id, 0, 64)?.filter(|id| !id.is_empty()),
            name,
            minutes,
            devices,
            service_id: field::required("param.command.serviceId", command.service_id, 64)?,
            method: field::required("param.command.method", command.method, 128)?,
            paras: paras(command.paras, max_paras)?,
            callback_url: callback_url(param.callback_url)?,
            max_retransmit: max_retransmit(param.max_retransmit)?,
            tags: tags(body.tags)?,
        })
    }
}

fn minutes(member: Member<'_>) -> Result<u32, Invalid> {
    let minutes =
        field::integer("timeout", member, *MINUTES.end())?.ok_or_else(|| Invalid::missing("timeout"))?;
    match u32::try_from(minutes) {
        Ok(fits) if MINUTES.contains(&minutes) => Ok(fits),
        Ok(_) | Err(_) => Err(Invalid::new(
            "timeout",
            "must be an integer from 10 to 2880, in minutes",
        )),
    }
}

fn devices(param: &Param<'_>, max: usize) -> Result<BatchDevices, Invalid> {
    let name = |field: &'static str, member| field::required(field, member, MAX_TEXT);
    match field::required("param.type", param.kind, 64)?.as_str() {
        "DeviceList" => list("param.deviceList", param.device_list, max).map(BatchDevices::List),
        "DeviceType" => Ok(BatchDevices::Type {
            device_type: name("param.deviceType", param.device_type)?,
            manufacturer_id: name("param.manufacturerId", param.manufacturer_id)?,
            model: name("param.model", param.model)?,
        }),
        "DeviceArea" => name("param.deviceLocation", param.device_location).map(BatchDevices::Area),
        "Broadcast" => Ok(BatchDevices::All),
        "GroupList" => list("param.groupList", param.group_list, MAX_GROUPS).map(BatchDevices::Groups),
        "GroupIdList" => list("param.groupList", param.group_list, MAX_GROUPS).map(BatchDevices::GroupIds),
        _ => Err(Invalid::new(
            "param.type",
            "must be DeviceList, DeviceType, DeviceArea, GroupList, GroupIdList or Broadcast",
        )),
    }
}

/// The ids of a list; one that is named again counts once.
fn list(field: &'static str, member: Member<'_>, max: usize) -> Result<Vec<String>, Invalid> {
    let raw = member.ok_or_else(|| Invalid::missing(field))?;
    let rule = || {
        Invalid::new(
            field,
            format!("must be a list of 1 to {max} ids, each a string of 1 to 64 characters"),
        )
    };
    let mut ids: Vec<String> = serde_json::from_str(raw.get()).map_err(|_| rule())?;
    let fits = |id: &String| (1..=64).contains(&id.chars().count()) && !id.chars().any(char::is_control);
    if ids.is_empty() || ids.len() > max || !ids.iter().all(fits) {
        return Err(rule());
    }
    let mut met = HashSet::with_capacity(ids.len());
    ids.retain(|id| met.insert(id.clone()));
    Ok(ids)
}

fn tags(member: Member<'_>) -> Result<Option<String>, Invalid> {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tag {
        tag_name: String,
        tag_value: String,
    }
    let Some(raw) = member else { return Ok(None) };
    let rule = || {
        let rule = format!(
            "must be a list of at most {MAX_TAGS} tags, each with tagName and tagValue of at most 256 characters"
        );
        Invalid::new("tags", rule)
    };
    let tags: Vec<Tag> = serde_json::from_str(raw.get()).map_err(|_| rule())?;
    let fits = |tag: &Tag| {
        [&tag.tag_name, &tag.tag_value]
            .iter()
            .all(|text| text.chars().count() <= MAX_TEXT)
    };
    match tags.len() <= MAX_TAGS && tags.iter().all(fits) {
        true => serde_json::to_string(&tags).map(Some).map_err(|_| rule()),
        false => Err(rule()),
    }
}

/// The answer to a create call. Clients read the one or the other.
#[derive(Debug, Serialize)]
pub struct BatchTaskCreated<'a> {
    /// 32 hex digits.
    #[serde(rename = "taskID")]
    pub as_documented: &'a str,
    /// The same.
    #[serde(rename = "taskId")]
    pub as_elsewhere: &'a str,
}

/// A batch task, members in the documented order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchTaskResp<'a> {
    /// 32 hex digits.
    pub task_id: &'a str,
    /// As given.
    pub task_name: &'a str,
    /// Whose.
    pub app_id: &'a str,
    /// Who made it: the application.
    pub operator: &'a str,
    /// `Northbound`.
    pub task_from: &'static str,
    /// `DeviceCmd`.
    pub task_type: &'static str,
    /// `Pending`, `Running`, `Complete`, `Timeout`.
    pub status: &'static str,
    /// When it was asked for.
    pub start_time: WireTime,
    /// In minutes.
    pub timeout: u32,
    /// Thousandths, rounded down.
    pub progress: u64,
    /// Sub-tasks.
    pub total_cnt: u64,
    /// Those that went well.
    pub success_cnt: u64,
    /// Those that failed.
    pub fail_cnt: u64,
    /// Those that were not answered, or had no turn, in time.
    pub timeout_cnt: u64,
    /// Those whose command was never sent.
    pub expired_cnt: u64,
    /// Those that are over.
    pub complete_cnt: u64,
    /// Thousandths of those that are over, rounded down.
    pub success_rate: u64,
    /// What is done for which devices.
    pub param: BatchParam<'a>,
    /// As given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<&'a RawValue>,
}

/// What a task does; the list of its devices is left out, the sub-tasks have it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchParam<'a> {
    /// `DeviceList`, `DeviceType`, `DeviceArea`, `GroupList`, `GroupIdList`, `Broadcast`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// With `DeviceType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_type: Option<&'a str>,
    /// With `DeviceType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer_id: Option<&'a str>,
    /// With `DeviceType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// With `DeviceArea`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_location: Option<&'a str>,
    /// With `GroupList` and `GroupIdList`: as given, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_list: Option<&'a [String]>,
    /// What the devices are to do.
    pub command: Option<Command<'a>>,
    /// Where changes of the commands are pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<&'a str>,
    /// As given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retransmit: Option<u8>,
}

/// A page of sub-tasks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDetailPage<'a> {
    /// From 0.
    pub page_no: u64,
    /// Sub-tasks of a full page.
    pub page_size: u64,
    /// Sub-tasks of all pages.
    pub total_count: u64,
    /// Its sub-tasks.
    pub task_details: Vec<TaskDetail<'a>>,
}

/// A sub-task.
#[derive(Debug, Serialize)]
pub struct TaskDetail<'a> {
    /// `Pending`, `WaitResult`, `Success`, `Fail`, `Timeout`.
    pub status: &'static str,
    /// The device's result as JSON in a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<&'a str>,
    /// Why there is no command, as JSON in a text: `error_code`, `error_desc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// For which device.
    pub param: TaskDetailParam<'a>,
}

/// For which device a sub-task is, and its command.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDetailParam<'a> {
    /// The device's id, as given.
    pub device_id: &'a str,
    /// Once it is made.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "id")]
    pub command_id: Option<CommandId>,
}

fn id<S: serde::Serializer>(id: &Option<CommandId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = r#""command":{"serviceId":"s","method":"m","paras":{"a": 1}}"#;

    fn body(param: &str) -> String {
        format!(r#"{{"taskName":"n","taskType":"DeviceCmd","timeout":10,"param":{{{param},{COMMAND}}}}}"#)
    }

    #[test]
    fn devices_are_named_in_six_ways() {
        for (param, devices) in [
            (
                r#""type":"DeviceList","deviceList":["a","b","a"]"#,
                BatchDevices::List(vec!["a".into(), "b".into()]),
            ),
            (
                r#""type":"DeviceType","deviceType":"t","manufacturerId":"x","model":"y""#,
                BatchDevices::Type {
                    device_type: "t".into(),
                    manufacturer_id: "x".into(),
                    model: "y".into(),
                },
            ),
            (
                r#""type":"DeviceArea","deviceLocation":"here""#,
                BatchDevices::Area("here".into()),
            ),
            (
                r#""type":"GroupList","groupList":["g","h","g"]"#,
                BatchDevices::Groups(vec!["g".into(), "h".into()]),
            ),
            (
                r#""type":"GroupIdList","groupIdList":["g"]"#,
                BatchDevices::GroupIds(vec!["g".into()]),
            ),
            (r#""type":"Broadcast""#, BatchDevices::All),
        ] {
            let body = body(param);
            let asked = CreateBatchTask::parse(&body, 3, 100).unwrap();
            assert_eq!(
                (asked.devices, asked.paras, asked.minutes),
                (devices, r#"{"a": 1}"#, 10)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name() {
        let all = body(r#""type":"Broadcast""#);
        for (bad, field) in [
            (all.replace("DeviceCmd", "DeviceReg"), "taskType"),
            (all.replace(r#""n""#, r#""""#), "taskName"),
            (all.replace(":10,", ":9,"), "timeout"),
            (all.replace(":10,", ":2881,"), "timeout"),
            (all.replace(":10,", ":null,"), "timeout"),
            (all.replace("Broadcast", "GroupList"), "param.groupList"),
            (all.replace("Broadcast", "GroupIdList"), "param.groupList"),
            (all.replace("Broadcast", "Groups"), "param.type"),
            (all.replace("Broadcast", "DeviceArea"), "param.deviceLocation"),
            (all.replace("Broadcast", "DeviceList"), "param.deviceList"),
            (body(r#""type":"DeviceList","deviceList":[]"#), "param.deviceList"),
            (
                body(r#""type":"DeviceList","deviceList":["a","b","c","d"]"#),
                "param.deviceList",
            ),
            (
                body(r#""type":"DeviceList","deviceList":["a",7]"#),
                "param.deviceList",
            ),
            (
                body(r#""type":"DeviceList","deviceList":["a\n"]"#),
                "param.deviceList",
            ),
            (all.replace(r#""serviceId""#, r#""x""#), "param.command.serviceId"),
            (all.replace(r#"{"a": 1}"#, "[]"), "command.paras"),
            (
                all.replace(r#","param""#, r#","tags":[{"tagName":"a"}],"param""#),
                "tags",
            ),
            (
                r#"{"taskName":"n","taskType":"DeviceCmd","timeout":10}"#.into(),
                "param",
            ),
        ] {
            let told = CreateBatchTask::parse(&bad, 3, 100).unwrap_err();
            assert_eq!(told.field, field, "{bad}");
        }
    }

    #[test]
    fn the_id_is_given_in_both_spellings() {
        let created = BatchTaskCreated {
            as_documented: "x",
            as_elsewhere: "x",
        };
        assert_eq!(
            serde_json::to_string(&created).unwrap(),
            r#"{"taskID":"x","taskId":"x"}"#
        );
    }
}
