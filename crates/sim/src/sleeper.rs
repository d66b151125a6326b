//! An LwM2M device that sleeps most of the time and reboots now and then, from the fleet's own machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use downlink_fleet::lwm2m::machine::Output;
use downlink_fleet::lwm2m::{Code, Event, Machine, Outcome, Settings, Write};
use serde_json::Value;

use crate::chance::Chance;

/// What it does.
pub(crate) enum Act {
    /// It sends this to the server.
    Datagram(Vec<u8>),
    /// It took a command, by the number in it.
    Received(u64),
    /// It acknowledged one.
    Acked(u64),
    /// It answers one, with success or not.
    Answers(u64, bool),
    /// It is registered.
    IsThere,
}

/// See the module.
pub(crate) struct Sleeper {
    /// The id that the server gave it.
    pub(crate) id: String,
    /// Where it speaks from.
    pub(crate) address: SocketAddr,
    settings: Arc<Settings>,
    machine: Machine,
    /// Numbers of commands by what stands for them on the wire.
    mids: BTreeMap<u16, u64>,
    began: Instant,
}

impl Sleeper {
    /// A device that registers at `now`.
    pub(crate) fn new(node: String, id: String, place: u8, now: u64, chance: &mut Chance) -> Self {
        let base = Settings::new(node);
        let base = Settings {
            lifetime: Duration::from_secs(900),
            outcome: *chance.pick(&[
                Outcome::Code(0),
                Outcome::Code(0),
                Outcome::Code(1),
                Outcome::Never,
            ]),
            write: *chance.pick(&[
                Write::Changed,
                Write::Changed,
                Write::Changed,
                Write::Silent,
                Write::Refused(Code(0xa0)),
                Write::Reset,
            ]),
            takes: Duration::from_millis(chance.below(3000)),
            ..base
        };
        let awake = Duration::from_secs(chance.between(5, 20));
        let settings = match chance.percent(70) {
            true => base.sleeping(awake, Duration::from_secs(chance.between(30, 200))),
            false => base,
        };
        let settings = Arc::new(settings);
        let began = Instant::now();
        let start = began + Duration::from_millis(now);
        Self {
            machine: Machine::new(Arc::clone(&settings), chance.number(), start),
            id,
            address: SocketAddr::from(([10, 0, 0, place], 5000)),
            settings,
            mids: BTreeMap::new(),
            began,
        }
    }

    fn at(&self, now: u64) -> Instant {
        self.began + Duration::from_millis(now)
    }

    /// It loses all it knew and begins anew, perhaps from another port.
    pub(crate) fn reboot(&mut self, now: u64, chance: &mut Chance) {
        self.machine = Machine::new(Arc::clone(&self.settings), chance.number(), self.at(now));
        if chance.percent(50) {
            self.address
                .set_port(5000 + u16::try_from(chance.below(1000)).unwrap_or(0));
        }
    }

    /// When it next does something by itself.
    pub(crate) fn due(&self) -> Option<u64> {
        let since = self.machine.due()?.saturating_duration_since(self.began);
        // Rounded up: a device that is asked too early has nothing to do yet.
        u64::try_from(since.as_micros().div_ceil(1000)).ok()
    }

    /// Time goes on.
    pub(crate) fn tick(&mut self, now: u64) -> Vec<Act> {
        let now = self.at(now);
        self.machine.tick(now);
        self.acts()
    }

    /// A datagram arrives.
    pub(crate) fn hear(&mut self, bytes: &[u8], now: u64) -> Vec<Act> {
        let now = self.at(now);
        self.machine.received(bytes, now);
        self.acts()
    }

    fn acts(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some(output) = self.machine.output() {
            match output {
                Output::Datagram(bytes) => acts.push(Act::Datagram(bytes)),
                Output::Event(event) => acts.extend(self.act(&event)),
            }
        }
        acts
    }

    fn act(&mut self, event: &Event) -> Option<Act> {
        let number = |mid: &Option<u16>| mid.and_then(|mid| self.mids.get(&mid).copied());
        #[allow(clippy::wildcard_enum_match_arm)] // nothing else says anything of a command
        match event {
            Event::Received(command) => {
                let payload: Value = serde_json::from_slice(&command.payload).ok()?;
                let number = payload.pointer("/paras/n")?.as_u64()?;
                if let Some(mid) = command.mid {
                    self.mids.insert(mid, number);
                }
                Some(Act::Received(number))
            }
            Event::Acked(mid, Code(0x44)) => number(mid).map(Act::Acked),
            Event::Acked(mid, _) => number(mid).map(|number| Act::Answers(number, false)),
            Event::Answered(mid) => {
                let number = number(mid)?;
                Some(Act::Answers(number, self.settings.outcome == Outcome::Code(0)))
            }
            Event::Registered(_) => Some(Act::IsThere),
            _ => None,
        }
    }
}
