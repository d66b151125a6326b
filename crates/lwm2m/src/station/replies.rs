//! What devices say to our messages: acknowledged, answered, reset (RFC 7252 §4.2, §5.2, §5.3.2).

use super::Station;
use super::incoming::Arrival;
use super::lane::part;
use crate::coap::{Block, Builder, Code, Kind, Message, option};
use crate::device::{Device, Observation};
use crate::flight::{Job, Progress, Write};
use crate::output::{Access, Outcome};
use crate::peer::Peer;
use crate::recent::print;
use crate::registry::Slot;
use crate::time::Millis;

/// After 4.13 a device is sent blocks of at most 128 bytes: small modules have no larger buffer.
const SMALL_BLOCK: usize = 128;

impl Station {
    /// An acknowledgement without an answer: the answer comes by itself, or, by the older access, this was it.
    pub(super) fn acknowledged(&mut self, now: Millis, from: Peer, mid: u16) {
        let wait = self.settings.separate_wait_ms;
        let Some(slot) = self.registry.by_flight(from, mid) else {
            return self.stray();
        };
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        let access = device.access;
        let Some(flight) = device.flight_mut() else { return };
        match (access, &flight.job) {
            (Access::Lwm2m, _) | (Access::Oc, Job::Fetch) => {
                if !flight.acknowledged {
                    flight.acknowledged = true;
                    flight.due = now.after(wait);
                }
            }
            (Access::Oc, Job::Observe | Job::Write(_)) => self.land_oc(now, slot),
        }
        self.heard(now, slot);
        self.registry.reschedule(slot);
    }

    fn land_oc(&mut self, now: Millis, slot: Slot) {
        match self.land(slot) {
            Some(Job::Write(write)) => self.written(slot, write.tag, Outcome::Acked),
            Some(Job::Observe) => self.observation(slot, Observation::InForce),
            Some(Job::Fetch) | None => {}
        }
        self.launch_next(now, slot);
    }

    /// The device did not understand our message.
    pub(super) fn was_reset(&mut self, now: Millis, from: Peer, mid: u16) {
        let Some(slot) = self.registry.by_flight(from, mid) else {
            return self.stray();
        };
        match self.land(slot) {
            Some(Job::Write(write)) => self.written(slot, write.tag, Outcome::Reset),
            Some(Job::Observe) => self.observation(slot, Observation::Refused),
            Some(Job::Fetch) => self.drop_assembly(slot),
            None => {}
        }
        self.heard(now, slot);
        self.launch_next(now, slot);
        self.registry.reschedule(slot);
    }

    /// An answer in the acknowledgement.
    pub(super) fn answered_at_once(&mut self, arrival: &Arrival<'_>) {
        let Arrival {
            now, from, message, ..
        } = *arrival;
        let Some(slot) = self.flight_answered(from, &message) else {
            return self.stray();
        };
        self.registry.relocate(slot, from);
        self.settle(now, slot, &message);
        self.heard(now, slot);
        self.registry.reschedule(slot);
    }

    /// Whose message in flight an acknowledgement with an answer belongs to: same id and same token. The older modules
    /// leave the token out; theirs counts from the device's own address.
    fn flight_answered(&self, from: Peer, message: &Message<'_>) -> Option<Slot> {
        let matches = |slot: Slot| {
            let device = self.registry.get(slot)?;
            let flight = device.flight()?;
            let tokenless = device.access == Access::Oc && message.token.as_slice().is_empty();
            let known = message.token.number() == Some(flight.token) || (tokenless && device.peer == from);
            (flight.mid == message.mid && known && self.may_come(slot, from)).then_some(slot)
        };
        match message.token.number() {
            Some(token) => matches(self.registry.by_token(token)?),
            None => matches(self.registry.by_flight(from, message.mid)?),
        }
    }

    /// An answer or report in a message of its own.
    pub(super) fn answered(&mut self, arrival: &Arrival<'_>) {
        let Arrival {
            now, from, message, ..
        } = *arrival;
        let slot = message
            .token
            .number()
            .and_then(|token| self.registry.by_token(token));
        let Some(slot) = slot else {
            self.outbox.counters.unknown_token += 1;
            return self.reset(now, from, message.mid);
        };
        if !self.may_come(slot, from) {
            self.outbox.counters.wrong_peer += 1;
            return;
        }
        if self.repeat_to_device(arrival, slot) {
            return;
        }
        if self.is_separate_answer(slot, &message) {
            self.registry.relocate(slot, from);
            self.acknowledge_separate(arrival);
            self.settle(now, slot, &message);
            self.heard(now, slot);
        } else {
            self.report(arrival, slot);
        }
        self.registry.reschedule(slot);
    }

    /// Whether this answers the message in flight. With the observation's token it does only after an acknowledgement
    /// without answer; else it is the first report, and the answer was lost.
    fn is_separate_answer(&self, slot: Slot, message: &Message<'_>) -> bool {
        let Some(device) = self.registry.get(slot) else {
            return false;
        };
        let Some(flight) = device.flight() else {
            return false;
        };
        let answers = message.token.number() == Some(flight.token);
        answers && (flight.token != device.token || flight.acknowledged || !message.code.is_success())
    }

