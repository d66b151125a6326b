//! A command, its device's sessions and the clock, driven by random acts. Tells the life cycle and the model the same
//! facts and compares them; checks after each what must hold whatever happens. Sessions tell the truth about what they
//! wrote, but late and in any order, as after a take-over; a restart silences them all.

use std::collections::BTreeSet;

use downlink_core::lifecycle::{Deadline, Progress, Refusal, State, Transition, deadline, step};
use downlink_core::{Mode, Policy, ResponseRule, Span, Timestamp};

use crate::acts::{Act, Pause, Start, Who};
use crate::model::{Fact, Model, Rules, Which};
use crate::translate::{at, input, policy, span, which};

/// Which status may follow which.
const EDGES: [(&str, &str); 13] = [
    ("PENDING", "SENT"),
    ("PENDING", "EXPIRED"),
    ("PENDING", "CANCELED"),
    ("PENDING", "FAILED"),
    ("SENT", "DELIVERED"),
    ("SENT", "TIMEOUT"),
    ("SENT", "FAILED"),
    ("DELIVERED", "SUCCESSFUL"),
    ("DELIVERED", "FAILED"),
    ("DELIVERED", "TIMEOUT"),
    // Amended by the device's own result, once.
    ("TIMEOUT", "SUCCESSFUL"),
    ("TIMEOUT", "FAILED"),
    ("FAILED", "SUCCESSFUL"),
];

struct Session {
    id: i64,
    /// Whether its last send of the command was written; none: it had none.
    written: Option<bool>,
}

/// A committed send, as history knows it.
struct Sending {
    session: i64,
    acks: bool,
    written: bool,
}

/// All of it.
pub(crate) struct World {
    /// Things of `acts::THINGS` that came to pass.
    pub(crate) seen: BTreeSet<&'static str>,
    progress: Progress,
    policy: Policy,
    model: Model,
    statuses: Vec<&'static str>,
    begun: i64,
    now: i64,
    sessions: Vec<Session>,
    last_session: i64,
    sendings: Vec<Sending>,
    amended: bool,
}

impl World {
    pub(crate) fn new(start: Start) -> Self {
        let now = 1_000_000;
        let rules = Rules {
            up: now - start.started,
            ..start.rules
        };
        let end = start.lifetime.map(|lifetime| now + lifetime);
        let mut world = Self {
            seen: BTreeSet::new(),
            progress: Progress {
                state: State::Pending,
                mode: match end {
                    Some(end) => Mode::Cached { expires_at: at(end) },
                    None => Mode::Immediate,
                },
                response: match start.patience {
                    Some(patience) => ResponseRule::Expected {
                        within: span(patience),
                    },
                    None => ResponseRule::None,
                },
            },
            policy: policy(&rules),
            model: Model::new(rules, end, start.patience),
            statuses: vec!["PENDING"],
            begun: now,
            now,
            sessions: Vec::new(),
            last_session: 0,
            sendings: Vec::new(),
            amended: false,
        };
        if end.is_none() {
            // Immediate commands are created and sent in one step.
            world.act(Act::Offer {
                who: Who::New,
                acks: start.started % 2 == 0,
                written: true,
            });
        }
        world
    }

    pub(crate) fn is_final(&self) -> bool {
        self.progress.state.is_final()
    }

