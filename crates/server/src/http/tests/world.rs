//! A server with a data directory of its own, and a client that says exactly what it is told to.

use std::net::SocketAddr;

use bytes::Bytes;
use downlink_store::sqlite::SqliteStore;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;

use crate::config::{self, Overrides};
use crate::run::{InitialApp, Running, start};

pub(crate) const APP: &str = "app-1";
pub(crate) const SECRET: &str = "secret-of-app-1";
pub(crate) const COMMANDS: &str = "/iocm/app/cmd/v1.4.0/deviceCommands";
pub(crate) const DEVICES: &str = "/iocm/app/dm/v1.4.0/devices";
pub(crate) const LOGIN: &str = "/iocm/app/sec/v1.1.0/login";
pub(crate) const REFRESH: &str = "/iocm/app/sec/v1.1.0/refreshToken";
pub(crate) const LOGOUT: &str = "/iocm/app/sec/v1.1.0/logout";
pub(crate) const REGISTER_V1: &str = "/iocm/app/reg/v1.1.0/deviceCredentials";
pub(crate) const REGISTER_V2: &str = "/iocm/app/reg/v2.0.0/deviceCredentials";

/// A running server and its client.
pub(crate) struct World {
    running: Running,
    pub(crate) dir: TempDir,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A member of the body, as text.
    pub(crate) fn at(&self, pointer: &str) -> String {
        match self.json().pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("no {pointer} in {self:?}"),
        }
    }

    /// Status and error code; a success has none.
    pub(crate) fn error(&self) -> (u16, String) {
        let json: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let code = ["/error_code", "/resultcode"]
            .iter()
            .find_map(|at| json.pointer(at)?.as_str());
        (self.status, code.unwrap_or_default().to_owned())
    }
}

/// Status and error code as [`Answer::error`] gives them.
pub(crate) fn error(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    pub(crate) async fn with(more: Overrides) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::on(dir, more).await
    }

    /// On a data directory that may have been used before.
    pub(crate) async fn on(dir: TempDir, more: Overrides) -> Self {
        let path = dir.path().display().to_string();
        let mut overrides: Overrides = vec![
            ("server", "data_dir", path.into()),
            ("northbound", "listen", "127.0.0.1:0".into()),
            ("northbound", "listen_plain", "127.0.0.1:0".into()),
            ("mqtt", "listen", "off".into()),
            ("admin", "listen", "127.0.0.1:0".into()),
            ("store", "min_free_bytes", 0.into()),
            ("store", "min_free_percent", 0.into()),
        ];
        overrides.extend(more);
        let config = config::load(None, Vec::new(), overrides).unwrap();
        let app = InitialApp {
            id: APP.to_owned(),
            secret: SECRET.to_owned(),
        };
        Self {
            running: start(config, Some(app)).await.unwrap(),
            dir,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Stops the server; gives its data directory.
    pub(crate) async fn stop(self) -> TempDir {
        self.running.stop().await;
        self.dir
    }

    pub(crate) fn plain(&self) -> SocketAddr {
        self.running.addresses().northbound_plain.unwrap()
    }

    pub(crate) fn tls(&self) -> SocketAddr {
        self.running.addresses().northbound.unwrap()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.running.addresses().admin.unwrap()
    }

    pub(crate) fn store(&self) -> &SqliteStore {
        self.running.store()
    }

    pub(crate) fn admin_token(&self) -> String {
        self.running.admin_token().to_owned()
    }

    /// One request to an address, as it is given.
    pub(crate) async fn raw(
        &self,
        to: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("http://{to}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let answer = Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        };
        check_entity(&answer);
        answer
    }

    /// A northbound request without credentials.
    pub(crate) async fn bare(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.raw(self.plain(), method, path, headers, body).await
    }

    /// Logs an application in; gives its access token.
    pub(crate) async fn login_as(&self, app: &str, secret: &str) -> Answer {
        let form = format!("appId={app}&secret={secret}");
        let kind = ("content-type", "application/x-www-form-urlencoded");
        self.bare("POST", LOGIN, &[kind], &form).await
    }

    /// A caller with a token.
    pub(crate) async fn na(&self) -> Na<'_> {
        self.na_of(APP, SECRET).await
    }

    pub(crate) async fn na_of(&self, app: &str, secret: &str) -> Na<'_> {
        let answer = self.login_as(app, secret).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Na {
            world: self,
            app: app.to_owned(),
            token: answer.at("/accessToken"),
            refresh: answer.at("/refreshToken"),
        }
    }

    /// An admin request with the token.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.admin_token());
        self.raw(
            self.admin(),
            method,
            path,
            &[("authorization", &authorization)],
            body,
        )
        .await
    }

    /// Another application; gives its id and secret.
    pub(crate) async fn other_app(&self) -> (String, String) {
        let made = self.operate("POST", "/admin/v1/apps", "").await;
        assert_eq!(made.status, 201, "{made:?}");
        (made.at("/id"), made.at("/secret"))
    }
}

/// Every answer but 204 has an entity and its type: old SDKs fail without.
fn check_entity(answer: &Answer) {
    let kind = answer.headers.get("content-type");
    match answer.status {
        204 => assert!(answer.text.is_empty() && kind.is_none(), "{answer:?}"),
        // Of the older subscribe calls the entity is empty.
        200 | 201 => assert!(kind.is_some(), "{answer:?}"),
        _ => assert!(!answer.text.is_empty() && kind.is_some(), "{answer:?}"),
    }
}

/// An application that is logged in.
pub(crate) struct Na<'a> {
    pub(crate) world: &'a World,
    pub(crate) app: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
}

impl Na<'_> {
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("app_key", self.app.as_str()), ("authorization", &authorization)];
        self.world.bare(method, path, &headers, body).await
    }

    /// Registers a device; gives its id.
    pub(crate) async fn device(&self, node: &str) -> String {
        let body = format!(r#"{{"deviceInfo":{{"nodeId":"{node}"}},"mqttConnect":true}}"#);
        let answer = self.call("POST", REGISTER_V2, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.at("/deviceId")
    }

    /// Creates a cached command; gives the answer.
    pub(crate) async fn command(&self, device: &str) -> Answer {
        self.call("POST", COMMANDS, &command(device, "")).await
    }
}

/// The body of a create call, with `more` members.
pub(crate) fn command(device: &str, more: &str) -> String {
    format!(
        r#"{{"deviceId":"{device}","command":{{"serviceId":"Lamp","method":"SET","paras":{{"on": 1}}}}{more}}}"#
    )
}
