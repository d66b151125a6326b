//! The REST clients behind the client commands: [`Northbound`] as an application, [`Admin`] as the operator.
//!
//! They turn every way a call can fail into a [`Failure`]; what the answers mean is left to the commands.

mod app_trust;
mod call;
mod products;

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::options::Credentials;

use call::{Caller, Request};
pub(crate) use call::{Streamed, Trust};

const DEVICES: &[&str] = &["iocm", "app", "dm", "v1.4.0", "devices"];
const COMMANDS: &[&str] = &["iocm", "app", "cmd", "v1.4.0", "deviceCommands"];
const APPS: &[&str] = &["admin", "v1", "apps"];
const FEED: &[&str] = &["downlink", "v1", "feed"];
const PUSHES: &[&str] = &["admin", "v1", "pushes"];
const RECEIVERS: &[&str] = &["admin", "v1", "receivers"];

/// Query parameters.
pub(crate) type Query = Vec<(&'static str, String)>;

/// A client of the applications' interface. Logs in at its first call, and again when its token has run out.
pub(crate) struct Northbound {
    caller: Caller,
    app: Credentials,
    token: Option<String>,
}

impl Northbound {
    pub(crate) fn new(
        server: Url,
        trust: &Trust,
        app: Credentials,
        limit: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            caller: Caller::new(server, trust, limit)?,
            app,
            token: None,
        })
    }

    /// Registers an MQTT device; `secret` is made by the server if there is none.
    pub(crate) async fn register_mqtt(
        &mut self,
        device_info: Value,
        secret: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut body = json!({"deviceInfo": device_info, "mqttConnect": true});
        if let Some(secret) = secret {
            body["secret"] = secret.into();
        }
        self.call(
            Method::POST,
            &["iocm", "app", "reg", "v2.0.0", "deviceCredentials"],
            &[],
            Some(body),
        )
        .await
    }

    /// Registers a device by its verification code (LwM2M).
    pub(crate) async fn register_by_code(&mut self, body: Value) -> Result<Value, Failure> {
        self.call(
            Method::POST,
            &["iocm", "app", "reg", "v1.1.0", "deviceCredentials"],
            &[],
            Some(body),
        )
        .await
    }

    pub(crate) async fn list_devices(&mut self, query: &Query) -> Result<Value, Failure> {
        self.call(Method::GET, DEVICES, query, None).await
    }

    pub(crate) async fn show_device(&mut self, id: &str) -> Result<Value, Failure> {
        self.call(Method::GET, &[DEVICES, &[id]].concat(), &[], None)
            .await
    }

    pub(crate) async fn delete_device(&mut self, id: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, &[DEVICES, &[id]].concat(), &[], None)
            .await
    }

    pub(crate) async fn create_command(&mut self, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, COMMANDS, &[], Some(body)).await
    }

    pub(crate) async fn list_commands(&mut self, query: &Query) -> Result<Value, Failure> {
        self.call(Method::GET, COMMANDS, query, None).await
    }

    pub(crate) async fn cancel_command(&mut self, id: &str) -> Result<Value, Failure> {
        self.call(
            Method::PUT,
            &[COMMANDS, &[id]].concat(),
            &[],
            Some(json!({"status": "CANCELED"})),
        )
        .await
    }

    /// The command and its events: `{"command": {…}, "events": [{"seq", "status", "at", "detail"}]}`.
    pub(crate) async fn show_command(&mut self, id: &str) -> Result<Value, Failure> {
        self.call(Method::GET, &["downlink", "v1", "commands", id], &[], None)
            .await
    }

    /// A page of the feed.
    pub(crate) async fn feed(&mut self, cursor: Option<&str>) -> Result<Value, Failure> {
        let query: Query = cursor
            .map(|cursor| ("cursor", cursor.to_owned()))
            .into_iter()
            .collect();
        self.call(Method::GET, FEED, &query, None).await
    }

    /// The feed as a stream of events.
    pub(crate) async fn feed_stream(&mut self, cursor: Option<&str>) -> Result<Streamed, Failure> {
        let query: Query = cursor
            .map(|cursor| ("cursor", cursor.to_owned()))
            .into_iter()
            .collect();
        let fresh = self.token.is_none();
        let token = self.token().await?;
        let path = [FEED, &["stream"]].concat();
        let mut request = Request {
            method: Method::GET,
            path: &path,
            query: &query,
            body: None,
            headers: self.headers(token),
        };
        match self.caller.stream(&request).await {
            Err(failure) if failure.is_bad_token() && !fresh => {
                self.token = None;
                let token = self.token().await?;
                request.headers = self.headers(token);
                self.caller.stream(&request).await
            }
            outcome => outcome,
        }
    }

    async fn call(
        &mut self,
        method: Method,
        path: &[&str],
        query: &[(&'static str, String)],
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let fresh = self.token.is_none();
        let token = self.token().await?;
        let mut request = Request {
            method,
            path,
            query,
            body,
            headers: self.headers(token),
        };
        match self.caller.call(&request).await {
            Err(failure) if failure.is_bad_token() && !fresh => {
                self.token = None;
                let token = self.token().await?;
                request.headers = self.headers(token);
                self.caller.call(&request).await
            }
            outcome => outcome,
        }
    }

    fn headers(&self, token: String) -> Vec<(&'static str, String)> {
        vec![
            ("app_key", self.app.id.clone()),
            ("authorization", format!("Bearer {token}")),
        ]
    }

    async fn token(&mut self) -> Result<String, Failure> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let form = [
            ("appId", self.app.id.as_str()),
            ("secret", self.app.secret.as_str()),
        ];
        let answer = self
            .caller
            .post_form(&["iocm", "app", "sec", "v1.1.0", "login"], &form)
            .await?;
        let token = answer.get("accessToken").and_then(Value::as_str);
        let token =
            token.ok_or_else(|| Failure::Failed("the login's answer has no accessToken".to_owned()))?;
        self.token = Some(token.to_owned());
        Ok(token.to_owned())
    }
}

