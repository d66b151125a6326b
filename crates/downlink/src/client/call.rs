//! One HTTP call: trust, time limit, size limit, and how an answer says no.

use std::time::Duration;

use reqwest::{Certificate, Client, Method, RequestBuilder, Response, Url, redirect};
use serde_json::Value;

use crate::failure::Failure;

/// Largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;
/// How long a stream may be silent before it is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);
/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// How much of an answer that is no JSON is shown.
const MAX_EXCERPT: usize = 200;

/// Whose certificates are trusted.
pub(crate) enum Trust {
    /// Anybody's.
    Anything,
    /// Those in this PEM text.
    Only(Vec<u8>),
    /// Those in this PEM text and those the platform trusts.
    Also(Vec<u8>),
    /// Those the platform trusts.
    Platform,
}

pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'static str, String)],
    pub(super) body: Option<Value>,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// An HTTP client of one server.
pub(super) struct Caller {
    http: Client,
    server: Url,
}

impl Caller {
    pub(super) fn new(server: Url, trust: &Trust, limit: Duration) -> Result<Self, Failure> {
        if server.cannot_be_a_base() || !matches!(server.scheme(), "http" | "https") {
            return Err(Failure::Usage(format!("{server} is no http:// or https:// URL")));
        }
        let builder = Client::builder()
            .timeout(limit)
            .redirect(redirect::Policy::none());
        let certificates = |pem: &[u8]| {
            Certificate::from_pem_bundle(pem)
                .map_err(|error| Failure::Usage(format!("no certificates: {error}")))
        };
        let builder = match trust {
            // Without TLS nobody has to be trusted, and a machine without any roots will do.
            _ if server.scheme() == "http" => builder.tls_certs_only([]),
            Trust::Anything => builder.tls_danger_accept_invalid_certs(true),
            Trust::Only(pem) => builder.tls_certs_only(certificates(pem)?),
            Trust::Also(pem) => builder.tls_certs_merge(certificates(pem)?),
            Trust::Platform => builder,
        };
        let http = builder
            .build()
            .map_err(|error| Failure::Failed(format!("no HTTP client: {}", chain(&error))))?;
        Ok(Self { http, server })
    }

    /// Makes the call. An answer without a body is `null`.
    pub(super) async fn call(&self, request: &Request<'_>) -> Result<Value, Failure> {
        self.send(self.build(request)).await
    }

    /// Makes a call whose answer has no end. It takes as long as it takes, but no piece of it may be too long in coming.
    pub(super) async fn stream(&self, request: &Request<'_>) -> Result<Streamed, Failure> {
        let builder = self.build(request).timeout(FOR_EVER);
        let response = builder.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status().as_u16();
        if status == 200 {
            let place = self.server.origin().ascii_serialization();
            return Ok(Streamed { response, place });
        }
        let body = self.read(response).await?;
        judge(status, &body)?;
        Err(Failure::Failed(format!(
            "the stream was answered with HTTP {status}"
        )))
    }

    fn build(&self, request: &Request<'_>) -> RequestBuilder {
        let mut builder = self
            .http
            .request(request.method.clone(), self.url(request.path))
            .query(request.query);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        builder
    }

    pub(super) async fn post_form(&self, path: &[&str], form: &[(&str, &str)]) -> Result<Value, Failure> {
        self.send(self.http.post(self.url(path)).form(form)).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(&self, builder: RequestBuilder) -> Result<Value, Failure> {
        let response = builder.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status().as_u16();
        let body = self.read(response).await?;
        judge(status, &body)
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::Failed("the server's answer is too large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        let place = self.server.origin().ascii_serialization();
        if error.is_timeout() && !error.is_connect() {
            Failure::TimedOut(format!("{place} did not answer in time"))
        } else if error.is_builder() {
            Failure::Usage(chain(error))
        } else {
            Failure::Unreachable(format!("cannot reach {place}: {}", chain(error)))
        }
    }
}

/// An answer that comes piece by piece.
pub(crate) struct Streamed {
    response: Response,
    place: String,
}

impl Streamed {
    /// The next piece; none: it is over. A server sends something every 15 s.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match tokio::time::timeout(SILENCE, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece.map(|piece| piece.to_vec())),
            Ok(Err(error)) => Err(Failure::Unreachable(format!(
                "{} broke off: {}",
                self.place,
                chain(&error)
            ))),
            Err(_silent) => Err(Failure::TimedOut(format!("{} fell silent", self.place))),
        }
    }
}

/// An answer is a refusal if its status is none of success, or if its body holds an error code, whatever its status.
fn judge(status: u16, body: &[u8]) -> Result<Value, Failure> {
    let value = if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(body)
    };
    let refused = |code, message| {
        Err(Failure::Refused {
            status,
            code,
            message,
        })
    };
    let Ok(value) = value else {
        return refused(String::new(), excerpt(body));
    };
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    for (code, message) in [
        ("/error_code", "/error_desc"),
        ("/resultcode", "/resultmsg"),
        ("/error/code", "/error/message"),
    ] {
        if let Some(code) = text(code) {
            return refused(code, text(message).unwrap_or_default());
        }
    }
    if (200..300).contains(&status) {
        Ok(value)
    } else {
        refused(String::new(), excerpt(body))
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_EXCERPT)
        .collect()
}

/// The error and what caused it; the outermost text alone seldom says why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> (String, String) {
        match judge(status, body.as_bytes()) {
            Err(Failure::Refused { code, message, .. }) => (code, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals_of_all_three_kinds_whatever_the_status() {
        let pair = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(
            refusal(200, r#"{"error_code":"100418","error_desc":"gone"}"#),
            pair("100418", "gone")
        );
        assert_eq!(
            refusal(403, r#"{"resultcode":"1010005","resultmsg":"bad"}"#),
            pair("1010005", "bad")
        );
        assert_eq!(
            refusal(409, r#"{"error":{"code":"app_exists","message":"is there"}}"#),
            pair("app_exists", "is there")
        );
        assert_eq!(refusal(502, "<html>\n"), pair("", "<html>"));
        assert_eq!(refusal(404, ""), pair("", ""));
        assert_eq!(refusal(200, "not json"), pair("", "not json"));
    }

    #[test]
    fn success_with_and_without_a_body() {
        assert_eq!(judge(204, b"").unwrap(), Value::Null);
        assert_eq!(judge(201, br#"{"a":1}"#).unwrap()["a"], 1);
    }
}
