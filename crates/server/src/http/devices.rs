//! Devices: register, look at, list, change, remove.

mod change;
mod list;
mod register;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::device::{
    Activation, DeviceInfo, DeviceInfoView, DeviceView, Gateway, MoreInfo, Presence, ServiceView, info_of,
};
use downlink_api::time::WireTime;
use downlink_api::{Code, Invalid};
use downlink_core::DeviceKey;
use downlink_store::{Device, ServiceData, StoreError};
use http::StatusCode;

pub(super) use change::{modify, mute, refresh_key};
pub(super) use list::{list, list_before};
pub(super) use register::{register_v1, register_v2};

use super::auth::Caller;
use super::commands::device_of;
use super::request::IdInPath;
use super::{Api, Fault, Query, RequestId, finish, json, no_content};
use crate::clock;
use crate::engine::{Engine, Outdated};
use crate::notices::presence;

/// `GET /iocm/app/reg/v1.1.0/deviceCredentials/{id}`: whether it ever connected.
pub(super) async fn activation(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let info = info_of(&device.info);
    let body = Activation {
        device_id: device.id.as_str(),
        activated: device.activated_at.is_some(),
        name: info.name.as_deref(),
    };
    json(StatusCode::OK, &body)
}

/// Which version of the interface is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Before `dm/v1.4.0`.
    Before,
    /// `dm/v1.4.0`.
    Now,
}

/// `GET /iocm/app/dm/v1.4.0/devices/{id}`
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    query: Query,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let seen = Seen::of_one(device, &api.north.engine, &query).await?;
    json(StatusCode::OK, &seen.view(Version::Now))
}

/// The same before `dm/v1.4.0`.
pub(super) async fn one_before(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    query: Query,
) -> Result<Response, Fault> {
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let seen = Seen::of_one(device, &api.north.engine, &query).await?;
    json(StatusCode::OK, &seen.view(Version::Before))
}

/// `DELETE /iocm/app/dm/v1.4.0/devices/{id}`. Its session is closed and its queue cancelled; with `cascade` the same for
/// what is connected by it. A body means nothing.
pub(super) async fn remove(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    request: RequestId,
    query: Query,
) -> Result<Response, Fault> {
    let cascade = cascade(&query)?;
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let engine = Arc::clone(&api.north.engine);
    let work = async move { remove_device(&engine, device.key, cascade, request.as_str()).await };
    match finish(&api.tasks, work).await? {
        true => Ok(no_content()),
        false => Err(Code::NoDevice.into()),
    }
}

fn cascade(query: &Query) -> Result<bool, Invalid> {
    match query.get("cascade").as_deref() {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Invalid::new("cascade", "must be true or false")),
    }
}

/// Removes first, so that neither a session nor a command can come after.
async fn remove_device(
    engine: &Engine,
    device: DeviceKey,
    cascade: bool,
    request: &str,
) -> Result<bool, StoreError> {
    let removed = engine.store().remove(device, cascade, clock::now()).await?;
    let why = format!("the device was removed by request {request}");
    for device in &removed {
        engine.outdate(Outdated::Removed(*device));
        if let Err(error) = engine.cancel_queue(*device, &why).await {
            // The device is gone all the same, and the sweep tries again.
            tracing::warn!(%error, request, "a removed device's queue was not cancelled");
        }
    }
    Ok(!removed.is_empty())
}

/// A device and what is known of it now.
pub(super) struct Seen {
    device: Device,
    info: DeviceInfo,
    presence: Presence,
    /// What it reported last of its services.
    data: Vec<ServiceData>,
}

impl Seen {
    /// Devices with what they reported last.
    pub(super) async fn of_many(
        devices: Vec<Device>,
        engine: &Engine,
        query: &Query,
    ) -> Result<Vec<Self>, StoreError> {
        let store = engine.store();
        let mut data = match store.keeps_history() {
            true => {
                let keys = devices.iter().map(|device| device.key).collect();
                store.latest_data(keys).await?.into_iter().peekable()
            }
            false => Vec::new().into_iter().peekable(),
        };
        let mut all = Vec::with_capacity(devices.len());
        for device in devices {
            let mut seen = Self::new(device, engine, query);
            while let Some((_, one)) = data.next_if(|(key, _)| *key == seen.device.key) {
                seen.data.push(one);
            }
            all.push(seen);
        }
        Ok(all)
    }

    async fn of_one(device: Device, engine: &Engine, query: &Query) -> Result<Self, Fault> {
        let seen = Self::of_many(vec![device], engine, query).await?.pop();
        seen.ok_or_else(|| Fault::internal("one device became none"))
    }

    /// Personal data of its SIM card only where the query selects it.
    pub(super) fn new(device: Device, engine: &Engine, query: &Query) -> Self {
        let mut info = info_of(&device.info);
        let selected = |list: &str| {
            list.split(',')
                .any(|name| name.trim().eq_ignore_ascii_case("imsi"))
        };
        if !query.get("select").is_some_and(|list| selected(&list)) {
            info.imsi = None;
        }
        let presence = presence(engine.standing(&device, clock::now()));
        Self {
            device,
            info,
            presence,
            data: Vec::new(),
        }
    }

    /// What it reported, and of what else commands are muted.
    fn services(&self) -> Vec<ServiceView<'_>> {
        let muted = &self.info.mute_cmds;
        let of = |id: &str| muted.get(id).map_or(&[][..], Vec::as_slice);
        let mut services: Vec<ServiceView<'_>> = Vec::with_capacity(self.data.len());
        for one in &self.data {
            let at = WireTime(one.at);
            services.push(ServiceView::new(
                &one.service,
                of(&one.service),
                Some((&one.data, at)),
            ));
        }
        let silent = |id: &&String| self.data.iter().all(|one| one.service != **id);
        for id in muted.keys().filter(silent) {
            services.push(ServiceView::new(id, of(id), None));
        }
        services
    }

    /// As answers show it.
    pub(super) fn view(&self, version: Version) -> DeviceView<'_> {
        let id = self.device.id.as_str();
        let gateway = Gateway::of(self.device.gateway.as_ref().map(|id| id.as_str()));
        let created = WireTime(self.device.created_at);
        DeviceView {
            device_id: id,
            gateway_id: gateway.id(id),
            node_type: gateway.node_type(),
            create_time: created,
            creation_time: (version == Version::Before).then_some(created),
            last_modified_time: WireTime(self.device.modified_at),
            device_info: DeviceInfoView {
                more: MoreInfo::new(&self.info),
                ..DeviceInfoView::new(&self.device.node_id, &self.info, self.presence)
            },
            services: self.services(),
        }
    }
}
