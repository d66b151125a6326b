//! Attempts in flight at each host, over all applications and ports: receivers are learnt of one by one, and many small ones
//! of one host must not be too much for it together.

use std::sync::Arc;

use foldhash::HashMap;

/// A host's number; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HostId(u64);

/// Hosts that receivers are known of.
pub(super) struct Hosts {
    /// Attempts in flight at each, at the most.
    most: usize,
    /// Hosts that have as many.
    full: usize,
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
    /// None, each of which may have `most` attempts in flight.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            full: 0,
            by_name: HashMap::default(),
            of: HashMap::default(),
            next: 0,
        }
    }

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
            self.full += usize::from(host.in_flight == self.most);
        }
    }

    pub(super) fn ended(&mut self, id: HostId) {
        if let Some(host) = self.of.get_mut(&id) {
            self.full -= usize::from(host.in_flight == self.most);
            host.in_flight -= 1;
        }
    }

    pub(super) fn is_full(&self, id: HostId) -> bool {
        self.of.get(&id).is_some_and(|host| host.in_flight >= self.most)
    }

    /// How many are.
    pub(super) fn full(&self) -> usize {
        self.full
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
        let mut hosts = Hosts::new(1);
        let one = hosts.enter("http://na.example:80");
        assert_eq!(hosts.enter("https://na.example:443"), one);
        let other = hosts.enter("http://na.example.org:80");
        hosts.started(one);
        assert_eq!(
            (hosts.is_full(one), hosts.is_full(other), hosts.full()),
            (true, false, 1)
        );
        hosts.ended(one);
        assert_eq!((hosts.is_full(one), hosts.full()), (false, 0));
        hosts.leave(one);
        hosts.leave(one);
        hosts.leave(other);
        assert!(hosts.by_name.is_empty() && hosts.of.is_empty());
        assert_ne!(hosts.enter("http://na.example:80"), one);
    }
}
