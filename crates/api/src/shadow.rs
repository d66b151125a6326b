//! Bodies around device shadows: what a device reported last, what is desired of it, and what was desired before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::data::raw;
use crate::device::{DeviceInfoView, DeviceView};
use crate::field::{self, Invalid, Member};
use crate::time::WireTime;

/// Services that one request may name.
const MOST_SERVICES: usize = 100;
/// Longest name of a service, and of a property.
const LONGEST: usize = 64;

/// What a request wants of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDesired {
    /// Which service.
    pub service: String,
    /// Properties and their values, as JSON.
    pub set: Vec<(String, String)>,
    /// Properties that came with null: nothing is desired of them any more.
    pub unset: Vec<String>,
}

impl ServiceDesired {
    /// What is set, as a JSON object.
    pub fn to_json(&self) -> String {
        let members = self
            .set
            .iter()
            .map(|(name, value)| (name.as_str(), raw_value(value)));
        serde_json::to_string(&members.collect::<BTreeMap<_, _>>()).expect("texts and checked JSON are JSON")
    }
}

fn raw_value(value: &str) -> &RawValue {
    serde_json::from_str(value).expect("the value was read as JSON")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    service_desireds: Member<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneBody<'a> {
    #[serde(borrow)]
    service_id: Member<'a>,
    #[serde(borrow)]
    desired: Member<'a>,
}

/// Reads what is desired of a device; `most`: bytes of what is set of one service, `most_each`: of one value.
pub fn parse_desired(text: &str, most: usize, most_each: usize) -> Result<Vec<ServiceDesired>, Invalid> {
    const FIELD: &str = "serviceDesireds";
    let body: Body<'_> = field::object("body", text)?;
    let list = body.service_desireds.ok_or_else(|| Invalid::missing(FIELD))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get())
        .map_err(|_| Invalid::new(FIELD, format!("must be a list of 1 to {MOST_SERVICES} objects")))?;
    if !(1..=MOST_SERVICES).contains(&list.len()) {
        let rule = format!("must be a list of 1 to {MOST_SERVICES} objects");
        return Err(Invalid::new(FIELD, rule));
    }
    let mut desireds: Vec<ServiceDesired> = Vec::with_capacity(list.len());
    for (n, one) in list.into_iter().enumerate() {
        let place = format!("{FIELD}[{n}]");
        let one = service_desired(&place, one.get(), most, most_each)?;
        if desireds.iter().any(|before| before.service == one.service) {
            return Err(Invalid::new(
                format!("{place}.serviceId"),
                "must be another for each of the list",
            ));
        }
        desireds.push(one);
    }
    Ok(desireds)
}

fn service_desired(
    place: &str,
    text: &str,
    most: usize,
    most_each: usize,
) -> Result<ServiceDesired, Invalid> {
    let body: OneBody<'_> = field::object(place.to_owned(), text)?;
    let service = field::required(format!("{place}.serviceId"), body.service_id, LONGEST)?;
    let field = format!("{place}.desired");
    let desired = body.desired.ok_or_else(|| Invalid::missing(field.clone()))?;
    let members: BTreeMap<String, &RawValue> = field::object(field.clone(), desired.get())?;
    if members.is_empty() {
        return Err(Invalid::new(field, "must have at least one property"));
    }
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    for (name, value) in members {
        let named = || format!("{field}.{name}");
        if !(1..=LONGEST).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let rule = format!("must have names of 1 to {LONGEST} characters, without control characters");
            return Err(Invalid::new(field, rule));
        }
        match value.get() {
            "null" => unset.push(name),
            value if value.len() > most_each => {
                return Err(Invalid::new(
                    named(),
                    format!("must have at most {most_each} bytes"),
                ));
            }
            value => set.push((name, value.to_owned())),
        }
    }
    let desired = ServiceDesired { service, set, unset };
    match desired.to_json().len() > most {
        true => Err(Invalid::new(field, format!("must have at most {most} bytes"))),
        false => Ok(desired),
    }
}

/// A property as a shadow shows it.
#[derive(Debug, Clone, Copy)]
pub struct Property<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, as JSON; what is none becomes null.
    pub value: &'a str,
}

/// A service in a device's shadow.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowServiceView<'a> {
    service_id: &'a str,
    service_type: &'a str,
    reported_props: BTreeMap<&'a str, &'a RawValue>,
    desired_props: BTreeMap<&'a str, &'a RawValue>,
    event_time: Option<WireTime>,
}

impl<'a> ShadowServiceView<'a> {
    /// The service with this id, which stands for its type too; `at`: when the newest of what is reported was so.
    pub fn new(
        service: &'a str,
        reported: impl IntoIterator<Item = Property<'a>>,
        desired: impl IntoIterator<Item = Property<'a>>,
        at: Option<WireTime>,
    ) -> Self {
        Self {
            service_id: service,
            service_type: service,
            reported_props: properties(reported),
            desired_props: properties(desired),
            event_time: at,
        }
    }
}

fn properties<'a>(of: impl IntoIterator<Item = Property<'a>>) -> BTreeMap<&'a str, &'a RawValue> {
    let value = |text| serde_json::from_str(text).unwrap_or(RawValue::NULL);
    of.into_iter().map(|one| (one.name, value(one.value))).collect()
}

/// A device's shadow.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowView<'a> {
    device_id: &'a str,
    gateway_id: &'a str,
    node_type: &'static str,
    create_time: WireTime,
    last_modified_time: WireTime,
    device_info: DeviceInfoView<'a>,
    services: Vec<ShadowServiceView<'a>>,
}

