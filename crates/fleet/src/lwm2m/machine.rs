//! The device itself, without a socket or a clock: datagrams, orders and the time go in, datagrams and events come out.
//!
//! It registers, lets itself be observed and written, carries commands out and reports their results, renews its
//! registration, and registers anew when the server has forgotten it. One message of its own is open at a time. What it
//! holds is limited: [`BUSY`] commands and reports; a command beyond is answered 5.03.

mod answers;
mod power;
mod speech;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{Event, Mid, What};
use super::exchange::{Due, Exchange, Heard};
use super::payload::Request;
use super::random::Random;
use super::settings::{Access, Settings};
use power::Power;

/// How many commands and reports wait in a device at most.
pub const BUSY: usize = 64;
/// The first pause after a failed registration; it doubles with every other one.
const PAUSE: Duration = Duration::from_secs(15);
/// The longest.
const PAUSE_MOST: Duration = Duration::from_secs(300);
/// How long a module of the older access waits for the observation before it registers again.
const OC_OBSERVED_WITHIN: Duration = Duration::from_secs(4);
/// The same for LwM2M modules.
const OBSERVED_WITHIN: Duration = Duration::from_secs(160);

/// What a device wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to the server.
    Datagram(Vec<u8>),
    /// Tell this.
    Event(Event),
}

/// A simulated device.
#[derive(Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    random: Random,
    /// The id of the next message.
    message_id: u16,
    phase: Phase,
    /// Whether it is to leave.
    leaving: bool,
    observation: Option<Observation>,
    /// The device's own message that is not finished, and what it reports, if it does.
    open: Option<(Exchange, Option<Say>)>,
    /// The id of the last report that asked for no acknowledgement.
    unconfirmed: Option<u16>,
    /// Reports that wait.
    say: VecDeque<Say>,
    /// Commands that are being carried out, by when each is done.
    work: VecDeque<(Instant, Option<Request>)>,
    heard: Heard,
    power: Power,
    /// Registrations that failed in a row.
    failures: u32,
    /// Reports of its own so far.
    reports: u8,
    out: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Not registered; tries at this time.
    Off(Instant),
    Registering,
    Registered {
        location: Vec<Vec<u8>>,
        /// When it renews its registration.
        update_at: Instant,
        /// By when it wants to be observed, if it is not.
        observed_by: Instant,
    },
    /// It left on purpose.
    Left,
}

/// What the server's observation looks like.
#[derive(Debug)]
struct Observation {
    token: Vec<u8>,
    /// The number of the last notification (RFC 7641 §3.4), 24 bits.
    number: u32,
}

/// A report that waits or is on its way.
#[derive(Debug, Clone)]
struct Say {
    what: What,
    payload: Vec<u8>,
}

impl Machine {
    /// A device that registers at `start`. The same seed gives the same message ids, tokens and pauses.
    pub fn new(settings: Arc<Settings>, seed: u64, start: Instant) -> Self {
        let mut random = Random::new(seed);
        Self {
            message_id: random.next() as u16,
            random,
            phase: Phase::Off(start),
            leaving: false,
            observation: None,
            open: None,
            unconfirmed: None,
            say: VecDeque::new(),
            work: VecDeque::new(),
            heard: Heard::default(),
            power: Power::new(settings.sleep, start),
            failures: 0,
            reports: 0,
            out: VecDeque::new(),
            settings,
        }
    }

