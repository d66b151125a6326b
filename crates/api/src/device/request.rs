//! What applications ask of devices.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::DeviceInfo;
use crate::command::MAX_SECS;
use crate::field::{self, Invalid, Member};

/// A request to register a device, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The device's own name for itself.
    pub node_id: String,
    /// As given.
    pub verify_code: Option<String>,
    /// In seconds; 0: the registration does not lapse.
    pub timeout: u32,
    /// What the device proves itself by, if it was given: `psk` of v1.1.0, `secret` of v2.0.0.
    pub secret: Option<String>,
    /// The id of the device that it is connected by; none: directly.
    pub gateway: Option<String>,
    /// The rest.
    pub info: DeviceInfo,
}

impl Registration {
    /// Reads the body of `reg/v1.1.0`.
    pub fn parse_v1(text: &str) -> Result<Self, Invalid> {
        let (members, inner) = members(text)?;
        let node_id = field::required("nodeId", get(&members, "nodeId"), 256)?;
        let mut info = DeviceInfo {
            name: field::text("deviceName", get(&members, "deviceName"), 0, 256)?
                .filter(|name| !name.is_empty()),
            ..DeviceInfo::default()
        };
        info.take("", &members)?;
        info.take("deviceInfo.", &inner)?;
        Ok(Self {
            node_id,
            verify_code: field::text("verifyCode", get(&members, "verifyCode"), 1, 256)?,
            timeout: timeout(get(&members, "timeout"))?,
            secret: psk(get(&members, "psk"))?,
            gateway: gateway(get(&members, "gatewayId"))?,
            info,
        })
    }

    /// Reads the body of `reg/v2.0.0`.
    pub fn parse_v2(text: &str) -> Result<Self, Invalid> {
        let (members, inner) = members(text)?;
        if get(&members, "deviceInfo").is_none() {
            return Err(Invalid::missing("deviceInfo"));
        }
        let mut info = DeviceInfo::default();
        info.take("", &members)?;
        info.take("deviceInfo.", &inner)?;
        field::boolean("mqttConnect", get(&members, "mqttConnect"))?;
        Ok(Self {
            node_id: field::required("deviceInfo.nodeId", get(&inner, "nodeId"), 256)?,
            verify_code: None,
            timeout: timeout(get(&members, "timeout"))?,
            secret: secret(get(&members, "secret"))?,
            gateway: gateway(get(&members, "gatewayId"))?,
            info,
        })
    }
}

/// A request to change a device, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modification {
    /// What the device is to prove itself by from now on.
    pub psk: Option<String>,
    /// The members that are given.
    pub info: DeviceInfo,
}

impl Modification {
    /// Reads the body. Empty texts count as absent, as with registrations.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (members, inner) = members(text)?;
        let mut info = DeviceInfo::default();
        info.take("", &members)?;
        info.take("deviceInfo.", &inner)?;
        Ok(Self {
            psk: psk(get(&members, "psk"))?,
            info,
        })
    }
}

/// A request for a new verification code, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRefresh {
    /// As given.
    pub verify_code: Option<String>,
    /// The device's own name for itself, from now on.
    pub node_id: Option<String>,
    /// In seconds.
    pub timeout: u32,
}

impl KeyRefresh {
    /// Reads the body, which may be empty.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        let (members, _) = members(text)?;
        Ok(Self {
            verify_code: field::text("verifyCode", get(&members, "verifyCode"), 1, 256)?,
            node_id: field::text("nodeId", get(&members, "nodeId"), 1, 256)?,
            timeout: timeout(get(&members, "timeout"))?,
        })
    }
}

/// The most commands of a service that can be muted.
const MOST_MUTED: usize = 500;

/// Reads which commands of a service are to be muted: `muteCmds`, at the top or in `serviceInfo`.
pub fn parse_mute(text: &str) -> Result<Vec<String>, Invalid> {
    let outer: Members<'_> = field::object("body", text)?;
    let (path, raw) = match get(&outer, "serviceInfo") {
        None => ("muteCmds", get(&outer, "muteCmds")),
        Some(inner) => {
            let inner: Members<'_> = field::object("serviceInfo", inner.get())?;
            ("serviceInfo.muteCmds", get(&inner, "muteCmds"))
        }
    };
    let raw = raw.ok_or_else(|| Invalid::missing(path))?;
    let commands: Option<Vec<String>> = serde_json::from_str(raw.get()).ok();
    let fits = |commands: &Vec<String>| {
        commands.len() <= MOST_MUTED
            && commands
                .iter()
                .all(|name| (1..=128).contains(&name.chars().count()))
    };
    commands.filter(fits).ok_or_else(|| {
        Invalid::new(
            path,
            format!("must be a list of at most {MOST_MUTED} names of commands"),
        )
    })
}

type Members<'a> = BTreeMap<String, Member<'a>>;

/// The members of the body, and those of its `deviceInfo`.
fn members(text: &str) -> Result<(Members<'_>, Members<'_>), Invalid> {
    let outer: Members<'_> = field::object("body", text)?;
    let inner = match get(&outer, "deviceInfo") {
        None => Members::new(),
        Some(raw) => field::object("deviceInfo", raw.get())?,
    };
    Ok((outer, inner))
}

fn get<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.get(name).copied().flatten()
}

fn timeout(member: Member<'_>) -> Result<u32, Invalid> {
    let secs = field::integer("timeout", member, MAX_SECS)?.unwrap_or(0);
    Ok(u32::try_from(secs).unwrap_or(u32::MAX))
}

fn psk(member: Member<'_>) -> Result<Option<String>, Invalid> {
    let rule = || Invalid::new("psk", "must be 8 to 32 hex digits");
    let text = field::text("psk", member, 8, 32).map_err(|_| rule())?;
    match text {
        Some(text) if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Err(rule()),
        text => Ok(text),
    }
}

fn gateway(member: Member<'_>) -> Result<Option<String>, Invalid> {
    Ok(field::text("gatewayId", member, 0, 256)?.filter(|id| !id.is_empty()))
}

/// Wider than the 20 hex digits that the interface names: a device can prove itself by any text.
fn secret(member: Member<'_>) -> Result<Option<String>, Invalid> {
    let rule = || Invalid::new("secret", "must have 8 to 64 letters, digits, `-` or `_`");
    let text = field::text("secret", member, 8, 64).map_err(|_| rule())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match text {
        Some(text) if !text.bytes().all(plain) => Err(rule()),
        text => Ok(text),
    }
}
