//! What a session has subscribed to, by word or by silence, and which family of topics it speaks.
//!
//! The family is what the device shows on this connection, else what it was seen to speak before. A device of the
//! legacy family has to subscribe to its commands. One of the `$oc` family, or of none known yet, counts as
//! subscribed at QoS 0 some time after it connected; its own subscription replaces that at once.

use downlink_core::{Proof, TopicFamily};

use super::Tick;
use crate::gateway::mqtt::topic::{Filter, Names, Route, Uplink};
use crate::gateway::mqtt::wire::Reason;

/// Filters for commands that one session may hold.
const MOST: usize = 50;

/// See the module.
#[derive(Debug)]
pub(super) struct Subscriptions {
    names: Names,
    seen: Option<TopicFamily>,
    spoken: Option<TopicFamily>,
    implicit: Implicit,
    granted: Vec<Granted>,
}

/// The subscription that a `$oc` device does not have to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Implicit {
    /// Stands from this instant on.
    From(Tick),
    /// Stands.
    On,
    /// The device gave it up.
    Off,
}

#[derive(Debug)]
struct Granted {
    filter: Box<str>,
    route: Route,
    qos: u8,
}

impl Subscriptions {
    /// Of a device that was `seen` to speak a family before; the implicit subscription stands from `implicit_from`.
    pub(super) fn new(names: Names, seen: Option<TopicFamily>, implicit_from: Tick) -> Self {
        Self {
            names,
            seen,
            spoken: None,
            implicit: Implicit::From(implicit_from),
            granted: Vec::new(),
        }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    fn family(&self) -> Option<TopicFamily> {
        self.spoken.or(self.seen)
    }

    /// What a message on `topic` is. The first one shows the family.
    pub(super) fn uplink(&mut self, topic: &str) -> Uplink {
        let uplink = self.names.uplink(topic);
        if let Some(family) = uplink.family() {
            self.speaks(family);
        }
        uplink
    }

    fn speaks(&mut self, family: TopicFamily) {
        self.spoken.get_or_insert(family);
    }

    /// The family that was shown on this connection and not known before; told once.
    pub(super) fn take_learned(&mut self) -> Option<TopicFamily> {
        let learned = self.spoken.filter(|_| self.spoken != self.seen)?;
        self.seen = Some(learned);
        Some(learned)
    }

    /// Grants a subscription at QoS 1 at the most, or says why not.
    pub(super) fn subscribe(&mut self, filter: &str, qos: u8) -> Result<u8, Reason> {
        let qos = qos.min(1);
        let (route, spelled) = match self.names.filter(filter) {
            Filter::Invalid => return Err(Reason::FilterInvalid),
            Filter::Shared => return Err(Reason::SharedNotSupported),
            Filter::Foreign => return Err(Reason::NotAuthorized),
            Filter::Own(spelled) => (None, spelled),
            Filter::Commands { route, spelled } => (Some(route), spelled),
        };
        if let Some(family) = spelled {
            self.speaks(family);
        }
        match route {
            // `#` of a `$oc` device does not mean the commands of the other family.
            Some(route) if spelled.is_some() || self.family() != Some(TopicFamily::Oc) => {
                self.grant(filter, route, qos)
            }
            Some(_) | None => Ok(qos),
        }
    }

    fn grant(&mut self, filter: &str, route: Route, qos: u8) -> Result<u8, Reason> {
        self.granted.retain(|granted| &*granted.filter != filter);
        if self.granted.len() >= MOST {
            return Err(Reason::QuotaExceeded);
        }
        self.granted.push(Granted {
            filter: filter.into(),
            route,
            qos,
        });
        Ok(qos)
    }

    /// Withdraws a subscription; the implicit one too, if this is what it would have asked for.
    pub(super) fn unsubscribe(&mut self, filter: &str) -> Reason {
        self.granted.retain(|granted| &*granted.filter != filter);
        match self.names.filter(filter) {
            Filter::Commands { route, .. } => {
                if route.family == TopicFamily::Oc {
                    self.implicit = Implicit::Off;
                }
                Reason::Success
            }
            Filter::Own(_) => Reason::Success,
            Filter::Invalid | Filter::Shared | Filter::Foreign => Reason::NoSubscriptionExisted,
        }
    }

    /// When the implicit subscription begins, if it is still to come and would matter.
    pub(super) fn next_tick(&self) -> Option<Tick> {
        match self.implicit {
            Implicit::From(at) if self.family() != Some(TopicFamily::Legacy) => Some(at),
            Implicit::From(_) | Implicit::On | Implicit::Off => None,
        }
    }

    /// The clock reached `now`.
    pub(super) fn tick(&mut self, now: Tick) {
        if self.next_tick().is_some_and(|at| at <= now) {
            self.implicit = Implicit::On;
        }
    }

    /// How commands reach the device, if they do. What it asked for goes before what stands by itself.
    pub(super) fn route(&self) -> Option<(Route, Proof)> {
        let best = |family| {
            let of = self
                .granted
                .iter()
                .filter(|granted| granted.route.family == family);
            of.max_by_key(|granted| granted.qos)
        };
        let granted = match (best(TopicFamily::Legacy), best(TopicFamily::Oc)) {
            (Some(_), Some(oc)) if self.family() == Some(TopicFamily::Oc) => Some(oc),
            (Some(legacy), _) => Some(legacy),
            (None, oc) => oc,
        };
        match granted {
            Some(granted) if granted.qos > 0 => Some((granted.route, Proof::Ack)),
            Some(granted) => Some((granted.route, Proof::ResultOnly)),
            None => self.implicit_route(),
        }
    }

    fn implicit_route(&self) -> Option<(Route, Proof)> {
        if self.implicit != Implicit::On || self.family() == Some(TopicFamily::Legacy) {
            return None;
        }
        let route = Route {
            family: TopicFamily::Oc,
            called: self.names.preferred(),
        };
        Some((route, Proof::ResultOnly))
    }
}
