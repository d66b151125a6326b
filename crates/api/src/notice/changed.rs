//! `deviceInfoChanged`: of `deviceInfo` only what changed is set.

use serde::Serialize;

use super::write;
use crate::device::{DeviceInfo, DeviceInfoView, Gateway, Presence};

/// A device stands as this from now on.
pub fn presence_changed(device: &str, presence: Presence) -> String {
    let info = Changed {
        status: Some(presence.status()),
        status_detail: Some(presence.detail()),
        ..Changed::default()
    };
    changed(device, Gateway::Own, info)
}

/// What is said of a device changed. `node_id`: its new one, if that changed.
pub fn info_changed(
    device: &str,
    gateway: Gateway<'_>,
    node_id: Option<&str>,
    before: &DeviceInfo,
    now: &DeviceInfo,
) -> String {
    let (before, now) = (
        DeviceInfoView::new("", before, Presence::Offline),
        DeviceInfoView::new("", now, Presence::Offline),
    );
    changed(device, gateway, Changed::between(node_id, &before, &now))
}

fn changed(device: &str, gateway: Gateway<'_>, device_info: Changed<'_>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        gateway_id: &'a str,
        network_status: Option<&'a str>,
        device_info: Changed<'a>,
    }
    write(&Body {
        notify_type: "deviceInfoChanged",
        device_id: device,
        gateway_id: gateway.id(device),
        network_status: None,
        device_info,
    })
}

macro_rules! changed {
    ($($said:ident,)* ; $($fixed:ident,)*) => {
        impl<'a> Changed<'a> {
            /// What `now` says and `before` does not.
            fn between(
                node_id: Option<&'a str>,
                before: &DeviceInfoView<'_>,
                now: &DeviceInfoView<'a>,
            ) -> Self {
                Self {
                    node_id,
                    $($said: now.$said.filter(|_| now.$said != before.$said),)*
                    $($fixed: Some(now.$fixed).filter(|_| now.$fixed != before.$fixed),)*
                    ..Self::default()
                }
            }
        }
    };
}

changed! {
    name, description, manufacturer_id, manufacturer_name, mac, location, device_type, model, sw_version, fw_version,
    hw_version, protocol_type, bridge_id, sig_version, serial_number, ;
    mute, is_security,
}

/// `deviceInfo` with members as in [`DeviceInfoView`], each null unless it changed.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    node_id: Option<&'a str>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    manufacturer_id: Option<&'a str>,
    manufacturer_name: Option<&'a str>,
    mac: Option<&'a str>,
    location: Option<&'a str>,
    device_type: Option<&'a str>,
    model: Option<&'a str>,
    sw_version: Option<&'a str>,
    fw_version: Option<&'a str>,
    hw_version: Option<&'a str>,
    protocol_type: Option<&'a str>,
    bridge_id: Option<&'a str>,
    status: Option<&'a str>,
    status_detail: Option<&'a str>,
    mute: Option<&'a str>,
    supported_security: Option<&'a str>,
    is_security: Option<&'a str>,
    signal_strength: Option<&'a str>,
    sig_version: Option<&'a str>,
    serial_number: Option<&'a str>,
    battery_level: Option<&'a str>,
}
