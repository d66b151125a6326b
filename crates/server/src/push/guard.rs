//! Which addresses pushes may go to: public ones, and what the operator allows besides.
//!
//! A callback URL is chosen by an application, so it must not be a way into the operator's own network. The guard
//! judges addresses, never names: the connector asks about each address right before it dials that very address, so
//! that a name whose answers change gains nothing. What is not known to be public is refused.

mod allow;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::{Ipv4Net, Ipv6Net};

use self::allow::Allowed;
use crate::config::ConfigError;

/// IPv4 that is not public (IANA special-purpose registry, RFC 6890 and its updates), and metadata services that
/// sit on addresses that look public.
const REFUSED_V4: [(Ipv4Net, &str); 18] = [
    (v4([0, 0, 0, 0], 8), "this network"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "carrier-grade NAT"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([168, 63, 129, 16], 32), "cloud metadata"),
    (v4([169, 254, 0, 0], 16), "link-local or cloud metadata"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "protocol assignments"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 31, 196, 0], 24), "protocol assignments"),
    (v4([192, 52, 193, 0], 24), "protocol assignments"),
    (v4([192, 88, 99, 0], 24), "6to4 relay"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved or broadcast"),
];

/// Global unicast; all else in IPv6 (loopback, ULA, link-local, site-local, multicast, IPv4-compatible, local NAT64)
/// is refused as a whole.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What is not public within it.
const REFUSED_V6: [(Ipv6Net, &str); 5] = [
    (
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
        "protocol assignments or Teredo",
    ),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16), "returned test addresses"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
];

/// NAT64 (RFC 6052): the last 32 bits are the IPv4 address that it leads to.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// One of this server's own listeners, which no allowance opens.
    #[error("{0} is a listener of this server")]
    Own(SocketAddr),
    /// Not a public address, and not allowed.
    #[error("{address} is not allowed ({kind})")]
    NotPublic { address: SocketAddr, kind: &'static str },
}

/// The rule, fixed at start.
#[derive(Debug)]
pub(super) struct Guard {
    allow: Vec<Allowed>,
    own: Vec<SocketAddr>,
}

impl Guard {
    /// A guard that lets through what `allow` names (see [`Allowed`]) besides public addresses, and nothing of `own`.
    pub(super) fn new(allow: &[String], own: Vec<SocketAddr>) -> Result<Self, ConfigError> {
        let allow = allow.iter().map(|entry| allow::parse(entry));
        Ok(Self {
            allow: allow.collect::<Result<_, _>>()?,
            own,
        })
    }

    /// Whether this very address may be dialled.
    pub(super) fn check(&self, address: SocketAddr) -> Result<(), Refused> {
        // An IPv4-mapped address is dialled as IPv4: it is judged as that too.
        let ip = address.ip().to_canonical();
        if self.own.iter().any(|own| is_own(*own, ip, address.port())) {
            return Err(Refused::Own(address));
        }
        let Some(kind) = not_public(ip) else {
            return Ok(());
        };
        match self
            .allow
            .iter()
            .any(|allowed| allowed.covers(ip, address.port()))
        {
            true => Ok(()),
            false => Err(Refused::NotPublic { address, kind }),
        }
    }
}

/// Why an address is not public; none: it is.
fn not_public(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => not_public_v4(ip),
        IpAddr::V6(ip) => not_public_v6(ip),
    }
}

fn not_public_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let refused = REFUSED_V4.iter().find(|(net, _)| net.contains(&ip));
    refused.map(|(_, kind)| *kind)
}

fn not_public_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if NAT64.contains(&ip) {
        return not_public_v4(last_32(ip));
    }
    if !GLOBAL_V6.contains(&ip) {
        return Some("not global IPv6");
    }
    let refused = REFUSED_V6.iter().find(|(net, _)| net.contains(&ip));
    refused.map(|(_, kind)| *kind).or_else(|| match ip.segments() {
        // ISATAP (RFC 5214): an interface identifier that holds an IPv4 address.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => not_public_v4(last_32(ip)),
        _ => None,
    })
}

fn last_32(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// Whether dialling `ip` and `port` would reach the listener `own`.
fn is_own(own: SocketAddr, ip: IpAddr, port: u16) -> bool {
    let listens_on = own.ip().to_canonical();
    own.port() == port
        && (listens_on == ip
            // Dialling "no address" reaches this machine.
            || ip.is_unspecified()
            || (listens_on.is_unspecified() && (ip.is_loopback() || is_of_this_machine(ip))))
}

/// Only a machine's own addresses can be bound. Asked only where the port is that of a listener on all addresses.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests;
