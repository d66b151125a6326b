//! Which of a command's deadlines comes next.

use super::{Flight, Input, Progress, Sent, State};
use crate::command::Mode;
use crate::policy::Policy;
use crate::time::Timestamp;

/// The next instant at which time itself changes a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// Which one.
    pub kind: DeadlineKind,
}

/// The deadlines there are, each an input of the life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadlineKind {
    /// See [`Input::AckDeadline`].
    Ack,
    /// See [`Input::LifetimeEnded`].
    Lifetime,
    /// See [`Input::ResponseDeadline`].
    Response,
    /// See [`Input::SlotDeadline`].
    Slot,
}

impl DeadlineKind {
    /// The input that says it was reached.
    pub const fn input(self) -> Input {
        match self {
            Self::Ack => Input::AckDeadline,
            Self::Lifetime => Input::LifetimeEnded,
            Self::Response => Input::ResponseDeadline,
            Self::Slot => Input::SlotDeadline,
        }
    }
}

/// The next deadline of a command; none when only an input from outside can change it.
pub fn deadline(progress: &Progress, policy: &Policy) -> Option<Deadline> {
    match progress.state {
        State::Pending => lifetime(progress.mode),
        State::Sent(sent) => Some(of_sent(sent, progress.mode, policy)),
        State::Delivered { response_due } => response_due.map(|due| Deadline {
            at: policy.effective(due),
            kind: DeadlineKind::Response,
        }),
        State::Successful
        | State::FailedByDevice
        | State::FailedByTransport(_)
        | State::TimedOut(_)
        | State::Expired
        | State::Canceled => None,
    }
}

fn lifetime(mode: Mode) -> Option<Deadline> {
    mode.expires_at().map(|at| Deadline {
        at,
        kind: DeadlineKind::Lifetime,
    })
}

fn of_sent(sent: Sent, mode: Mode, policy: &Policy) -> Deadline {
    match sent.flight {
        Flight::AwaitingAck { due, .. } => Deadline {
            at: policy.effective(due),
            kind: DeadlineKind::Ack,
        },
        Flight::AwaitingResult { due, slot_until, .. } => {
            let response = Deadline {
                at: policy.effective(due),
                kind: DeadlineKind::Response,
            };
            match slot_until {
                Some(at) => response.min(Deadline {
                    at,
                    kind: DeadlineKind::Slot,
                }),
                None => response,
            }
        }
        Flight::Lost { due } => of_lost(sent.sends, policy.effective(due), mode, policy),
    }
}

/// A lost send is over at its ack deadline if it was the last one allowed, else when the lifetime ends as well.
fn of_lost(sends: u8, due: Timestamp, mode: Mode, policy: &Policy) -> Deadline {
    match mode.expires_at() {
        Some(end) if sends < policy.max_sends => Deadline {
            at: end.max(due),
            kind: DeadlineKind::Lifetime,
        },
        Some(_) | None => Deadline {
            at: due,
            kind: DeadlineKind::Ack,
        },
    }
}
