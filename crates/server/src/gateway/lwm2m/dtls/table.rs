//! Who is at which address: at most one open session and one handshake each, and the orders by time.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use super::cookie::Cookie;
use super::machine::Machine;
use super::record::{Content, Record};
use super::sources::Source;

/// A handshake or an open session.
pub(super) struct Link {
    pub(super) peer: SocketAddr,
    pub(super) machine: Machine,
    /// Of the hello that began it.
    cookie: Cookie,
    /// What the handshake asked a key for.
    pub(super) identity: Option<Box<[u8]>>,
    stage: Stage,
}

enum Stage {
    Opening {
        wake: Instant,
    },
    Open {
        heard: Instant,
        /// Its place in the order by idleness, which is moved only when it is looked at.
        filed: Instant,
    },
}

#[derive(Default)]
struct Peer {
    opening: Option<u64>,
    open: Option<u64>,
}

#[derive(Default)]
pub(super) struct Table {
    links: HashMap<u64, Link>,
    peers: HashMap<SocketAddr, Peer>,
    /// Handshakes under way of each source that has any.
    opening: HashMap<Source, usize>,
    wakes: BTreeSet<(Instant, u64)>,
    idle: BTreeSet<(Instant, u64)>,
    last: u64,
}

impl Table {
    /// Handshakes under way.
    pub(super) fn opening(&self) -> usize {
        self.wakes.len()
    }

    /// Open sessions.
    pub(super) fn open(&self) -> usize {
        self.idle.len()
    }

    /// Handshakes under way from this source.
    pub(super) fn opening_of(&self, source: Source) -> usize {
        self.opening.get(&source).copied().unwrap_or(0)
    }

    /// The handshake that began with this very hello. Of a session that is open a hello is never a repetition: a device
    /// that starts with the same random numbers each time says the same after a restart.
    pub(super) fn begun_by(&self, peer: SocketAddr, cookie: &Cookie) -> Option<u64> {
        let id = self.opening_at(peer)?;
        self.links
            .get(&id)
            .filter(|link| link.cookie == *cookie)
            .map(|_| id)
    }

    /// Whose this record is. A handshake gets what belongs to one, the open session all else; who is alone gets both.
    pub(super) fn addressee(&self, from: SocketAddr, record: &Record<'_>) -> Option<u64> {
        let at = self.peers.get(&from)?;
        if record.epoch == 0 || record.content == Content::Handshake {
            at.opening.or(at.open)
        } else {
            at.open.or(at.opening)
        }
    }

    pub(super) fn opening_at(&self, peer: SocketAddr) -> Option<u64> {
        self.peers.get(&peer)?.opening
    }

    /// Whether this peer has an open session.
    pub(super) fn is_at(&self, peer: SocketAddr) -> bool {
        self.peers.get(&peer).is_some_and(|at| at.open.is_some())
    }

    pub(super) fn link(&mut self, id: u64) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    /// Whether this is an open session.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.links
            .get(&id)
            .is_some_and(|link| matches!(link.stage, Stage::Open { .. }))
    }

    /// A new handshake. The peer has no other.
    pub(super) fn begin(&mut self, peer: SocketAddr, machine: Machine, cookie: Cookie, wake: Instant) -> u64 {
        self.last += 1;
        let id = self.last;
        self.links.insert(
            id,
            Link {
                peer,
                machine,
                cookie,
                identity: None,
                stage: Stage::Opening { wake },
            },
        );
        self.peers.entry(peer).or_default().opening = Some(id);
        *self.opening.entry(peer.ip().into()).or_default() += 1;
        self.wakes.insert((wake, id));
        id
    }

    /// A handshake is to be woken at another time.
    pub(super) fn wake_at(&mut self, id: u64, at: Instant) {
        if let Some(Link {
            stage: Stage::Opening { wake },
            ..
        }) = self.links.get_mut(&id)
        {
            self.wakes.remove(&(*wake, id));
            *wake = at;
            self.wakes.insert((at, id));
        }
    }

    /// A handshake is complete. Returns the session that the peer had until now; it is still there.
    pub(super) fn complete(&mut self, id: u64, now: Instant) -> Option<u64> {
        let link = self.links.get_mut(&id)?;
        let Stage::Opening { wake } = link.stage else {
            return None;
        };
        link.stage = Stage::Open {
            heard: now,
            filed: now,
        };
        let peer = link.peer;
        self.wakes.remove(&(wake, id));
        self.idle.insert((now, id));
        self.count_down(peer);
        let at = self.peers.entry(peer).or_default();
        at.opening = None;
        at.open.replace(id)
    }

    /// A session was heard of, under its own keys.
    pub(super) fn heard(&mut self, id: u64, now: Instant) {
        if let Some(Link {
            stage: Stage::Open { heard, .. },
            ..
        }) = self.links.get_mut(&id)
        {
            *heard = now;
        }
    }

    /// The session that was silent longest, and since when.
    pub(super) fn most_idle(&mut self) -> Option<(u64, Instant)> {
        loop {
            let (was, id) = *self.idle.first()?;
            let Some(Link {
                stage: Stage::Open { heard, filed },
                ..
            }) = self.links.get_mut(&id)
            else {
                unreachable!("what is filed as idle is open");
            };
            if *heard <= was {
                return Some((id, was));
            }
            *filed = *heard;
            self.idle.remove(&(was, id));
            self.idle.insert((*heard, id));
        }
    }

    /// The first handshake that is to be woken.
    pub(super) fn first_wake(&self) -> Option<(Instant, u64)> {
        self.wakes.first().copied()
    }

    /// No later than when the session that is silent longest was heard last.
    pub(super) fn first_idle(&self) -> Option<Instant> {
        self.idle.first().map(|(at, _)| *at)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Link> {
        let link = self.links.remove(&id)?;
        match link.stage {
            Stage::Opening { wake } => {
                self.wakes.remove(&(wake, id));
                self.count_down(link.peer);
            }
            Stage::Open { filed, .. } => {
                self.idle.remove(&(filed, id));
            }
        }
        if let Some(at) = self.peers.get_mut(&link.peer) {
            at.opening.take_if(|other| *other == id);
            at.open.take_if(|other| *other == id);
            if at.opening.is_none() && at.open.is_none() {
                self.peers.remove(&link.peer);
            }
        }
        Some(link)
    }

    fn count_down(&mut self, peer: SocketAddr) {
        let source = peer.ip().into();
        if let Some(count) = self.opening.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.opening.remove(&source);
            }
        }
    }

    /// Entries in every map and order, for tests that nothing is left behind.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 5] {
        [
            self.links.len(),
            self.peers.len(),
            self.opening.len(),
            self.wakes.len(),
            self.idle.len(),
        ]
    }
}
