//! The life cycle of a command: a function from (where it stands, what happened, now) to a transition or a refusal.
//!
//! ```text
//!            ┌─ Cancel ─▶ CANCELED      ┌─ no ack, no result ─▶ TIMEOUT ─┐ late result, once
//!  PENDING ──┼─ lifetime ▶ EXPIRED      │                                ▼
//!            └─ Send ───▶ SENT ── ack ─▶ DELIVERED ── result ──▶ SUCCESSFUL | FAILED
//!                         │  ▲ └──────── result (implies delivery) ─────▲
//!                         └──┘ Send again (cached, session lost or no ack): same id, no event
//! ```
//!
//! A refusal is a fact to count, never an error: nothing changes. Deadlines are stored instants; which one comes
//! next is [`deadline`]. All matches are exhaustive, so a new state or input has to be thought through everywhere.

mod deadline;
mod step;

pub use deadline::{Deadline, DeadlineKind, deadline};
pub use step::step;

use crate::command::{Event, Mode, ResponseRule, Status};
use crate::device::{Offer, SessionId};
use crate::time::Timestamp;

/// A command as the life cycle sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// How it waits for its device.
    pub mode: Mode,
    /// Whether a result is expected.
    pub response: ResponseRule,
}

/// Where a command stands. Each state owns what only makes sense in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In the device's queue, never sent.
    Pending,
    /// Committed for sending at least once; no proof yet.
    Sent(Sent),
    /// The device's transport acknowledged.
    Delivered {
        /// Until when a result is awaited; none: no result is expected and this is final.
        response_due: Option<Timestamp>,
    },
    /// The device's result: done.
    Successful,
    /// The device's result: not done.
    FailedByDevice,
    /// It could not be sent. A result of the device may still amend it.
    FailedByTransport(Amendable),
    /// No proof or no result in time. A result of the device may still amend it.
    TimedOut(Amendable),
    /// Never sent within its lifetime.
    Expired,
    /// Withdrawn before it was sent.
    Canceled,
}

/// A command that may have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How often it was sent; 0 if the only send was never written.
    pub sends: u8,
    /// What the last send waits for.
    pub flight: Flight,
}

/// What the last send of a command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flight {
    /// The transport's acknowledgement over `session`.
    AwaitingAck {
        /// The session it was written to. A newer session of the device means that this one is gone.
        session: SessionId,
        /// The ack deadline.
        due: Timestamp,
    },
    /// The device's result; there will be no acknowledgement (QoS 0).
    AwaitingResult {
        /// The session it was handed to; only this one can say that it was never written.
        session: SessionId,
        /// The response deadline.
        due: Timestamp,
        /// Until when it holds the device's slot; none: it does not.
        slot_until: Option<Timestamp>,
    },
    /// A cached command whose last send came to nothing; goes out again with the device's next session.
    Lost {
        /// The ack deadline of the send that was lost.
        due: Timestamp,
    },
}

/// For how long a result of the device still amends a final status that the server set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amendable {
    /// The last instant at which it does.
    pub until: Timestamp,
    /// Whether the transport's acknowledgement came (in time or late).
    pub acked: bool,
}

/// What happened to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A reachable session offers to send it.
    Send(Offer),
    /// The device's transport acknowledged the last send.
    Acked,
    /// The device's own result.
    Replied(Reply),
    /// It cannot be sent: nothing came out of the encoder, or the device refused the bytes. Says why.
    Unsendable(String),
    /// A session it was sent on is gone. Was it handed to the socket? Changes nothing if the command was sent over
    /// another session since: after a take-over the old session's report may come last.
    SessionLost {
        /// The session that is gone.
        session: SessionId,
        /// False: not a byte left, so this send does not count.
        written: bool,
    },
    /// The session that it was sent on is there, and has stopped trying: its own repeats are over. Changes nothing if the
    /// command was sent over another session since, or is waiting for its result.
    GaveUp {
        /// Which session.
        session: SessionId,
        /// False: the device cannot have taken it, so this send does not count.
        sent: bool,
    },
    /// The clock reached the ack deadline.
    AckDeadline,
    /// The clock reached the end of the lifetime.
    LifetimeEnded,
    /// The clock reached the response deadline.
    ResponseDeadline,
    /// The clock reached the instant to which an unacknowledged QoS 0 send holds the device's slot.
    SlotDeadline,
    /// The application withdraws it. Says on whose request.
    Cancel(String),
}

/// A device's answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether the device says it worked.
    pub ok: bool,
    /// The answer's body as JSON text, if it had one; becomes the command's result.
    pub body: Option<String>,
    /// The device's own code, for the event list.
    pub detail: String,
}

/// What a step changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Where the command stands from now on.
    pub state: State,
    /// What its record gains: none (a send again), one, or two (delivery and result in one step).
    pub events: Vec<Event>,
    /// The device's result, if this step brought it.
    pub result: Option<String>,
    /// This step is the first proof of delivery; `now` is the time of it.
    pub proves_delivery: bool,
}

/// Why an input changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The same fact was recorded before.
    Duplicate,
    /// The fact does not fit where the command stands: an answer to something that was never sent.
    Stray,
    /// A result after the window for late ones.
    TooLate,
    /// Not to be sent (again): sent on this session already, over, or at its limit of sends.
    NotSendable,
    /// A device may execute it, or it is final.
    NotCancelable,
    /// This deadline is not set, or not reached.
    NotDue,
    /// Nothing to do: the loss of a session that this command does not depend on.
    Unaffected,
}

impl State {
    /// The status as stored and shown.
    pub const fn status(&self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Sent(_) => Status::Sent,
            Self::Delivered { .. } => Status::Delivered,
            Self::Successful => Status::Successful,
            Self::FailedByDevice | Self::FailedByTransport(_) => Status::Failed,
            Self::TimedOut(_) => Status::Timeout,
            Self::Expired => Status::Expired,
            Self::Canceled => Status::Canceled,
        }
    }

    /// Whether it is over: nothing but the one late result can change it.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Pending
            | Self::Sent(_)
            | Self::Delivered {
                response_due: Some(_),
            } => false,
            Self::Delivered { response_due: None }
            | Self::Successful
            | Self::FailedByDevice
            | Self::FailedByTransport(_)
            | Self::TimedOut(_)
            | Self::Expired
            | Self::Canceled => true,
        }
    }

    /// Until when a late result may still amend this final state.
    pub const fn amendable_until(&self) -> Option<Timestamp> {
        match self {
            Self::TimedOut(amendable) | Self::FailedByTransport(amendable) => Some(amendable.until),
            Self::Pending
            | Self::Sent(_)
            | Self::Delivered { .. }
            | Self::Successful
            | Self::FailedByDevice
            | Self::Expired
            | Self::Canceled => None,
        }
    }
}

impl Progress {
    /// Whether it stands in its device's queue: waiting to be sent, or sent and still holding the device's slot.
    /// Immediate commands never do.
    pub const fn is_queued(&self) -> bool {
        let Mode::Cached { .. } = self.mode else {
            return false;
        };
        match self.state {
            State::Pending => true,
            State::Sent(Sent { flight, .. }) => match flight {
                Flight::AwaitingAck { .. } | Flight::Lost { .. } => true,
                Flight::AwaitingResult { slot_until, .. } => slot_until.is_some(),
            },
            State::Delivered { .. }
            | State::Successful
            | State::FailedByDevice
            | State::FailedByTransport(_)
            | State::TimedOut(_)
            | State::Expired
            | State::Canceled => false,
        }
    }
}
