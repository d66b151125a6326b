//! Attempts in flight at each host, over all applications and ports: receivers are learnt of one by one, and many small ones
//! of one host must not be too much for it together.

use std::sync::Arc;

use foldhash::HashMap;

/// A host's number; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HostId(u64);

/// Hosts that receivers are known of.
#[derive(Default)]
pub(super) struct Hosts {
    by_name: HashMap<Arc<str>, HostId>,
    of: HashMap<HostId, Host>,
    next: u64,
}

struct Host {
    name: Arc<str>,
    receivers: usize,
    in_flight: usize,
}

impl Hosts {
    /// One more receiver is known, with this origin (`scheme://host:port`).
    pub(super) fn enter(&mut self, origin: &str) -> HostId {
        let name = host_of(origin);
        let id = match self.by_name.get(name) {
            Some(id) => *id,
            None => self.add(name),
        };
        if let Some(host) = self.of.get_mut(&id) {
            host.receivers += 1;
        }
        id
    }

    fn add(&mut self, name: &str) -> HostId {
        let (id, name) = (HostId(self.next), Arc::<str>::from(name));
        self.next += 1;
        self.by_name.insert(Arc::clone(&name), id);
        let host = Host {
            name,
            receivers: 0,
            in_flight: 0,
        };
        self.of.insert(id, host);
        id
    }

    /// One of its receivers, with nothing in flight, is known no more.
    pub(super) fn leave(&mut self, id: HostId) {
        let Some(host) = self.of.get_mut(&id) else { return };
        host.receivers -= 1;
        if host.receivers == 0 {
            self.by_name.remove(&host.name);
            self.of.remove(&id);
        }
    }

    pub(super) fn started(&mut self, id: HostId) {
        if let Some(host) = self.of.get_mut(&id) {
            host.in_flight += 1;
        }
    }

    pub(super) fn ended(&mut self, id: HostId) {
        if let Some(host) = self.of.get_mut(&id) {
            host.in_flight -= 1;
        }
    }

    pub(super) fn in_flight(&self, id: HostId) -> usize {
        self.of.get(&id).map_or(0, |host| host.in_flight)
    }
}

/// The host in an origin, as it is written there.
fn host_of(origin: &str) -> &str {
    let authority = origin
        .split_once("://")
        .map_or(origin, |(_, authority)| authority);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_stands_between_scheme_and_port() {
        for (origin, host) in [
            ("https://na.example:443", "na.example"),
            ("http://[2001:db8::1]:8080", "[2001:db8::1]"),
            (
                "(a callback URL that cannot be pushed to)",
                "(a callback URL that cannot be pushed to)",
            ),
        ] {
            assert_eq!(host_of(origin), host);
        }
    }

    #[test]
    fn hosts_without_receivers_are_forgotten() {
        let mut hosts = Hosts::default();
        let one = hosts.enter("http://na.example:80");
        assert_eq!(hosts.enter("https://na.example:443"), one);
        let other = hosts.enter("http://na.example.org:80");
        hosts.started(one);
        assert_eq!((hosts.in_flight(one), hosts.in_flight(other)), (1, 0));
        hosts.ended(one);
        hosts.leave(one);
        hosts.leave(one);
        hosts.leave(other);
        assert!(hosts.by_name.is_empty() && hosts.of.is_empty());
        assert_ne!(hosts.enter("http://na.example:80"), one);
    }
}