    /// Acknowledges a separate answer, now and when it comes again: its token means nothing by then.
    fn acknowledge_separate(&mut self, arrival: &Arrival<'_>) {
        let Arrival {
            now,
            from,
            datagram,
            message,
        } = *arrival;
        if message.kind != Kind::Con {
            return;
        }
        let bytes = Builder::empty(Kind::Ack, message.mid);
        let until = now.after(self.settings.exchange_lifetime_ms);
        self.answers.keep(
            (from, message.mid),
            print(datagram),
            until,
            &bytes,
            self.settings.max_exchanges,
        );
        self.outbox.send(from, bytes);
    }

    /// Takes the answer to the message in flight, and sends what is next.
    fn settle(&mut self, now: Millis, slot: Slot, message: &Message<'_>) {
        match self.land(slot) {
            Some(Job::Observe) => {
                let in_force = message.code.is_success() && message.uint(option::OBSERVE).is_some();
                let observation = if in_force {
                    Observation::InForce
                } else {
                    Observation::Refused
                };
                self.observation(slot, observation);
            }
            Some(Job::Write(write)) => self.settle_write(now, slot, write, message),
            Some(Job::Fetch) => self.fetched(now, slot, message),
            None => {}
        }
        self.launch_next(now, slot);
    }

    fn settle_write(&mut self, now: Millis, slot: Slot, write: Write, message: &Message<'_>) {
        let tag = write.tag;
        match verdict(&write, message, self.settings.busy_retry_secs) {
            Verdict::Ended(outcome) => {
                if let Outcome::Busy { retry_secs } = outcome {
                    self.leave_alone(now, slot, retry_secs);
                }
                self.written(slot, tag, outcome);
            }
            Verdict::GoOn(blocks) => {
                self.launch(
                    now,
                    slot,
                    Job::Write(Write {
                        blocks: Some(blocks),
                        ..write
                    }),
                );
            }
        }
    }

    /// Takes the message in flight off its device.
    pub(super) fn land(&mut self, slot: Slot) -> Option<Job> {
        self.registry.unlist_flight(slot);
        self.registry
            .get_mut(slot)
            .and_then(Device::land)
            .map(|flight| flight.job)
    }

    fn stray(&mut self) {
        self.outbox.counters.stray_acks += 1;
    }
}

/// What an answer to a write means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ended(Outcome),
    /// Another message of the same write is to be sent.
    GoOn(Progress),
}

fn verdict(write: &Write, message: &Message<'_>, busy_retry_secs: u32) -> Verdict {
    let hint = message.block(option::BLOCK1).ok().flatten();
    match (message.code, write.blocks) {
        (Code::UNAVAILABLE | Code::TOO_MANY_REQUESTS, _) => {
            let retry_secs = message.uint(option::MAX_AGE).unwrap_or(busy_retry_secs);
            Verdict::Ended(Outcome::Busy { retry_secs })
        }
        (Code::TOO_LARGE, blocks) => smaller(write.payload.len(), blocks, hint),
        // The device knows no blocks, and without them the payload is too large.
        (Code::BAD_OPTION, Some(_)) => Verdict::Ended(Outcome::TooLarge),
        (code, Some(progress)) if code.is_success() => after_block(&write.payload, progress, code, hint),
        (Code::CONTINUE, None) => Verdict::Ended(Outcome::Refused(Code::CONTINUE)),
        (code, None) if code.is_success() => Verdict::Ended(Outcome::Acked),
        (code, _) => Verdict::Ended(Outcome::Refused(code)),
    }
}

/// The device took a block: the next one, in smaller pieces if it asks for that (RFC 7959 §2.3).
fn after_block(payload: &[u8], progress: Progress, code: Code, hint: Option<Block>) -> Verdict {
    let (sent, bytes) = part(payload, progress);
    match (sent.more, code, hint) {
        (false, Code::CONTINUE, _) => Verdict::Ended(Outcome::Refused(code)),
        (false, _, _) => Verdict::Ended(Outcome::Acked),
        (true, _, Some(hint)) => Verdict::GoOn(Progress {
            exponent: hint.exponent.min(progress.exponent),
            offset: progress.offset + bytes.len(),
        }),
        (true, Code::CONTINUE, None) => Verdict::GoOn(Progress {
            offset: progress.offset + bytes.len(),
            ..progress
        }),
        // It took the first block for all there is.
        (true, _, None) => Verdict::Ended(Outcome::TooLarge),
    }
}

/// The device wants smaller messages: from the start, in blocks of the size that it names or of small ones.
fn smaller(length: usize, blocks: Option<Progress>, hint: Option<Block>) -> Verdict {
    let small = Block::exponent_within(SMALL_BLOCK.min(length.saturating_sub(1)));
    let exponent = hint.map_or(small, |hint| hint.exponent.min(small));
    let before = blocks.map(|progress| progress.exponent);
    if length <= 16 || before.is_some_and(|before| before <= exponent) {
        return Verdict::Ended(Outcome::TooLarge);
    }
    Verdict::GoOn(Progress { exponent, offset: 0 })
}
