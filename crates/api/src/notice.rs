//! What subscribers are told: compact JSON, members in the platform's order, what is not known null.
//!
//! Compact matters: the platform's own SDKs dispatch by looking for `"notifyType":"…"` without blanks. A device that is
//! connected directly is its own gateway, and of the type `GATEWAY`.

mod changed;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::data::raw;
use crate::device::{DeviceInfo, DeviceInfoView, Gateway, Presence, ServiceInfo};
use crate::time::WireTime;

pub use changed::{info_changed, presence_changed};

/// Data of a service.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Which service: its id, which stands for its type too.
    pub id: &'a str,
    /// Its data: a JSON object as text. Anything else becomes `{}`.
    pub data: &'a str,
    /// When.
    pub at: WireTime,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceView<'a> {
    service_id: &'a str,
    service_type: &'a str,
    data: &'a RawValue,
    event_time: WireTime,
}

impl<'a> From<Service<'a>> for ServiceView<'a> {
    fn from(service: Service<'a>) -> Self {
        Self {
            service_id: service.id,
            service_type: service.id,
            data: raw(service.data),
            event_time: service.at,
        }
    }
}

fn write(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts, numbers and checked JSON are always JSON")
}

/// `deviceAdded`: it was registered.
pub fn device_added(device: &str, gateway: Gateway<'_>, node: &str, info: &DeviceInfo) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        gateway_id: &'a str,
        node_type: &'static str,
        device_info: DeviceInfoView<'a>,
    }
    write(&Body {
        notify_type: "deviceAdded",
        device_id: device,
        gateway_id: gateway.id(device),
        node_type: gateway.node_type(),
        device_info: DeviceInfoView::new(node, info, Presence::NotActive),
    })
}

/// `bindDevice`: it connected for the first time, or its time to do so is over.
pub fn bind_device(device: &str, node: &str, info: &DeviceInfo, in_time: bool) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        result_code: &'static str,
        device_info: DeviceInfoView<'a>,
    }
    let (result_code, presence) = match in_time {
        true => ("succeeded", Presence::Online),
        false => ("expired", Presence::NotActive),
    };
    write(&Body {
        notify_type: "bindDevice",
        device_id: device,
        result_code,
        device_info: DeviceInfoView::new(node, info, presence),
    })
}

/// `serviceInfoChanged`: which commands of a service the device is not to be given.
pub fn service_changed(device: &str, gateway: Gateway<'_>, service: &str, muted: &[String]) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        gateway_id: &'a str,
        service_id: &'a str,
        service_type: &'a str,
        service_info: ServiceInfo<'a>,
    }
    write(&Body {
        notify_type: "serviceInfoChanged",
        device_id: device,
        gateway_id: gateway.id(device),
        service_id: service,
        service_type: service,
        service_info: ServiceInfo { mute_cmds: muted },
    })
}

/// `deviceDeleted`: it was removed.
pub fn device_deleted(device: &str, gateway: Gateway<'_>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        gateway_id: &'a str,
    }
    write(&Body {
        notify_type: "deviceDeleted",
        device_id: device,
        gateway_id: gateway.id(device),
    })
}

/// `deviceDataChanged`: data of one service.
pub fn data_changed(device: &str, gateway: Gateway<'_>, service: Service<'_>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        gateway_id: &'a str,
        request_id: Option<&'a str>,
        service: ServiceView<'a>,
    }
    write(&Body {
        notify_type: "deviceDataChanged",
        device_id: device,
        gateway_id: gateway.id(device),
        request_id: None,
        service: service.into(),
    })
}

/// `deviceDatasChanged`: data of all services of a report.
pub fn datas_changed<'a>(
    device: &str,
    gateway: Gateway<'_>,
    services: impl IntoIterator<Item = Service<'a>>,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        request_id: Option<&'a str>,
        device_id: &'a str,
        gateway_id: &'a str,
        services: Vec<ServiceView<'a>>,
    }
    write(&Body {
        notify_type: "deviceDatasChanged",
        request_id: None,
        device_id: device,
        gateway_id: gateway.id(device),
        services: services.into_iter().map(ServiceView::from).collect(),
    })
}