    pub(crate) fn status(&self) -> &'static str {
        self.progress.state.status().as_str()
    }

    pub(crate) fn sends(&self) -> i64 {
        self.model.sends
    }

    pub(crate) fn elapsed(&self) -> i64 {
        self.now - self.begun
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Wait(pause) => self.wait(pause),
            Act::Offer { who, acks, written } => self.offer(who, acks, written),
            Act::Ack => self.ack(),
            Act::Answer { ok } => self.answer(ok),
            Act::CannotSend => self.quietly(Fact::CannotSend),
            Act::Gone { who, otherwise } => self.gone(who, otherwise),
            Act::GivesUp { who, otherwise } => self.gives_up(who, otherwise),
            Act::Clock(which) => self.quietly(Fact::Clock(which)),
            Act::Fire => self.fire(),
            Act::Restart { down } => self.restart(down),
            Act::Withdraw => self.quietly(Fact::Withdraw),
        }
    }

    /// From here on only time passes: the end comes, soon, and holds but for one late result.
    pub(crate) fn run_down(&mut self) {
        let waits = [self.policy.ack_wait, self.policy.restart_grace, self.patience()];
        let longest = waits.map(Span::as_millis).into_iter().max().unwrap_or_default();
        let latest = self.expires_at().unwrap_or(self.now).max(self.now + longest);
        let (mut rounds, once_sent) = (0, !self.sendings.is_empty());
        while !self.is_final() {
            self.fire();
            rounds += 1;
            assert!(
                rounds <= 3 && self.now <= latest,
                "{rounds} deadlines, {} > {latest}",
                self.now
            );
        }
        assert_eq!(self.next(), None);
        if once_sent && self.expires_at().is_some_and(|end| self.now >= end) {
            self.seen.insert("ended after the lifetime, once sent");
        }
        self.see_the_end();
        for ok in [true, false] {
            self.answer(ok);
            self.ack();
            self.offer(Who::New, true, true);
            self.quietly(Fact::CannotSend);
            self.quietly(Fact::Withdraw);
        }
    }

    fn see_the_end(&mut self) {
        let end = match self.status() {
            "SUCCESSFUL" => "ended SUCCESSFUL",
            "FAILED" => "ended FAILED",
            "TIMEOUT" => "ended TIMEOUT",
            "EXPIRED" => "ended EXPIRED",
            "CANCELED" => "ended CANCELED",
            "DELIVERED" => "ended DELIVERED",
            other => panic!("{other} is no end"),
        };
        self.seen.insert(end);
        if self.status() == "TIMEOUT"
            && self.model.sends == self.model.rules.most_sends
            && self.model.sends > 1
        {
            self.seen.insert("all sends spent");
        }
    }

    fn wait(&mut self, pause: Pause) {
        let deadline = self.next().map_or(self.now, |next| next.at.as_millis());
        self.now = self.now.max(match pause {
            Pause::For(ms) => self.now + ms,
            Pause::ToDeadline => deadline,
            Pause::ToJustBeforeDeadline => deadline - 1,
            Pause::PastDeadline(ms) => deadline + ms,
        });
        self.check_clocks();
    }

    fn offer(&mut self, who: Who, acks: bool, written: bool) {
        let Some(place) = self.session(who) else { return };
        let session = self.sessions[place].id;
        let over = self.expires_at().is_some_and(|end| self.now >= end);
        if self.tell(Fact::Offer { session, acks }).is_none() {
            match who {
                Who::Older => self.seen.insert("offer of an older session"),
                Who::Current | Who::New => over && self.seen.insert("offer after the lifetime"),
            };
            return;
        }
        assert!(!over, "sent after the end of its lifetime");
        let repeated = self
            .sendings
            .iter()
            .find(|sending| !sending.acks && sending.written);
        assert!(
            repeated.is_none(),
            "QoS 0, written to session {:?}, sent again",
            repeated.map(|s| s.session)
        );
        match self.sendings.last() {
            Some(last) if !last.written => self.seen.insert("never written, sent again"),
            Some(last) if last.session == session => self.seen.insert("given up, sent again"),
            Some(_) => self.seen.insert("sent again"),
            None => !acks && self.seen.insert("sent over QoS 0"),
        };
        self.sendings.push(Sending {
            session,
            acks,
            written,
        });
        self.sessions[place].written = Some(written);
    }

    fn gone(&mut self, who: Who, otherwise: bool) {
        let Some(place) = self.session(who) else { return };
        let session = self.sessions.remove(place);
        let fact = Fact::Gone {
            session: session.id,
            written: session.written.unwrap_or(otherwise),
        };
        self.report(session.id, fact);
    }

    fn gives_up(&mut self, who: Who, otherwise: bool) {
        let Some(place) = self.session(who) else { return };
        let session = &self.sessions[place];
        let (id, sent) = (session.id, session.written.unwrap_or(otherwise));
        self.report(id, Fact::GaveUp { session: id, sent });
    }

    /// What a session says of its own last send changes nothing of a newer one.
    fn report(&mut self, session: i64, fact: Fact) {
        if self.sendings.last().is_some_and(|last| last.session > session) {
            assert!(
                self.tell(fact).is_none(),
                "an older session took back a newer send"
            );
            self.seen.insert("report of an older session");
        } else {
            self.quietly(fact);
        }
    }

    fn ack(&mut self) {
        let ended = self.is_final();
        if self.tell(Fact::Ack).is_some() && ended {
            self.seen.insert("late acknowledgement");
        }
    }

    fn answer(&mut self, ok: bool) {
        let (before, ended) = (self.status(), self.is_final());
        let too_late = self.model.window.is_some_and(|window| window < self.now);
        match self.tell(Fact::Answer { ok }) {
            Some(_) if ended => {
                assert!(!self.amended && !too_late, "amended twice, or too late");
                self.amended = true;
                self.seen.insert("amended");
            }
            Some(_) if before == "SENT" => {
                self.seen.insert("result before the acknowledgement");
            }
            Some(_) => {}
            None if too_late => {
                self.seen.insert("result too late");
            }
            None => {}
        }
    }

    fn fire(&mut self) {
        let Some(next) = self.next() else { return };
        self.now = self.now.max(next.at.as_millis());
        let which = which(next.kind);
        let done = self.tell(Fact::Clock(which));
        assert!(
            done.is_some(),
            "{which:?} fired at its instant and changed nothing: it would fire for ever"
        );
        if which == Which::Slot {
            self.seen.insert("slot given up");
        }
    }

    fn restart(&mut self, down: i64) {
        let missed = self
            .next()
            .is_some_and(|next| next.at.as_millis() < self.now + down);
        self.now += down;
        self.model.rules.up = self.now;
        self.policy = policy(&self.model.rules);
        self.sessions.clear();
        if missed {
            self.seen.insert("restart with a deadline missed");
        }
        self.check();
    }

    fn quietly(&mut self, fact: Fact) {
        self.tell(fact);
    }

    /// Tells both, compares them, and checks what must hold. None: nothing changed.
    fn tell(&mut self, fact: Fact) -> Option<Transition> {
        let before = self.progress;
        let told = step(&before, input(fact), at(self.now), &self.policy);
        let proven = self.model.proven;
        let changed = self.model.tell(fact, self.now);
        assert_eq!(
            told.is_ok(),
            changed,
            "{fact:?} at {}: {told:?}; the model: {changed}",
            self.now
        );
        let transition = told.ok()?;
        self.progress.state = transition.state;
        let first_proof = self.model.proven && !proven;
        assert_eq!(
            transition.proves_delivery, first_proof,
            "the first proof of delivery: {fact:?}"
        );
        self.check_change(&before, &transition, fact);
        self.check();
        Some(transition)
    }

    fn check_change(&mut self, before: &Progress, transition: &Transition, fact: Fact) {
        for event in &transition.events {
            let edge = (
                *self.statuses.last().expect("PENDING at least"),
                event.status.as_str(),
            );
            let amended = before.state.amendable_until().is_some() && edge == ("FAILED", "FAILED");
            assert!(EDGES.contains(&edge) || amended, "{edge:?} is no edge");
            assert_eq!(event.at, at(self.now));
            self.statuses.push(event.status.as_str());
        }
        assert_eq!(
            self.statuses.last().copied(),
            Some(self.status()),
            "the record ends with the status"
        );
        if before.state.is_final() {
            let result =
                matches!(fact, Fact::Answer { .. }) && before.state.amendable_until() >= Some(at(self.now));
            let note = matches!(fact, Fact::Ack) && transition.events.is_empty();
            assert!(result || note, "{:?} was final; {fact:?}", before.state);
        }
        let told = matches!(fact, Fact::Answer { .. });
        assert_eq!(
            transition.result.is_some(),
            told,
            "the device's result, and only that, is stored"
        );
    }

    /// Both stand at the same place, and what holds everywhere holds here.
    fn check(&self) {
        let words: Vec<_> = self.model.story.iter().map(|(word, _)| *word).collect();
        assert_eq!(self.statuses[1..], words, "the events");
        assert!(self.statuses.len() <= 5, "{:?}", self.statuses);
        assert_eq!(self.status(), self.model.word);
        if let State::Sent(sent) = self.progress.state {
            assert_eq!(i64::from(sent.sends), self.model.sends, "sends");
        }
        assert!(
            self.model.sends <= self.model.rules.most_sends,
            "more sends than allowed"
        );
        let window = self.progress.state.amendable_until().map(Timestamp::as_millis);
        assert_eq!(window, self.model.window, "the window for late results");
        assert_eq!(self.progress.is_queued(), self.model.in_queue(), "in the queue");
        assert!(
            !(self.is_final() && self.progress.is_queued()),
            "final and in the queue"
        );
        self.check_clocks();
    }

    /// Both name the same next deadline, and before it no clock changes anything.
    fn check_clocks(&self) {
        let next = self.next();
        let named = next.map(|next| (next.at.as_millis(), which(next.kind)));
        assert_eq!(named, self.model.next(), "the next deadline");
        assert!(
            next.is_some() || self.is_final() || self.sendings.is_empty(),
            "waits for ever"
        );
        if next.is_some_and(|next| next.at.as_millis() <= self.now) {
            return;
        }
        for kind in [Which::Ack, Which::Lifetime, Which::Response, Which::Slot] {
            let told = step(
                &self.progress,
                input(Fact::Clock(kind)),
                at(self.now),
                &self.policy,
            );
            assert_eq!(told, Err(Refusal::NotDue), "{kind:?} before {next:?}");
        }
    }

    fn next(&self) -> Option<Deadline> {
        deadline(&self.progress, &self.policy)
    }

    fn expires_at(&self) -> Option<i64> {
        self.progress.mode.expires_at().map(Timestamp::as_millis)
    }

    fn patience(&self) -> Span {
        match self.progress.response {
            ResponseRule::Expected { within } => within,
            ResponseRule::None => Span::ZERO,
        }
    }

    /// The place of the session that acts.
    fn session(&mut self, who: Who) -> Option<usize> {
        match who {
            Who::Older if self.sessions.len() < 2 => None,
            Who::Older => Some(0),
            Who::Current if !self.sessions.is_empty() => Some(self.sessions.len() - 1),
            Who::Current | Who::New => {
                self.last_session += 1;
                self.sessions.push(Session {
                    id: self.last_session,
                    written: None,
                });
                Some(self.sessions.len() - 1)
            }
        }
    }
}
