//! Device groups: an application's devices under a name.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use downlink_api::device_group::{
    CreateDeviceGroup, DeviceGroupPage, DeviceGroupView, GroupDevices, GroupDevicesView, GroupMemberPage,
    ModifyDeviceGroup,
};
use downlink_api::{Code, Invalid};
use downlink_core::{AppId, DeviceId};
use downlink_store::{App, DeviceGroup, DeviceGroupChange, GroupRefused, NewDeviceGroup};
use http::StatusCode;

use super::auth::{Caller, in_name_of};
use super::paging::Paging;
use super::request::{IdInPath, Text};
use super::{Api, Fault, Query, finish, json};
use crate::clock;
use crate::secrets::random_hex;

/// The most groups, and the most members, on a page.
const MAX_PAGE: u32 = 1000;
/// How many there are on one that does not say.
const PAGE: u32 = 10;

/// `POST /iocm/app/devgroup/v1.3.0/devGroups`
pub(super) async fn create(
    State(api): State<Api>,
    Caller(app): Caller,
    body: Text,
) -> Result<Response, Fault> {
    let asked = CreateDeviceGroup::parse(body.as_str())?;
    let app = match &asked.app_id {
        // The call has no other place for it.
        Some(owner) => in_name_of(&api, app, AppId::new(owner.as_str())).await?,
        None => app,
    };
    let limits = &api.north.config.groups;
    let new = NewDeviceGroup {
        id: Arc::from(random_hex(16)),
        app: app.key,
        name: asked.name,
        description: asked.description,
        max_devices: asked.max_dev_num,
        devices: ids(&asked.device_ids),
        created_at: clock::now(),
        group_limit: limits.max_per_app,
        device_limit: limits.max_devices,
    };
    let engine = Arc::clone(&api.north.engine);
    let work = async move { engine.store().create_group(new).await };
    let group = finish(&api.tasks, work).await?.map_err(told)?;
    let body = DeviceGroupView {
        device_ids: Some(&asked.device_ids),
        ..view(&group, &app)
    };
    json(StatusCode::OK, &body)
}

/// `GET /iocm/app/devgroup/v1.3.0/devGroups`
pub(super) async fn list(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    // Without a page number there is no paging.
    let default = match query.get("pageNo") {
        Some(_) => PAGE,
        None => MAX_PAGE,
    };
    let paging = Paging::of(&query, default, MAX_PAGE)?;
    let name = query.get("name").map(|name| name.into_owned());
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let page = store
        .groups(app.key, name, paging.skip(), paging.page_size)
        .await?;
    let body = DeviceGroupPage {
        total_count: page.total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        list: page.items.iter().map(|group| view(group, &app)).collect(),
    };
    json(StatusCode::OK, &body)
}

/// `GET /iocm/app/devgroup/v1.3.0/devGroups/{devGroupId}`
pub(super) async fn one(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let found = api.north.engine.store().group(app.key, Arc::from(id)).await?;
    let group = found.ok_or(Code::NoGroup)?;
    json(StatusCode::OK, &view(&group, &app))
}

/// `PUT /iocm/app/devgroup/v1.3.0/devGroups/{devGroupId}`
pub(super) async fn modify(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
    body: Text,
) -> Result<Response, Fault> {
    let asked = ModifyDeviceGroup::parse(body.as_str())?;
    let change = DeviceGroupChange {
        name: asked.name,
        description: asked.description,
        max_devices: asked.max_dev_num,
    };
    let (engine, key) = (Arc::clone(&api.north.engine), app.key);
    let work = async move { engine.store().modify_group(key, Arc::from(id), change).await };
    let group = finish(&api.tasks, work).await?.map_err(told)?;
    json(StatusCode::OK, &view(&group, &app))
}

/// `DELETE /iocm/app/devgroup/v1.3.0/devGroups/{devGroupId}`
pub(super) async fn remove(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let engine = Arc::clone(&api.north.engine);
    let work = async move { engine.store().remove_group(app.key, Arc::from(id)).await };
    match finish(&api.tasks, work).await? {
        true => Ok(Response::new(Body::empty())),
        false => Err(Code::NoGroup.into()),
    }
}

/// `GET /iocm/app/dm/v1.2.0/devices/ids`
pub(super) async fn members(
    State(api): State<Api>,
    Caller(app): Caller,
    query: Query,
) -> Result<Response, Fault> {
    let paging = Paging::of(&query, PAGE, MAX_PAGE)?;
    let id = query
        .get("devGroupId")
        .ok_or_else(|| Invalid::missing("devGroupId"))?;
    let _turn = api.north.room.turn_to_list().await?;
    let store = api.north.engine.store();
    let found = store
        .group_members(app.key, Arc::from(&*id), paging.skip(), paging.page_size)
        .await?;
    let page = found.ok_or(Code::NoGroup)?;
    let body = GroupMemberPage {
        total_count: page.total,
        page_no: paging.page_no,
        page_size: u64::from(paging.page_size),
        device_ids: page.items.iter().map(DeviceId::as_str).collect(),
    };
    json(StatusCode::OK, &body)
}

/// `POST /iocm/app/dm/v1.1.0/devices/addDevGroupTagToDevices`
pub(super) async fn add(State(api): State<Api>, Caller(app): Caller, body: Text) -> Result<Response, Fault> {
    let asked = GroupDevices::parse(body.as_str())?;
    let (engine, limit) = (Arc::clone(&api.north.engine), api.north.config.groups.max_devices);
    let (group, devices) = (Arc::from(asked.group_id.as_str()), ids(&asked.device_ids));
    let work = async move {
        let store = engine.store();
        store.add_to_group(app.key, group, devices, limit).await
    };
    finish(&api.tasks, work).await?.map_err(told)?;
    let body = GroupDevicesView {
        dev_group_id: &asked.group_id,
        device_ids: &asked.device_ids,
    };
    json(StatusCode::OK, &body)
}

/// `POST /iocm/app/dm/v1.1.0/devices/deleteDevGroupTagFromDevices`
pub(super) async fn take(State(api): State<Api>, Caller(app): Caller, body: Text) -> Result<Response, Fault> {
    let asked = GroupDevices::parse(body.as_str())?;
    let engine = Arc::clone(&api.north.engine);
    let (group, devices) = (Arc::from(asked.group_id.as_str()), ids(&asked.device_ids));
    let work = async move { engine.store().take_from_group(app.key, group, devices).await };
    finish(&api.tasks, work).await?.map_err(told)?;
    Ok(Response::new(Body::empty()))
}

fn ids(texts: &[String]) -> Vec<DeviceId> {
    texts.iter().map(|id| DeviceId::new(id.as_str())).collect()
}

fn told(refused: GroupRefused) -> Fault {
    match refused {
        GroupRefused::NoGroup => Code::NoGroup.into(),
        GroupRefused::NameTaken => Code::GroupNameTaken.into(),
        GroupRefused::TooManyGroups => {
            Fault::new(Code::Congested, "Too many device groups of the application.")
        }
        GroupRefused::TooManyDevices => Code::TooManyInGroup.into(),
        GroupRefused::NoDevice(id) => Fault::new(Code::NoDevice, format!("deviceIds: {id}.")),
    }
}

fn view<'a>(group: &'a DeviceGroup, app: &'a App) -> DeviceGroupView<'a> {
    DeviceGroupView {
        name: &group.name,
        description: group.description.as_deref(),
        id: &group.id,
        app_id: app.id.as_str(),
        max_dev_num: group.max_devices,
        cur_dev_num: group.devices,
        creator: app.id.as_str(),
        device_ids: None,
    }
}
