//! A second telling of the life cycle, to hold the first one to its word. It shares no type, no function and no shape
//! with it: plain numbers, one flat record, and one paragraph per thing that can happen instead of one per state.

/// The operator's figures, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) most_sends: i64,
    pub(crate) ack: i64,
    pub(crate) slot: i64,
    pub(crate) late: i64,
    pub(crate) grace: i64,
    /// Since when the server is up.
    pub(crate) up: i64,
}

/// Something that happens to a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fact {
    Offer {
        session: i64,
        acks: bool,
    },
    Ack,
    Answer {
        ok: bool,
    },
    CannotSend,
    Gone {
        session: i64,
        written: bool,
    },
    /// A session has stopped trying.
    GaveUp {
        session: i64,
        sent: bool,
    },
    Clock(Which),
    Withdraw,
}

/// The clocks of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    Ack,
    Lifetime,
    Response,
    Slot,
}

/// A command.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// The end of the lifetime; none: immediate.
    end: Option<i64>,
    /// How long a result is awaited; none: no result is declared.
    patience: Option<i64>,
    /// The status, and every status there was with its instant.
    pub(crate) word: &'static str,
    pub(crate) story: Vec<(&'static str, i64)>,
    pub(crate) sends: i64,
    /// Who carries the last send; nobody once it is lost.
    carrier: Option<i64>,
    ack_at: Option<i64>,
    result_at: Option<i64>,
    pub(crate) slot_at: Option<i64>,
    /// Until when the device's result may still change the end.
    pub(crate) window: Option<i64>,
    /// Whether delivery is proven.
    pub(crate) proven: bool,
}

impl Model {
    pub(crate) fn new(rules: Rules, end: Option<i64>, patience: Option<i64>) -> Self {
        Self {
            rules,
            end,
            patience,
            word: "PENDING",
            story: Vec::new(),
            sends: 0,
            carrier: None,
            ack_at: None,
            result_at: None,
            slot_at: None,
            window: None,
            proven: false,
        }
    }

    /// It happens at `now`. Whether it changes anything.
    pub(crate) fn tell(&mut self, fact: Fact, now: i64) -> bool {
        match fact {
            Fact::Offer { session, acks } => self.offer(session, acks, now),
            Fact::Ack => self.ack(now),
            Fact::Answer { ok } => self.answer(ok, now),
            Fact::CannotSend => self.cannot_send(now),
            Fact::Gone { session, written } => self.gone(session, written, now),
            Fact::GaveUp { session, sent } => self.gave_up(session, sent, now),
            Fact::Clock(which) => self.clock(which, now),
            Fact::Withdraw => self.withdraw(now),
        }
    }

    /// Cached commands hold their place in the queue until they are acknowledged or their slot is given up.
    pub(crate) fn in_queue(&self) -> bool {
        let waits = self.word == "PENDING"
            || self.word == "SENT" && (self.slot_at.is_some() || self.result_at.is_none());
        self.end.is_some() && waits
    }

    /// The next clock that changes something.
    pub(crate) fn next(&self) -> Option<(i64, Which)> {
        let mut clocks = Vec::new();
        if let (true, Some(end)) = (self.word == "PENDING", self.end) {
            clocks.push((end, Which::Lifetime));
        }
        if let ("SENT", Some(ack_at)) = (self.word, self.ack_at) {
            let ack_at = self.graced(ack_at);
            match self.end {
                // Somebody may still come for it; nobody does: over when both clocks have run out.
                Some(end) if self.carrier.is_none() && self.sends < self.rules.most_sends => {
                    clocks.push((end.max(ack_at), Which::Lifetime));
                }
                _ => clocks.push((ack_at, Which::Ack)),
            }
        }
        if let ("SENT" | "DELIVERED", Some(result_at)) = (self.word, self.result_at) {
            clocks.push((self.graced(result_at), Which::Response));
        }
        if let ("SENT", Some(slot_at)) = (self.word, self.slot_at) {
            clocks.push((slot_at, Which::Slot));
        }
        clocks.into_iter().min()
    }

    fn offer(&mut self, session: i64, acks: bool, now: i64) -> bool {
        let first = self.word == "PENDING";
        let lost = self.carrier.is_none();
        let taken_over = self.carrier.is_some_and(|carrier| carrier < session);
        let again = self.word == "SENT"
            && self.end.is_some()
            && self.result_at.is_none()
            && (lost || taken_over)
            && self.sends < self.rules.most_sends;
        if !(first || again) || self.end.is_some_and(|end| end <= now) {
            return false;
        }
        self.sends += 1;
        self.carrier = Some(session);
        self.ack_at = acks.then_some(now + self.rules.ack);
        if !acks {
            self.result_at = Some(now + self.patience.unwrap_or(self.rules.ack));
            self.slot_at = self.end.map(|_| now + self.rules.slot);
        }
        if first {
            self.say("SENT", now);
        }
        true
    }

