//! Where a push goes: a callback URL, taken apart once.

use std::sync::Arc;

use foldhash::HashMap;
use http::Uri;
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
    /// What to ask for; none: not a URL that can be pushed to.
    pub(super) uri: Option<Uri>,
}

impl Target {
    /// The target that `url` names. The parser brings every spelling of an IPv4 address (`0x7f.1`, `2130706433`) to
    /// the one with four numbers. A fragment and credentials in the URL are left out: they are never sent.
    pub(super) fn of(url: &str) -> Self {
        Self::parse(url).unwrap_or_else(|| Self {
            origin: Arc::from("(a callback URL that cannot be pushed to)"),
            uri: None,
        })
    }

    fn parse(url: &str) -> Option<Self> {
        let mut url = Url::parse(url).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let origin = format!(
            "{}://{}:{}",
            url.scheme(),
            url.host_str()?,
            url.port_or_known_default()?
        );
        url.set_fragment(None);
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(Self {
            origin: origin.into(),
            uri: Some(Uri::try_from(url.as_str()).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_its_port_and_nothing_secret() {
        for (url, origin) in [
            ("https://u:p@na.example/x?token=1#f", "https://na.example:443"),
            ("http://NA.example/", "http://na.example:80"),
            ("http://0x7f.1:9000/cmd", "http://127.0.0.1:9000"),
            ("http://[::1]:9000/cmd", "http://[::1]:9000"),
        ] {
            let target = Target::of(url);
            assert_eq!(&*target.origin, origin);
            assert!(target.uri.is_some_and(|uri| !uri.to_string().contains('@')));
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
            assert_eq!(Target::of(url).uri, None, "{url}");
        }
    }
}
