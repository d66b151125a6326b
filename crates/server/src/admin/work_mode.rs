//! How devices sleep, as the admin API says it; and that of one device, set and looked at.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use downlink_api::Invalid;
use downlink_core::DeviceId;
use downlink_core::product::WorkMode;
use downlink_core::product::settings::MAX_CYCLE_SECS;
use downlink_store::{Device, DeviceName};
use serde::{Deserialize, Serialize};

use super::{Admin, Problem, json, parse};
use crate::clock;
use crate::http::{Northbound, finish};

/// The word for a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Psm,
    Drx,
    Edrx,
}

/// The mode that `workMode` and `cycleSecs` say.
pub(super) fn read(mode: Option<Mode>, cycle_secs: Option<u32>) -> Result<Option<WorkMode>, Invalid> {
    match (mode, cycle_secs) {
        (Some(Mode::Edrx), Some(cycle_secs)) if !(1..=MAX_CYCLE_SECS).contains(&cycle_secs) => Err(
            Invalid::new("cycleSecs", format!("must be 1 to {MAX_CYCLE_SECS}")),
        ),
        (Some(Mode::Edrx), Some(cycle_secs)) => Ok(Some(WorkMode::Edrx { cycle_secs })),
        (Some(Mode::Edrx), None) => Err(Invalid::missing("cycleSecs")),
        (Some(Mode::Psm | Mode::Drx) | None, Some(_)) => {
            Err(Invalid::new("cycleSecs", "is of workMode edrx only"))
        }
        (Some(Mode::Psm), None) => Ok(Some(WorkMode::Psm)),
        (Some(Mode::Drx), None) => Ok(Some(WorkMode::Drx)),
        (None, None) => Ok(None),
    }
}

/// A mode as `workMode` and `cycleSecs`.
pub(super) const fn shown(mode: Option<WorkMode>) -> (Option<Mode>, Option<u32>) {
    match mode {
        None => (None, None),
        Some(WorkMode::Psm) => (Some(Mode::Psm), None),
        Some(WorkMode::Drx) => (Some(Mode::Drx), None),
        Some(WorkMode::Edrx { cycle_secs }) => (Some(Mode::Edrx), Some(cycle_secs)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetBody {
    /// Null: the device goes by its product or its application.
    #[serde(deserialize_with = "Option::deserialize")]
    work_mode: Option<Mode>,
    #[serde(default)]
    cycle_secs: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceBody<'a> {
    device_id: &'a str,
    work_mode: Option<Mode>,
    cycle_secs: Option<u32>,
}

/// `PUT /admin/v1/devices/{id}/work-mode`: how this one device sleeps, from its next registration or update on.
pub(super) async fn set(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked: SetBody = parse(&body)?;
    let mode = read(asked.work_mode, asked.cycle_secs)?;
    let device = named(&admin.northbound, &id).await?;
    let northbound = Arc::clone(&admin.northbound);
    let work = async move {
        let store = northbound.engine.store();
        store.set_work_mode(device.key, mode, clock::now()).await
    };
    match finish(&admin.tasks, work).await? {
        true => Ok(body_of(&id, mode)),
        false => Err(unknown()),
    }
}

/// `GET /admin/v1/devices/{id}/work-mode`
pub(super) async fn show(
    State(northbound): State<Arc<Northbound>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let device = named(&northbound, &id).await?;
    Ok(body_of(&id, device.work_mode))
}

fn body_of(id: &str, mode: Option<WorkMode>) -> Response {
    let (work_mode, cycle_secs) = shown(mode);
    let body = DeviceBody {
        device_id: id,
        work_mode,
        cycle_secs,
    };
    json(StatusCode::OK, &body).into_response()
}

async fn named(northbound: &Northbound, id: &str) -> Result<Device, Problem> {
    let id = DeviceId::new(id);
    let found = northbound.engine.store().device(DeviceName::Id(&id)).await?;
    found.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_device", "there is no such device")
}
