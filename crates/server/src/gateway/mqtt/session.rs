//! One device's session, as a machine without a socket: packets, messages, outcomes and ticks in; bytes, changes
//! and a reason to close out.
//!
//! It promises that a QoS 1 message of the device is acknowledged only after what it says is committed, that every
//! dispatch is either written or given back, and that a device that falls silent or stops acknowledging is found
//! out. What a command's status is, is the engine's business; sockets and waiting are the connection's.

mod flight;
mod outcome;
mod subscriptions;
#[cfg(test)]
pub(super) mod tests;

use downlink_core::lifecycle::{Input, Refusal};
use downlink_core::{CommandId, DeviceKey, Offer, Proof, SessionId, Timestamp, TopicFamily};
use downlink_store::{Change, Changed, Dispatch, Target};

use super::payload::{self, LegacyData};
use super::reports;
use super::topic::{Names, Route, Uplink};
use super::wire::{self, Packet, Publish, PublishOut, Reason, Subscribe, Version};
use crate::engine::{Reach, ToSession};
use flight::Flight;
pub(super) use outcome::{Close, Out};
use subscriptions::Subscriptions;

/// Milliseconds since the connection began; never steps back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub(super) u64);

impl Tick {
    pub(super) fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// The two clocks: the wall's for what is stored, the connection's own for the protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Timestamp,
    pub(super) tick: Tick,
}

/// What a session starts from.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) session: SessionId,
    pub(super) device: DeviceKey,
    pub(super) names: Names,
    pub(super) family: Option<TopicFamily>,
    pub(super) version: Version,
    pub(super) keep_alive_secs: u16,
    /// What the device said it takes (MQTT 5).
    pub(super) receive_maximum: u16,
    pub(super) max_packet: u32,
    pub(super) max_inflight: usize,
    pub(super) max_result_bytes: usize,
    pub(super) implicit_subscribe_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    device: DeviceKey,
    version: Version,
    receive_maximum: u16,
    max_packet: u32,
    silence_ms: u32,
    max_inflight: usize,
    max_result_bytes: usize,
    heard: Tick,
    subscriptions: Subscriptions,
    flight: Flight,
    hungry: bool,
    /// Somebody is subscribed to what it reports.
    heard_out: bool,
}

impl Session {
    /// A session whose CONNECT was accepted at `now`.
    pub(super) fn new(start: Start, now: Now) -> Self {
        let implicit_from = now.tick.plus(start.implicit_subscribe_ms);
        Self {
            id: start.session,
            device: start.device,
            version: start.version,
            receive_maximum: start.receive_maximum,
            max_packet: start.max_packet,
            silence_ms: u32::from(start.keep_alive_secs) * 1500,
            max_inflight: start.max_inflight,
            max_result_bytes: start.max_result_bytes,
            heard: now.tick,
            subscriptions: Subscriptions::new(start.names, start.family, implicit_from),
            flight: Flight::default(),
            hungry: false,
            heard_out: false,
        }
    }