/// `deviceEvent`: something that happened at a device, told by the server at `now`.
pub fn device_event(device: &str, event_type: &str, event: Service<'_>, now: WireTime) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        event_type: &'a str,
        from: &'a str,
        timestamp: WireTime,
        event_time: WireTime,
        device_id: &'a str,
        service_type: &'a str,
    }
    write(&Told {
        notify_type: "deviceEvent",
        header: Header {
            event_type,
            from: device,
            timestamp: now,
            event_time: event.at,
            device_id: device,
            service_type: event.id,
        },
        body: raw(event.data),
    })
}

/// `messageConfirm`: a command came to `status` (`sent`, `delivered`, `executed`).
pub fn message_confirm(command: &str, device: &str, app: &str, status: &str, at: WireTime) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        request_id: &'a str,
        from: &'a str,
        to: &'a str,
        status: &'a str,
        timestamp: WireTime,
    }
    write(&Told {
        notify_type: "messageConfirm",
        header: Header {
            request_id: command,
            from: device,
            to: app,
            status,
            timestamp: at,
        },
        body: raw("{}"),
    })
}

/// `commandRsp`: a device's result of a command, for the service and method that the command called.
pub fn command_response(
    command: &str,
    device: &str,
    app: &str,
    (service, method): (&str, &str),
    result: Option<&str>,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        request_id: &'a str,
        from: &'a str,
        to: &'a str,
        device_id: &'a str,
        service_type: &'a str,
        method: String,
    }
    write(&Told {
        notify_type: "commandRsp",
        header: Header {
            request_id: command,
            from: device,
            to: app,
            device_id: device,
            service_type: service,
            method: format!("{method}-RSP"),
        },
        body: raw(result.unwrap_or("{}")),
    })
}

/// `deviceDesiredPropertiesModifyStatusChanged`: what was desired of a service's properties was delivered, or failed.
pub fn desired_status(device: &str, service: &str, properties: &str, delivered: bool) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        service_id: &'a str,
        properties: &'a RawValue,
        status: &'static str,
    }
    write(&Body {
        notify_type: "deviceDesiredPropertiesModifyStatusChanged",
        device_id: device,
        service_id: service,
        properties: raw(properties),
        status: match delivered {
            true => "DELIVERED",
            false => "FAILED",
        },
    })
}

/// A push that was given up.
#[derive(Debug, Clone, Copy)]
pub struct GivenUp<'a> {
    /// What stood in its `webhook-id`.
    pub webhook_id: &'a str,
    /// The command whose change it told, and the status; none: it was a notice.
    pub change: Option<(&'a str, &'a str)>,
    /// The kind of the notice; none: it told a change of a command.
    pub notice: Option<&'a str>,
    /// Scheme, host and port of its receiver.
    pub receiver: &'a str,
    /// Why, for people.
    pub reason: &'a str,
    /// Attempts that were made.
    pub attempts: u32,
    /// When what it told happened.
    pub event_time: WireTime,
    /// When it was given up.
    pub timestamp: WireTime,
}

