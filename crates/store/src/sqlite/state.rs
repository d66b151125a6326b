//! How [`State`] is stored: a code and the columns that the state fills.

use downlink_core::lifecycle::{Amendable, Flight, Sent, State};
use downlink_core::{SessionId, Status, Timestamp};

use super::failure::Failure;

/// The stored codes. Never change one.
pub(super) const PENDING: u8 = 0;
const SENT_AWAITING_ACK: u8 = 1;
const SENT_AWAITING_RESULT: u8 = 2;
const SENT_LOST: u8 = 3;
const DELIVERED: u8 = 4;
const SUCCESSFUL: u8 = 5;
const FAILED_BY_DEVICE: u8 = 6;
const FAILED_BY_TRANSPORT: u8 = 7;
const FAILED_BY_TRANSPORT_ACKED: u8 = 8;
const TIMED_OUT: u8 = 9;
const TIMED_OUT_ACKED: u8 = 10;
const EXPIRED: u8 = 11;
const CANCELED: u8 = 12;

/// A state as columns. `sends` is kept apart: it outlives SENT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) code: u8,
    pub(super) session: Option<i64>,
    pub(super) due: Option<i64>,
    pub(super) slot_until: Option<i64>,
}

/// The columns of a state.
pub(super) fn encode(state: &State) -> Columns {
    let plain = |code| Columns {
        code,
        ..Columns::default()
    };
    let dated = |code, due: Timestamp| Columns {
        due: Some(due.as_millis()),
        ..plain(code)
    };
    match *state {
        State::Pending => plain(PENDING),
        State::Sent(Sent { flight, .. }) => match flight {
            Flight::AwaitingAck { session, due } => Columns {
                session: Some(session.0),
                ..dated(SENT_AWAITING_ACK, due)
            },
            Flight::AwaitingResult {
                session,
                due,
                slot_until,
            } => Columns {
                session: Some(session.0),
                slot_until: slot_until.map(Timestamp::as_millis),
                ..dated(SENT_AWAITING_RESULT, due)
            },
            Flight::Lost { due } => dated(SENT_LOST, due),
        },
        State::Delivered { response_due } => Columns {
            due: response_due.map(Timestamp::as_millis),
            ..plain(DELIVERED)
        },
        State::Successful => plain(SUCCESSFUL),
        State::FailedByDevice => plain(FAILED_BY_DEVICE),
        State::FailedByTransport(Amendable { until, acked: false }) => dated(FAILED_BY_TRANSPORT, until),
        State::FailedByTransport(Amendable { until, acked: true }) => dated(FAILED_BY_TRANSPORT_ACKED, until),
        State::TimedOut(Amendable { until, acked: false }) => dated(TIMED_OUT, until),
        State::TimedOut(Amendable { until, acked: true }) => dated(TIMED_OUT_ACKED, until),
        State::Expired => plain(EXPIRED),
        State::Canceled => plain(CANCELED),
    }
}

/// The state with these columns.
pub(super) fn decode(columns: Columns, sends: u8) -> Result<State, Failure> {
    let due = || {
        let ms = columns
            .due
            .ok_or_else(|| Failure::corrupt("a state without its instant"))?;
        Ok::<_, Failure>(Timestamp::from_millis(ms))
    };
    let session = || {
        let session = columns
            .session
            .ok_or_else(|| Failure::corrupt("a send without its session"))?;
        Ok::<_, Failure>(SessionId(session))
    };
    let sent = |flight| State::Sent(Sent { sends, flight });
    let amendable = |acked| Ok::<_, Failure>(Amendable { until: due()?, acked });
    Ok(match columns.code {
        PENDING => State::Pending,
        SENT_AWAITING_ACK => sent(Flight::AwaitingAck {
            session: session()?,
            due: due()?,
        }),
        SENT_AWAITING_RESULT => {
            let slot_until = columns.slot_until.map(Timestamp::from_millis);
            sent(Flight::AwaitingResult {
                session: session()?,
                due: due()?,
                slot_until,
            })
        }
        SENT_LOST => sent(Flight::Lost { due: due()? }),
        DELIVERED => State::Delivered {
            response_due: columns.due.map(Timestamp::from_millis),
        },
        SUCCESSFUL => State::Successful,
        FAILED_BY_DEVICE => State::FailedByDevice,
        FAILED_BY_TRANSPORT => State::FailedByTransport(amendable(false)?),
        FAILED_BY_TRANSPORT_ACKED => State::FailedByTransport(amendable(true)?),
        TIMED_OUT => State::TimedOut(amendable(false)?),
        TIMED_OUT_ACKED => State::TimedOut(amendable(true)?),
        EXPIRED => State::Expired,
        CANCELED => State::Canceled,
        code => return Err(Failure::corrupt(format!("state {code}"))),
    })
}

/// Whether the device's own result is the last word.
pub(super) fn is_answered(state: &State) -> bool {
    match state {
        State::Successful | State::FailedByDevice => true,
        State::Pending
        | State::Sent(_)
        | State::Delivered { .. }
        | State::FailedByTransport(_)
        | State::TimedOut(_)
        | State::Expired
        | State::Canceled => false,
    }
}

/// How a command ended whose record has this code; none: the code is of no end.
pub(super) fn end_of_code(code: u8) -> Option<Status> {
    match code {
        DELIVERED => Some(Status::Delivered),
        SUCCESSFUL => Some(Status::Successful),
        FAILED_BY_DEVICE | FAILED_BY_TRANSPORT | FAILED_BY_TRANSPORT_ACKED => Some(Status::Failed),
        TIMED_OUT | TIMED_OUT_ACKED => Some(Status::Timeout),
        EXPIRED => Some(Status::Expired),
        CANCELED => Some(Status::Canceled),
        _ => None,
    }
}

/// [`is_answered`] of a stored code.
pub(super) fn is_answered_code(code: u8) -> bool {
    matches!(code, SUCCESSFUL | FAILED_BY_DEVICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back() {
        let at = Timestamp::from_millis(77);
        let amendable = |acked| Amendable { until: at, acked };
        let sent = |flight| State::Sent(Sent { sends: 3, flight });
        let states = [
            State::Pending,
            sent(Flight::AwaitingAck {
                session: SessionId(9),
                due: at,
            }),
            sent(Flight::AwaitingResult {
                session: SessionId(7),
                due: at,
                slot_until: None,
            }),
            sent(Flight::AwaitingResult {
                session: SessionId(7),
                due: at,
                slot_until: Some(at),
            }),
            sent(Flight::Lost { due: at }),
            State::Delivered { response_due: None },
            State::Delivered {
                response_due: Some(at),
            },
            State::Successful,
            State::FailedByDevice,
            State::FailedByTransport(amendable(false)),
            State::FailedByTransport(amendable(true)),
            State::TimedOut(amendable(false)),
            State::TimedOut(amendable(true)),
            State::Expired,
            State::Canceled,
        ];
        for state in states {
            assert_eq!(decode(encode(&state), 3).unwrap(), state);
        }
    }

    #[test]
    fn a_state_that_cannot_be_is_refused() {
        for code in [SENT_AWAITING_ACK, SENT_LOST, TIMED_OUT, 13, 255] {
            assert!(
                decode(
                    Columns {
                        code,
                        ..Columns::default()
                    },
                    0
                )
                .is_err(),
                "code {code}"
            );
        }
    }
}
