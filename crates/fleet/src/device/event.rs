//! What a device tells its observer: counted in the ledger, and sent through the channel as far as there is room.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Qos;
use crate::ledger::{Ledger, Tally};
use crate::topic::{Command, Key};

/// Something that happened at a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The server accepted the connection.
    Connected,
    /// The server refused it with this CONNACK code.
    Refused(u8),
    /// Commands can come now: the filter was granted with this quality of service, or the device does not subscribe.
    Ready(Option<Qos>),
    /// The server refused the filter.
    FilterRefused,
    /// A command arrived.
    Received(Arc<Command>),
    /// Its PUBACK is written.
    Acked(Key),
    /// It has been carried out.
    Executed(Key),
    /// An answer to it is written.
    Answered(Key),
    /// A message that is no command to this device arrived on this topic.
    Stray(String),
    /// The connection ended, or could not be made, for this reason.
    Disconnected(String),
}

/// The one place that counts and tells.
pub(super) struct Observer {
    ledger: Ledger,
    tell: mpsc::Sender<Event>,
}

impl Observer {
    pub(super) const fn new(ledger: Ledger, tell: mpsc::Sender<Event>) -> Self {
        Self { ledger, tell }
    }

    pub(super) fn note(&self, event: Event) {
        let lost = self.tell.try_send(event.clone()).is_err();
        self.ledger.update(|tally| {
            count(tally, &event);
            tally.events_lost += u64::from(lost);
        });
    }

    pub(super) fn answer_acked(&self) {
        self.ledger.update(|tally| tally.answers_acked += 1);
    }

    pub(super) fn unpublished(&self) {
        self.ledger.update(|tally| tally.unpublished += 1);
    }
}

fn count(tally: &mut Tally, event: &Event) {
    match event {
        Event::Connected => tally.connects += 1,
        Event::Refused(code) => tally.refused = Some(*code),
        Event::Ready(_) => tally.ready = true,
        Event::FilterRefused => {}
        Event::Received(command) => tally.arrived(command),
        Event::Acked(key) => tally.count(key, |counts| counts.acked += 1),
        Event::Executed(key) => tally.count(key, |counts| counts.executed += 1),
        Event::Answered(key) => tally.count(key, |counts| counts.answered += 1),
        Event::Stray(_) => tally.strays += 1,
        Event::Disconnected(_) => tally.ready = false,
    }
}
