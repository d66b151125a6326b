//! What the operator asked for, and what is promised of that.
//!
//! The promises, in words:
//! O1. From the answer to a hold until a release is asked for, its receiver gets no push that was not under way when the hold was
//!     answered, over restarts too. What it has to be told is kept: after the release all is told (1, 4, N1).
//! O2. After the answer to a replay come all pushes of the command from the one given up to the last, those that were accepted too, in
//!     order: the next only after all before it were accepted since then, under their first ids with their first bodies (3). Of
//!     notices come those that were given up.
//! O3. What was dropped is not sent any more, but by a replay; only that may be missing, and what comes after it is told.
//! O4. A test push is one attempt, even at a receiver that is held, and its answer says what the receiver answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::is_of_command;

/// What is asked of the server.
#[derive(Debug, Clone)]
pub enum Ask {
    /// This receiver is to be held.
    Hold(usize),
    /// It is to be released.
    Release(usize),
    /// Which pushes there are, for this purpose.
    List(Purpose),
    /// Given-up pushes are to be sent again, with all after them. Their webhook ids; and the receiver, if what it gave up meanwhile is
    /// sent again too.
    Replay(Vec<String>, Option<usize>),
    /// A push is never to be told. Its webhook id.
    Drop(String),
    /// A push to try this receiver with.
    Test(usize),
}

/// What a list of pushes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One is sent again.
    ReplayOne,
    /// Those of a receiver are, since the time of one of them.
    ReplaySince,
    /// One is dropped.
    Drop,
}

/// A replay of one command, or of one notice.
#[derive(Debug)]
struct Round {
    /// What the webhook id begins with.
    id: String,
    from: u32,
    /// The server said that it was done.
    done: bool,
    /// What was accepted or given up since it was asked for.
    ended: BTreeSet<u32>,
}

/// The one test push that may be under way.
#[derive(Debug, Default)]
struct Trial {
    arrived: u32,
    status: Option<u16>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Operator {
    /// Receivers that may be held: a hold was asked for and no release was answered since.
    pub perhaps_held: BTreeSet<usize>,
    held: BTreeSet<usize>,
    /// Webhook ids of what was to be dropped, and whether the server said that it was and no replay may have brought it back.
    dropped: BTreeMap<String, bool>,
    rounds: Vec<Round>,
    /// The receiver of each replay that was of a whole one.
    wide: Vec<usize>,
    /// The receivers of pushes that arrived.
    known: BTreeMap<String, usize>,
    /// How many rounds the last replay found.
    before: usize,
    trial: Trial,
    /// What was broken.
    pub violations: Vec<String>,
}

impl Operator {
    /// A request arrives at the server.
    pub fn asks(&mut self, ask: &Ask) {
        match ask {
            Ask::Hold(receiver) => {
                self.perhaps_held.insert(*receiver);
            }
            Ask::Release(receiver) => {
                self.held.remove(receiver);
            }
            Ask::Replay(ids, receiver) => self.replays(ids, *receiver),
            Ask::Drop(id) => {
                self.dropped.insert(id.clone(), false);
            }
            Ask::Test(_) => self.trial = Trial::default(),
            Ask::List(_) => {}
        }
    }

    /// Of each command the first one.
    fn replays(&mut self, ids: &[String], receiver: Option<usize>) {
        if let Some(receiver) = receiver {
            self.wide.push(receiver);
            for (id, surely) in &mut self.dropped {
                *surely &= self.known.get(id).is_some_and(|of| *of != receiver);
            }
        }
        self.before = self.rounds.len();
        let mut from: BTreeMap<&str, u32> = BTreeMap::new();
        for (id, seq) in ids.iter().filter_map(|id| split(id)) {
            match is_of_command(id) {
                true => {
                    let first = from.entry(id).or_insert(seq);
                    *first = seq.min(*first);
                }
                false => self.rounds.push(Round::new(id, seq)),
            }
        }
        for (id, seq) in from {
            let of_it = |known: &str| split(known).is_some_and(|(other, _)| other == id);
            let dropped = self.dropped.iter_mut().filter(|(known, _)| of_it(known));
            dropped.for_each(|(_, surely)| *surely = false);
            self.rounds.push(Round::new(id, seq));
        }
    }

    /// The server answers, at this moment.
    pub fn answered(&mut self, ask: &Ask, status: u16, body: &Value) {
        if !(200..300).contains(&status) {
            return;
        }
        match ask {
            Ask::Hold(receiver) => {
                self.held.insert(*receiver);
            }
            Ask::Release(receiver) => {
                self.perhaps_held.remove(receiver);
            }
            Ask::Replay(..) => {
                let asked = self.rounds.iter_mut().skip(self.before);
                asked.for_each(|round| round.done = true);
            }
            Ask::Drop(id) => {
                self.dropped.insert(id.clone(), true);
            }
            Ask::Test(receiver) => {
                let said = body.get("status").and_then(Value::as_u64);
                let Trial { arrived, status } = self.trial;
                if arrived != 1 || said != status.map(u64::from) {
                    self.violations.push(format!(
                        "O4: the test push of {receiver} arrived {arrived} times, was answered {status:?}, and told as {body}"
                    ));
                }
            }
            Ask::List(_) => {}
        }
    }