    /// The next thing it wants done.
    pub fn output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Self::tick`]; `None` if it waits for nothing but messages.
    pub fn due(&self) -> Option<Instant> {
        let open = self.open.as_ref().map(|(exchange, _)| exchange.due_at());
        let work = self.work.front().map(|(done, _)| *done);
        let power = self.power.due(self.open.is_some());
        [open, work, power, self.phase_due()].into_iter().flatten().min()
    }

    fn phase_due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Off(at) => Some(*at),
            Phase::Registered {
                update_at,
                observed_by,
                ..
            } => {
                let observed_by = self.observation.is_none().then_some(*observed_by);
                // An update that is due waits for the open message.
                let update_at = self.open.is_none().then_some(*update_at);
                observed_by.into_iter().chain(update_at).min()
            }
            Phase::Registering | Phase::Left => None,
        }
    }

    /// Does what is due by now.
    pub fn tick(&mut self, now: Instant) {
        self.finish_work(now);
        self.repeat(now);
        self.miss_observation(now);
        self.wake(now);
        if !self.power.is_asleep() {
            while self.open.is_none() && self.speak(now) {}
        }
        self.rest(now);
    }

    /// Reports this; it waits until the server observes the device. Dropped if [`BUSY`] wait already.
    pub fn report(&mut self, payload: Vec<u8>, now: Instant) {
        if self.say.len() < BUSY {
            self.say.push_back(Say {
                what: What::Report,
                payload,
            });
        }
        self.tick(now);
    }

    /// Renews the registration now.
    pub fn update(&mut self, now: Instant) {
        if let Phase::Registered { update_at, .. } = &mut self.phase {
            *update_at = now;
        }
        self.tick(now);
    }

    /// Takes leave of the server; [`Self::has_left`] tells when that is done.
    pub fn leave(&mut self, now: Instant) {
        self.leaving = true;
        let said = match self.phase {
            Phase::Registered { .. } => self.settings.access == Access::Lwm2m,
            Phase::Off(_) | Phase::Registering | Phase::Left => false,
        };
        if !said {
            self.phase = Phase::Left;
            self.open = None;
        }
        self.tick(now);
    }

    /// Whether it has left on purpose and says nothing more.
    pub const fn has_left(&self) -> bool {
        matches!(self.phase, Phase::Left)
    }

    /// Whether it is registered and observed.
    pub const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Registered { .. }) && self.observation.is_some()
    }

    /// Whether it sleeps: what arrives now is lost.
    pub const fn is_asleep(&self) -> bool {
        self.power.is_asleep()
    }

    fn tell(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn send(&mut self, datagram: Vec<u8>) {
        self.out.push_back(Output::Datagram(datagram));
    }

    const fn take_message_id(&mut self) -> u16 {
        self.message_id = self.message_id.wrapping_add(1);
        self.message_id
    }

    /// Registers anew at `at`; what it was told in the old registration does not count any more.
    fn start_over(&mut self, at: Instant) {
        self.phase = if self.leaving { Phase::Left } else { Phase::Off(at) };
        self.observation = None;
        // A report that was on its way is told again, under the new observation.
        if let Some((_, Some(say))) = self.open.take() {
            self.say.push_front(say);
        }
    }

    /// The pause after a failed registration, up to half of it longer by chance.
    fn pause(&mut self) -> Duration {
        let pause = PAUSE_MOST.min(PAUSE * 2_u32.pow(self.failures.min(8)));
        self.failures += 1;
        self.random.between(pause, pause + pause / 2)
    }

    fn finish_work(&mut self, now: Instant) {
        while let Some((done, request)) = self.work.front().cloned()
            && done <= now
        {
            self.work.pop_front();
            let mid: Mid = request.as_ref().map(|request| request.mid);
            self.tell(Event::Executed(mid));
            if let Some(payload) = self.result(request.as_ref()) {
                self.say.push_back(Say {
                    what: What::Answer(mid),
                    payload,
                });
            }
        }
    }

    fn repeat(&mut self, now: Instant) {
        let Some((exchange, _)) = &mut self.open else {
            return;
        };
        let what = exchange.what;
        match exchange.due(now) {
            Due::Nothing => {}
            Due::Repeat(datagram) => {
                self.power.said(now);
                self.send(datagram);
            }
            Due::GiveUp => {
                self.open = None;
                self.tell(Event::GivenUp(what));
                self.given_up(what, now);
            }
        }
    }

    fn given_up(&mut self, what: What, now: Instant) {
        match what {
            What::Register => {
                let pause = self.pause();
                self.start_over(now + pause);
            }
            What::Update => self.start_over(now),
            What::Deregister => self.phase = Phase::Left,
            What::Report | What::Answer(_) => {}
        }
    }

    /// A server that does not observe in time has not got everything it needs: the device begins again.
    fn miss_observation(&mut self, now: Instant) {
        let missed = match &self.phase {
            Phase::Registered { observed_by, .. } => self.observation.is_none() && *observed_by <= now,
            Phase::Off(_) | Phase::Registering | Phase::Left => false,
        };
        if missed {
            self.tell(Event::Unobserved);
            self.start_over(now);
        }
    }
}
