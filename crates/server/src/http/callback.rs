//! What a callback URL must look like. Where it leads is the push side's to check, at the time of each push.

use std::num::NonZeroU16;
use std::sync::{Mutex, PoisonError};

use downlink_api::Code;
use foldhash::HashSet;
use url::Url;

use super::Fault;

/// Longest callback URL.
const MAX: usize = 1024;

/// Legal ones that are remembered, at the most.
const REMEMBERED: usize = 4096;

/// Checks callback URLs. An application gives the same few again and again, so those that were found legal are remembered.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    legal: Mutex<HashSet<Box<str>>>,
}

impl Callbacks {
    /// Checks a callback URL against the rules; the fault names the one that it breaks.
    pub(super) fn check(&self, text: &str) -> Result<(), Fault> {
        if self
            .legal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(text)
        {
            return Ok(());
        }
        if let Some(rule) = broken_rule(text) {
            return Err(Fault::new(Code::BadCallback, format!("callbackUrl: {rule}.")));
        }
        let mut legal = self.legal.lock().unwrap_or_else(PoisonError::into_inner);
        if legal.len() >= REMEMBERED {
            legal.clear();
        }
        legal.insert(text.into());
        Ok(())
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > MAX {
        return Some("must have 1 to 1024 characters");
    }
    // Parsers differ in what they make of these; what is not there cannot be read in two ways.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Some("must be printable ASCII without blanks or backslashes");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some("must begin with http:// or https://");
    };
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return Some("must begin with http:// or https://");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    broken_authority(authority).or_else(|| {
        if !path.starts_with('/') {
            return Some("must have a path, or end with a slash");
        }
        let parses = Url::parse(text).is_ok_and(|url| url.has_host()) && text.parse::<http::Uri>().is_ok();
        (!parses).then_some("is not a valid URL")
    })
}

fn broken_authority(authority: &str) -> Option<&'static str> {
    if authority.contains('@') {
        return Some("must not hold a user name or password");
    }
    let (host, port) = match authority.rsplit_once(':') {
        // A colon within brackets belongs to an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port),
        Some(_) | None => return Some("must name a port"),
    };
    if host.is_empty() {
        return Some("must name a host");
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<NonZeroU16>() {
        Ok(_) if digits => None,
        Ok(_) | Err(_) => Some("must name a port from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_legal_and_bounded() {
        let callbacks = Callbacks::default();
        for n in 0..=REMEMBERED {
            callbacks.check(&format!("http://na.example:9/{n}")).unwrap();
        }
        assert!(callbacks.legal.lock().unwrap().len() <= REMEMBERED);
        for _ in 0..2 {
            callbacks.check("http://na.example:9/x").unwrap();
            assert!(callbacks.check("http://na.example/x").is_err());
        }
    }

    #[test]
    fn legal_ones() {
        for url in [
            "http://na.example:9/x",
            "https://na.example:443/",
            "HTTP://na.example:80/a/b?c=d&e=%20",
            "http://127.0.0.1:8080/cb",
            "http://[::1]:8080/cb",
            "https://xn--bcher-kva.example:9443/v1.0.0/messageReceiver/cmd",
        ] {
            assert_eq!(broken_rule(url), None, "{url}");
        }
        assert_eq!(broken_rule(&format!("http://h:1/{}", "x".repeat(MAX - 11))), None);
    }

    #[test]
    fn illegal_ones_and_the_rule_they_break() {
        let long = format!("http://h:1/{}", "x".repeat(MAX - 10));
        for (url, said) in [
            ("", "characters"),
            (&long, "characters"),
            ("na.example:9/x", "begin"),
            ("ftp://h:1/", "begin"),
            ("//h:1/", "begin"),
            ("javascript:alert(1)//h:1/", "begin"),
            ("http:/h:1/", "begin"),
            ("http://h:1", "path"),
            ("http://h:1?x=/", "path"),
            ("http://h:1#/", "path"),
            ("http://h/x", "port"),
            ("http://[::1]/x", "port"),
            ("http://h:/x", "port"),
            ("http://h:0/x", "port"),
            ("http://h:65536/x", "port"),
            ("http://h:+80/x", "port"),
            ("http://h:8a/x", "port"),
            ("http://:80/x", "host"),
            ("http:///x", "port"),
            ("http://u:p@h:80/x", "user"),
            ("http://u@h:80/x", "user"),
            ("http://h:80\\@evil:80/x", "printable"),
            ("http://h:80/a b", "printable"),
            ("http://h:80/\n", "printable"),
            ("http://hä:80/", "printable"),
            ("http://[::1:80/", "valid"),
            ("http://h%:80/", "valid"),
        ] {
            let rule = broken_rule(url).unwrap_or_default();
            assert!(rule.contains(said), "{url}: {rule:?}");
        }
    }
}
