//! Registering a device.
//!
//! A device has one credential. The older form calls it `psk`, the newer one `secret`; either way it is what the device
//! proves itself by, kept sealed, and told only here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::device::{RegisteredV1, RegisteredV2, Registration};
use downlink_api::{Code, Invalid};
use downlink_core::{DeviceId, Span};
use downlink_store::{App, NewDevice, RegisterRefused};
use http::StatusCode;

use super::super::auth::Caller;
use super::super::commands::device_of;
use super::super::request::Text;
use super::super::{Api, Fault, finish, json};
use crate::clock;
use crate::secrets::{random_hex, random_uuid};

/// `POST /iocm/app/reg/v1.1.0/deviceCredentials`
pub(in crate::http) async fn register_v1(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    let asked = Registration::parse_v1(body.as_str())?;
    let psk = asked.secret.clone().unwrap_or_else(|| random_hex(16));
    let verify_code = asked.verify_code.clone().unwrap_or_else(|| random_hex(10));
    let timeout = asked.timeout;
    let id = register(&api, &app, asked, &psk, &verify_code).await?;
    let body = RegisteredV1 {
        device_id: id.as_str(),
        verify_code: &verify_code,
        timeout,
        psk: &psk,
    };
    json(StatusCode::OK, &body)
}

/// `POST /iocm/app/reg/v2.0.0/deviceCredentials`
pub(in crate::http) async fn register_v2(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    let asked = Registration::parse_v2(body.as_str())?;
    let secret = asked.secret.clone().unwrap_or_else(|| random_hex(10));
    let id = register(&api, &app, asked, &secret, "").await?;
    let body = RegisteredV2 {
        device_id: id.as_str(),
        secret: &secret,
        psk: &secret,
    };
    json(StatusCode::OK, &body)
}

async fn register(
    api: &Api,
    app: &App,
    asked: Registration,
    secret: &str,
    verify_code: &str,
) -> Result<DeviceId, Fault> {
    let gateway = match &asked.gateway {
        None => None,
        Some(id) => Some(device_of(api, app, id, Code::NoDevice).await?.key),
    };
    let id = DeviceId::new(random_uuid().to_string());
    let now = clock::now();
    let device = NewDevice {
        app: app.key,
        id: id.clone(),
        node_id: asked.node_id,
        secret: api.north.sealer.seal(id.as_str(), secret),
        verify_code: verify_code.to_owned(),
        info: serde_json::to_string(&asked.info).map_err(|error| Fault::internal(error.to_string()))?,
        created_at: now,
        bind_until: (asked.timeout > 0).then(|| now + Span::from_secs(asked.timeout)),
        gateway,
    };
    let (engine, limit) = (
        Arc::clone(&api.north.engine),
        api.north.config.commands.max_devices_per_app,
    );
    let work = async move { engine.store().register(device, limit).await };
    match finish(&api.tasks, work).await? {
        Ok(_) => Ok(id),
        Err(RegisterRefused::DuplicateNode) => Err(Code::DuplicateNode.into()),
        Err(RegisterRefused::DuplicateId) => Err(Fault::internal("a random device id was taken")),
        Err(RegisterRefused::TooMany) => Err(Code::TooManyDevices.into()),
        Err(RegisterRefused::NoApp) => Err(Code::NoApp.into()),
        Err(RegisterRefused::NoGateway) => {
            let rule = "must be a device that is connected directly";
            Err(Invalid::new("gatewayId", rule).into())
        }
    }
}