    /// Whether reports are to be read: somebody is subscribed to them.
    pub(super) fn hear_out(&mut self, wanted: bool) {
        self.heard_out = wanted;
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Whether commands can be sent, and what a send proves.
    pub(super) fn reach(&self) -> Reach {
        match self.subscriptions.route() {
            None => Reach::Unreachable,
            Some((route, proof)) => Reach::Reachable {
                proof,
                needs_mid: route.family == TopicFamily::Legacy,
            },
        }
    }

    /// How many dispatches are under way.
    pub(super) fn inflight(&self, now: Now) -> usize {
        self.flight.count(now.tick)
    }

    /// The offer to ask the engine with for the next command, if one could be taken and may be there.
    pub(super) fn wants(&self, now: Now) -> Option<Offer> {
        self.offer(now).filter(|_| self.hungry)
    }

    /// The engine had nothing.
    pub(super) fn sated(&mut self) {
        self.hungry = false;
    }

    fn offer(&self, now: Now) -> Option<Offer> {
        let (route, proof) = self.subscriptions.route()?;
        let room = !self.flight.has_waiting() && self.inflight(now) < self.max_inflight;
        room.then_some(Offer {
            session: self.id,
            proof,
            needs_mid: route.family == TopicFamily::Legacy,
            ack_wait: None,
        })
    }

    /// A packet of the device.
    pub(super) fn packet(&mut self, packet: Packet, now: Now, out: &mut Out) {
        self.heard = now.tick;
        let was = self.reach();
        match packet {
            Packet::Publish(publish) => self.publish(&publish, now, out),
            Packet::Puback { packet_id, reason } => self.puback(packet_id, reason, now, out),
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe, out),
            Packet::Unsubscribe { packet_id, filters } => {
                let codes: Vec<u8> = filters
                    .iter()
                    .map(|filter| self.subscriptions.unsubscribe(filter) as u8)
                    .collect();
                wire::unsuback(&mut out.bytes, self.version, packet_id, &codes);
            }
            Packet::Pingreq => wire::pingresp(&mut out.bytes),
            Packet::Disconnect => out.close = Some(Close::Bye),
        }
        out.learned = self.subscriptions.take_learned().or(out.learned);
        self.reached(was);
    }

    /// Becoming reachable, or in another way, is a reason to look at the queue.
    fn reached(&mut self, was: Reach) {
        let is = self.reach();
        self.hungry |= is != was && is != Reach::Unreachable;
    }

    fn publish(&mut self, publish: &Publish, now: Now, out: &mut Out) {
        let fault = match publish {
            Publish { qos: 2, .. } => Some(Reason::QosNotSupported),
            Publish { retain: true, .. } => Some(Reason::RetainNotSupported),
            Publish { has_alias: true, .. } => Some(Reason::TopicAliasInvalid),
            publish if publish.topic().is_empty() => Some(Reason::TopicAliasInvalid),
            _ => None,
        };
        if let Some(reason) = fault {
            out.close = Some(Close::Fault(reason));
            return;
        }
        let payload = publish.payload();
        match self.subscriptions.uplink(publish.topic()) {
            Uplink::LegacyData => self.legacy_data(payload, now, out),
            Uplink::OcResult(command) => self.oc_result(command, payload, now, out),
            Uplink::OcProperties if self.heard_out => {
                let own = self.subscriptions.names().device();
                out.keep(reports::oc_properties(payload, own, now.at));
            }
            Uplink::OcEvents if self.heard_out => {
                let own = self.subscriptions.names().device();
                out.keep(reports::oc_events(payload, own, now.at));
            }
            Uplink::OcChildren if self.heard_out => {
                let own = self.subscriptions.names().device();
                for said in reports::oc_children(payload, own, now.at) {
                    out.keep(said);
                }
            }
            Uplink::OcProperties | Uplink::OcChildren | Uplink::OcEvents => {}
            // The rest is taken and not looked at.
            Uplink::Other(_) => {}
            Uplink::Foreign => return self.trespass(publish, out),
        }
        if let Some(packet_id) = publish.packet_id {
            wire::puback(&mut out.acks, self.version, packet_id, Reason::Success);
        }
    }

    /// A message to a topic that is not the device's. MQTT 5 at QoS 1 can be told so; others lose the connection.
    fn trespass(&self, publish: &Publish, out: &mut Out) {
        match (self.version, publish.packet_id) {
            (Version::V5, Some(packet_id)) => {
                out.trespasses += 1;
                wire::puback(&mut out.acks, self.version, packet_id, Reason::NotAuthorized);
            }
            (Version::V5, None) | (Version::V3, _) => out.close = Some(Close::Fault(Reason::NotAuthorized)),
        }
    }

