//! Shadows of devices: what each property was when it was last reported, and what it is desired to be.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::device::{Gateway, info_of};
use downlink_api::product::ProductDoc;
use downlink_api::shadow::{
    DesiredPage, DesiredRow, Property, ServiceDesired, ShadowServiceView, ShadowView, parse_desired,
};
use downlink_api::time::WireTime;
use downlink_api::{Code, Invalid};
use downlink_store::{DesiredChange, DesiredStatus, Device, ShadowProperty, ShadowService};
use http::StatusCode;

use super::auth::Caller;
use super::commands::device_of;
use super::data::{bad_query, filter_of, named};
use super::devices::{Seen, Version};
use super::paging::Paging;
use super::request::{IdInPath, Text};
use super::{Api, Fault, Query, RequestId, finish, json};

/// Rows on a page, by default and at the most.
const PAGE: (u32, u32) = (100, 2000);

/// `GET /iocm/app/shadow/v1.5.0/devices/{id}`
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    query: Query,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let services = api.north.engine.store().shadow(device.key).await?;
    let seen = Seen::new(device, &api.north.engine, &query);
    let services = services.iter().map(service).collect();
    json(
        StatusCode::OK,
        &ShadowView::new(seen.view(Version::Now), services),
    )
}

fn service(of: &ShadowService) -> ShadowServiceView<'_> {
    let at = of.reported.iter().map(|one| one.at).max().map(WireTime);
    let (reported, desired) = (of.reported.iter().map(property), of.desired.iter().map(property));
    ShadowServiceView::new(&of.service, reported, desired, at)
}

fn property(of: &ShadowProperty) -> Property<'_> {
    Property {
        name: &of.name,
        value: &of.value,
    }
}

/// `PUT /iocm/app/shadow/v1.5.0/devices/{id}`: answered when it is kept. What becomes of it is told to subscribers.
pub(super) async fn desire(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    request: RequestId,
    body: Text,
) -> Result<Response, Fault> {
    let config = &api.north.config;
    let (most, most_each) = (
        config.commands.max_paras_bytes,
        config.shadow.value_bytes as usize,
    );
    let wanted = parse_desired(body.as_str(), most, most_each)?;
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    can_be_told(&device)?;
    fits(&api, &device, &wanted).await?;
    let engine = Arc::clone(&api.north.engine);
    let work = async move { engine.desire(&app, device, wanted, request.as_str()).await };
    finish(&api.tasks, work).await?;
    json(StatusCode::OK, &serde_json::Map::new())
}

/// Shadows are told over LwM2M only.
fn can_be_told(device: &Device) -> Result<(), Fault> {
    let says = info_of(&device.info).protocol_type;
    let mqtt = says.is_some_and(|says| says.eq_ignore_ascii_case("MQTT"));
    match mqtt || device.family.is_some() {
        true => Err(Invalid::new("deviceId", "must be of a device that does not speak MQTT").into()),
        false => Ok(()),
    }
}

/// Whether the device's product, if it names one that is there, has these properties and lets them be written.
async fn fits(api: &Api, device: &Device, wanted: &[ServiceDesired]) -> Result<(), Fault> {
    let Some(means) = &device.product else {
        return Ok(());
    };
    let Some(product) = api.north.engine.store().product_of(device.app, means).await? else {
        return Ok(());
    };
    let doc: ProductDoc = serde_json::from_str(&product.profile)
        .map_err(|error| Fault::internal(format!("a profile cannot be read: {error}")))?;
    for (n, one) in wanted.iter().enumerate() {
        fits_service(&doc, n, one)?;
    }
    Ok(())
}

fn fits_service(doc: &ProductDoc, n: usize, wanted: &ServiceDesired) -> Result<(), Fault> {
    let is = |id: &str, kind: &str| match id.is_empty() {
        true => kind == wanted.service,
        false => id == wanted.service,
    };
    let service = doc
        .services
        .iter()
        .find(|service| is(&service.service_id, &service.service_type));
    let Some(service) = service else {
        let invalid = Invalid::new(
            format!("serviceDesireds[{n}].serviceId"),
            "the device's product has no such service",
        );
        return Err(Fault::new(Code::NoService, invalid.to_string()));
    };
    for (name, _) in &wanted.set {
        let found = service.properties.iter().find(|one| one.property_name == *name);
        let rule = match found {
            None => "the device's product has no such property",
            Some(property) if !property.method.to_ascii_uppercase().contains('W') => {
                "the device's product does not let it be written"
            }
            Some(_) => continue,
        };
        return Err(Invalid::new(format!("serviceDesireds[{n}].desired.{name}"), rule).into());
    }
    Ok(())
}

/// `GET /iocm/app/shadow/v1.5.0/deviceDesiredHistory`
pub(super) async fn history(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let paging = Paging::of(&query, PAGE.0, PAGE.1).map_err(bad_query)?;
    let device = named(&api, &app, &query).await?;
    let filter = filter_of(&query)?;
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let page = store
        .desired_changes(device.key, filter, paging.skip(), paging.page_size)
        .await?;
    let (id, gateway) = (device.id.as_str(), device.gateway.as_ref());
    let gateway = Gateway::of(gateway.map(|id| id.as_str())).id(id);
    let row = |one| row(one, (id, gateway, app.id.as_str()));
    let body = DesiredPage {
        total_count: page.total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        rows: page.items.iter().map(row).collect(),
    };
    json(StatusCode::OK, &body)
}

fn row<'a>(one: &'a DesiredChange, of: (&'a str, &'a str, &'a str)) -> DesiredRow<'a> {
    let status = match one.status {
        DesiredStatus::UnderWay => "PENDING",
        DesiredStatus::Delivered => "DELIVERED",
        DesiredStatus::Failed => "FAILED",
    };
    DesiredRow::new(&one.service, of, (&one.properties, status), WireTime(one.at))
}
