//! The connections to one origin under one TLS profile.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use downlink_core::AppKey;
use foldhash::HashMap;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::link::{Lease, One, Shared, Stream};
use crate::push::tls::TlsProfile;

/// See the module.
pub(super) struct Lane {
    profile: Weak<TlsProfile>,
    resting: VecDeque<Resting>,
    shared: Vec<Shared>,
    http1: bool,
    /// Of applications that make a connection, or wait for it.
    turns: HashMap<AppKey, Arc<Mutex<()>>>,
}

struct Resting {
    one: One,
    since: Instant,
}

/// A connection with room.
pub(super) enum Found {
    One(One),
    Stream(Stream),
}

impl Lane {
    pub(super) fn new(profile: &Arc<TlsProfile>) -> Self {
        Self {
            profile: Arc::downgrade(profile),
            resting: VecDeque::new(),
            shared: Vec::new(),
            http1: false,
            turns: HashMap::default(),
        }
    }

    /// The first shared one with room, else the one that rested shortest.
    pub(super) fn take(&mut self) -> Option<Found> {
        for shared in self.shared.iter().filter(|shared| !shared.sender.is_closed()) {
            if let Some(lease) = Lease::if_room(&shared.load) {
                let sender = shared.sender.clone();
                return Some(Found::Stream(Stream { sender, lease }));
            }
        }
        while let Some(last) = self.resting.pop_back() {
            if !last.one.is_closed() {
                return Some(Found::One(last.one));
            }
        }
        None
    }

    pub(super) fn put(&mut self, one: One, most: usize) {
        if self.resting.len() >= most {
            self.resting.pop_front();
        }
        self.resting.push_back(Resting {
            one,
            since: Instant::now(),
        });
    }

    pub(super) fn share(&mut self, shared: Shared, most: usize) {
        self.http1 = false;
        self.shared.retain(|one| !one.sender.is_closed());
        if self.shared.len() >= most.max(1)
            && let Some(unused) = self.shared.iter().position(|one| one.load.is_unused())
        {
            self.shared.remove(unused);
        }
        self.shared.push(shared);
    }

    pub(super) fn speaks_http1(&mut self) {
        self.http1 = true;
    }

    /// See [`super::Lanes::turns`].
    pub(super) fn turns(&mut self, app: AppKey) -> Option<Arc<Mutex<()>>> {
        (!self.http1).then(|| Arc::clone(self.turns.entry(app).or_default()))
    }

    /// False: there is nothing left of it.
    pub(super) fn forget(&mut self, now: Instant, rest: Duration) -> bool {
        let is_valid = self.profile.strong_count() > 0;
        self.resting
            .retain_mut(|one| is_valid && one.since + rest > now && !one.one.was_closed());
        self.shared
            .retain(|one| is_valid && !one.sender.is_closed() && !one.load.rested(now, rest));
        self.turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        !self.turns.is_empty() || !self.resting.is_empty() || !self.shared.is_empty()
    }
}
