//! Bodies around devices: what is kept of what was said of one. Requests stand in `request`, answers in `view`.

mod extra;
mod request;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::field::{self, Invalid, Member};

pub use extra::{CustomField, DataConfig, DeviceConfig, Tag};
pub use request::{KeyRefresh, Modification, Registration, parse_mute};
pub(crate) use view::ServiceInfo;
pub use view::{
    Activation, DeviceInfoView, DevicePage, DeviceView, Gateway, MoreInfo, Presence, RefreshedKey,
    RegisteredV1, RegisteredV2, ServiceView,
};

/// Whether the application said of a device that it connects securely. `info`: what is kept of it.
pub fn is_secure(info: &str) -> bool {
    info_of(info).is_secure == Some(true)
}

macro_rules! info {
    ($($(#[$doc:meta])* $field:ident $wire:literal $max:literal,)*) => {
        /// What an application said of a device, as it is kept.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct DeviceInfo {
            $($(#[$doc])* #[serde(rename = $wire, skip_serializing_if = "Option::is_none")]
            pub $field: Option<String>,)*
            /// It connects securely.
            #[serde(rename = "isSecure", skip_serializing_if = "Option::is_none")]
            pub is_secure: Option<bool>,
            /// What it reports is neither told nor kept.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub mute: Option<bool>,
            /// How long what it reports is kept.
            #[serde(rename = "deviceConfig", skip_serializing_if = "Option::is_none")]
            pub device_config: Option<DeviceConfig>,
            /// Fields of the application's own.
            #[serde(rename = "customFields", skip_serializing_if = "Option::is_none")]
            pub custom_fields: Option<Vec<CustomField>>,
            /// Tags of the application's own.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub tags: Option<Vec<Tag>>,
            /// Commands that it is not to be given, by service. Set for itself only.
            #[serde(rename = "muteCmds", skip_serializing_if = "BTreeMap::is_empty")]
            pub mute_cmds: BTreeMap<String, Vec<String>>,
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
                if let Some(member) = members.get("mute") {
                    self.mute = field::boolean(format!("{path}mute"), *member)?.or(self.mute);
                }
                self.take_extra(path, members)?;
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
    /// Its address on the internet.
    ip "ip" 256,
    /// Its user, for people.
    end_user "endUser" 256,
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

/// Whether a device is not to be given this command. `info`: what is kept of it.
pub fn is_muted(info: &str, service: &str, command: &str) -> bool {
    // Of most devices nothing is muted, and it need not be read.
    info.contains(r#""muteCmds""#) && {
        let muted = info_of(info).mute_cmds;
        muted
            .get(service)
            .is_some_and(|commands| commands.iter().any(|one| one == command))
    }
}

/// What an application said of a device: nothing, if `text` cannot be read.
pub fn info_of(text: &str) -> DeviceInfo {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
