//! What comes out of a session's steps: what to write, to commit, to give back, and why it ends.

use downlink_core::TopicFamily;
use downlink_store::{Change, Dispatch, Report};

use crate::engine::CloseReason;
use crate::gateway::mqtt::reports::Said;
use crate::gateway::mqtt::wire::Reason;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Close {
    /// The device said DISCONNECT.
    Bye,
    /// The connection broke or was closed by the device.
    Gone,
    /// Nothing was heard for 1.5 times the keep-alive.
    Silent,
    /// An acknowledgement is overdue.
    HalfDead,
    /// The device does not take what is written.
    TooSlow,
    /// What the device said could not be kept.
    StoreFailed,
    /// The device broke the protocol or went beyond its rights.
    Fault(Reason),
    /// The server wants it closed.
    Told(CloseReason),
}

impl Close {
    /// The reason of an MQTT 5 DISCONNECT, if one is to be sent.
    pub(in super::super) const fn disconnect(self) -> Option<Reason> {
        match self {
            Self::Bye | Self::Gone | Self::TooSlow => None,
            Self::Silent => Some(Reason::KeepAliveTimeout),
            Self::HalfDead => Some(Reason::ImplementationSpecific),
            Self::StoreFailed => Some(Reason::ServerUnavailable),
            Self::Fault(reason) => Some(reason),
            Self::Told(CloseReason::TakenOver) => Some(Reason::TakenOver),
            Self::Told(CloseReason::Removed) => Some(Reason::AdministrativeAction),
            Self::Told(CloseReason::Stopping) => Some(Reason::ShuttingDown),
        }
    }
}

/// What a step asks for.
#[derive(Debug, Default)]
pub(in super::super) struct Out {
    /// To be written.
    pub(in super::super) bytes: Vec<u8>,
    /// Where in `bytes` each dispatch begins.
    pub(in super::super) dispatched: Vec<(usize, Box<Dispatch>)>,
    /// To be applied as one transaction.
    pub(in super::super) changes: Vec<Change>,
    /// To be told to subscribers, before the acknowledgements.
    pub(in super::super) reports: Vec<Report>,
    /// The same of devices behind this one, by id or node id.
    pub(in super::super) of_children: Vec<(String, Vec<Report>)>,
    /// To be written once the changes are committed; at once if there are none.
    pub(in super::super) acks: Vec<u8>,
    /// To be reported as not written.
    pub(in super::super) not_written: Vec<Dispatch>,
    /// The family that the device was found to speak.
    pub(in super::super) learned: Option<TopicFamily>,
    /// Answers that fit no command.
    pub(in super::super) unmatched: u64,
    /// Messages to topics of others that were answered with a refusal.
    pub(in super::super) trespasses: u64,
    /// The session is over.
    pub(in super::super) close: Option<Close>,
}

impl Out {
    /// Notes what was reported.
    pub(super) fn keep(&mut self, said: Said) {
        match said.child {
            _ if said.reports.is_empty() => {}
            None => self.reports.extend(said.reports),
            Some(child) => self.of_children.push((child, said.reports)),
        }
    }
}
