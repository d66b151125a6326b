//! The step function: one function per state, an exhaustive match on the input in each.

use super::{Amendable, Flight, Input, Progress, Refusal, Reply, Sent, State, Transition};
use crate::command::{Event, Mode, ResponseRule, Status};
use crate::device::{Offer, Proof, SessionId};
use crate::policy::Policy;
use crate::time::Timestamp;

/// What `input` at `now` makes of a command, or why it changes nothing. Pure: the same arguments, the same answer.
pub fn step(
    progress: &Progress,
    input: Input,
    now: Timestamp,
    policy: &Policy,
) -> Result<Transition, Refusal> {
    let at = At {
        progress,
        now,
        policy,
    };
    match progress.state {
        State::Pending => at.pending(input),
        State::Sent(sent) => at.sent(sent, input),
        State::Delivered { response_due } => at.delivered(response_due, input),
        State::Successful => at.answered(input),
        State::FailedByDevice => at.answered(input),
        State::FailedByTransport(amendable) => at.amendable(State::FailedByTransport, amendable, input),
        State::TimedOut(amendable) => at.amendable(State::TimedOut, amendable, input),
        State::Expired | State::Canceled => never_sent(input),
    }
}

/// One step's surroundings.
struct At<'a> {
    progress: &'a Progress,
    now: Timestamp,
    policy: &'a Policy,
}

