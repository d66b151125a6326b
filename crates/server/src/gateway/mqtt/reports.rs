//! Reports of both families: properties and events, as text of their JSON.
//!
//! Read only if they are kept, or somebody is subscribed to them. What cannot be read is left out. A gateway says of which of the
//! devices behind it a report is; whether that one is there is looked at by who keeps it.

use downlink_api::time::WireTime;
use downlink_core::Timestamp;
use downlink_store::{DeviceEvent, Report, ServiceData};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Services or events of one message that are read, at the most.
const MOST: usize = 500;

#[derive(Deserialize)]
struct Legacy<'a> {
    #[serde(borrow, default)]
    data: Vec<LegacyService<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyService<'a> {
    service_id: String,
    #[serde(borrow)]
    service_data: Option<&'a RawValue>,
    #[serde(borrow)]
    event_time: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Oc<'a> {
    object_device_id: Option<String>,
    #[serde(borrow, default)]
    services: Vec<OcService<'a>>,
}

#[derive(Deserialize)]
struct OcChildren<'a> {
    #[serde(borrow, default)]
    devices: Vec<OcChild<'a>>,
}

#[derive(Deserialize)]
struct OcChild<'a> {
    #[serde(alias = "object_device_id")]
    device_id: String,
    #[serde(borrow, default)]
    services: Vec<OcService<'a>>,
}

#[derive(Deserialize)]
struct OcService<'a> {
    service_id: String,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    paras: Option<&'a RawValue>,
    event_type: Option<String>,
    #[serde(borrow)]
    event_time: Option<&'a RawValue>,
}

/// A report of the legacy family.
pub(super) fn legacy(payload: &[u8], now: Timestamp) -> Vec<Report> {
    let Ok(message) = serde_json::from_slice::<Legacy<'_>>(payload) else {
        return Vec::new();
    };
    let services = message.data.into_iter().take(MOST).map(|one| ServiceData {
        service: one.service_id,
        data: text(one.service_data),
        at: time(one.event_time, now),
    });
    data(services.collect())
}

/// What was reported of one device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The device behind the one that speaks, by its id or node id; none: of itself.
    pub(super) child: Option<String>,
    pub(super) reports: Vec<Report>,
}

/// A report of properties of the `$oc` family.
pub(super) fn oc_properties(payload: &[u8], own: &str, now: Timestamp) -> Said {
    let (child, services) = oc(payload, own);
    Said {
        child,
        reports: properties(services.into_iter().take(MOST), now),
    }
}

/// A report of properties of devices behind the one that speaks.
pub(super) fn oc_children(payload: &[u8], own: &str, now: Timestamp) -> Vec<Said> {
    let Ok(message) = serde_json::from_slice::<OcChildren<'_>>(payload) else {
        return Vec::new();
    };
    let mut left = MOST;
    let mut said = Vec::new();
    for one in message.devices.into_iter().take(MOST) {
        let services = one.services.len().min(left);
        left -= services;
        said.push(Said {
            child: Some(one.device_id).filter(|id| id != own),
            reports: properties(one.services.into_iter().take(services), now),
        });
    }
    said
}

fn properties<'a>(services: impl Iterator<Item = OcService<'a>>, now: Timestamp) -> Vec<Report> {
    let services = services.map(|one| ServiceData {
        service: one.service_id,
        data: text(one.properties),
        at: time(one.event_time, now),
    });
    data(services.collect())
}

/// Events of the `$oc` family.
pub(super) fn oc_events(payload: &[u8], own: &str, now: Timestamp) -> Said {
    let event = |one: OcService<'_>| {
        Report::Event(DeviceEvent {
            service: one.service_id,
            event_type: one.event_type.unwrap_or_default(),
            paras: text(one.paras),
            at: time(one.event_time, now),
        })
    };
    let (child, services) = oc(payload, own);
    Said {
        child,
        reports: services.into_iter().take(MOST).map(event).collect(),
    }
}

fn oc<'a>(payload: &'a [u8], own: &str) -> (Option<String>, Vec<OcService<'a>>) {
    match serde_json::from_slice::<Oc<'a>>(payload) {
        Ok(message) => {
            let child = message.object_device_id.filter(|id| id != own);
            (child, message.services)
        }
        Err(_) => (None, Vec::new()),
    }
}

