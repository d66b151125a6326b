//! The packets of one device, while the operator looks: a line of JSON for each.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use downlink_api::time::IsoTime;
use downlink_core::DeviceId;
use downlink_store::DeviceName;
use futures_util::stream::unfold;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Admin, Problem};
use crate::http::LongLived;
use crate::trace::{Direction, Packet};

/// An empty line comes after this time without a packet: it finds out callers that are gone.
const BEAT: Duration = Duration::from_secs(10);
/// How long a trace lasts, in seconds: at the most, and where nothing else is asked for.
const SECS: (u64, u64) = (3600, 60);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    secs: Option<u64>,
    payload: Option<bool>,
}

/// `GET /admin/v1/devices/{id}/trace?secs&payload`: ends after `secs`, when the caller goes, or with the server.
pub(super) async fn follow(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(how): Query<How>,
) -> Result<Response, Problem> {
    let secs = how.secs.unwrap_or(SECS.1);
    if !(1..=SECS.0).contains(&secs) {
        return Err(Problem::invalid(format!("secs: 1 to {}", SECS.0)));
    }
    let device = admin
        .store()
        .device(DeviceName::Id(&DeviceId::new(id.as_str())))
        .await?;
    let device = device.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no device {id}"),
        )
    })?;
    let packets = admin
        .northbound
        .engine
        .traces()
        .begin(device.key, &device.node_id);
    let packets = packets.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many",
            "as many traces as may be are under way",
        )
    })?;
    let end = Instant::now() + Duration::from_secs(secs);
    Ok(answer(admin, packets, end, how.payload.unwrap_or(false)))
}

fn answer(admin: Admin, packets: mpsc::Receiver<Packet>, end: Instant, payload: bool) -> Response {
    let lines = unfold(packets, move |mut packets| {
        let stop = admin.stop.clone();
        async move {
            if Instant::now() >= end {
                return None;
            }
            let next = tokio::select! {
                () = stop.cancelled() => return None,
                next = timeout_at(end.min(Instant::now() + BEAT), packets.recv()) => next,
            };
            let text = match next {
                Ok(packet) => line(&packet?, payload),
                Err(_quiet) => Bytes::from_static(b"\n"),
            };
            Some((Ok::<_, Infallible>(text), packets))
        }
    });
    let mut response = Response::new(Body::from_stream(Box::pin(lines)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(LongLived);
    response
}

fn line(packet: &Packet, payload: bool) -> Bytes {
    let mut shown = json!({
        "at": IsoTime(packet.at).to_string(),
        "direction": match packet.direction {
            Direction::FromDevice => "fromDevice",
            Direction::ToDevice => "toDevice",
        },
        "peer": packet.peer,
        "packet": packet.line,
    });
    if payload && !packet.payload.is_empty() {
        shown["payload"] = hex(&packet.payload).into();
    }
    if packet.lost > 0 {
        shown["lostBefore"] = packet.lost.into();
    }
    let mut text = shown.to_string();
    text.push('\n');
    text.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