    /// A test push arrives, and will be answered so.
    pub fn tested(&mut self, status: Option<u16>) {
        self.trial.arrived += 1;
        self.trial.status = status;
    }

    /// A push arrives at its receiver.
    pub fn arrived(&mut self, receiver: usize, webhook_id: &str) {
        self.known.insert(webhook_id.to_owned(), receiver);
        if self.held.contains(&receiver) {
            self.violations
                .push(format!("O1: {webhook_id} came to {receiver}, which is held"));
        }
        if self.dropped.get(webhook_id) == Some(&true) {
            self.violations
                .push(format!("O3: {webhook_id} came, and was dropped"));
        }
        let Some((id, seq)) = split(webhook_id).filter(|(id, _)| is_of_command(id)) else {
            return;
        };
        let early = |round: &Round| {
            let mut before = round.from..seq;
            round.done && round.id == id && before.any(|one| !self.is_over(round, one))
        };
        if let Some(round) = self.rounds.iter().find(|round| early(round)) {
            let broken = format!("O2: {webhook_id} came too early in {round:?}");
            self.violations.push(broken);
        }
    }

    /// A receiver accepted a push, or wants it no more.
    pub fn ended(&mut self, id: &str, seq: u32) {
        let of_it = self.rounds.iter_mut().filter(|round| round.id == id);
        for round in of_it {
            round.ended.insert(seq);
        }
    }

    /// Whether it may be missing.
    pub fn may_be_missing(&self, id: &str, seq: u32) -> bool {
        self.is_dropped(&format!("{id}-{seq}"))
    }

    /// Whether it was asked to be dropped.
    pub fn is_dropped(&self, webhook_id: &str) -> bool {
        self.dropped.contains_key(webhook_id)
    }

    /// How often a push may have been sent again.
    pub fn replays_of(&self, webhook_id: &str) -> usize {
        let Some((id, seq)) = split(webhook_id) else {
            return 0;
        };
        // With a notice come the later ones of its device.
        let may_be = |round: &&Round| match is_of_command(id) {
            true => round.id == id && round.from <= seq,
            false => !is_of_command(&round.id),
        };
        let receiver = self.known.get(webhook_id);
        let wide = self.wide.iter().filter(|of| receiver == Some(of));
        self.rounds.iter().filter(may_be).count() + wide.count()
    }

    fn is_over(&self, round: &Round, seq: u32) -> bool {
        round.ended.contains(&seq) || self.may_be_missing(&round.id, seq)
    }

    /// Whether the replays of a command that happened up to there are over.
    pub fn is_whole(&self, id: &str, events: &[(u32, String)]) -> bool {
        self.open_round(id, events).is_none()
    }

    fn open_round(&self, id: &str, events: &[(u32, String)]) -> Option<&Round> {
        let lacks = |round: &&Round| {
            let mut again = events.iter().filter(|(seq, _)| *seq >= round.from);
            round.done && round.id == id && again.any(|(seq, _)| !self.is_over(round, *seq))
        };
        self.rounds.iter().find(lacks)
    }

    /// Whether all notices that were to be sent again were.
    pub fn are_notices_told(&self) -> bool {
        self.open_notices().next().is_none()
    }

    fn open_notices(&self) -> impl Iterator<Item = &Round> {
        let of_notices = self.rounds.iter().filter(|round| !is_of_command(&round.id));
        of_notices.filter(|round| round.done && !self.is_over(round, round.from))
    }

    /// Checks the replays of a command at the end of the run.
    pub fn check(&mut self, id: &str, events: &[(u32, String)]) {
        if let Some(round) = self.open_round(id, events) {
            let broken = format!("O2: of {id} is recorded {events:?}, and not all came again: {round:?}");
            self.violations.push(broken);
        }
    }

    /// Checks those of notices.
    pub fn check_notices(&mut self) {
        let open = self.open_notices();
        let mut broken: Vec<String> = open
            .map(|round| format!("O2: did not come again: {round:?}"))
            .collect();
        self.violations.append(&mut broken);
    }
}

impl Round {
    fn new(id: &str, from: u32) -> Self {
        Self {
            id: id.to_owned(),
            from,
            done: false,
            ended: BTreeSet::new(),
        }
    }
}

/// What a webhook id is made of.
fn split(webhook_id: &str) -> Option<(&str, u32)> {
    let (id, seq) = webhook_id.rsplit_once('-')?;
    Some((id, seq.parse().ok()?))
}
