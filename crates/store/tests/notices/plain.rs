//! Bodies of notices, short enough to be compared.

use downlink_store::*;

/// Writes a notice as it is seen here.
#[derive(Debug)]
pub(crate) struct Plain;

impl NoticeWriter for Plain {
    fn body(&self, notice: &Notice<'_>) -> String {
        match notice {
            Notice::Added(device) => format!("added {} {} {}", device.id, device.node_id, device.info),
            Notice::Bound { device, in_time } => format!("bound {} {in_time}", device.id),
            Notice::Presence { device, standing } => match standing {
                Standing::Online => format!("online {device} true"),
                Standing::Offline => format!("online {device} false"),
                Standing::Abnormal | Standing::Inactive => format!("{standing:?} {device}"),
            },
            Notice::Deleted { device, .. } => format!("deleted {device}"),
            Notice::ServiceChanged { service, .. } => format!("service {service}"),
            Notice::Changed { device, before, .. } => format!("changed {before} {}", device.info),
            Notice::Data { service, .. } => format!("data {} {}", service.service, service.data),
            Notice::Datas { services, .. } => format!("datas {}", services.len()),
            Notice::Event { event, .. } => format!("event {}", event.event_type),
            Notice::Confirm { app, stage, .. } => format!("confirm {app} {stage:?}"),
            Notice::Response {
                service,
                method,
                result,
                ..
            } => format!("response {service} {method} {}", result.unwrap_or("-")),
            Notice::Desired {
                device,
                service,
                properties,
                delivered,
            } => format!("desired {device} {service} {properties} {delivered}"),
            Notice::GivenUp(lost) => {
                let told = match lost.told {
                    PushSubject::Change { seq, status, .. } => format!("change {seq} {status}"),
                    PushSubject::Notice { kind, .. } => format!("notice {kind}"),
                };
                format!("lost {} {told}: {}, tries {}", lost.device, lost.why, lost.tries)
            }
        }
    }
}
