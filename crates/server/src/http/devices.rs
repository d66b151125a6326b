//! Devices: register, look at, list, remove.

mod list;
mod register;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::Code;
use downlink_api::device::{Activation, DeviceInfo, DeviceInfoView, DeviceView, Presence};
use downlink_api::time::WireTime;
use downlink_core::DeviceKey;
use downlink_store::{Device, StoreError};
use http::StatusCode;

pub(super) use list::list;
pub(super) use register::{register_v1, register_v2};

use super::auth::Caller;
use super::commands::device_of;
use super::request::IdInPath;
use super::{Api, Fault, Query, RequestId, finish, json, no_content};
use crate::clock;
use crate::engine::{CloseReason, Engine};

/// `GET /iocm/app/reg/v1.1.0/deviceCredentials/{id}`: whether it ever connected.
pub(super) async fn activation(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let info = info(&device);
    let body = Activation {
        device_id: device.id.as_str(),
        activated: device.activated_at.is_some(),
        name: info.name.as_deref(),
    };
    json(StatusCode::OK, &body)
}

/// `GET /iocm/app/dm/v1.4.0/devices/{id}`
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    query: Query,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let seen = Seen::new(device, &api.north.engine, &query);
    json(StatusCode::OK, &seen.view())
}

/// `DELETE /iocm/app/dm/v1.4.0/devices/{id}`. Its session is closed and its queue cancelled. A body, and `cascade`,
/// mean nothing: there are no child devices.
pub(super) async fn remove(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    request: RequestId,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let engine = Arc::clone(&api.north.engine);
    let work = async move { remove_device(&engine, device.key, request.as_str()).await };
    match finish(&api.tasks, work).await? {
        true => Ok(no_content()),
        false => Err(Code::NoDevice.into()),
    }
}

/// Removes first, so that neither a session nor a command can come after.
async fn remove_device(engine: &Engine, device: DeviceKey, request: &str) -> Result<bool, StoreError> {
    if !engine.store().remove(device, clock::now()).await? {
        return Ok(false);
    }
    if let Some(session) = engine.sessions().of(device) {
        session.close(CloseReason::Removed);
    }
    let why = format!("the device was removed by request {request}");
    if let Err(error) = engine.cancel_queue(device, &why).await {
        // The device is gone all the same; what it had waiting ends with its lifetime.
        tracing::warn!(%error, request, "a removed device's queue was not cancelled");
    }
    Ok(true)
}

/// A device and what is known of it now.
pub(super) struct Seen {
    device: Device,
    info: DeviceInfo,
    presence: Presence,
}

impl Seen {
    /// Personal data of its SIM card only where the query selects it.
    pub(super) fn new(device: Device, engine: &Engine, query: &Query) -> Self {
        let mut info = info(&device);
        let selected = |list: &str| {
            list.split(',')
                .any(|name| name.trim().eq_ignore_ascii_case("imsi"))
        };
        if !query.get("select").is_some_and(|list| selected(&list)) {
            info.imsi = None;
        }
        let presence = match (engine.sessions().of(device.key), device.activated_at) {
            (Some(_), _) => Presence::Online,
            (None, Some(_)) => Presence::Offline,
            (None, None) => Presence::NotActive,
        };
        Self {
            device,
            info,
            presence,
        }
    }

    /// As answers show it. A device that is connected directly is its own gateway.
    pub(super) fn view(&self) -> DeviceView<'_> {
        DeviceView {
            device_id: self.device.id.as_str(),
            gateway_id: self.device.id.as_str(),
            node_type: NODE_TYPE,
            create_time: WireTime(self.device.created_at),
            last_modified_time: WireTime(self.device.modified_at),
            device_info: DeviceInfoView::new(&self.device.node_id, &self.info, self.presence),
            services: [],
        }
    }
}

const NODE_TYPE: &str = "GATEWAY";

/// What was said of a device at its registration; nothing, if that cannot be read.
fn info(device: &Device) -> DeviceInfo {
    serde_json::from_str(&device.info).unwrap_or_default()
}
