//! Lists of devices.
//!
//! The store knows pages and times. What else can be asked for is looked for among the devices read from it, up to a
//! number of them; beyond that the application has to narrow the times.

use axum::extract::State;
use axum::response::Response;
use downlink_api::device::{DevicePage, Presence};
use downlink_api::{Code, Invalid};
use downlink_store::{Device, DeviceFilter};
use http::StatusCode;

use super::super::auth::Caller;
use super::super::commands::device_of;
use super::super::paging::{Paging, Window};
use super::super::{Api, Fault, Query, json};
use super::{NODE_TYPE, Seen};

/// Devices on a page, by default and at the most.
const PAGE: (u32, u32) = (25, 250);
/// Devices looked at for one list, at the most, and at once.
const MAX_LOOKED_AT: u64 = 20_000;
const AT_ONCE: u32 = 1000;

/// `GET /iocm/app/dm/v1.4.0/devices`
pub(in crate::http) async fn list(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let (paging, wanted) = (Paging::of(&query, PAGE.0, PAGE.1)?, Wanted::of(&query)?);
    let filter = filter(&query)?;
    let _turn = api
        .north
        .lists
        .acquire()
        .await
        .map_err(|error| Fault::internal(error.to_string()))?;
    let (engine, seen) = (&api.north.engine, |device| {
        Seen::new(device, &api.north.engine, &query)
    });
    let (devices, total) = match query.get("gatewayId") {
        Some(gateway) => match device_of(&api, &app, &gateway, Code::NoDevice).await {
            Ok(device) => wanted.among(vec![seen(device)], paging),
            Err(fault) if fault.is(Code::NoDevice) => (Vec::new(), 0),
            Err(fault) => return Err(fault),
        },
        None if wanted.is_any() => {
            let page = engine
                .store()
                .devices(app.key, filter, paging.skip(), paging.page_size)
                .await?;
            (page.items.into_iter().map(seen).collect(), page.total)
        }
        None => {
            let mut all = Vec::new();
            loop {
                let read = engine
                    .store()
                    .devices(app.key, filter.clone(), all.len() as u64, AT_ONCE)
                    .await?;
                if read.total > MAX_LOOKED_AT {
                    return Err(too_many());
                }
                let last = read.items.len() < AT_ONCE as usize;
                all.extend(read.items.into_iter().map(|device: Device| seen(device)));
                if last {
                    break wanted.among(all, paging);
                }
            }
        }
    };
    let body = DevicePage {
        total_count: total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        devices: devices.iter().map(Seen::view).collect(),
    };
    json(StatusCode::OK, &body)
}

fn too_many() -> Fault {
    let told = format!(
        "More than {MAX_LOOKED_AT} devices would have to be looked at for this; narrow it by startTime and endTime."
    );
    Fault::new(Code::InvalidInput, told)
}

fn filter(query: &Query) -> Result<DeviceFilter, Fault> {
    let window = Window::of(query)?;
    let ascending = match query.get("sort").as_deref() {
        None => false,
        Some(order) if order.eq_ignore_ascii_case("DESC") => false,
        Some(order) if order.eq_ignore_ascii_case("ASC") => true,
        Some(_) => return Err(Invalid::new("sort", "must be ASC or DESC").into()),
    };
    Ok(DeviceFilter {
        from: window.from,
        to: window.to,
        ascending,
    })
}

/// What devices have to be to be listed, beyond what the store can tell.
struct Wanted {
    status: Option<Status>,
    node_type: Option<String>,
    device_type: Option<String>,
    name: Option<String>,
    location: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Status {
    Online,
    Offline,
    Inactive,
    /// Never said of a device here.
    Abnormal,
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, Invalid> {
        let text = |name| query.get(name).map(std::borrow::Cow::into_owned);
        let status = match query
            .get("status")
            .map(|status| status.to_ascii_uppercase())
            .as_deref()
        {
            None => None,
            Some("ONLINE") => Some(Status::Online),
            Some("OFFLINE") => Some(Status::Offline),
            Some("INACTIVE") => Some(Status::Inactive),
            Some("ABNORMAL") => Some(Status::Abnormal),
            Some(_) => {
                return Err(Invalid::new(
                    "status",
                    "must be ONLINE, OFFLINE, INACTIVE or ABNORMAL",
                ));
            }
        };
        Ok(Self {
            status,
            node_type: text("nodeType"),
            device_type: text("deviceType"),
            name: text("name"),
            location: text("location"),
        })
    }

    fn is_any(&self) -> bool {
        let texts = [&self.node_type, &self.device_type, &self.name, &self.location];
        self.status.is_none() && texts.iter().all(|text| text.is_none())
    }

    fn fits(&self, seen: &Seen) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| is == Some(wanted))
        };
        let status = match (self.status, seen.presence) {
            (None, _)
            | (Some(Status::Online), Presence::Online)
            | (Some(Status::Offline), Presence::Offline | Presence::NotActive)
            | (Some(Status::Inactive), Presence::NotActive) => true,
            (Some(Status::Online | Status::Offline | Status::Inactive | Status::Abnormal), _) => false,
        };
        let info = &seen.info;
        status
            && same(&self.node_type, Some(NODE_TYPE))
            && same(&self.device_type, info.device_type.as_deref())
            && same(&self.name, info.name.as_deref())
            && same(&self.location, info.location.as_deref())
    }

    /// The page of those that fit, and how many fit in all.
    fn among(&self, all: Vec<Seen>, paging: Paging) -> (Vec<Seen>, u64) {
        let fitting: Vec<Seen> = all.into_iter().filter(|seen| self.fits(seen)).collect();
        let total = fitting.len() as u64;
        let skip = usize::try_from(paging.skip()).unwrap_or(usize::MAX);
        let page = fitting.into_iter().skip(skip).take(paging.page_size as usize);
        (page.collect(), total)
    }
}