impl At<'_> {
    fn pending(&self, input: Input) -> Result<Transition, Refusal> {
        match input {
            Input::Send(offer) => {
                if self.lifetime_over() {
                    return Err(Refusal::NotSendable);
                }
                Ok(self.becomes(State::Sent(self.flying(1, offer)), ""))
            }
            Input::Acked | Input::Replied(_) => Err(Refusal::Stray),
            Input::Unsendable(why) => Ok(self.becomes(State::FailedByTransport(self.open(false)), &why)),
            Input::SessionLost { .. } | Input::GaveUp { .. } => Err(Refusal::Unaffected),
            Input::LifetimeEnded if self.lifetime_over() => Ok(self.becomes(State::Expired, "")),
            Input::LifetimeEnded | Input::AckDeadline | Input::ResponseDeadline | Input::SlotDeadline => {
                Err(Refusal::NotDue)
            }
            Input::Cancel(why) => Ok(self.becomes(State::Canceled, &why)),
        }
    }

    fn sent(&self, sent: Sent, input: Input) -> Result<Transition, Refusal> {
        match input {
            Input::Send(offer) => self.send_again(sent, offer),
            Input::Acked => Ok(self.delivery()),
            Input::Replied(reply) => Ok(self.delivery_then_result(reply)),
            Input::Unsendable(why) => Ok(self.becomes(State::FailedByTransport(self.open(false)), &why)),
            Input::SessionLost { session, written } => self.session_lost(sent, session, written),
            Input::GaveUp {
                session,
                sent: may_have,
            } => self.gave_up(sent, session, may_have),
            Input::AckDeadline => self.ack_deadline(sent),
            Input::LifetimeEnded => self.lifetime_ended(sent),
            Input::ResponseDeadline => self.response_deadline(sent),
            Input::SlotDeadline => self.slot_deadline(sent),
            Input::Cancel(_) => Err(Refusal::NotCancelable),
        }
    }

    fn delivered(&self, response_due: Option<Timestamp>, input: Input) -> Result<Transition, Refusal> {
        match input {
            Input::Send(_) | Input::Unsendable(_) => Err(Refusal::NotSendable),
            Input::Acked => Err(Refusal::Duplicate),
            Input::Replied(reply) => match response_due {
                Some(_) => Ok(self.answer(reply)),
                None => Err(Refusal::Stray),
            },
            Input::SessionLost { .. } | Input::GaveUp { .. } => Err(Refusal::Unaffected),
            Input::ResponseDeadline => match response_due {
                Some(due) if self.reached(due) => {
                    Ok(self.becomes(State::TimedOut(self.open(true)), "no result in time"))
                }
                Some(_) | None => Err(Refusal::NotDue),
            },
            Input::AckDeadline | Input::LifetimeEnded | Input::SlotDeadline => Err(Refusal::NotDue),
            Input::Cancel(_) => Err(Refusal::NotCancelable),
        }
    }

    /// SUCCESSFUL, or FAILED by the device itself: nothing changes it any more.
    fn answered(&self, input: Input) -> Result<Transition, Refusal> {
        match input {
            Input::Send(_) | Input::Unsendable(_) => Err(Refusal::NotSendable),
            Input::Acked | Input::Replied(_) => Err(Refusal::Duplicate),
            Input::SessionLost { .. } | Input::GaveUp { .. } => Err(Refusal::Unaffected),
            Input::AckDeadline | Input::LifetimeEnded | Input::ResponseDeadline | Input::SlotDeadline => {
                Err(Refusal::NotDue)
            }
            Input::Cancel(_) => Err(Refusal::NotCancelable),
        }
    }

    /// TIMEOUT, or FAILED by transport: the device's own result, if it comes in the window, has the last word.
    fn amendable(
        &self,
        state: fn(Amendable) -> State,
        amendable: Amendable,
        input: Input,
    ) -> Result<Transition, Refusal> {
        match input {
            Input::Send(_) | Input::Unsendable(_) => Err(Refusal::NotSendable),
            Input::Acked if amendable.acked => Err(Refusal::Duplicate),
            Input::Acked => Ok(Transition {
                state: state(Amendable {
                    acked: true,
                    ..amendable
                }),
                events: Vec::new(),
                result: None,
                proves_delivery: true,
            }),
            Input::Replied(_) if self.now > amendable.until => Err(Refusal::TooLate),
            Input::Replied(reply) => Ok(Transition {
                proves_delivery: !amendable.acked,
                ..self.answer(reply)
            }),
            Input::SessionLost { .. } | Input::GaveUp { .. } => Err(Refusal::Unaffected),
            Input::AckDeadline | Input::LifetimeEnded | Input::ResponseDeadline | Input::SlotDeadline => {
                Err(Refusal::NotDue)
            }
            Input::Cancel(_) => Err(Refusal::NotCancelable),
        }
    }

    fn send_again(&self, sent: Sent, offer: Offer) -> Result<Transition, Refusal> {
        let repeatable = match sent.flight {
            Flight::Lost { .. } => true,
            // Not an older one either: it was taken over, and its offer only comes late.
            Flight::AwaitingAck { session, .. } => session < offer.session,
            Flight::AwaitingResult { .. } => false,
        };
        match self.progress.mode {
            Mode::Cached { .. } if repeatable && self.may_send_after(sent.sends) => {
                Ok(self.silently(self.flying(sent.sends + 1, offer)))
            }
            Mode::Cached { .. } | Mode::Immediate => Err(Refusal::NotSendable),
        }
    }

    /// Only the session that carries the last send can take it back: a report of an earlier one says nothing of it.
    fn session_lost(&self, sent: Sent, lost: SessionId, written: bool) -> Result<Transition, Refusal> {
        let Mode::Cached { .. } = self.progress.mode else {
            return Err(Refusal::Unaffected);
        };
        match sent.flight {
            Flight::AwaitingAck { session, due } if session == lost && written => Ok(self.silently(Sent {
                sends: sent.sends,
                flight: Flight::Lost { due },
            })),
            Flight::AwaitingAck { session, .. } | Flight::AwaitingResult { session, .. }
                if session == lost && !written =>
            {
                Ok(self.silently(Sent {
                    sends: sent.sends.saturating_sub(1),
                    flight: Flight::Lost { due: self.now },
                }))
            }
            Flight::AwaitingAck { .. } | Flight::AwaitingResult { .. } | Flight::Lost { .. } => {
                Err(Refusal::Unaffected)
            }
        }
    }

    /// Who repeats by itself also knows when it is over: no need to wait for a deadline that is there for the worst case.
    fn gave_up(&self, sent: Sent, by: SessionId, may_have: bool) -> Result<Transition, Refusal> {
        let its = match sent.flight {
            Flight::AwaitingAck { session, .. } => session == by,
            Flight::AwaitingResult { session, .. } => session == by && !may_have,
            Flight::Lost { .. } => false,
        };
        match (self.progress.mode, may_have) {
            _ if !its => Err(Refusal::Unaffected),
            (Mode::Immediate, false) => {
                let why = "the device could not take it".to_owned();
                Ok(self.becomes(State::FailedByTransport(self.open(false)), &why))
            }
            // Nothing is on its way that an acknowledgement could still come for.
            (Mode::Cached { .. }, true) if self.may_send_after(sent.sends) => Ok(self.silently(Sent {
                sends: sent.sends,
                flight: Flight::Lost { due: self.now },
            })),
            (Mode::Cached { .. }, false) => self.session_lost(sent, by, false),
            (Mode::Immediate | Mode::Cached { .. }, true) => Ok(self.no_ack(sent.sends)),
        }
    }

    fn ack_deadline(&self, sent: Sent) -> Result<Transition, Refusal> {
        let (due, in_flight) = match sent.flight {
            Flight::AwaitingAck { due, .. } => (due, true),
            Flight::Lost { due } => (due, false),
            Flight::AwaitingResult { .. } => return Err(Refusal::NotDue),
        };
        if !self.reached(due) {
            return Err(Refusal::NotDue);
        }
        match self.progress.mode {
            Mode::Cached { .. } if self.may_send_after(sent.sends) => match in_flight {
                true => Ok(self.silently(Sent {
                    sends: sent.sends,
                    flight: Flight::Lost { due },
                })),
                false => Err(Refusal::NotDue),
            },
            Mode::Cached { .. } | Mode::Immediate => Ok(self.no_ack(sent.sends)),
        }
    }

    /// The lifetime bounds sending; what is in flight still has until its ack deadline.
    fn lifetime_ended(&self, sent: Sent) -> Result<Transition, Refusal> {
        match sent.flight {
            Flight::AwaitingAck { due, .. } | Flight::Lost { due }
                if self.lifetime_over() && self.reached(due) =>
            {
                Ok(self.no_ack(sent.sends))
            }
            Flight::AwaitingAck { .. } | Flight::Lost { .. } | Flight::AwaitingResult { .. } => {
                Err(Refusal::NotDue)
            }
        }
    }

    fn response_deadline(&self, sent: Sent) -> Result<Transition, Refusal> {
        match sent.flight {
            Flight::AwaitingResult { due, .. } if self.reached(due) => {
                Ok(self.becomes(State::TimedOut(self.open(false)), "no result in time"))
            }
            Flight::AwaitingResult { .. } | Flight::AwaitingAck { .. } | Flight::Lost { .. } => {
                Err(Refusal::NotDue)
            }
        }
    }

    fn slot_deadline(&self, sent: Sent) -> Result<Transition, Refusal> {
        match sent.flight {
            Flight::AwaitingResult {
                session,
                due,
                slot_until: Some(until),
            } if self.now >= until => {
                let flight = Flight::AwaitingResult {
                    session,
                    due,
                    slot_until: None,
                };
                Ok(self.silently(Sent {
                    sends: sent.sends,
                    flight,
                }))
            }
            Flight::AwaitingResult { .. } | Flight::AwaitingAck { .. } | Flight::Lost { .. } => {
                Err(Refusal::NotDue)
            }
        }
    }

    /// A send over `offer`, the `sends`-th.
    fn flying(&self, sends: u8, offer: Offer) -> Sent {
        let flight = match offer.proof {
            Proof::Ack => Flight::AwaitingAck {
                session: offer.session,
                due: self.now + offer.ack_wait.unwrap_or(self.policy.ack_wait),
            },
            Proof::ResultOnly => Flight::AwaitingResult {
                session: offer.session,
                due: self.now + self.result_wait(),
                slot_until: self
                    .progress
                    .mode
                    .expires_at()
                    .map(|_| self.now + self.policy.slot_wait),
            },
        };
        Sent { sends, flight }
    }

    /// How long a send without acknowledgement waits for its only proof. Where no result is declared there is
    /// nothing to wait for but the acknowledgement that cannot come.
    fn result_wait(&self) -> crate::time::Span {
        match self.progress.response {
            ResponseRule::Expected { within } => within,
            ResponseRule::None => self.policy.ack_wait,
        }
    }

    fn delivery(&self) -> Transition {
        let response_due = match self.progress.response {
            ResponseRule::Expected { within } => Some(self.now + within),
            ResponseRule::None => None,
        };
        Transition {
            proves_delivery: true,
            ..self.becomes(State::Delivered { response_due }, "")
        }
    }

    fn delivery_then_result(&self, reply: Reply) -> Transition {
        let delivered = self.event(Status::Delivered, "the result implies it");
        let mut answer = self.answer(reply);
        answer.events.insert(0, delivered);
        Transition {
            proves_delivery: true,
            ..answer
        }
    }

    fn answer(&self, reply: Reply) -> Transition {
        let state = if reply.ok {
            State::Successful
        } else {
            State::FailedByDevice
        };
        Transition {
            result: reply.body,
            ..self.becomes(state, &reply.detail)
        }
    }

    fn no_ack(&self, sends: u8) -> Transition {
        let why = format!("no acknowledgement; sends: {sends}");
        self.becomes(State::TimedOut(self.open(false)), &why)
    }

    fn open(&self, acked: bool) -> Amendable {
        Amendable {
            until: self.now + self.policy.late_window,
            acked,
        }
    }

    fn becomes(&self, state: State, why: &str) -> Transition {
        let events = vec![self.event(state.status(), why)];
        Transition {
            state,
            events,
            result: None,
            proves_delivery: false,
        }
    }

    fn silently(&self, sent: Sent) -> Transition {
        Transition {
            state: State::Sent(sent),
            events: Vec::new(),
            result: None,
            proves_delivery: false,
        }
    }

    fn event(&self, status: Status, why: &str) -> Event {
        Event {
            status,
            at: self.now,
            detail: why.to_owned(),
        }
    }

    fn reached(&self, due: Timestamp) -> bool {
        self.now >= self.policy.effective(due)
    }

    fn lifetime_over(&self) -> bool {
        self.progress.mode.expires_at().is_some_and(|end| self.now >= end)
    }

    fn may_send_after(&self, sends: u8) -> bool {
        sends < self.policy.max_sends && !self.lifetime_over()
    }
}

/// EXPIRED or CANCELED: it was never sent, so nothing the device says can be about it.
fn never_sent(input: Input) -> Result<Transition, Refusal> {
    match input {
        Input::Send(_) | Input::Unsendable(_) => Err(Refusal::NotSendable),
        Input::Acked | Input::Replied(_) => Err(Refusal::Stray),
        Input::SessionLost { .. } | Input::GaveUp { .. } => Err(Refusal::Unaffected),
        Input::AckDeadline | Input::LifetimeEnded | Input::ResponseDeadline | Input::SlotDeadline => {
            Err(Refusal::NotDue)
        }
        Input::Cancel(_) => Err(Refusal::NotCancelable),
    }
}
