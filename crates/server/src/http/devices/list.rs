//! Lists of devices.

use axum::extract::State;
use axum::response::Response;
use downlink_api::device::DevicePage;
use downlink_api::{Code, Invalid};
use downlink_store::{App, Device, DeviceFilter, Page, Standing};
use http::StatusCode;

use super::super::auth::Caller;
use super::super::commands::device_of;
use super::super::paging::{Paging, Window};
use super::super::{Api, Fault, Query, json};
use super::{Seen, Version};
use crate::clock;

/// Devices on a page, by default and at the most.
const PAGE: (u32, u32) = (25, 250);

/// `GET /iocm/app/dm/v1.4.0/devices`
pub(in crate::http) async fn list(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    page(&api, &app, &query, Version::Now).await
}

/// The same before `dm/v1.4.0`.
pub(in crate::http) async fn list_before(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    page(&api, &app, &query, Version::Before).await
}

async fn page(api: &Api, app: &App, query: &Query, version: Version) -> Result<Response, Fault> {
    let paging = Paging::of(query, PAGE.0, PAGE.1)?;
    let engine = &api.north.engine;
    let page = match filter(api, app, query).await? {
        Some(filter) => read(api, app, filter, paging).await?,
        None => Page {
            items: Vec::new(),
            total: 0,
        },
    };
    let devices = Seen::of_many(page.items, engine, query).await?;
    let body = DevicePage {
        total_count: page.total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        devices: devices.iter().map(|seen| seen.view(version)).collect(),
    };
    json(StatusCode::OK, &body)
}

async fn read(api: &Api, app: &App, filter: DeviceFilter, paging: Paging) -> Result<Page<Device>, Fault> {
    let _turn = api.north.room.turn_to_list().await?;
    let engine = &api.north.engine;
    if filter.standing.is_some() {
        // So that who came or went just now is found as what it is.
        engine.write_contacts().await?;
    }
    let store = engine.store();
    Ok(store
        .devices(app.key, filter, paging.skip(), paging.page_size)
        .await?)
}

/// What is asked for; none: no device can be that.
async fn filter(api: &Api, app: &App, query: &Query) -> Result<Option<DeviceFilter>, Fault> {
    let window = Window::of(query)?;
    let text = |name| query.get(name).map(std::borrow::Cow::into_owned);
    let silence = api.north.engine.silence(clock::now());
    let mut filter = DeviceFilter {
        from: window.from,
        to: window.to,
        ascending: ascending(query)?,
        gateway: None,
        direct: None,
        device_type: text("deviceType"),
        name: text("name"),
        location: text("location"),
        standing: standing(query)?.map(|standing| (standing, silence)),
    };
    match query
        .get("nodeType")
        .map(|kind| kind.to_ascii_uppercase())
        .as_deref()
    {
        None => {}
        Some("GATEWAY") => filter.direct = Some(true),
        Some("ENDPOINT") => filter.direct = Some(false),
        Some("UNKNOW" | "UNKNOWN") => return Ok(None),
        Some(_) => return Err(Invalid::new("nodeType", "must be GATEWAY, ENDPOINT or UNKNOW").into()),
    }
    if let Some(gateway) = query.get("gatewayId") {
        match device_of(api, app, &gateway, Code::NoDevice).await {
            Ok(device) => filter.gateway = Some(device.key),
            Err(fault) if fault.is(Code::NoDevice) => return Ok(None),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Some(filter))
}

fn ascending(query: &Query) -> Result<bool, Invalid> {
    match query.get("sort").as_deref() {
        None => Ok(false),
        Some(order) if order.eq_ignore_ascii_case("DESC") => Ok(false),
        Some(order) if order.eq_ignore_ascii_case("ASC") => Ok(true),
        Some(_) => Err(Invalid::new("sort", "must be ASC or DESC")),
    }
}

fn standing(query: &Query) -> Result<Option<Standing>, Invalid> {
    let status = query.get("status").map(|status| status.to_ascii_uppercase());
    match status.as_deref() {
        None => Ok(None),
        Some("ONLINE") => Ok(Some(Standing::Online)),
        Some("OFFLINE") => Ok(Some(Standing::Offline)),
        Some("INACTIVE") => Ok(Some(Standing::Inactive)),
        Some("ABNORMAL") => Ok(Some(Standing::Abnormal)),
        Some(_) => Err(Invalid::new(
            "status",
            "must be ONLINE, OFFLINE, INACTIVE or ABNORMAL",
        )),
    }
}
