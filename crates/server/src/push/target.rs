//! Where a push goes: a callback URL, taken apart once.

use std::sync::Arc;

use foldhash::HashMap;
use http::{HeaderValue, Uri};
use url::Url;

/// Targets that are remembered, at the most.
const REMEMBERED: usize = 4096;

/// Targets by the URL that names them: an application gives the same few again and again.
#[derive(Debug, Default)]
pub(super) struct Targets {
    known: HashMap<Arc<str>, Arc<Target>>,
}

impl Targets {
    /// The target that `url` names.
    pub(super) fn of(&mut self, url: &Arc<str>) -> Arc<Target> {
        if let Some(known) = self.known.get(url) {
            return Arc::clone(known);
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let target = Arc::new(Target::of(url));
        self.known.insert(Arc::clone(url), Arc::clone(&target));
        target
    }
}

/// A callback URL as an attempt needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `scheme://host:port`, always with the port: what tells receivers of one application apart. Fit for logs: it
    /// holds neither path nor query nor credentials.
    pub(super) origin: Arc<str>,
    /// What to ask for, and where; none: not a URL that can be pushed to.
    pub(super) ask: Option<Ask>,
}

/// The parts of a URL that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) https: bool,
    /// A name, or an address without brackets.
    pub(super) host_name: Box<str>,
    pub(super) port: u16,
    /// The value of the Host header: without the port that the scheme has anyway.
    pub(super) host: HeaderValue,
    /// Path and query, all that stands in the request line.
    pub(super) path: Uri,
    /// The same with scheme and host, as HTTP/2 has it.
    pub(super) whole: Uri,
}

impl Target {
    /// The target that `url` names. The parser brings every spelling of an IPv4 address (`0x7f.1`, `2130706433`) to
    /// the one with four numbers. A fragment and credentials in the URL are left out: they are never sent.
    pub(super) fn of(url: &str) -> Self {
        Self::parse(url).unwrap_or_else(|| Self {
            origin: Arc::from("(a callback URL that cannot be pushed to)"),
            ask: None,
        })
    }

    fn parse(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let https = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let whole = format!("{}://{authority}{path}", url.scheme());
        Some(Self {
            origin: format!("{}://{host}:{port}", url.scheme()).into(),
            ask: Some(Ask {
                https,
                host_name: host.trim_matches(['[', ']']).into(),
                port,
                host: HeaderValue::try_from(authority).ok()?,
                path: Uri::try_from(path).ok()?,
                whole: Uri::try_from(whole).ok()?,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_its_port_and_nothing_secret() {
        for (url, origin, host, path) in [
            (
                "https://u:p@na.example/x?token=1#f",
                "https://na.example:443",
                "na.example",
                "/x?token=1",
            ),
            ("http://NA.example/", "http://na.example:80", "na.example", "/"),
            (
                "http://0x7f.1:9000/cmd",
                "http://127.0.0.1:9000",
                "127.0.0.1:9000",
                "/cmd",
            ),
            ("http://[::1]:9000/cmd", "http://[::1]:9000", "[::1]:9000", "/cmd"),
            (
                "https://na.example:443/a",
                "https://na.example:443",
                "na.example",
                "/a",
            ),
        ] {
            let target = Target::of(url);
            let ask = target.ask.unwrap();
            assert_eq!(
                (
                    &*target.origin,
                    ask.host.to_str().unwrap(),
                    ask.path.to_string().as_str()
                ),
                (origin, host, path)
            );
        }
    }

    #[test]
    fn what_is_no_http_url_has_nothing_to_ask_for() {
        for url in [
            "",
            "na.example/x",
            "ftp://na.example:21/",
            "file:///etc/passwd",
            "http://",
        ] {
            assert_eq!(Target::of(url).ask, None, "{url}");
        }
    }
}
