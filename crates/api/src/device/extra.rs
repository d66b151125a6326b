//! Members of a device that are more than a text: its settings, the application's own fields and tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DeviceInfo;
use crate::field::{self, Invalid, Member};

/// The most fields, and the most tags, of a device.
const MOST: usize = 100;
/// The longest that what a device reports may be kept, in days.
const MAX_AGING_DAYS: u64 = 90;

/// Settings of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceConfig {
    /// Of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_config: Option<DataConfig>,
}

/// Settings of a device's data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataConfig {
    /// How many days it is kept; at the most 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_aging_time: Option<u64>,
}

/// A field of the application's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomField {
    /// Its name.
    pub field_name: Option<String>,
    /// Its type.
    pub field_type: Option<String>,
    /// Its value.
    pub field_value: Option<String>,
}

/// A tag of the application's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tag {
    /// Its name.
    pub tag_name: Option<String>,
    /// Its value.
    pub tag_value: Option<String>,
    /// Its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_type: Option<String>,
}

type Members<'a> = BTreeMap<String, Member<'a>>;

impl DeviceInfo {
    /// Takes the members that are more than a text; `path` stands before their names in errors.
    pub(super) fn take_extra(&mut self, path: &str, members: &Members<'_>) -> Result<(), Invalid> {
        let get = |name: &str| members.get(name).copied().flatten();
        if let Some(raw) = get("deviceConfig") {
            self.device_config = Some(config(&format!("{path}deviceConfig"), raw.get())?);
        }
        if let Some(raw) = get("customFields") {
            let field = |path: &str, members: &Members<'_>| {
                Ok(CustomField {
                    field_name: text(path, members, "fieldName")?,
                    field_type: text(path, members, "fieldType")?,
                    field_value: text(path, members, "fieldValue")?,
                })
            };
            self.custom_fields = Some(each(&format!("{path}customFields"), raw.get(), field)?);
        }
        if let Some(raw) = get("tags") {
            let tag = |path: &str, members: &Members<'_>| {
                Ok(Tag {
                    tag_name: text(path, members, "tagName")?,
                    tag_value: text(path, members, "tagValue")?,
                    tag_type: text(path, members, "tagType")?,
                })
            };
            self.tags = Some(each(&format!("{path}tags"), raw.get(), tag)?);
        }
        Ok(())
    }
}

fn config(path: &str, text: &str) -> Result<DeviceConfig, Invalid> {
    let members: Members<'_> = field::object(path.to_owned(), text)?;
    let Some(data) = members.get("dataConfig").copied().flatten() else {
        return Ok(DeviceConfig::default());
    };
    let path = format!("{path}.dataConfig");
    let members: Members<'_> = field::object(path.clone(), data.get())?;
    let aging = members.get("dataAgingTime").copied().flatten();
    let data_aging_time = field::integer(format!("{path}.dataAgingTime"), aging, MAX_AGING_DAYS)?;
    Ok(DeviceConfig {
        data_config: Some(DataConfig { data_aging_time }),
    })
}

/// Reads a list of objects.
fn each<T>(
    path: &str,
    text: &str,
    read: impl Fn(&str, &Members<'_>) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let rule = || {
        Invalid::new(
            path.to_owned(),
            format!("must be a list of at most {MOST} objects"),
        )
    };
    let items: Vec<Members<'_>> = serde_json::from_str(text).map_err(|_| rule())?;
    if items.len() > MOST {
        return Err(rule());
    }
    let read = |(n, members): (usize, &Members<'_>)| read(&format!("{path}[{n}]"), members);
    items.iter().enumerate().map(read).collect()
}

/// A text; a number or boolean counts as the text that it is written with.
fn text(path: &str, members: &Members<'_>, name: &'static str) -> Result<Option<String>, Invalid> {
    let member = members.get(name).copied().flatten();
    match member.map(|raw| raw.get()) {
        Some(plain) if !plain.starts_with(['"', '{', '[']) => Ok(Some(plain.to_owned())),
        Some(_) | None => field::text(format!("{path}.{name}"), member, 0, 256),
    }
}
