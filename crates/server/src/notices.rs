//! How notices are written: the store's facts in the platform's bodies.

use downlink_api::device::{DeviceInfo, Gateway, Presence, info_of};
use downlink_api::notice::{self, Service};
use downlink_api::time::WireTime;
use downlink_core::DeviceId;
use downlink_store::{
    CommandStage, Notice, NoticeDevice, NoticeWriter, PushGivenUp, PushSubject, ServiceData, Standing,
};

/// Writes notices as the platform does.
#[derive(Debug)]
pub(crate) struct PlatformNotices;

impl NoticeWriter for PlatformNotices {
    fn body(&self, notice: &Notice<'_>) -> String {
        match *notice {
            Notice::Added(device) => notice::device_added(
                device.id.as_str(),
                gateway(device),
                &device.node_id,
                &info(device),
            ),
            Notice::Bound { device, in_time } => {
                notice::bind_device(device.id.as_str(), &device.node_id, &info(device), in_time)
            }
            Notice::Presence { device, standing } => {
                notice::presence_changed(device.as_str(), presence(standing))
            }
            Notice::Changed {
                device,
                moved,
                before,
            } => {
                let node_id = moved.then_some(device.node_id.as_str());
                let (before, now) = (info_of(before), info(device));
                notice::info_changed(device.id.as_str(), gateway(device), node_id, &before, &now)
            }
            Notice::ServiceChanged { device, service } => {
                let info = info(device);
                let muted = info.mute_cmds.get(service).map_or(&[][..], Vec::as_slice);
                notice::service_changed(device.id.as_str(), gateway(device), service, muted)
            }
            Notice::Deleted { device, gateway } => notice::device_deleted(device.as_str(), by(gateway)),
            Notice::Data {
                device,
                gateway,
                service,
            } => notice::data_changed(device.as_str(), by(gateway), data(service)),
            Notice::Datas {
                device,
                gateway,
                services,
            } => notice::datas_changed(device.as_str(), by(gateway), services.iter().map(data)),
            Notice::Event { device, event, now } => {
                let service = Service {
                    id: &event.service,
                    data: &event.paras,
                    at: WireTime(event.at),
                };
                notice::device_event(device.as_str(), &event.event_type, service, WireTime(now))
            }
            Notice::Confirm {
                device,
                app,
                command,
                call_id,
                stage,
                at,
            } => {
                let status = status(stage);
                let own = command.digits();
                let id = call_id.unwrap_or(own.as_str());
                notice::message_confirm(id, device.as_str(), app, status, WireTime(at))
            }
            Notice::Response {
                device,
                app,
                command,
                call_id,
                service,
                method,
                result,
            } => {
                let called = (service, method);
                let own = command.digits();
                let id = call_id.unwrap_or(own.as_str());
                notice::command_response(id, device.as_str(), app, called, result)
            }
            Notice::Desired {
                device,
                service,
                properties,
                delivered,
            } => notice::desired_status(device.as_str(), service, properties, delivered),
            Notice::GivenUp(lost) => given_up(&lost),
        }
    }
}

/// How a device stands, as it is shown.
pub(crate) const fn presence(standing: Standing) -> Presence {
    match standing {
        Standing::Online => Presence::Online,
        Standing::Abnormal => Presence::Abnormal,
        Standing::Offline => Presence::Offline,
        Standing::Inactive => Presence::NotActive,
    }
}

/// What was said of a device at its registration; nothing, if that cannot be read.
fn info(device: &NoticeDevice) -> DeviceInfo {
    info_of(&device.info)
}

fn gateway(device: &NoticeDevice) -> Gateway<'_> {
    Gateway::of(device.gateway.as_ref().map(|id| id.as_str()))
}

fn by(gateway: Option<&DeviceId>) -> Gateway<'_> {
    Gateway::of(gateway.map(DeviceId::as_str))
}

fn given_up(lost: &PushGivenUp<'_>) -> String {
    let (webhook_id, change, kind) = match lost.told {
        PushSubject::Change { command, seq, status } => {
            let command = command.to_string();
            (format!("{command}-{seq}"), Some((command, status)), None)
        }
        PushSubject::Notice { id, kind } => (id.to_owned(), None, Some(kind)),
    };
    let change = change.as_ref();
    let body = notice::GivenUp {
        webhook_id: &webhook_id,
        change: change.map(|(command, status)| (command.as_str(), status.as_str())),
        notice: kind,
        receiver: lost.origin,
        reason: lost.why,
        attempts: lost.tries,
        event_time: WireTime(lost.at),
        timestamp: WireTime(lost.now),
    };
    notice::push_given_up(lost.device.as_str(), &body)
}

fn data(service: &ServiceData) -> Service<'_> {
    Service {
        id: &service.service,
        data: &service.data,
        at: WireTime(service.at),
    }
}

fn status(stage: CommandStage) -> &'static str {
    match stage {
        CommandStage::Sent => "sent",
        CommandStage::Delivered => "delivered",
        CommandStage::Executed => "executed",
    }
}
