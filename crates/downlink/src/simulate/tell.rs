//! How the events of simulated LwM2M devices and their count are written.

use std::time::Duration;

use downlink_fleet::lwm2m::event::Mid;
use downlink_fleet::lwm2m::{Event, Tally};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Out;

/// One event of one device.
pub(super) fn event(out: Out, after: Duration, device: &str, event: &Event) -> Result<(), Failure> {
    let (word, detail) = describe(event);
    let mut document = json!({"event": word, "afterMs": after.as_millis() as u64, "nodeId": device});
    if !detail.is_empty() {
        document["detail"] = detail.as_str().into();
    }
    if let Some(mid) = mid(event) {
        document["mid"] = mid.into();
    }
    out.show(&document, || {
        format!("{:9.3} s  {device}  {word:<13}  {detail}", after.as_secs_f64())
    })
}

/// The count of everything.
pub(super) fn count(out: Out, tally: &Tally) -> Result<(), Failure> {
    let counts = counts(tally);
    let mut document = json!({"event": "count"});
    for (name, count) in counts {
        document[name] = count.into();
    }
    let shown = counts.iter().filter(|(_, count)| *count > 0);
    let texts: Vec<_> = shown.map(|(name, count)| format!("{name} {count}")).collect();
    out.show(&document, || texts.join(", "))
}

const fn counts(tally: &Tally) -> [(&'static str, u64); 21] {
    [
        ("ready", tally.ready),
        ("registered", tally.registered),
        ("refused", tally.refused),
        ("updated", tally.updated),
        ("forgotten", tally.forgotten),
        ("observed", tally.observed),
        ("received", tally.received),
        ("repeated", tally.repeated),
        ("acknowledged", tally.acked),
        ("writesRefused", tally.write_refused),
        ("executed", tally.executed),
        ("answered", tally.answered),
        ("answersAcknowledged", tally.answers_acked),
        ("reported", tally.reported),
        ("givenUp", tally.given_up),
        ("strays", tally.strays),
        ("asleep", tally.asleep),
        ("missed", tally.missed),
        ("rebooted", tally.rebooted),
        ("secured", tally.secured),
        ("unsecured", tally.unsecured),
    ]
}

fn mid(event: &Event) -> Mid {
    match event {
        Event::Received(command) => command.mid,
        Event::Acked(mid, _) | Event::Executed(mid) | Event::Answered(mid) | Event::AnswerAcked(mid) => *mid,
        Event::Secured
        | Event::Unsecured(_)
        | Event::Registered(_)
        | Event::Refused(_)
        | Event::Updated
        | Event::Forgotten(_)
        | Event::Deregistered
        | Event::Observed
        | Event::Unobserved
        | Event::Repeated(_)
        | Event::Reported
        | Event::GivenUp(_)
        | Event::Stray(_)
        | Event::Awake
        | Event::Asleep
        | Event::Missed
        | Event::Rebooted => None,
    }
}

fn describe(event: &Event) -> (&'static str, String) {
    let nothing = String::new();
    match event {
        Event::Secured => ("secured", nothing),
        Event::Unsecured(reason) => ("unsecured", reason.clone()),
        Event::Registered(location) => ("registered", location.clone()),
        Event::Refused(code) => ("refused", format!("the registration, {code}")),
        Event::Updated => ("updated", nothing),
        Event::Forgotten(code) => ("forgotten", format!("by the server, {code}")),
        Event::Deregistered => ("deregistered", nothing),
        Event::Observed => ("observed", nothing),
        Event::Unobserved => ("unobserved", nothing),
        Event::Received(command) => (
            "received",
            format!("{}  {}", named(command.mid), shown(&command.payload)),
        ),
        Event::Repeated(id) => ("repeated", format!("message {id}")),
        Event::Acked(mid, code) => ("acknowledged", format!("{}  {code}", named(*mid))),
        Event::Executed(mid) => ("executed", named(*mid)),
        Event::Answered(mid) => ("answered", named(*mid)),
        Event::AnswerAcked(mid) => ("confirmed", named(*mid)),
        Event::Reported => ("reported", nothing),
        Event::GivenUp(what) => ("given up", what.to_string()),
        Event::Stray(what) => ("stray", what.clone()),
        Event::Awake => ("awake", nothing),
        Event::Asleep => ("asleep", nothing),
        Event::Missed => ("missed", "a datagram, asleep".to_owned()),
        Event::Rebooted => ("rebooted", nothing),
    }
}

fn named(mid: Mid) -> String {
    mid.map_or_else(|| "no mid".to_owned(), |mid| format!("mid:{mid}"))
}

/// Text as it is, anything else in hex.
fn shown(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => payload.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