/// A client of the admin interface.
pub(crate) struct Admin {
    caller: Caller,
    token: String,
}

impl Admin {
    pub(crate) fn new(server: Url, trust: &Trust, token: String, limit: Duration) -> Result<Self, Failure> {
        Ok(Self {
            caller: Caller::new(server, trust, limit)?,
            token,
        })
    }

    pub(crate) async fn create_app(&self, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, APPS, Some(body)).await
    }

    pub(crate) async fn update_app(&self, id: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, &[APPS, &[id]].concat(), Some(body))
            .await
    }

    pub(crate) async fn set_work_mode(&self, device: &str, body: Value) -> Result<Value, Failure> {
        self.call(
            Method::PUT,
            &["admin", "v1", "devices", device, "work-mode"],
            Some(body),
        )
        .await
    }

    pub(crate) async fn list_apps(&self) -> Result<Value, Failure> {
        self.call(Method::GET, APPS, None).await
    }

    pub(crate) async fn rotate_secret(&self, id: &str) -> Result<Value, Failure> {
        self.call(Method::POST, &[APPS, &[id, "secret"]].concat(), None)
            .await
    }

    pub(crate) async fn delete_app(&self, id: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, &[APPS, &[id]].concat(), None).await
    }

    pub(crate) async fn list_pushes(&self, query: &Query) -> Result<Value, Failure> {
        self.ask(PUSHES, query).await
    }

    pub(crate) async fn show_push(&self, id: i64) -> Result<Value, Failure> {
        self.ask(&[PUSHES, &[&id.to_string()]].concat(), &[]).await
    }

    pub(crate) async fn replay_push(&self, id: i64) -> Result<Value, Failure> {
        let id = id.to_string();
        let path = [PUSHES, &[&id, "replay"]].concat();
        self.call(Method::POST, &path, None).await
    }

    pub(crate) async fn drop_push(&self, id: i64) -> Result<Value, Failure> {
        self.call(Method::DELETE, &[PUSHES, &[&id.to_string()]].concat(), None)
            .await
    }

    pub(crate) async fn test_push(&self, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, &[PUSHES, &["test"]].concat(), Some(body))
            .await
    }

    pub(crate) async fn list_receivers(&self, query: &Query) -> Result<Value, Failure> {
        self.ask(RECEIVERS, query).await
    }

    pub(crate) async fn hold_receiver(&self, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, &[RECEIVERS, &["hold"]].concat(), Some(body))
            .await
    }

    pub(crate) async fn release_receiver(&self, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, &[RECEIVERS, &["release"]].concat(), Some(body))
            .await
    }

    pub(crate) async fn rate_receiver(&self, body: Value) -> Result<Value, Failure> {
        self.call(Method::PUT, &[RECEIVERS, &["rate"]].concat(), Some(body))
            .await
    }

    /// A device's packets, a line for each, as they come.
    pub(crate) async fn trace_device(&self, id: &str, query: &Query) -> Result<Streamed, Failure> {
        let request = Request {
            method: Method::GET,
            path: &["admin", "v1", "devices", id, "trace"],
            query,
            body: None,
            headers: self.headers(),
        };
        self.caller.stream(&request).await
    }

    /// Some of what was given up; `more` says whether to ask again.
    pub(crate) async fn replay_receiver(&self, key: i64, body: Value) -> Result<Value, Failure> {
        let key = key.to_string();
        let path = [RECEIVERS, &[&key, "replay"]].concat();
        self.call(Method::POST, &path, Some(body)).await
    }

    /// Some of its pushes; `more` says whether to ask again.
    pub(crate) async fn drop_of_receiver(&self, key: i64, body: Value) -> Result<Value, Failure> {
        let key = key.to_string();
        let path = [RECEIVERS, &[&key, "drop"]].concat();
        self.call(Method::POST, &path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Value, Failure> {
        self.send(method, path, &[], body).await
    }

    async fn ask(&self, path: &[&str], query: &[(&'static str, String)]) -> Result<Value, Failure> {
        self.send(Method::GET, path, query, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&'static str, String)],
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        self.caller
            .call(&Request {
                method,
                path,
                query,
                body,
                headers: self.headers(),
            })
            .await
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {}", self.token))]
    }
}
