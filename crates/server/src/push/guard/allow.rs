//! The entries of `push.allow`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::ConfigError;

/// One entry: a range, on one port or on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed {
    net: IpNet,
    port: Option<u16>,
}

impl Allowed {
    /// Whether it lets `ip` (an IPv4 address in its own form, not mapped) and `port` through.
    pub(super) fn covers(&self, ip: IpAddr, port: u16) -> bool {
        self.net.contains(&ip) && self.port.is_none_or(|only| only == port)
    }
}

/// Reads an entry: `10.1.0.0/16`, `10.1.2.3`, `127.0.0.1/32:9000`, `127.0.0.1:9000`, `fd00::/8`, `::1/128:9000`,
/// `[::1]/128:9000`, `[::1]:9000`.
pub(super) fn parse(entry: &str) -> Result<Allowed, ConfigError> {
    let text = entry.trim();
    parts(text)
        .and_then(|(ip, prefix, port)| allowed(ip, prefix, port))
        .map_err(|why| ConfigError::Value {
            key: "push.allow".to_owned(),
            message: format!(
                "`{entry}` {why}; write CIDR or CIDR:PORT, as in 10.1.0.0/16, 127.0.0.1/32:9000, [::1]/128:9000"
            ),
        })
}

type Parts<'a> = (IpAddr, Option<&'a str>, Option<&'a str>);

/// The address, and the texts of prefix and port.
fn parts(text: &str) -> Result<Parts<'_>, &'static str> {
    let (ip, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or("lacks a closing bracket")?,
        None => match text.find('/') {
            Some(slash) => text.split_at(slash),
            // Without brackets or prefix, colons are those of an IPv6 address unless there is but one.
            None if text.matches(':').count() == 1 => text.split_at(text.find(':').unwrap_or(text.len())),
            None => (text, ""),
        },
    };
    let ip: IpAddr = ip.parse().map_err(|_| "is not an address")?;
    let (prefix, port) = match rest.split_once(':') {
        Some((prefix, port)) => (prefix, Some(port)),
        None => (rest, None),
    };
    match (prefix, prefix.strip_prefix('/')) {
        ("", _) => Ok((ip, None, port)),
        (_, Some(prefix)) => Ok((ip, Some(prefix), port)),
        (_, None) => Err("has something after the address that is neither /PREFIX nor :PORT"),
    }
}

fn allowed(ip: IpAddr, prefix: Option<&str>, port: Option<&str>) -> Result<Allowed, &'static str> {
    if ip.to_canonical() != ip {
        return Err("is IPv4 in IPv6 spelling");
    }
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(text) => number::<u8>(text).ok_or("has a prefix that is not a number")?,
        None => whole,
    };
    let port = match port {
        Some(text) => Some(
            number::<u16>(text)
                .filter(|n| *n > 0)
                .ok_or("has a port that is not a number from 1 to 65535")?,
        ),
        None => None,
    };
    let net = IpNet::new(ip, prefix).map_err(|_| "has a prefix that is too long")?;
    Ok(Allowed { net, port })
}

/// Digits only: `+1` is not a number here.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_every_spelling() {
        for (entry, net, port) in [
            ("10.1.0.0/16", "10.1.0.0/16", None),
            ("10.1.2.3", "10.1.2.3/32", None),
            ("127.0.0.1/32:9000", "127.0.0.1/32", Some(9000)),
            ("127.0.0.1:9000", "127.0.0.1/32", Some(9000)),
            ("::1/128", "::1/128", None),
            ("::1", "::1/128", None),
            ("::1/128:9000", "::1/128", Some(9000)),
            ("[::1]/128:9000", "::1/128", Some(9000)),
            ("[::1]:9000", "::1/128", Some(9000)),
            ("[fd00::]/8", "fd00::/8", None),
            (" 0.0.0.0/0 ", "0.0.0.0/0", None),
        ] {
            let net: IpNet = net.parse().unwrap();
            assert_eq!(parse(entry).unwrap(), Allowed { net, port }, "{entry}");
        }
    }

    #[test]
    fn bad_entries_are_named() {
        for entry in [
            "",
            "localhost",
            "localhost:9000",
            "10.1.0.0/33",
            "10.1.0.0/+8",
            "10.1.0.0/",
            "10.1.0.0/16:",
            "10.1.0.0/16:0",
            "10.1.0.0/16:65536",
            "10.1.0.0:1:2",
            "[::1",
            "[::1]9000",
            "::1/129",
            "::ffff:10.0.0.0/104",
            "010.0.0.1",
        ] {
            let error = parse(entry).unwrap_err().to_string();
            assert!(
                error.contains("push.allow") && error.contains(&format!("`{entry}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_port_narrows_an_entry() {
        let entry = parse("10.0.0.0/8:9000").unwrap();
        let ip = "10.9.9.9".parse().unwrap();
        assert!(entry.covers(ip, 9000) && !entry.covers(ip, 9001));
        assert!(!entry.covers("11.0.0.1".parse().unwrap(), 9000));
    }
}
