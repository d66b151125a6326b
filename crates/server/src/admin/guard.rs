//! Who may use the admin API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem;
use crate::secrets;

/// What a request has to show.
pub(super) struct Guard {
    token: String,
    bound: Option<IpAddr>,
}

impl Guard {
    pub(super) fn new(token: String, bound: Option<SocketAddr>) -> Self {
        Self {
            token,
            bound: bound.map(|address| address.ip()),
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = given.and_then(|text| {
            text.strip_prefix("Bearer ")
                .or_else(|| text.strip_prefix("bearer "))
        });
        token.is_some_and(|token| secrets::same(token.trim(), &self.token))
    }

    /// A name that could be rebound to this address by somebody's DNS is none of ours.
    fn knows_host(&self, request: &Request) -> bool {
        let header = request
            .headers()
            .get(header::HOST)
            .and_then(|value| value.to_str().ok());
        let Some(host) = request
            .uri()
            .authority()
            .map(|authority| authority.as_str())
            .or(header)
        else {
            return false;
        };
        let name = host_name(host);
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        match name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            Ok(ip) => {
                ip.is_loopback()
                    || self
                        .bound
                        .is_some_and(|bound| bound == ip || bound.is_unspecified())
            }
            Err(_) => false,
        }
    }
}

/// The host of `HOST[:PORT]`.
fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        Some(_) | None => host,
    }
}

/// Lets a request to a known host pass, whoever makes it, or answers it.
pub(super) async fn check_host(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !guard.knows_host(&request) {
        let message = "the Host header must be localhost, a loopback address or the address listened on";
        return problem(StatusCode::FORBIDDEN, "host", message);
    }
    next.run(request).await
}

/// Lets a request with the token pass, or answers it.
pub(super) async fn check_token(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !guard.has_token(request.headers()) {
        let message = "needs `Authorization: Bearer …` with the token in <data-dir>/admin.token";
        return problem(StatusCode::UNAUTHORIZED, "token", message);
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(host: Option<&str>, authorization: Option<&str>) -> Request {
        let mut request = Request::builder().uri("/admin/v1/apps");
        if let Some(host) = host {
            request = request.header("host", host);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_own_names_are_hosts() {
        let guard = Guard::new("t".to_owned(), "192.0.2.7:8744".parse().ok());
        let known = [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8744",
            "[::1]:8744",
            "[::1]",
            "192.0.2.7:8744",
            "192.0.2.7",
        ];
        for host in known {
            assert!(guard.knows_host(&request(Some(host), None)), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8744",
            "192.0.2.8",
            "",
            "127.0.0.1.nip.io",
        ] {
            assert!(!guard.knows_host(&request(Some(host), None)), "{host}");
        }
        assert!(!guard.knows_host(&request(None, None)));
    }

    #[test]
    fn only_the_token_opens() {
        let guard = Guard::new("right".to_owned(), None);
        assert!(guard.has_token(request(None, Some("Bearer right")).headers()));
        for wrong in [
            None,
            Some("right"),
            Some("Bearer "),
            Some("Bearer wrong"),
            Some("Basic right"),
        ] {
            assert!(!guard.has_token(request(None, wrong).headers()), "{wrong:?}");
        }
    }
}