/// `pushGivenUp`: a push will not be sent any more. Not of the platform; a member that does not apply is null.
pub fn push_given_up(device: &str, lost: &GivenUp<'_>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        notify_type: &'static str,
        device_id: &'a str,
        webhook_id: &'a str,
        command_id: Option<&'a str>,
        result_code: Option<&'a str>,
        given_up_type: Option<&'a str>,
        receiver: &'a str,
        reason: &'a str,
        attempts: u32,
        event_time: WireTime,
        timestamp: WireTime,
    }
    write(&Body {
        notify_type: "pushGivenUp",
        device_id: device,
        webhook_id: lost.webhook_id,
        command_id: lost.change.map(|(command, _)| command),
        result_code: lost.change.map(|(_, status)| status),
        given_up_type: lost.notice,
        receiver: lost.receiver,
        reason: lost.reason,
        attempts: lost.attempts,
        event_time: lost.event_time,
        timestamp: lost.timestamp,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a, H> {
    notify_type: &'static str,
    header: H,
    body: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use downlink_core::Timestamp;

    use super::*;

    const AT: WireTime = WireTime(Timestamp::from_millis(1_700_000_000_000));

    fn service<'a>(id: &'a str, data: &'a str) -> Service<'a> {
        Service { id, data, at: AT }
    }

    /// Golden: receivers read these.
    #[test]
    fn devices_come_and_go() {
        let info = DeviceInfo {
            name: Some("valve".to_owned()),
            imsi: Some("46".to_owned()),
            ..DeviceInfo::default()
        };
        assert_eq!(
            device_added("d", Gateway::Own, "n", &info),
            r#"{"notifyType":"deviceAdded","deviceId":"d","gatewayId":"d","nodeType":"GATEWAY","deviceInfo":{"nodeId":"n","name":"valve","description":null,"manufacturerId":null,"manufacturerName":null,"mac":null,"location":null,"deviceType":null,"model":null,"swVersion":null,"fwVersion":null,"hwVersion":null,"protocolType":null,"bridgeId":null,"status":"OFFLINE","statusDetail":"NOT_ACTIVE","mute":"FALSE","supportedSecurity":null,"isSecurity":"FALSE","signalStrength":null,"sigVersion":null,"serialNumber":null,"batteryLevel":null}}"#
        );
        let bound = bind_device("d", "n", &info, true);
        assert!(bound.starts_with(
            r#"{"notifyType":"bindDevice","deviceId":"d","resultCode":"succeeded","deviceInfo":{"nodeId":"n","#
        ));
        assert!(
            bound.contains(r#""status":"ONLINE","statusDetail":"NONE""#),
            "{bound}"
        );
        assert!(bind_device("d", "n", &info, false).contains(r#""resultCode":"expired""#));
        assert_eq!(
            presence_changed("d", Presence::Online),
            r#"{"notifyType":"deviceInfoChanged","deviceId":"d","gatewayId":"d","networkStatus":null,"deviceInfo":{"nodeId":null,"name":null,"description":null,"manufacturerId":null,"manufacturerName":null,"mac":null,"location":null,"deviceType":null,"model":null,"swVersion":null,"fwVersion":null,"hwVersion":null,"protocolType":null,"bridgeId":null,"status":"ONLINE","statusDetail":"NONE","mute":null,"supportedSecurity":null,"isSecurity":null,"signalStrength":null,"sigVersion":null,"serialNumber":null,"batteryLevel":null}}"#
        );
        assert_eq!(
            device_deleted("d", Gateway::Own),
            r#"{"notifyType":"deviceDeleted","deviceId":"d","gatewayId":"d"}"#
        );
        assert_eq!(
            device_deleted("d", Gateway::Other("g")),
            r#"{"notifyType":"deviceDeleted","deviceId":"d","gatewayId":"g"}"#
        );
        assert_eq!(
            service_changed("d", Gateway::Own, "Lamp", &["ON".to_owned()]),
            r#"{"notifyType":"serviceInfoChanged","deviceId":"d","gatewayId":"d","serviceId":"Lamp","serviceType":"Lamp","serviceInfo":{"muteCmds":["ON"]}}"#
        );
        let child = device_added("d", Gateway::Other("g"), "n", &info);
        assert!(
            child.contains(r#""deviceId":"d","gatewayId":"g","nodeType":"ENDPOINT","#),
            "{child}"
        );
        let before = DeviceInfo {
            model: Some("M".to_owned()),
            mute: Some(false),
            ..info.clone()
        };
        let now = DeviceInfo {
            name: Some("gate".to_owned()),
            mute: Some(true),
            imsi: Some("47".to_owned()),
            ..before.clone()
        };
        assert_eq!(
            info_changed("d", Gateway::Own, None, &before, &now),
            r#"{"notifyType":"deviceInfoChanged","deviceId":"d","gatewayId":"d","networkStatus":null,"deviceInfo":{"nodeId":null,"name":"gate","description":null,"manufacturerId":null,"manufacturerName":null,"mac":null,"location":null,"deviceType":null,"model":null,"swVersion":null,"fwVersion":null,"hwVersion":null,"protocolType":null,"bridgeId":null,"status":null,"statusDetail":null,"mute":"TRUE","supportedSecurity":null,"isSecurity":null,"signalStrength":null,"sigVersion":null,"serialNumber":null,"batteryLevel":null}}"#
        );
    }

    #[test]
    fn what_became_of_a_desire_is_told() {
        assert_eq!(
            desired_status("d", "Lamp", r#"{"on":true}"#, true),
            r#"{"notifyType":"deviceDesiredPropertiesModifyStatusChanged","deviceId":"d","serviceId":"Lamp","properties":{"on":true},"status":"DELIVERED"}"#
        );
        assert!(desired_status("d", "Lamp", "{}", false).ends_with(r#""properties":{},"status":"FAILED"}"#));
    }

    #[test]
    fn what_was_given_up_is_named() {
        let lost = GivenUp {
            webhook_id: "c-3",
            change: Some(("c", "DELIVERED")),
            notice: None,
            receiver: "https://na.example:443",
            reason: "too old",
            attempts: 7,
            event_time: AT,
            timestamp: AT,
        };
        assert_eq!(
            push_given_up("d", &lost),
            r#"{"notifyType":"pushGivenUp","deviceId":"d","webhookId":"c-3","commandId":"c","resultCode":"DELIVERED","givenUpType":null,"receiver":"https://na.example:443","reason":"too old","attempts":7,"eventTime":"20231114T221320Z","timestamp":"20231114T221320Z"}"#
        );
    }

    #[test]
    fn data_is_passed_on_as_it_came() {
        let big = r#"{"lux":123456789012345678901234567890}"#;
        assert_eq!(
            data_changed("d", Gateway::Own, service("Lamp", big)),
            format!(
                r#"{{"notifyType":"deviceDataChanged","deviceId":"d","gatewayId":"d","requestId":null,"service":{{"serviceId":"Lamp","serviceType":"Lamp","data":{big},"eventTime":"20231114T221320Z"}}}}"#
            )
        );
        assert_eq!(
            datas_changed(
                "d",
                Gateway::Own,
                [service("A", r#"{"a":1}"#), service("B", "[1]")]
            ),
            r#"{"notifyType":"deviceDatasChanged","requestId":null,"deviceId":"d","gatewayId":"d","services":[{"serviceId":"A","serviceType":"A","data":{"a":1},"eventTime":"20231114T221320Z"},{"serviceId":"B","serviceType":"B","data":{},"eventTime":"20231114T221320Z"}]}"#
        );
    }

    #[test]
    fn events_and_commands_have_a_header() {
        assert_eq!(
            device_event("d", "alarm", service("Lamp", r#"{"a":1}"#), AT),
            r#"{"notifyType":"deviceEvent","header":{"eventType":"alarm","from":"d","timestamp":"20231114T221320Z","eventTime":"20231114T221320Z","deviceId":"d","serviceType":"Lamp"},"body":{"a":1}}"#
        );
        assert_eq!(
            message_confirm("c", "d", "app", "sent", AT),
            r#"{"notifyType":"messageConfirm","header":{"requestId":"c","from":"d","to":"app","status":"sent","timestamp":"20231114T221320Z"},"body":{}}"#
        );
        assert_eq!(
            command_response("c", "d", "app", ("Lamp", "SET"), Some(r#"{"r":0}"#)),
            r#"{"notifyType":"commandRsp","header":{"requestId":"c","from":"d","to":"app","deviceId":"d","serviceType":"Lamp","method":"SET-RSP"},"body":{"r":0}}"#
        );
        assert!(command_response("c", "d", "app", ("s", "m"), None).ends_with(r#""body":{}}"#));
    }
}