    fn legacy_data(&mut self, payload: &[u8], now: Now, out: &mut Out) {
        match payload::legacy_data(payload, self.max_result_bytes) {
            LegacyData::Answer(answer) => match answer.mid {
                Some(mid) => {
                    let target = Target::Mid(self.device, mid);
                    self.change(target, Input::Replied(answer.reply), now, out);
                }
                None => out.unmatched += 1,
            },
            LegacyData::Report if self.heard_out => out.reports.extend(reports::legacy(payload, now.at)),
            LegacyData::Report => {}
            LegacyData::Unreadable => out.unmatched += 1,
        }
    }

    fn oc_result(&mut self, command: Option<CommandId>, payload: &[u8], now: Now, out: &mut Out) {
        let reply = match payload::is_gzip(payload) {
            true => None,
            false => payload::oc_result(payload, self.max_result_bytes),
        };
        match (command, reply) {
            (Some(command), Some(reply)) => {
                let target = Target::OfDevice(self.device, command);
                self.change(target, Input::Replied(reply), now, out);
            }
            (None, _) | (_, None) => out.unmatched += 1,
        }
    }

    fn puback(&mut self, packet_id: u16, reason: u8, now: Now, out: &mut Out) {
        // Unknown ones are late or repeated: they prove nothing and do no harm.
        let Some(command) = self.flight.acked(packet_id) else {
            return;
        };
        let input = match reason {
            0x80.. => Input::Unsendable(format!("the device refused it, reason 0x{reason:02x}")),
            _ => Input::Acked,
        };
        self.change(Target::OfDevice(self.device, command), input, now, out);
        while !self.is_full() {
            let Some(dispatch) = self.flight.take_waiting() else {
                break;
            };
            self.dispatch(dispatch, now, out);
        }
    }

    /// Whether the device takes no more messages at QoS 1 before it has acknowledged some.
    fn is_full(&self) -> bool {
        self.flight.owed() >= usize::from(self.receive_maximum)
    }

    fn change(&mut self, target: Target, input: Input, now: Now, out: &mut Out) {
        let then_send = self.offer(now);
        // If the next command cannot go out in the same transaction, it is asked for as soon as there is room.
        self.hungry |= then_send.is_none();
        out.changes.push(Change {
            target,
            input,
            now: now.at,
            then_send,
        });
    }

    fn subscribe(&mut self, subscribe: &Subscribe, out: &mut Out) {
        if subscribe.has_identifier {
            out.close = Some(Close::Fault(Reason::SubscriptionIdsNotSupported));
            return;
        }
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        for (filter, qos) in &subscribe.filters {
            codes.push(match (self.subscriptions.subscribe(filter, *qos), self.version) {
                (Ok(qos), _) => qos,
                (Err(_), Version::V3) => 0x80,
                (Err(reason), Version::V5) => reason as u8,
            });
        }
        wire::suback(&mut out.bytes, self.version, subscribe.packet_id, &codes);
    }

    /// The answers to the changes of an earlier step, in order.
    pub(super) fn committed(&mut self, changed: Vec<Changed>, replied: &[bool], now: Now, out: &mut Out) {
        for (changed, &replied) in changed.into_iter().zip(replied) {
            match changed.outcome {
                Some(Ok(applied)) if replied => self.flight.answered(applied.command, 2 * self.max_inflight),
                Some(Ok(_)) => {}
                Some(Err(refusal)) if replied => out.unmatched += u64::from(is_unmatched(refusal)),
                None if replied => out.unmatched += 1,
                Some(Err(_)) | None => {}
            }
            if let Some((_, dispatch)) = changed.next {
                self.dispatch(Box::new(dispatch), now, out);
            }
        }
    }

    /// A message from elsewhere in the server.
    pub(super) fn told(&mut self, message: ToSession, now: Now, out: &mut Out) {
        match message {
            ToSession::Dispatch(dispatch) => {
                let given_back = out.not_written.len();
                self.dispatch(dispatch, now, out);
                // It was offered under a subscription that has changed since: to be had again under the present one.
                self.hungry |= out.not_written.len() > given_back;
            }
            ToSession::Work => self.hungry = true,
            ToSession::AckOverdue(command) if self.flight.awaits_proof(command) => {
                out.close = Some(Close::HalfDead);
            }
            ToSession::AckOverdue(_) => self.hungry = true,
        }
    }

