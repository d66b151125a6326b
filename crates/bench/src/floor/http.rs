//! The application's side: hyper's HTTP/1.1 server and three calls, answered as the server answers them.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpStream};

use super::command::{Command, Reached};
use super::record::{self, Asked};
use super::{Floor, ids, spawn};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Serves all who connect.
pub(super) async fn accept(floor: Arc<Floor>, listener: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        spawn(serve(Arc::clone(&floor), stream));
    }
}

async fn serve(floor: Arc<Floor>, stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request| answer(&floor, request));
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn answer(floor: &Arc<Floor>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (status, body) = match request.uri().path() {
        "/iocm/app/cmd/v1.4.0/deviceCommands" => (StatusCode::CREATED, create(floor, request).await?),
        "/iocm/app/sec/v1.1.0/login" => (StatusCode::OK, login()),
        "/iocm/app/reg/v2.0.0/deviceCredentials" => (StatusCode::OK, register(floor)),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let id = HeaderValue::try_from(format!("{:016x}", floor.ids.next()))?;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response)
}

fn login() -> String {
    let token = "0".repeat(43);
    format!(
        r#"{{"scope":"default","tokenType":"bearer","expiresIn":3600,"accessToken":"{token}","refreshToken":"{token}"}}"#
    )
}

fn register(floor: &Floor) -> String {
    let (number, secret) = (floor.ids.next(), "0".repeat(20));
    format!(r#"{{"deviceId":"00000000-0000-4000-8000-{number:012x}","secret":"{secret}","psk":"{secret}"}}"#)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create<'a> {
    device_id: &'a str,
    #[serde(borrow)]
    command: Order<'a>,
    callback_url: &'a str,
    expire_time: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order<'a> {
    service_id: &'a str,
    method: &'a str,
    #[serde(borrow)]
    paras: &'a RawValue,
}

impl<'a> Create<'a> {
    fn asked(&self) -> Asked<'a> {
        Asked {
            device: self.device_id,
            service: self.command.service_id,
            method: self.command.method,
            paras: self.command.paras.get(),
            callback: self.callback_url,
            expire_time: self.expire_time,
        }
    }
}

async fn create(floor: &Arc<Floor>, request: Request<Incoming>) -> anyhow::Result<String> {
    let (body, now) = (whole(request.into_body()).await?, ids::now());
    let asked = serde_json::from_slice::<Create<'_>>(&body)?.asked();
    let id = floor.ids.command(now);
    let device = floor
        .devices
        .get(asked.device)
        .context("the device is not connected")?;
    let receiver = floor.receivers.at(asked.callback, floor)?;
    floor.log.append(|out| record::created(out, id, &asked)).await;
    let command = Command::new(id, Arc::clone(&device.id), receiver);
    device.send(&command, &asked);
    command.reached(Reached::Sent);
    Ok(created(floor, id, now, &asked))
}

/// The answer to a create call.
fn created(floor: &Floor, id: u128, now: u64, asked: &Asked<'_>) -> String {
    let mut text = String::with_capacity(400 + asked.paras.len() + asked.callback.len());
    write!(
        text,
        r#"{{"commandId":"{id:032x}","appId":"bench","deviceId":"{}","command":{{"serviceId":"{}","method":"{}","paras":{}}},"callbackUrl":"{}","expireTime":{},"status":"SENT","creationTime":""#,
        asked.device, asked.service, asked.method, asked.paras, asked.callback, asked.expire_time
    )
    .expect("writing to a string cannot fail");
    floor.ids.put_time(&mut text, now);
    text.push_str(r#"","platformIssuedTime":""#);
    floor.ids.put_time(&mut text, ids::now());
    text.push_str(r#"","issuedTimes":0}"#);
    text
}

/// The body of a request. Most come in one piece, which is not copied.
async fn whole(mut body: Incoming) -> anyhow::Result<Bytes> {
    let first = body.frame().await.context("a request without a body")??;
    let first = first.into_data().unwrap_or_default();
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = first.to_vec();
    whole.extend_from_slice(&body.collect().await?.to_bytes());
    Ok(whole.into())
}
