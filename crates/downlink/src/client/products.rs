//! The admin interface's calls about products.

use reqwest::Method;
use serde_json::Value;

use super::{APPS, Admin};
use crate::failure::Failure;

const PRODUCTS: &str = "products";

impl Admin {
    pub(crate) async fn put_product(&self, app: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::PUT, &[APPS, &[app, PRODUCTS]].concat(), Some(body))
            .await
    }

    pub(crate) async fn show_product(&self, app: &str, product: &str) -> Result<Value, Failure> {
        self.call(Method::GET, &[APPS, &[app, PRODUCTS, product]].concat(), None)
            .await
    }

    pub(crate) async fn list_products(&self, app: &str) -> Result<Value, Failure> {
        self.call(Method::GET, &[APPS, &[app, PRODUCTS]].concat(), None)
            .await
    }

    pub(crate) async fn delete_product(&self, app: &str, product: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, &[APPS, &[app, PRODUCTS, product]].concat(), None)
            .await
    }
}
