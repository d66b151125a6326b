//! The admin interface's calls about signing keys, push TLS and who may call in an application's name.

use reqwest::Method;
use serde_json::Value;

use super::{APPS, Admin};
use crate::failure::Failure;

const KEYS: &str = "signing-keys";
const TLS: &str = "push-tls";
const AUTHORIZED: &str = "authorized";

impl Admin {
    pub(crate) async fn create_key(&self, app: &str, body: Value) -> Result<Value, Failure> {
        self.about(Method::POST, &[app, KEYS], Some(body)).await
    }

    pub(crate) async fn list_keys(&self, app: &str) -> Result<Value, Failure> {
        self.about(Method::GET, &[app, KEYS], None).await
    }

    pub(crate) async fn delete_key(&self, app: &str, key: &str) -> Result<Value, Failure> {
        self.about(Method::DELETE, &[app, KEYS, key], None).await
    }

    pub(crate) async fn set_push_tls(&self, app: &str, body: Value) -> Result<Value, Failure> {
        self.about(Method::PUT, &[app, TLS], Some(body)).await
    }

    pub(crate) async fn show_push_tls(&self, app: &str) -> Result<Value, Failure> {
        self.about(Method::GET, &[app, TLS], None).await
    }

    pub(crate) async fn clear_push_tls(&self, app: &str) -> Result<Value, Failure> {
        self.about(Method::DELETE, &[app, TLS], None).await
    }

    pub(crate) async fn authorize(&self, owner: &str, other: &str) -> Result<Value, Failure> {
        self.about(Method::PUT, &[owner, AUTHORIZED, other], None).await
    }

    pub(crate) async fn unauthorize(&self, owner: &str, other: &str) -> Result<Value, Failure> {
        self.about(Method::DELETE, &[owner, AUTHORIZED, other], None)
            .await
    }

    pub(crate) async fn authorized(&self, owner: &str) -> Result<Value, Failure> {
        self.about(Method::GET, &[owner, AUTHORIZED], None).await
    }

    async fn about(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Value, Failure> {
        self.call(method, &[APPS, path].concat(), body).await
    }
}
