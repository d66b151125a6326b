//! What devices reported before, and what they can do.

use axum::extract::State;
use axum::response::Response;
use downlink_api::data::{Capabilities, DataPage, DataRow, DeviceCapability};
use downlink_api::device::{DeviceInfo, Gateway, info_of};
use downlink_api::product::ProductDoc;
use downlink_api::time::WireTime;
use downlink_api::{Code, Invalid};
use downlink_core::{Span, Timestamp};
use downlink_store::{App, Device, DeviceFilter, HistoryFilter, ServiceData};
use http::StatusCode;

use super::auth::Caller;
use super::commands::device_of;
use super::paging::{Paging, Window};
use super::{Api, Fault, Query, json};
use crate::clock;

/// Rows on a page, by default and at the most.
const PAGE: (u32, u32) = (100, 2000);
/// Devices behind a gateway whose capabilities are told at once.
const MOST_DEVICES: u32 = 250;

/// `GET /iocm/app/data/v1.2.0/deviceDataHistory`
pub(super) async fn history(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let paging = Paging::of(&query, PAGE.0, PAGE.1).map_err(bad_query)?;
    let device = named(&api, &app, &query).await?;
    let mut filter = filter_of(&query)?;
    filter.from = filter.from.max(kept_from(&info_of(&device.info), clock::now()));
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let page = store
        .history(device.key, filter, paging.skip(), paging.page_size)
        .await?;
    let (id, gateway) = (device.id.as_str(), device.gateway.as_ref());
    let gateway = Gateway::of(gateway.map(|id| id.as_str())).id(id);
    let row = |one| row(one, (id, gateway, app.id.as_str()));
    let body = DataPage {
        total_count: page.total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        rows: page.items.iter().map(row).collect(),
    };
    json(StatusCode::OK, &body)
}

fn row<'a>(one: &'a ServiceData, of: (&'a str, &'a str, &'a str)) -> DataRow<'a> {
    DataRow::new(&one.service, of, &one.data, WireTime(one.at))
}

/// Which entries of a device's history are asked for.
pub(super) fn filter_of(query: &Query) -> Result<HistoryFilter, Fault> {
    let window = Window::of(query).map_err(|fault| fault.with_code(Code::BadQuery))?;
    let text = |name| query.get(name).map(std::borrow::Cow::into_owned);
    Ok(HistoryFilter {
        service: text("serviceId"),
        property: text("property"),
        from: window.from,
        to: window.to,
    })
}

pub(super) fn bad_query(invalid: Invalid) -> Fault {
    Fault::new(Code::BadQuery, invalid.to_string())
}

/// From when on a device's data is shown, if its `deviceConfig` says how long it is to be kept.
fn kept_from(info: &DeviceInfo, now: Timestamp) -> Option<Timestamp> {
    let config = info.device_config.as_ref()?.data_config.as_ref()?;
    let days = u32::try_from(config.data_aging_time?).unwrap_or(u32::MAX);
    Some(now - Span::from_secs(86_400).times(days))
}

/// The device that `deviceId` names, or `gatewayId` where that is not given.
pub(super) async fn named(api: &Api, app: &App, query: &Query) -> Result<Device, Fault> {
    let id = query.get("deviceId").or_else(|| query.get("gatewayId"));
    let id = id.ok_or(Code::NoDeviceNamed)?;
    device_of(api, app, &id, Code::NoDeviceData).await
}

/// `GET /iocm/app/data/v1.1.0/deviceCapabilities`: of the device, or of the gateway and all that is connected by it.
pub(super) async fn capabilities(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let device = named(&api, &app, &query).await?;
    let devices = match query.get("deviceId") {
        Some(_) => vec![device],
        None => {
            let filter = DeviceFilter {
                gateway: Some(device.key),
                ascending: true,
                ..DeviceFilter::default()
            };
            let store = api.north.engine.store();
            store.devices(app.key, filter, 0, MOST_DEVICES).await?.items
        }
    };
    let mut device_capabilities = Vec::with_capacity(devices.len());
    for device in devices {
        device_capabilities.push(capability(&api, device).await?);
    }
    json(StatusCode::OK, &Capabilities { device_capabilities })
}

async fn capability(api: &Api, device: Device) -> Result<DeviceCapability, Fault> {
    let store = api.north.engine.store();
    let product = match &device.product {
        None => None,
        Some(means) => store.product_of(device.app, means).await?,
    };
    let doc = product.map(|product| serde_json::from_str::<ProductDoc>(&product.profile));
    let doc = doc
        .transpose()
        .map_err(|error| Fault::internal(format!("a profile cannot be read: {error}")))?;
    Ok(DeviceCapability {
        device_id: device.id.as_str().to_owned(),
        service_capabilities: doc.map(|doc| doc.services).unwrap_or_default(),
    })
}