fn data(services: Vec<ServiceData>) -> Vec<Report> {
    match services.is_empty() {
        true => Vec::new(),
        false => vec![Report::Data(services)],
    }
}

fn text(raw: Option<&RawValue>) -> String {
    raw.map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned())
}

/// The device's own time, or the server's if it has none that can be read.
fn time(raw: Option<&RawValue>, now: Timestamp) -> Timestamp {
    raw.and_then(|raw| WireTime::parse(raw.get().trim_matches('"')))
        .map_or(now, |at| at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const THEN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn lamp(data: &str, at: Timestamp) -> ServiceData {
        ServiceData {
            service: "Lamp".to_owned(),
            data: data.to_owned(),
            at,
        }
    }

    #[test]
    fn reports_of_both_families_say_the_same() {
        let text = br#"{"msgType":"deviceReq","hasMore":0,"data":[{"serviceId":"Lamp","serviceData":{"lux":7},"eventTime":"20231114T221320Z"},{"serviceId":"Lamp","eventTime":7}]}"#;
        let expected = [Report::Data(vec![lamp(r#"{"lux":7}"#, THEN), lamp("{}", NOW)])];
        assert_eq!(legacy(text, NOW), expected);
        let text = br#"{"services":[{"service_id":"Lamp","properties":{"lux":7},"event_time":"20231114T221320Z"},{"service_id":"Lamp"}]}"#;
        assert_eq!(oc_properties(text, "d", NOW).reports, expected);
    }

    #[test]
    fn events_are_read_and_those_of_children_are_theirs() {
        let event = |of: &str| {
            format!(
                r#"{{"object_device_id":{of},"services":[{{"service_id":"Lamp","event_type":"alarm","paras":{{"a":1}}}}]}}"#
            )
        };
        let expected = [Report::Event(DeviceEvent {
            service: "Lamp".to_owned(),
            event_type: "alarm".to_owned(),
            paras: r#"{"a":1}"#.to_owned(),
            at: NOW,
        })];
        for own in ["null", "\"d\""] {
            let said = oc_events(event(own).as_bytes(), "d", NOW);
            assert_eq!((said.child, &said.reports[..]), (None, &expected[..]));
        }
        let said = oc_events(event("\"child\"").as_bytes(), "d", NOW);
        assert_eq!(said.child.as_deref(), Some("child"));
        assert_eq!(said.reports, expected);
    }

    #[test]
    fn a_gateway_reports_of_many() {
        let text = br#"{"devices":[{"device_id":"c","services":[{"service_id":"Lamp","properties":{"lux":7}}]},{"object_device_id":"d","services":[{"service_id":"Lamp"}]},{"device_id":"e"}]}"#;
        let said = |child: Option<&str>, reports| Said {
            child: child.map(str::to_owned),
            reports,
        };
        let expected = [
            said(Some("c"), vec![Report::Data(vec![lamp(r#"{"lux":7}"#, NOW)])]),
            said(None, vec![Report::Data(vec![lamp("{}", NOW)])]),
            said(Some("e"), vec![]),
        ];
        assert_eq!(oc_children(text, "d", NOW), expected);
        let services = |count| vec![r#"{"service_id":"s"}"#; count].join(",");
        let many = services(MOST - 1);
        let text = format!(
            r#"{{"devices":[{{"device_id":"a","services":[{many}]}},{{"device_id":"b","services":[{}]}}]}}"#,
            services(3)
        );
        let counts: Vec<usize> = oc_children(text.as_bytes(), "d", NOW)
            .iter()
            .flat_map(|said| &said.reports)
            .map(|report| match report {
                Report::Data(services) => services.len(),
                Report::Event(_) => 0,
            })
            .collect();
        assert_eq!(counts, [MOST - 1, 1]);
    }

    #[test]
    fn noise_is_no_report() {
        for noise in [
            b"".as_slice(),
            b"[]",
            b"{",
            b"{}",
            b"\x1f\x8b",
            b"{\"data\":7,\"services\":{}}",
        ] {
            assert_eq!(legacy(noise, NOW), [], "{noise:?}");
            assert_eq!(oc_properties(noise, "d", NOW).reports, [], "{noise:?}");
            assert_eq!(oc_children(noise, "d", NOW), [], "{noise:?}");
        }
    }
}
