//! Bodies around device commands.

use downlink_core::{CommandId, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::field::{self, Invalid, Member};
use crate::time::{IsoTime, WireTime};

/// The most that a number of seconds in a request may be: the interface has it as a 32-bit integer.
pub const MAX_SECS: u64 = i32::MAX as u64;

/// A request to create a command, checked as far as its text goes. The rules of callback URLs are the caller's.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateCommand<'a> {
    /// For which device.
    pub device_id: String,
    /// 1 to 64 characters.
    pub service_id: String,
    /// 1 to 128 characters.
    pub method: String,
    /// A JSON object, as it came.
    pub paras: &'a str,
    /// As it came.
    pub callback_url: Option<String>,
    /// In seconds; 0: immediate.
    pub expire_time: Option<u64>,
    /// 0 to 3.
    pub max_retransmit: Option<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody<'a> {
    #[serde(borrow)]
    device_id: Member<'a>,
    #[serde(borrow)]
    command: Member<'a>,
    #[serde(borrow, alias = "callbackurl")]
    callback_url: Member<'a>,
    #[serde(borrow)]
    expire_time: Member<'a>,
    #[serde(borrow)]
    max_retransmit: Member<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommandBody<'a> {
    #[serde(borrow)]
    service_id: Member<'a>,
    #[serde(borrow)]
    method: Member<'a>,
    #[serde(borrow)]
    paras: Member<'a>,
}

impl<'a> CreateCommand<'a> {
    /// Reads the body of a create call; `max_paras`: the most bytes that `paras` may have.
    pub fn parse(text: &'a str, max_paras: usize) -> Result<Self, Invalid> {
        let body: CreateBody<'a> = field::object("body", text)?;
        let device_id = field::required("deviceId", body.device_id, 64)?;
        Self::read(device_id, body, max_paras)
    }

    /// Reads the body of an older create call, whose device stands in the path.
    pub fn parse_for(device_id: String, text: &'a str, max_paras: usize) -> Result<Self, Invalid> {
        Self::read(device_id, field::object("body", text)?, max_paras)
    }

    fn read(device_id: String, body: CreateBody<'a>, max_paras: usize) -> Result<Self, Invalid> {
        let command = body.command.ok_or_else(|| Invalid::missing("command"))?;
        let command: CommandBody<'a> = field::object("command", command.get())?;
        Ok(Self {
            device_id,
            service_id: field::required("command.serviceId", command.service_id, 64)?,
            method: field::required("command.method", command.method, 128)?,
            paras: paras(command.paras, max_paras)?,
            callback_url: callback_url(body.callback_url)?,
            expire_time: field::integer("expireTime", body.expire_time, MAX_SECS)?,
            max_retransmit: max_retransmit(body.max_retransmit)?,
        })
    }
}

fn paras(member: Member<'_>, max: usize) -> Result<&str, Invalid> {
    let text = member.ok_or_else(|| Invalid::missing("command.paras"))?.get();
    if !text.starts_with('{') {
        return Err(Invalid::new("command.paras", "must be a JSON object"));
    }
    match text.len() <= max {
        true => Ok(text),
        false => Err(Invalid::new(
            "command.paras",
            format!("must have at most {max} bytes"),
        )),
    }
}

/// Of any length here: what is wrong with a callback URL has an error code of its own.
pub(crate) fn callback_url(member: Member<'_>) -> Result<Option<String>, Invalid> {
    let Some(raw) = member else { return Ok(None) };
    serde_json::from_str(raw.get())
        .map(Some)
        .map_err(|_| Invalid::new("callbackUrl", "must be a string"))
}

fn max_retransmit(member: Member<'_>) -> Result<Option<u8>, Invalid> {
    Ok(field::integer("maxRetransmit", member, 3)?.and_then(|times| u8::try_from(times).ok()))
}

/// Reads the body of a modify call, which can only cancel.
pub fn parse_cancel(text: &str) -> Result<(), Invalid> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        status: Member<'a>,
    }
    let body: Body<'_> = field::object("body", text)?;
    match field::required("status", body.status, 64)?.as_str() {
        "CANCELED" => Ok(()),
        _ => Err(Invalid::new("status", "must be CANCELED")),
    }
}

/// A command as answers show it (`DeviceCommandResp`), members in the documented order, absent ones left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCommandResp<'a> {
    /// 32 hex digits.
    #[serde(serialize_with = "display")]
    pub command_id: CommandId,
    /// Whose.
    pub app_id: &'a str,
    /// For which device.
    pub device_id: &'a str,
    /// What to do, as it came.
    pub command: Command<'a>,
    /// Where changes are pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<&'a str>,
    /// In seconds, as given, or the default.
    pub expire_time: u64,
    /// Where it stands.
    pub status: &'static str,
    /// What the device answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<CommandResult<'a>>,
    /// When it was asked for.
    pub creation_time: WireTime,
    /// When the device's result came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_time: Option<WireTime>,
    /// When it was first sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_issued_time: Option<WireTime>,
    /// When delivery was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_time: Option<WireTime>,
    /// How often it was sent.
    pub issued_times: u32,
    /// As given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retransmit: Option<u8>,
}

/// What a device is to do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Command<'a> {
    /// Service of the device.
    pub service_id: &'a str,
    /// Command of that service.
    pub method: &'a str,
    /// The parameters, as they came; null only where the record is damaged.
    pub paras: Option<&'a RawValue>,
}

/// What a device answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandResult<'a> {
    /// `SUCCESSFUL` or `FAILED`.
    pub result_code: &'static str,
    /// The answer's body, left out if it had none, or one that is no object (receivers know nothing else).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_detail: Option<&'a RawValue>,
}

/// JSON text as a value that is passed on as it is; none if it is not a JSON object.
pub fn raw_object(text: &str) -> Option<&RawValue> {
    serde_json::from_str::<&RawValue>(text)
        .ok()
        .filter(|raw| raw.get().starts_with('{'))
}

/// A page of commands.
#[derive(Debug, Serialize)]
pub struct CommandPage<'a> {
    /// Which page.
    pub pagination: Pagination,
    /// Its commands.
    pub data: Vec<DeviceCommandResp<'a>>,
}

/// Which page of how many records.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    /// From 0.
    pub page_no: u64,
    /// Records of a full page.
    pub page_size: u64,
    /// Records of all pages.
    pub total_size: u64,
}

/// A command with all that happened to it; an extension.
#[derive(Debug, Serialize)]
pub struct CommandHistory<'a> {
    /// The command.
    pub command: DeviceCommandResp<'a>,
    /// Oldest first.
    pub events: Vec<EventView<'a>>,
}

/// One change of a command's status.
#[derive(Debug, Serialize)]
pub struct EventView<'a> {
    /// Its place, from 1.
    pub seq: usize,
    /// The status from then on.
    pub status: &'static str,
    /// When.
    pub at: IsoTime,
    /// Why, for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
}

impl<'a> EventView<'a> {
    /// The event with this place.
    pub const fn new(seq: usize, status: &'static str, at: Timestamp, detail: &'a str) -> Self {
        Self {
            seq,
            status,
            at: IsoTime(at),
            detail,
        }
    }
}

fn display<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests;
