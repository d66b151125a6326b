//! Changing a device: what is said of it, and its credentials.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use downlink_api::device::{KeyRefresh, Modification, RefreshedKey, parse_mute};
use downlink_api::{Code, Invalid};
use downlink_store::{Device, DeviceChange, ModifyRefused, Standing};
use http::StatusCode;

use super::super::auth::Caller;
use super::super::commands::device_of;
use super::super::request::{IdInPath, Text};
use super::super::{Api, Fault, finish, json, no_content};
use crate::clock;
use crate::engine::Outdated;
use crate::secrets::random_hex;

/// `PUT /iocm/app/dm/v1.4.0/devices/{id}`. With another `psk` the device has to prove itself anew.
pub(in crate::http) async fn modify(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    body: Text,
) -> Result<Response, Fault> {
    let asked = Modification::parse(body.as_str())?;
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let info = serde_json::to_string(&asked.info).map_err(|error| Fault::internal(error.to_string()))?;
    let sealer = &api.north.sealer;
    let change = DeviceChange {
        info: Some(info),
        secret: asked.psk.map(|psk| sealer.seal(device.id.as_str(), &psk)),
        ..DeviceChange::default()
    };
    make(&api, &device, change).await?;
    Ok(no_content())
}

/// `PUT /iocm/app/reg/v1.1.0/deviceCredentials/{id}`: another verification code, and maybe node id, of a device that is
/// not there.
pub(in crate::http) async fn refresh_key(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    body: Text,
) -> Result<Response, Fault> {
    let asked = KeyRefresh::parse(body.as_str())?;
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    match api.north.engine.standing(&device, clock::now()) {
        Standing::Online => return Err(Code::StillOnline.into()),
        Standing::Inactive => return Err(Code::NotActive.into()),
        Standing::Abnormal | Standing::Offline => {}
    }
    let verify_code = asked.verify_code.unwrap_or_else(|| random_hex(10));
    let change = DeviceChange {
        node_id: asked.node_id,
        verify_code: Some(verify_code.clone()),
        ..DeviceChange::default()
    };
    make(&api, &device, change).await?;
    let body = RefreshedKey {
        verify_code: &verify_code,
        timeout: asked.timeout,
    };
    json(StatusCode::OK, &body)
}

/// `PUT /iocm/app/dm/v1.1.0/devices/{id}/services/{service}`: which commands of a service the device is not to be given.
pub(in crate::http) async fn mute(
    State(api): State<Api>,
    Caller(app): Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Text,
) -> Result<Response, Fault> {
    let Path((id, service)) = path.map_err(|_| Code::NotFound)?;
    let commands = parse_mute(body.as_str())?;
    if !(1..=64).contains(&service.chars().count()) {
        return Err(Invalid::new("serviceType", "must have 1 to 64 characters").into());
    }
    let device = device_of(&api, &app, &id, Code::NoDevice).await?;
    let mut muted = serde_json::Map::new();
    let commands = Some(commands).filter(|commands| !commands.is_empty());
    muted.insert(service.clone(), serde_json::json!(commands));
    let change = DeviceChange {
        info: Some(serde_json::json!({ "muteCmds": muted }).to_string()),
        service: Some(service),
        ..DeviceChange::default()
    };
    make(&api, &device, change).await?;
    Ok(no_content())
}

/// Has it committed; then whoever speaks by what it was before has to come anew.
async fn make(api: &Api, device: &Device, change: DeviceChange) -> Result<(), Fault> {
    let (engine, key) = (Arc::clone(&api.north.engine), device.key);
    let rekeyed = change.secret.is_some() || change.node_id.is_some();
    let work = async move {
        let changed = engine.store().modify(key, change, clock::now()).await?;
        if changed.is_ok() && rekeyed {
            engine.outdate(Outdated::Secret(key));
        }
        Ok::<_, downlink_store::StoreError>(changed)
    };
    match finish(&api.tasks, work).await? {
        Ok(()) => Ok(()),
        Err(ModifyRefused::NoDevice) => Err(Code::NoDevice.into()),
        Err(ModifyRefused::DuplicateNode) => Err(Code::DuplicateNode.into()),
    }
}
