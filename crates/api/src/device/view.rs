//! Devices as applications see them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{CustomField, DeviceConfig, DeviceInfo, Tag};
use crate::data::raw;
use crate::time::WireTime;

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

/// The answer to a refreshed key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshedKey<'a> {
    /// As given or made.
    pub verify_code: &'a str,
    /// As given.
    pub timeout: u32,
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

/// By what a device is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway<'a> {
    /// By itself: it is its own gateway.
    Own,
    /// By another device, with this id.
    Other(&'a str),
}

impl<'a> Gateway<'a> {
    /// By the device with this id, if there is one.
    pub fn of(other: Option<&'a str>) -> Self {
        other.map_or(Self::Own, Self::Other)
    }

    /// `gatewayId` on the wire, of this device.
    pub fn id(self, device: &'a str) -> &'a str {
        match self {
            Self::Own => device,
            Self::Other(id) => id,
        }
    }

    /// `nodeType` on the wire.
    pub const fn node_type(self) -> &'static str {
        match self {
            Self::Own => "GATEWAY",
            Self::Other(_) => "ENDPOINT",
        }
    }
}

/// A device as answers show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView<'a> {
    /// Which device.
    pub device_id: &'a str,
    /// The same, if it is connected directly.
    pub gateway_id: &'a str,
    /// `GATEWAY`: it is connected directly; else `ENDPOINT`.
    pub node_type: &'static str,
    /// When it was registered.
    pub create_time: WireTime,
    /// The same, as the older interface calls it; of that one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<WireTime>,
    /// When its record last changed.
    pub last_modified_time: WireTime,
    /// What is known of it.
    pub device_info: DeviceInfoView<'a>,
    /// What it reported last, service by service.
    pub services: Vec<ServiceView<'a>>,
}

/// What a device reported last of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView<'a> {
    service_id: &'a str,
    service_type: &'a str,
    service_info: ServiceInfo<'a>,
    data: &'a RawValue,
    event_time: Option<WireTime>,
}

/// What is said of a service of a device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceInfo<'a> {
    /// Commands that the device is not to be given.
    pub(crate) mute_cmds: &'a [String],
}

impl<'a> ServiceView<'a> {
    /// The data, a JSON object as text, of the service with this id, which stands for its type too; none: it reported none.
    pub fn new(service: &'a str, muted: &'a [String], data: Option<(&'a str, WireTime)>) -> Self {
        Self {
            service_id: service,
            service_type: service,
            service_info: ServiceInfo { mute_cmds: muted },
            data: raw(data.map_or("{}", |(data, _)| data)),
            event_time: data.map(|(_, at)| at),
        }
    }
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
    #[serde(flatten)]
    pub more: MoreInfo<'a>,
}

/// What stands behind the members that every `deviceInfo` has: only what was said, and only where devices are asked for.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // as above
pub struct MoreInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imsi: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_config: Option<&'a DeviceConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_fields: Option<&'a [CustomField]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<&'a [Tag]>,
}

impl<'a> MoreInfo<'a> {
    /// What `info` says.
    pub fn new(info: &'a DeviceInfo) -> Self {
        Self {
            imsi: info.imsi.as_deref(),
            ip: info.ip.as_deref(),
            product_id: info.product_id.as_deref(),
            end_user: info.end_user.as_deref(),
            end_user_id: info.end_user_id.as_deref(),
            organization: info.organization.as_deref(),
            region: info.region.as_deref(),
            timezone: info.timezone.as_deref(),
            device_config: info.device_config.as_ref(),
            custom_fields: info.custom_fields.as_deref(),
            tags: info.tags.as_deref(),
        }
    }
}

/// Whether a device is connected, as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Online,
    /// It was silent for longer than it should be.
    Abnormal,
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
            Self::Abnormal => "ABNORMAL",
            Self::Offline | Self::NotActive => "OFFLINE",
        }
    }

    /// `statusDetail` on the wire.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Online | Self::Abnormal | Self::Offline => "NONE",
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
            mute: flag(info.mute),
            supported_security: None,
            is_security: flag(info.is_secure),
            signal_strength: None,
            sig_version: info.sig_version.as_deref(),
            serial_number: info.serial_number.as_deref(),
            battery_level: None,
            more: MoreInfo::default(),
        }
    }
}

/// A boolean as `deviceInfo` has it.
pub(crate) fn flag(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "TRUE",
        Some(false) | None => "FALSE",
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
