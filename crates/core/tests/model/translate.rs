//! The model's words in the life cycle's, and back.

use downlink_core::lifecycle::{DeadlineKind, Input, Reply};
use downlink_core::{Offer, Policy, Proof, SessionId, Span, Timestamp};

use crate::model::{Fact, Rules, Which};

/// The fact in the life cycle's words.
pub(crate) fn input(fact: Fact) -> Input {
    match fact {
        Fact::Offer { session, acks } => Input::Send(Offer {
            session: SessionId(session),
            proof: if acks { Proof::Ack } else { Proof::ResultOnly },
            needs_mid: false,
            ack_wait: None,
        }),
        Fact::Ack => Input::Acked,
        Fact::Answer { ok } => Input::Replied(Reply {
            ok,
            body: Some("{}".to_owned()),
            detail: String::new(),
        }),
        Fact::CannotSend => Input::Unsendable("no codec".to_owned()),
        Fact::Gone { session, written } => Input::SessionLost {
            session: SessionId(session),
            written,
        },
        Fact::GaveUp { session, sent } => Input::GaveUp {
            session: SessionId(session),
            sent,
        },
        Fact::Clock(Which::Ack) => Input::AckDeadline,
        Fact::Clock(Which::Lifetime) => Input::LifetimeEnded,
        Fact::Clock(Which::Response) => Input::ResponseDeadline,
        Fact::Clock(Which::Slot) => Input::SlotDeadline,
        Fact::Withdraw => Input::Cancel("somebody".to_owned()),
    }
}

/// The clock in the model's words.
pub(crate) fn which(kind: DeadlineKind) -> Which {
    match kind {
        DeadlineKind::Ack => Which::Ack,
        DeadlineKind::Lifetime => Which::Lifetime,
        DeadlineKind::Response => Which::Response,
        DeadlineKind::Slot => Which::Slot,
    }
}

/// The figures in the life cycle's words.
pub(crate) fn policy(rules: &Rules) -> Policy {
    Policy {
        max_sends: u8::try_from(rules.most_sends).expect("a small number"),
        ack_wait: span(rules.ack),
        slot_wait: span(rules.slot),
        late_window: span(rules.late),
        up_since: at(rules.up),
        restart_grace: span(rules.grace),
    }
}

/// An instant.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// A span.
pub(crate) fn span(ms: i64) -> Span {
    Span::from_millis(u32::try_from(ms).expect("a small number"))
}