    /// A committed Send: written, kept until the device takes more, or given back.
    pub(super) fn dispatch(&mut self, dispatch: Box<Dispatch>, now: Now, out: &mut Out) {
        let fits = |&(route, proof): &(Route, Proof)| {
            dispatch.session == self.id
                && (dispatch.proof == Proof::ResultOnly || proof == Proof::Ack)
                && (route.family == TopicFamily::Oc || dispatch.mid.is_some())
        };
        match self.subscriptions.route().filter(fits) {
            None => out.not_written.push(*dispatch),
            Some(_) if dispatch.proof == Proof::Ack && self.is_full() => {
                match self.flight.count(now.tick) < 2 * self.max_inflight {
                    true => self.flight.wait(dispatch),
                    false => out.not_written.push(*dispatch),
                }
            }
            Some((route, _)) => self.write(dispatch, route, now, out),
        }
    }

    fn write(&mut self, dispatch: Box<Dispatch>, route: Route, now: Now, out: &mut Out) {
        let payload = match (route.family, dispatch.mid) {
            (TopicFamily::Legacy, Some(mid)) => payload::legacy_command(&dispatch.body, mid),
            (TopicFamily::Legacy, None) | (TopicFamily::Oc, _) => payload::oc_command(&dispatch.body),
        };
        let topic = self.subscriptions.names().command_topic(route, dispatch.command);
        let packet_id = match dispatch.proof {
            Proof::Ack => Some(self.flight.packet_id()),
            Proof::ResultOnly => None,
        };
        let message = PublishOut {
            topic: &topic,
            packet_id,
            expiry: dispatch.expires_at.map(|end| secs_left(end, now.at)),
            payload: payload.as_bytes(),
        };
        let size = wire::publish_size(self.version, message);
        if size > usize::try_from(self.max_packet).unwrap_or(usize::MAX) {
            let why = format!("{size} bytes, more than the device takes");
            let target = Target::OfDevice(self.device, dispatch.command);
            self.change(target, Input::Unsendable(why), now, out);
            return;
        }
        let begins = out.bytes.len();
        wire::publish(&mut out.bytes, self.version, message);
        self.flight.written(dispatch.command, packet_id, now.tick);
        out.dispatched.push((begins, dispatch));
    }

    /// When the clock has to be looked at again.
    pub(super) fn next_tick(&self) -> Tick {
        let silent = self.heard.plus(u64::from(self.silence_ms));
        let sooner = [self.subscriptions.next_tick(), self.flight.next_lapse()];
        sooner.into_iter().flatten().fold(silent, Tick::min)
    }

    /// The clock was looked at.
    pub(super) fn tick(&mut self, now: Now, out: &mut Out) {
        let was = self.reach();
        self.subscriptions.tick(now.tick);
        self.flight.lapse(now.tick);
        self.reached(was);
        if now.tick >= self.heard.plus(u64::from(self.silence_ms)) {
            out.close = Some(Close::Silent);
        }
    }

    /// What was never written; for the end.
    pub(super) fn take_unwritten(&mut self) -> Vec<Dispatch> {
        std::iter::from_fn(|| self.flight.take_waiting())
            .map(|dispatch| *dispatch)
            .collect()
    }
}

/// Whole seconds until `end`, at least 1: it was sent before its end, and 0 would mean it is dropped at once.
fn secs_left(end: Timestamp, now: Timestamp) -> u32 {
    let secs = end.since(now).as_millis().unsigned_abs().div_ceil(1000);
    u32::try_from(secs).unwrap_or(u32::MAX).max(1)
}

/// Whether a refused answer counts as one that fits no open command.
const fn is_unmatched(refusal: Refusal) -> bool {
    match refusal {
        Refusal::Duplicate | Refusal::Stray | Refusal::TooLate => true,
        Refusal::NotSendable | Refusal::NotCancelable | Refusal::NotDue | Refusal::Unaffected => false,
    }
}