impl<'a> ShadowView<'a> {
    /// The shadow of a device.
    pub fn new(of: DeviceView<'a>, services: Vec<ShadowServiceView<'a>>) -> Self {
        Self {
            device_id: of.device_id,
            gateway_id: of.gateway_id,
            node_type: of.node_type,
            create_time: of.create_time,
            last_modified_time: of.last_modified_time,
            device_info: of.device_info,
            services,
        }
    }
}

/// What was desired of a service, at one time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredRow<'a> {
    service_id: &'a str,
    device_id: &'a str,
    gateway_id: &'a str,
    app_id: &'a str,
    desired: &'a RawValue,
    status: &'static str,
    timestamp: WireTime,
}

impl<'a> DesiredRow<'a> {
    /// The change of a service of this device, by this gateway, of this application: what it set, and what became of it.
    pub fn new(
        service_id: &'a str,
        (device_id, gateway_id, app_id): (&'a str, &'a str, &'a str),
        (desired, status): (&'a str, &'static str),
        timestamp: WireTime,
    ) -> Self {
        Self {
            service_id,
            device_id,
            gateway_id,
            app_id,
            desired: raw(desired),
            status,
            timestamp,
        }
    }
}

/// A page of what was desired of a device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredPage<'a> {
    /// Rows of all pages.
    pub total_count: u64,
    /// From 0.
    pub page_no: u64,
    /// Rows of a full page.
    pub page_size: u64,
    /// The page.
    #[serde(rename = "deviceDesiredHistory")]
    pub rows: Vec<DesiredRow<'a>>,
}

#[cfg(test)]
mod tests {
    use downlink_core::Timestamp;

    use super::*;

    const AT: WireTime = WireTime(Timestamp::from_millis(1_700_000_000_000));

    #[test]
    fn what_is_desired_is_read() {
        let text = r#"{"appId":"x","serviceDesireds":[{"serviceId":"Lamp","desired":{"on": true,"lux":1.50,"old":null}},
            {"serviceId":"Meter","desired":{"old":null}}]}"#;
        let read = parse_desired(text, 100, 100).unwrap();
        let pairs = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(read[0].set, pairs(&[("lux", "1.50"), ("on", "true")]));
        assert_eq!(read[0].to_json(), r#"{"lux":1.50,"on":true}"#);
        assert_eq!(
            (&*read[1].service, &*read[1].unset),
            ("Meter", &["old".to_owned()][..])
        );
        assert_eq!(read[1].to_json(), "{}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, field) in [
            ("[]", "body"),
            ("{}", "serviceDesireds"),
            (r#"{"serviceDesireds":{}}"#, "serviceDesireds"),
            (r#"{"serviceDesireds":[]}"#, "serviceDesireds"),
            (r#"{"serviceDesireds":[7]}"#, "serviceDesireds[0]"),
            (
                r#"{"serviceDesireds":[{"desired":{"a":1}}]}"#,
                "serviceDesireds[0].serviceId",
            ),
            (
                r#"{"serviceDesireds":[{"serviceId":"s"}]}"#,
                "serviceDesireds[0].desired",
            ),
            (
                r#"{"serviceDesireds":[{"serviceId":"s","desired":{}}]}"#,
                "serviceDesireds[0].desired",
            ),
            (
                r#"{"serviceDesireds":[{"serviceId":"s","desired":{"":1}}]}"#,
                "serviceDesireds[0].desired",
            ),
            (
                r#"{"serviceDesireds":[{"serviceId":"s","desired":{"a":"12345678901"}}]}"#,
                "serviceDesireds[0].desired.a",
            ),
            (
                r#"{"serviceDesireds":[{"serviceId":"s","desired":{"a":1234567890,"b":1234567890}}]}"#,
                "serviceDesireds[0].desired",
            ),
            (
                r#"{"serviceDesireds":[{"serviceId":"s","desired":{"a":1}},{"serviceId":"s","desired":{"b":1}}]}"#,
                "serviceDesireds[1].serviceId",
            ),
        ] {
            assert_eq!(parse_desired(text, 20, 12).unwrap_err().field, field, "{text}");
        }
    }

    /// Golden: clients read these.
    #[test]
    fn shadows_are_shown() {
        let property = |name, value| Property { name, value };
        let view = ShadowServiceView::new(
            "Lamp",
            [property("lux", "1.50")],
            [property("on", "true")],
            Some(AT),
        );
        assert_eq!(
            serde_json::to_string(&view).unwrap(),
            r#"{"serviceId":"Lamp","serviceType":"Lamp","reportedProps":{"lux":1.50},"desiredProps":{"on":true},"eventTime":"20231114T221320Z"}"#
        );
        let page = DesiredPage {
            total_count: 1,
            page_no: 0,
            page_size: 2,
            rows: vec![DesiredRow::new(
                "Lamp",
                ("d", "g", "app"),
                (r#"{"on":true}"#, "DELIVERED"),
                AT,
            )],
        };
        assert_eq!(
            serde_json::to_string(&page).unwrap(),
            concat!(
                r#"{"totalCount":1,"pageNo":0,"pageSize":2,"deviceDesiredHistory":[{"serviceId":"Lamp","deviceId":"d","#,
                r#""gatewayId":"g","appId":"app","desired":{"on":true},"status":"DELIVERED","timestamp":"20231114T221320Z"}]}"#
            )
        );
    }
}
