//! `sendCommand`: a service of a device is invoked now, or not at all. It is an immediate command under another name, whose
//! application may have an id of its own for the call; subscribers are told by that id.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use downlink_api::invoke::{Invoke, Invoked};
use downlink_api::time::WireTime;
use downlink_api::{Code, Invalid};
use downlink_core::CommandBody;
use http::StatusCode;

use super::device_of;
use crate::engine::{CreateRequest, gate};
use crate::http::auth::Caller;
use crate::http::request::Text;
use crate::http::{Api, Fault, RequestId, finish, json};

/// Longest name of a service.
const MAX_SERVICE: usize = 64;

/// `POST /iocm/app/signaltrans/v1.1.0/devices/{deviceId}/services/{serviceId}/sendCommand`
pub(in crate::http) async fn invoke(
    State(api): State<Api>,
    Caller(app): Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    id: RequestId,
    body: Text,
) -> Result<Response, Fault> {
    let Path((device, service)) = path.map_err(|_| Code::NotFound)?;
    let asked = Invoke::parse(body.as_str(), api.north.config.commands.max_paras_bytes)?;
    if service.chars().count() > MAX_SERVICE || service.chars().any(char::is_control) {
        let rule = format!("must have 1 to {MAX_SERVICE} characters");
        return Err(Invalid::new("serviceId", rule).into());
    }
    let device = device_of(&api, &app, &device, Code::NoDeviceData).await?;
    let most = api.north.config.commands.max_silence_days;
    gate::pass(&device, &service, &asked.method, most)?;
    let request = CreateRequest {
        device: device.key,
        device_id: device.id,
        product: device.product,
        work_mode: device.work_mode,
        body: CommandBody {
            service,
            method: asked.method,
            paras: asked.paras.into_owned(),
        },
        callback: None,
        expire_time: Some(0),
        max_retransmit: None,
        request_id: id.as_str().to_owned(),
        key: None,
        call_id: asked.request_id.clone(),
        unanswered: !asked.answer,
    };
    let engine = Arc::clone(&api.north.engine);
    let made = finish(&api.tasks, async move { engine.create(&app, request).await }).await?;
    let own = made.record.id.digits();
    let at = WireTime(made.record.created_at);
    let body = Invoked {
        request_id: asked.request_id.as_deref().unwrap_or(own.as_str()),
        status: "sent",
        timestamp: at,
        time_stamp: at,
    };
    json(StatusCode::ACCEPTED, &body)
}
