//! What a simulated CoAP device tells, and the count of it.

use std::fmt;

use super::settings::Code;

/// Something that happened at a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake of DTLS is done.
    Secured,
    /// The session of DTLS ended or did not come about, for this reason; a new one is made after a pause.
    Unsecured(String),
    /// The server registered it at this location.
    Registered(String),
    /// The server refused its registration; it tries again after a pause.
    Refused(Code),
    /// Its registration is renewed.
    Updated,
    /// The server does not know its registration any more; it registers anew.
    Forgotten(Code),
    /// The server took it off its list, as asked.
    Deregistered,
    /// The server observes it: it can report from now on.
    Observed,
    /// The server does not observe it, or no longer; it registers anew.
    Unobserved,
    /// A command arrived.
    Received(Command),
    /// A message arrived a second time, and got the same answer.
    Repeated(u16),
    /// The write of a command was answered with this code.
    Acked(Mid, Code),
    /// A command has been carried out.
    Executed(Mid),
    /// Its result is sent for the first time.
    Answered(Mid),
    /// The server acknowledged the result.
    AnswerAcked(Mid),
    /// A report of its own is sent for the first time.
    Reported,
    /// Nobody acknowledged this after all repetitions.
    GivenUp(What),
    /// A message that it cannot do anything with arrived.
    Stray(String),
    /// It listens again.
    Awake,
    /// It sleeps.
    Asleep,
    /// A datagram arrived while it slept.
    Missed,
    /// It lost everything it knew and starts anew.
    Rebooted,
}

/// The number in a command's payload; `None` if the device did not understand the payload.
pub type Mid = Option<u16>;

/// A command as it reached the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The number in the payload.
    pub mid: Mid,
    /// The message id of the CoAP message it came in.
    pub message_id: u16,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// What a device sends on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A registration.
    Register,
    /// An update of it.
    Update,
    /// The end of it.
    Deregister,
    /// A report of its own.
    Report,
    /// The result of a command.
    Answer(Mid),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register => f.write_str("registration"),
            Self::Update => f.write_str("update"),
            Self::Deregister => f.write_str("de-registration"),
            Self::Report => f.write_str("report"),
            Self::Answer(Some(mid)) => write!(f, "result of mid:{mid}"),
            Self::Answer(None) => f.write_str("result"),
        }
    }
}

/// How often what happened, over all devices that write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Devices that are registered and observed now.
    pub ready: u64,
    /// Registrations.
    pub registered: u64,
    /// Refused registrations.
    pub refused: u64,
    /// Updates.
    pub updated: u64,
    /// Updates and reports that the server refused because it did not know the device.
    pub forgotten: u64,
    /// De-registrations.
    pub deregistered: u64,
    /// Observations.
    pub observed: u64,
    /// Commands that arrived, repetitions not counted.
    pub received: u64,
    /// Repetitions of messages.
    pub repeated: u64,
    /// Writes that were answered 2.04.
    pub acked: u64,
    /// Writes that were answered with an error.
    pub write_refused: u64,
    /// Commands that were carried out.
    pub executed: u64,
    /// Results sent, repetitions not counted.
    pub answered: u64,
    /// Results that the server acknowledged.
    pub answers_acked: u64,
    /// Reports of their own.
    pub reported: u64,
    /// What was given up after all repetitions.
    pub given_up: u64,
    /// Messages that they could do nothing with.
    pub strays: u64,
    /// How often one fell asleep.
    pub asleep: u64,
    /// Datagrams that arrived at sleepers.
    pub missed: u64,
    /// Reboots.
    pub rebooted: u64,
    /// Handshakes of DTLS.
    pub secured: u64,
    /// Sessions of DTLS that ended or did not come about.
    pub unsecured: u64,
    /// Events that nobody took in time.
    pub events_lost: u64,
}

impl Tally {
    pub(super) fn count(&mut self, event: &Event) {
        let counter = match event {
            Event::Secured => &mut self.secured,
            Event::Unsecured(_) => &mut self.unsecured,
            Event::Registered(_) => &mut self.registered,
            Event::Refused(_) => &mut self.refused,
            Event::Updated => &mut self.updated,
            Event::Forgotten(_) => &mut self.forgotten,
            Event::Deregistered => &mut self.deregistered,
            Event::Observed => &mut self.observed,
            Event::Received(_) => &mut self.received,
            Event::Repeated(_) => &mut self.repeated,
            Event::Acked(_, Code(0x44)) => &mut self.acked,
            Event::Acked(_, Code(_)) => &mut self.write_refused,
            Event::Executed(_) => &mut self.executed,
            Event::Answered(_) => &mut self.answered,
            Event::AnswerAcked(_) => &mut self.answers_acked,
            Event::Reported => &mut self.reported,
            Event::GivenUp(_) => &mut self.given_up,
            Event::Stray(_) => &mut self.strays,
            Event::Asleep => &mut self.asleep,
            Event::Missed => &mut self.missed,
            Event::Rebooted => &mut self.rebooted,
            Event::Unobserved | Event::Awake => return,
        };
        *counter += 1;
    }
}