    fn ack(&mut self, now: i64) -> bool {
        match self.word {
            "SENT" => {
                self.proven = true;
                self.rest();
                self.result_at = self.patience.map(|patience| now + patience);
                self.say("DELIVERED", now);
                true
            }
            // Only the first proof is worth a note.
            "TIMEOUT" | "FAILED" if self.window.is_some() && !self.proven => {
                self.proven = true;
                true
            }
            _ => false,
        }
    }

    fn answer(&mut self, ok: bool, now: i64) -> bool {
        let counts = match self.word {
            "SENT" => true,
            "DELIVERED" => self.result_at.is_some(),
            "TIMEOUT" | "FAILED" => self.window.is_some_and(|window| now <= window),
            _ => false,
        };
        if counts {
            if self.word == "SENT" {
                self.say("DELIVERED", now);
            }
            self.rest();
            self.proven = true;
            self.window = None;
            self.say(if ok { "SUCCESSFUL" } else { "FAILED" }, now);
        }
        counts
    }

    fn cannot_send(&mut self, now: i64) -> bool {
        let open = self.word == "PENDING" || self.word == "SENT";
        if open {
            self.give_up("FAILED", now);
        }
        open
    }

    fn gone(&mut self, session: i64, written: bool, now: i64) -> bool {
        let mine = self.word == "SENT" && self.end.is_some() && self.carrier == Some(session);
        if !mine || (written && self.ack_at.is_none()) {
            return false;
        }
        if !written {
            self.sends = (self.sends - 1).max(0);
            self.ack_at = Some(now);
        }
        self.carrier = None;
        self.result_at = None;
        self.slot_at = None;
        true
    }

    fn gave_up(&mut self, session: i64, sent: bool, now: i64) -> bool {
        let spent = match self.end {
            None => true,
            Some(end) => sent && (end <= now || self.sends >= self.rules.most_sends),
        };
        if !spent {
            let lost = self.gone(session, sent, now);
            if lost {
                self.ack_at = Some(now);
            }
            return lost;
        }
        let mine = self.word == "SENT" && self.carrier == Some(session);
        if !mine || (sent && self.ack_at.is_none()) {
            return false;
        }
        self.give_up(if sent { "TIMEOUT" } else { "FAILED" }, now);
        true
    }

    fn clock(&mut self, which: Which, now: i64) -> bool {
        let passed = |at: Option<i64>| at.is_some_and(|at| self.graced(at) <= now);
        let lifetime_over = self.end.is_some_and(|end| end <= now);
        match (which, self.word) {
            (Which::Lifetime, "PENDING") if lifetime_over => {
                self.say("EXPIRED", now);
                true
            }
            (Which::Lifetime, "SENT") if lifetime_over && passed(self.ack_at) => {
                self.give_up("TIMEOUT", now);
                true
            }
            (Which::Ack, "SENT") if passed(self.ack_at) => {
                let spent = self.sends >= self.rules.most_sends;
                if self.end.is_none() || lifetime_over || spent {
                    self.give_up("TIMEOUT", now);
                    return true;
                }
                self.carrier.take().is_some()
            }
            (Which::Response, "SENT" | "DELIVERED") if passed(self.result_at) => {
                self.give_up("TIMEOUT", now);
                true
            }
            (Which::Slot, "SENT") if self.slot_at.is_some_and(|at| at <= now) => {
                self.slot_at = None;
                true
            }
            _ => false,
        }
    }

    fn withdraw(&mut self, now: i64) -> bool {
        let unsent = self.word == "PENDING";
        if unsent {
            self.say("CANCELED", now);
        }
        unsent
    }

    fn graced(&self, at: i64) -> i64 {
        match at < self.rules.up {
            true => self.rules.up + self.rules.grace,
            false => at,
        }
    }

    /// The server's own end: the device may still have the last word.
    fn give_up(&mut self, word: &'static str, now: i64) {
        self.rest();
        self.window = Some(now + self.rules.late);
        self.say(word, now);
    }

    /// No clock runs, nobody carries it.
    fn rest(&mut self) {
        self.carrier = None;
        self.ack_at = None;
        self.result_at = None;
        self.slot_at = None;
    }

    fn say(&mut self, word: &'static str, now: i64) {
        self.word = word;
        self.story.push((word, now));
    }
}
