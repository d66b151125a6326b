//! Bodies around device groups.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::field::{self, Invalid, Member};

/// The most devices that one call puts in or takes out.
pub const DEVICES_AT_ONCE: usize = 1000;
/// Longest name.
const MAX_NAME: usize = 50;
/// Longest description.
const MAX_DESCRIPTION: usize = 1024;
/// Highest `maxDevNum`.
const MAX_DEV_NUM: u64 = i32::MAX as u64;

/// A request to make a group.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateDeviceGroup {
    /// The application that it says to be for.
    pub app_id: Option<String>,
    /// 1 to 50 characters.
    pub name: String,
    /// At most 1024 characters.
    pub description: Option<String>,
    /// 0: no limit of its own.
    pub max_dev_num: u64,
    /// Its first devices, each once, at most [`DEVICES_AT_ONCE`].
    pub device_ids: Vec<String>,
}

/// A request to change a group; none: stays.
#[derive(Debug, PartialEq, Eq)]
pub struct ModifyDeviceGroup {
    /// 1 to 50 characters.
    pub name: Option<String>,
    /// At most 1024 characters.
    pub description: Option<String>,
    /// 0: no limit of its own.
    pub max_dev_num: Option<u64>,
}

/// A request to put devices into a group, or to take them out.
#[derive(Debug, PartialEq, Eq)]
pub struct GroupDevices {
    /// The group's id.
    pub group_id: String,
    /// Each once, 1 to [`DEVICES_AT_ONCE`].
    pub device_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    app_id: Member<'a>,
    #[serde(borrow)]
    name: Member<'a>,
    #[serde(borrow)]
    description: Member<'a>,
    #[serde(borrow)]
    max_dev_num: Member<'a>,
    #[serde(borrow)]
    dev_group_id: Member<'a>,
    #[serde(borrow)]
    device_ids: Member<'a>,
}

impl CreateDeviceGroup {
    /// Reads the body of a create call.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let body: Body<'_> = field::object("body", text)?;
        Ok(Self {
            app_id: field::text("appId", body.app_id, 0, 64)?.filter(|id| !id.is_empty()),
            name: field::required("name", body.name, MAX_NAME)?,
            description: field::text("description", body.description, 0, MAX_DESCRIPTION)?,
            max_dev_num: field::integer("maxDevNum", body.max_dev_num, MAX_DEV_NUM)?.unwrap_or(0),
            device_ids: device_ids(body.device_ids, 0)?,
        })
    }
}

impl ModifyDeviceGroup {
    /// Reads the body of a modify call.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let body: Body<'_> = field::object("body", text)?;
        Ok(Self {
            name: field::text("name", body.name, 1, MAX_NAME)?,
            description: field::text("description", body.description, 0, MAX_DESCRIPTION)?,
            max_dev_num: field::integer("maxDevNum", body.max_dev_num, MAX_DEV_NUM)?,
        })
    }
}

impl GroupDevices {
    /// Reads the body of a call that changes who is in a group.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let body: Body<'_> = field::object("body", text)?;
        Ok(Self {
            group_id: field::required("devGroupId", body.dev_group_id, MAX_NAME)?,
            device_ids: device_ids(body.device_ids, 1)?,
        })
    }
}

/// At least `least` ids; one that is named again counts once.
fn device_ids(member: Member<'_>, least: usize) -> Result<Vec<String>, Invalid> {
    const FIELD: &str = "deviceIds";
    let raw = match member {
        Some(raw) => raw,
        None if least == 0 => return Ok(Vec::new()),
        None => return Err(Invalid::missing(FIELD)),
    };
    let rule = || {
        let rule = format!(
            "must be a list of {least} to {DEVICES_AT_ONCE} ids, each a string of 1 to 64 characters"
        );
        Invalid::new(FIELD, rule)
    };
    let mut ids: Vec<String> = serde_json::from_str(raw.get()).map_err(|_| rule())?;
    let fits = |id: &String| (1..=64).contains(&id.chars().count()) && !id.chars().any(char::is_control);
    if !(least..=DEVICES_AT_ONCE).contains(&ids.len()) || !ids.iter().all(fits) {
        return Err(rule());
    }
    let mut met = HashSet::with_capacity(ids.len());
    ids.retain(|id| met.insert(id.clone()));
    Ok(ids)
}

