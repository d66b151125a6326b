//! What has to hold for any body, query and callback URL of the northbound interface: it is taken, or refused by a code with a
//! status of the client's fault, in one JSON object of bounded length; what was taken keeps within its limits.
//!
//! The first byte says what is asked for, the rest is its text. The fuzz targets and the tests that replay their corpus both
//! call [`bodies`] and [`callback`].

use axum::response::IntoResponse as _;
use downlink_api::batch_task::{BatchDevices, CreateBatchTask};
use downlink_api::cancel_task::parse_cancel_task;
use downlink_api::command::{CreateCommand, parse_cancel};
use downlink_api::device::{KeyRefresh, Modification, Registration, parse_mute};
use downlink_api::invoke::Invoke;
use downlink_api::product::ProductDoc;
use downlink_api::subscription::Subscribe;
use downlink_api::time::WireTime;
use url::Url;

use super::callback::Callbacks;
use super::login::Given;
use super::paging::{Paging, Window};
use super::{Fault, Query};
use crate::push::fuzzing::ask_of;

/// Longest parameters, and most devices of a task, here.
const MAX_PARAS: usize = 1000;
const MAX_DEVICES: usize = 20;
/// No refusal is longer, in bytes.
const MAX_REFUSAL: usize = 4096;

/// Checks a body or a query.
pub(crate) fn bodies(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let taken = take(kind, text);
    if let Err(fault) = taken {
        refused(fault, text);
    }
}

fn take(kind: u8, text: &str) -> Result<(), Fault> {
    match kind % 16 {
        0 => create(&CreateCommand::parse(text, MAX_PARAS)?),
        1 => create(&CreateCommand::parse_for("dev".to_owned(), text, MAX_PARAS)?),
        2 => parse_cancel(text)?,
        3 => assert!(parse_cancel_task(text)?.chars().count() <= 256),
        4 => batch(&CreateBatchTask::parse(text, MAX_DEVICES, MAX_PARAS)?),
        5 => assert!(Invoke::parse(text, MAX_PARAS)?.paras.len() <= MAX_PARAS),
        6 => device(&Registration::parse_v1(text)?.node_id),
        7 => device(&Registration::parse_v2(text)?.node_id),
        8 => drop(Modification::parse(text)?),
        9 => KeyRefresh::parse(text)?.node_id.iter().for_each(|id| device(id)),
        10 => assert!(parse_mute(text)?.len() <= 500),
        11 => drop(Subscribe::parse(text)?),
        12 => product(text)?,
        13 => assert!(Given::parse(text)?.required("appId")?.chars().count() <= 256),
        14 => time(text),
        _ => {
            let query = Query::new(text);
            assert!((1..=100).contains(&Paging::of(&query, 10, 100)?.page_size));
            Window::of(&query)?;
        }
    }
    Ok(())
}

fn create(command: &CreateCommand<'_>) {
    assert!(command.paras.len() <= MAX_PARAS && command.paras.starts_with('{'));
    assert!((1..=256).contains(&command.device_id.chars().count()));
}

fn batch(task: &CreateBatchTask<'_>) {
    assert!(task.paras.len() <= MAX_PARAS);
    if let BatchDevices::List(ids) = &task.devices {
        assert!((1..=MAX_DEVICES).contains(&ids.len()));
    }
}

fn device(node_id: &str) {
    assert!((1..=256).contains(&node_id.chars().count()));
    assert!(!node_id.chars().any(char::is_control));
}

/// What is kept of a product is read again as the same.
fn product(text: &str) -> Result<(), Fault> {
    let (doc, profile) = ProductDoc::parse(text)?;
    let again = ProductDoc::parse(&doc.to_json());
    assert_eq!(again, Ok((doc, profile)));
    Ok(())
}

/// A time that was read is written as the same.
fn time(text: &str) {
    if let Some(time) = WireTime::parse(text) {
        assert_eq!(WireTime::parse(&time.to_string()), Some(time));
    }
}

/// A refusal is told in one short object, as the client's fault.
fn refused(fault: Fault, text: &str) {
    let told = fault.told();
    let object: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&told);
    assert!(
        object.is_ok_and(|object| object.contains_key("error_code")),
        "{told}"
    );
    assert!(
        told.len() <= MAX_REFUSAL,
        "{} bytes for {} bytes",
        told.len(),
        text.len()
    );
    let status = fault.into_response().status();
    assert!(status.is_client_error(), "{status}");
}

/// Checks a callback URL: what is legal here leads the push side to the host and port that stand in it, and to a request
/// that is one line without blanks.
pub(crate) fn callback(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let legal = match Callbacks::default().check(text) {
        Ok(()) => true,
        Err(fault) => {
            refused(fault, text);
            false
        }
    };
    let ask = ask_of(text);
    let Some([origin, host, target]) = ask else {
        assert!(!legal, "legal, and nowhere to push to: {text}");
        return;
    };
    for part in [&origin, &host, &target] {
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{part:?}");
    }
    assert!(
        !origin.contains(['@', '?', '#']) && !host.contains(['@', '/', '?', '#']),
        "{text}"
    );
    if legal {
        let url = Url::parse(text).expect("legal URLs are parsed");
        let port = url.port_or_known_default();
        let named = format!(
            "{}://{}:{}",
            url.scheme(),
            url.host_str().unwrap_or_default(),
            port.unwrap_or_default()
        );
        assert_eq!(origin, named, "{text}");
        // The Host header may leave out the port of the scheme.
        assert!(
            named.ends_with(&format!("//{host}")) || url.port().is_none(),
            "{text}: {host}"
        );
        let uri: http::Uri = text.parse().expect("legal URLs are parsed");
        assert_eq!(uri.port_u16(), port, "two parsers, two ports: {text}");
    }
}
