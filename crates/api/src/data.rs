//! Bodies around what devices report and can do.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::product::ServiceDoc;
use crate::push::object;
use crate::time::WireTime;

/// Data as JSON: the text as it is, if it is an object; else an empty one.
pub(crate) fn raw(text: &str) -> &RawValue {
    let text = object(text).unwrap_or("{}");
    serde_json::from_str(text).expect("an object was checked to be one")
}

/// What a device reported of a service, at one time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataRow<'a> {
    /// Of which service.
    pub service_id: &'a str,
    /// Which device.
    pub device_id: &'a str,
    /// The device that it is connected by; itself, if directly.
    pub gateway_id: &'a str,
    /// Whose.
    pub app_id: &'a str,
    data: &'a RawValue,
    /// When.
    pub timestamp: WireTime,
}

impl<'a> DataRow<'a> {
    /// The data of a service of this device, by this gateway, of this application.
    pub fn new(
        service_id: &'a str,
        (device_id, gateway_id, app_id): (&'a str, &'a str, &'a str),
        data: &'a str,
        timestamp: WireTime,
    ) -> Self {
        Self {
            service_id,
            device_id,
            gateway_id,
            app_id,
            data: raw(data),
            timestamp,
        }
    }
}

/// A page of what a device reported.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataPage<'a> {
    /// Rows of all pages.
    pub total_count: u64,
    /// From 0.
    pub page_no: u64,
    /// Rows of a full page.
    pub page_size: u64,
    /// The page.
    #[serde(rename = "deviceDataHistoryDTOs")]
    pub rows: Vec<DataRow<'a>>,
}

/// What devices can do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Device by device.
    pub device_capabilities: Vec<DeviceCapability>,
}

/// What a device can do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCapability {
    /// Which device.
    pub device_id: String,
    /// Its services; empty if it names no product that is there.
    pub service_capabilities: Vec<ServiceDoc>,
}

#[cfg(test)]
mod tests {
    use downlink_core::Timestamp;

    use super::*;

    #[test]
    fn golden_of_data() {
        let at = WireTime(Timestamp::from_millis(1_700_000_000_000));
        let page = DataPage {
            total_count: 7,
            page_no: 1,
            page_size: 2,
            rows: vec![DataRow::new("Lamp", ("d", "g", "app"), r#"{"lux": 1.50}"#, at)],
        };
        assert_eq!(
            serde_json::to_string(&page).unwrap(),
            concat!(
                r#"{"totalCount":7,"pageNo":1,"pageSize":2,"deviceDataHistoryDTOs":[{"serviceId":"Lamp","#,
                r#""deviceId":"d","gatewayId":"g","appId":"app","data":{"lux": 1.50},"timestamp":"20231114T221320Z"}]}"#
            )
        );
    }
}
