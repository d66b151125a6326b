//! What a random history is made of, and what a run of histories must have come across.

use crate::model::{Rules, Which};

/// What a run of histories must have come across.
pub(crate) const THINGS: [&str; 21] = [
    "ended SUCCESSFUL",
    "ended FAILED",
    "ended TIMEOUT",
    "ended EXPIRED",
    "ended CANCELED",
    "ended DELIVERED",
    "amended",
    "late acknowledgement",
    "result too late",
    "sent again",
    "all sends spent",
    "sent over QoS 0",
    "never written, sent again",
    "report of an older session",
    "given up, sent again",
    "offer of an older session",
    "offer after the lifetime",
    "slot given up",
    "restart with a deadline missed",
    "ended after the lifetime, once sent",
    "result before the acknowledgement",
];

/// How a history begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) rules: Rules,
    /// The lifetime; none: immediate, and sent at once.
    pub(crate) lifetime: Option<i64>,
    /// How long a result is awaited; none: not declared.
    pub(crate) patience: Option<i64>,
    /// For how long the server was up before.
    pub(crate) started: i64,
}

/// One act of a history.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Wait(Pause),
    /// `written`: whether the session will have handed the send to its socket, if it comes to one.
    Offer {
        who: Who,
        acks: bool,
        written: bool,
    },
    Ack,
    Answer {
        ok: bool,
    },
    CannotSend,
    /// A session ends and reports; `otherwise`: what it says if it never had the command.
    Gone {
        who: Who,
        otherwise: bool,
    },
    /// A session stops trying and stays; `otherwise` as above.
    GivesUp {
        who: Who,
        otherwise: bool,
    },
    Clock(Which),
    /// The next deadline, at its instant or as soon as possible.
    Fire,
    Restart {
        down: i64,
    },
    Withdraw,
}

/// How time passes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pause {
    For(i64),
    ToDeadline,
    ToJustBeforeDeadline,
    PastDeadline(i64),
}

/// Which session acts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// The newest that is alive, else a new one.
    Current,
    /// A new one.
    New,
    /// The oldest that was taken over and has not reported yet.
    Older,
}