/// A group, members in the documented order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceGroupView<'a> {
    /// As given.
    pub name: &'a str,
    /// As given.
    pub description: Option<&'a str>,
    /// 32 hex digits.
    pub id: &'a str,
    /// Whose.
    pub app_id: &'a str,
    /// As given; 0: no limit of its own.
    pub max_dev_num: u64,
    /// How many devices are in it.
    pub cur_dev_num: u64,
    /// Who made it: the application.
    pub creator: &'a str,
    /// Of a group that was just made: the devices that were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_ids: Option<&'a [String]>,
}

/// A page of groups.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceGroupPage<'a> {
    /// Groups of all pages.
    pub total_count: u64,
    /// From 0.
    pub page_no: u64,
    /// Groups of a full page.
    pub page_size: u64,
    /// Its groups.
    pub list: Vec<DeviceGroupView<'a>>,
}

/// A page of the devices in a group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupMemberPage<'a> {
    /// Devices of all pages.
    pub total_count: u64,
    /// From 0.
    pub page_no: u64,
    /// Devices of a full page.
    pub page_size: u64,
    /// Their ids.
    pub device_ids: Vec<&'a str>,
}

/// The devices that were put into a group.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupDevicesView<'a> {
    /// The group's id.
    pub dev_group_id: &'a str,
    /// As given, each once.
    pub device_ids: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_documented() {
        let body = r#"{"name":"g","appId":"","maxDevNum":"5","deviceIds":["a","b","a"]}"#;
        let expected = CreateDeviceGroup {
            app_id: None,
            name: "g".into(),
            description: None,
            max_dev_num: 5,
            device_ids: vec!["a".into(), "b".into()],
        };
        assert_eq!(CreateDeviceGroup::parse(body), Ok(expected));
        let small = CreateDeviceGroup::parse(r#"{"name":"g","deviceIds":null}"#).unwrap();
        assert_eq!((small.max_dev_num, small.device_ids.len()), (0, 0));
        let change = ModifyDeviceGroup::parse(r#"{"maxDevNum":0}"#).unwrap();
        assert_eq!((change.name, change.max_dev_num), (None, Some(0)));
        let devices = GroupDevices::parse(r#"{"devGroupId":"g","deviceIds":["a"]}"#).unwrap();
        assert_eq!((devices.group_id.as_str(), devices.device_ids.len()), ("g", 1));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name() {
        for (body, field) in [
            (r#"{}"#.to_owned(), "name"),
            (format!(r#"{{"name":"{}"}}"#, "x".repeat(51)), "name"),
            (
                format!(r#"{{"name":"g","description":"{}"}}"#, "x".repeat(1025)),
                "description",
            ),
            (r#"{"name":"g","maxDevNum":-1}"#.to_owned(), "maxDevNum"),
            (r#"{"name":"g","deviceIds":"a"}"#.to_owned(), "deviceIds"),
            (r#"{"name":"g","deviceIds":[""]}"#.to_owned(), "deviceIds"),
        ] {
            assert_eq!(
                CreateDeviceGroup::parse(&body).unwrap_err().field,
                field,
                "{body}"
            );
        }
        let many: Vec<String> = (0..=DEVICES_AT_ONCE).map(|n| n.to_string()).collect();
        let many = serde_json::to_string(&many).unwrap();
        for (body, field) in [
            (r#"{"deviceIds":["a"]}"#.to_owned(), "devGroupId"),
            (r#"{"devGroupId":"g"}"#.to_owned(), "deviceIds"),
            (r#"{"devGroupId":"g","deviceIds":[]}"#.to_owned(), "deviceIds"),
            (format!(r#"{{"devGroupId":"g","deviceIds":{many}}}"#), "deviceIds"),
        ] {
            assert_eq!(GroupDevices::parse(&body).unwrap_err().field, field);
        }
        assert_eq!(
            ModifyDeviceGroup::parse(r#"{"name":""}"#).unwrap_err().field,
            "name"
        );
    }
}
