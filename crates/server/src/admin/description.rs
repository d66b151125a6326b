//! The description of the northbound interface: the document (`OpenAPI` 3.1) and a page that shows it.
//!
//! Both are part of the binary and no secret. The page loads nothing but the document, and runs no script but its own.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// What `scripts/openapi` wrote.
pub(crate) const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");
const PAGE: &str = include_str!("description.html");

/// `GET /openapi.json`
pub(super) async fn document() -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (headers, DOCUMENT).into_response()
}

/// `GET /docs`
pub(super) async fn page() -> Response {
    static POLICY: LazyLock<String> = LazyLock::new(policy);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE).into_response()
}

/// Only the page's own script and style, by their hashes.
fn policy() -> String {
    let script = hash(between("<script>", "</script>"));
    let style = hash(between("<style>", "</style>"));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}

fn between(open: &str, close: &str) -> &'static str {
    let inner = PAGE.split_once(open).and_then(|(_, rest)| rest.split_once(close));
    inner.expect("the page has one of each").0
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}
