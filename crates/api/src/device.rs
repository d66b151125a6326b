//! Bodies around devices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::command::MAX_SECS;
use crate::field::{self, Invalid, Member};
use crate::time::WireTime;

/// Whether the application said of a device that it connects securely. `info`: what is kept of it.
pub fn is_secure(info: &str) -> bool {
    serde_json::from_str::<DeviceInfo>(info).is_ok_and(|info| info.is_secure == Some(true))
}

macro_rules! info {
    ($($(#[$doc:meta])* $field:ident $wire:literal $max:literal,)*) => {
        /// What an application said of a device at its registration, as it is kept.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct DeviceInfo {
            $($(#[$doc])* #[serde(rename = $wire, skip_serializing_if = "Option::is_none")]
            pub $field: Option<String>,)*
            /// It connects securely.
            #[serde(rename = "isSecure", skip_serializing_if = "Option::is_none")]
            pub is_secure: Option<bool>,
        }

        impl DeviceInfo {
            /// Takes what is known of `members`; `path` stands before their names in errors.
            fn take(&mut self, path: &str, members: &BTreeMap<String, Member<'_>>) -> Result<(), Invalid> {
                $(if let Some(member) = members.get($wire) {
                    let text = field::text(format!("{path}{}", $wire), *member, 0, $max)?;
                    self.$field = text.filter(|text| !text.is_empty()).or(self.$field.take());
                })*
                if let Some(member) = members.get("isSecure") {
                    self.is_secure = field::boolean(format!("{path}isSecure"), *member)?.or(self.is_secure);
                }
                Ok(())
            }
        }
    };
}

info! {
    /// Its name, for people.
    name "name" 256,
    /// What it is, for people.
    description "description" 2048,
    /// Its maker.
    manufacturer_id "manufacturerId" 256,
    /// Its maker's name.
    manufacturer_name "manufacturerName" 256,
    /// Its address on its network.
    mac "mac" 256,
    /// Where it is.
    location "location" 1024,
    /// What kind it is.
    device_type "deviceType" 256,
    /// Its model.
    model "model" 256,
    /// Version of its software.
    sw_version "swVersion" 256,
    /// Version of its firmware.
    fw_version "fwVersion" 256,
    /// Version of its hardware.
    hw_version "hwVersion" 256,
    /// What it speaks.
    protocol_type "protocolType" 256,
    /// By which bridge it is connected.
    bridge_id "bridgeId" 256,
    /// What its maker counts it by.
    serial_number "serialNumber" 256,
    /// Version of its signalling.
    sig_version "sigVersion" 256,
    /// Its SIM card.
    imsi "imsi" 64,
    /// Its user.
    end_user_id "endUserId" 256,
    /// Its owner.
    organization "organization" 256,
    /// Its region.
    region "region" 256,
    /// Its time zone.
    timezone "timezone" 256,
    /// Its product.
    product_id "productId" 256,
}

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
            info,
        })
    }
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

/// The answer of `reg/v1.1.0`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredV1<'a> {
    /// A UUID.
    pub device_id: &'a str,
    /// As given or made.
    pub verify_code: &'a str,
    /// As given.
    pub timeout: u32,
    /// As given or made; what the device proves itself by.
    pub psk: &'a str,
}

/// The answer of `reg/v2.0.0`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredV2<'a> {
    /// A UUID.
    pub device_id: &'a str,
    /// As given or made; what the device proves itself by.
    pub secret: &'a str,
    /// The same once more: a device has one credential.
    pub psk: &'a str,
}

/// Whether a device ever connected.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation<'a> {
    /// Which device.
    pub device_id: &'a str,
    /// True from the first connection on.
    pub activated: bool,
    /// Null if none was given.
    pub name: Option<&'a str>,
}

/// A device as answers show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView<'a> {
    /// Which device.
    pub device_id: &'a str,
    /// The same: it is connected directly.
    pub gateway_id: &'a str,
    /// `GATEWAY`: it is connected directly.
    pub node_type: &'static str,
    /// When it was registered.
    pub create_time: WireTime,
    /// When its record last changed.
    pub last_modified_time: WireTime,
    /// What is known of it.
    pub device_info: DeviceInfoView<'a>,
    /// Empty: Downlink keeps no data of devices.
    pub services: [(); 0],
}

/// `deviceInfo` in its order on the wire; what is not known is null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the members are the interface's own; what they mean stands at `DeviceInfo`
pub struct DeviceInfoView<'a> {
    pub node_id: &'a str,
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    pub manufacturer_id: Option<&'a str>,
    pub manufacturer_name: Option<&'a str>,
    pub mac: Option<&'a str>,
    pub location: Option<&'a str>,
    pub device_type: Option<&'a str>,
    pub model: Option<&'a str>,
    pub sw_version: Option<&'a str>,
    pub fw_version: Option<&'a str>,
    pub hw_version: Option<&'a str>,
    pub protocol_type: Option<&'a str>,
    pub bridge_id: Option<&'a str>,
    pub status: &'static str,
    pub status_detail: &'static str,
    pub mute: &'static str,
    pub supported_security: Option<&'a str>,
    pub is_security: &'static str,
    pub signal_strength: Option<&'a str>,
    pub sig_version: Option<&'a str>,
    pub serial_number: Option<&'a str>,
    pub battery_level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imsi: Option<&'a str>,
}

/// Whether a device is connected, as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Online,
    /// It is not, and was.
    Offline,
    /// It never was.
    NotActive,
}

impl Presence {
    /// `status` on the wire.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Online => "ONLINE",
            Self::Offline | Self::NotActive => "OFFLINE",
        }
    }

    /// `statusDetail` on the wire.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Online | Self::Offline => "NONE",
            Self::NotActive => "NOT_ACTIVE",
        }
    }
}

impl<'a> DeviceInfoView<'a> {
    /// What `info` says, of a device with this node id and presence.
    pub fn new(node_id: &'a str, info: &'a DeviceInfo, presence: Presence) -> Self {
        Self {
            node_id,
            name: info.name.as_deref(),
            description: info.description.as_deref(),
            manufacturer_id: info.manufacturer_id.as_deref(),
            manufacturer_name: info.manufacturer_name.as_deref(),
            mac: info.mac.as_deref(),
            location: info.location.as_deref(),
            device_type: info.device_type.as_deref(),
            model: info.model.as_deref(),
            sw_version: info.sw_version.as_deref(),
            fw_version: info.fw_version.as_deref(),
            hw_version: info.hw_version.as_deref(),
            protocol_type: info.protocol_type.as_deref(),
            bridge_id: info.bridge_id.as_deref(),
            status: presence.status(),
            status_detail: presence.detail(),
            mute: "FALSE",
            supported_security: None,
            is_security: if info.is_secure == Some(true) {
                "TRUE"
            } else {
                "FALSE"
            },
            signal_strength: None,
            sig_version: info.sig_version.as_deref(),
            serial_number: info.serial_number.as_deref(),
            battery_level: None,
            imsi: info.imsi.as_deref(),
        }
    }
}

/// A page of devices.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePage<'a> {
    /// Devices of all pages.
    pub total_count: u64,
    /// From 0.
    pub page_no: u64,
    /// Devices of a full page.
    pub page_size: u64,
    /// The page.
    pub devices: Vec<DeviceView<'a>>,
}

#[cfg(test)]
mod tests;
