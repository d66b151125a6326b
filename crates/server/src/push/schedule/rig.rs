//! For tests: a schedule beside a model of the store, in which duties and stored pushes are plain lists.

use std::collections::BTreeMap;

use downlink_core::{DeviceId, Span, Status};
use downlink_store::{
    Attempt, Diverted, Fate, PushContent, PushEvent, Ready, Settled, StoredReceiver, Stowed, Told,
};

use super::*;

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn limits() -> Limits {
    Limits {
        in_flight: 8,
        per_receiver: 4,
        per_host: usize::MAX,
        backlog: 1000,
        backoff: Backoff {
            first: Span::from_secs(1),
            longest: Span::from_secs(600),
        },
        record_wait: Duration::ZERO,
        record_gather: Duration::ZERO,
    }
}

pub(super) fn id(n: u32) -> CommandId {
    CommandId::from_parts(1, 0, n, 0)
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn wall(now: Duration) -> Timestamp {
    Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap())
}

/// The duty to push the changes `seqs` of command `n` to the receiver on `port`.
pub(super) fn duty(n: u32, port: u16, seqs: &[u16]) -> PushDuty {
    let event = |seq: &u16| PushEvent {
        seq: *seq,
        status: Status::Sent,
        at: Timestamp::from_millis(0),
        result: None,
    };
    PushDuty {
        command: id(n),
        app: AppKey(1),
        device_id: DeviceId::new("d"),
        receiver: format!("http://na.example:{port}/cmd").into(),
        events: seqs.iter().map(event).collect(),
    }
}

pub(super) fn trouble() -> Ending {
    failed(Failure::Trouble)
}

pub(super) fn failed(failure: Failure) -> Ending {
    let attempt = Attempt {
        at: Timestamp::from_millis(0),
        took_ms: 1,
        outcome: "status".into(),
        phase: "answer".into(),
        status: Some(500),
        asked_for_pause: matches!(failure, Failure::Throttled(Some(_))),
        detail: "".into(),
        excerpt: "".into(),
    };
    Ending::Failed(failure, attempt)
}

/// A command as the store has it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) port: u16,
    /// Changes that are to be told.
    pub(super) events: Vec<u16>,
    /// Told, or stored.
    pub(super) acked: u16,
    /// Stored pushes that wait.
    pub(super) stored: BTreeMap<u16, Stored>,
    pub(super) dead: Vec<u16>,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    id: PushId,
    due: Timestamp,
    tries: u32,
    asked: bool,
}

impl Stored {
    fn new(id: PushId, due: Timestamp) -> Self {
        Self {
            id,
            due,
            tries: 0,
            asked: false,
        }
    }
}

pub(super) struct Rig {
    pub(super) schedule: Schedule,
    pub(super) now: Duration,
    pub(super) rows: BTreeMap<CommandId, Row>,
    pub(super) out: Vec<Push>,
    pub(super) held: Vec<u16>,
    /// Rows given by reads so far.
    pub(super) read: usize,
    last_id: i64,
}

impl Rig {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            schedule: Schedule::new(limits),
            now: Duration::ZERO,
            rows: BTreeMap::new(),
            out: Vec::new(),
            held: Vec::new(),
            read: 0,
            last_id: 0,
        }
    }

    /// The store makes this of a duty: the part of it that is not stored or told, if there is any.
    pub(super) fn change(&mut self, duty: &PushDuty) -> Option<PushDuty> {
        let port = port_of(&duty.receiver);
        let row = self.rows.entry(duty.command).or_insert_with(|| Row {
            port,
            events: Vec::new(),
            acked: duty.events[0].seq - 1,
            stored: BTreeMap::new(),
            dead: Vec::new(),
        });
        for event in &duty.events {
            if !row.events.contains(&event.seq) {
                row.events.push(event.seq);
                if !row.stored.is_empty() {
                    self.last_id += 1;
                    let (id, due) = (PushId(self.last_id), Timestamp::from_millis(0));
                    row.stored.insert(event.seq, Stored::new(id, due));
                    row.acked = event.seq;
                }
            }
        }
        let mut due = duty.clone();
        due.events.retain(|event| event.seq > row.acked);
        (!due.events.is_empty()).then_some(due)
    }

    pub(super) fn hint(&mut self, duty: PushDuty) {
        if let Some(due) = self.change(&duty) {
            self.schedule.hint(due, self.now, wall(self.now));
        }
    }

    /// Starts all that may start, after the store was asked for what it has: (command, seq).
    pub(super) fn start_all(&mut self) -> Vec<(CommandId, u32)> {
        self.serve();
        let before = self.out.len();
        while let Some(push) = self.schedule.start(self.now) {
            self.out.push(push);
        }
        let started = self.out[before..].iter();
        started
            .map(|push| (push.key.command().unwrap(), push.seq))
            .collect()
    }

    pub(super) fn end(&mut self, n: u32, ending: Ending) -> Option<Notice> {
        let at = self.out.iter().position(|push| push.key.command() == Some(id(n)));
        let push = self.out.remove(at.expect("it is in flight"));
        self.schedule.ended(&push, ending, self.now, wall(self.now), 0)
    }

    pub(super) fn accept(&mut self, n: u32) -> Option<Notice> {
        self.end(n, Ending::Accepted)
    }

    pub(super) fn fail(&mut self, n: u32) -> Option<Notice> {
        self.end(n, trouble())
    }

    /// The store does all that it is asked, until there is nothing more.
    pub(super) fn serve(&mut self) {
        for _ in 0..1000 {
            let told = self.schedule.take_accepted(self.now, 100);
            self.told(&told);
            self.schedule.recorded(&told, self.now);
            let diverted = self.schedule.take_diverts(100);
            let stowed: Vec<_> = diverted.iter().map(|one| self.divert(one)).collect();
            let strangers = self
                .schedule
                .diverted(&diverted, &stowed, self.now, wall(self.now));
            for key in strangers {
                self.look(key.0 as u16);
            }
            let settled = self.schedule.take_settled(100);
            let stirred = self.settle(&settled);
            self.schedule
                .settled(&settled, &stirred, self.now, wall(self.now));
            let refill = self.schedule.take_refill(self.now);
            if let Some(refill) = &refill {
                let ready = self.ready(refill);
                self.schedule
                    .refilled(refill.receiver, ready, self.now, wall(self.now));
            } else if told.is_empty() && diverted.is_empty() && settled.is_empty() {
                return;
            }
        }
        panic!("the schedule never has enough");
    }

    pub(super) fn look(&mut self, port: u16) {
        let waiting = self.rows.values().filter(|row| row.port == port);
        let known = StoredReceiver {
            key: ReceiverKey(port.into()),
            app: AppKey(1),
            origin: format!("http://na.example:{port}").into(),
            held_at: self.held.contains(&port).then(|| Timestamp::from_millis(0)),
            rate: None,
            waiting: waiting.map(|row| row.stored.len() as u64).sum(),
            dead: 0,
        };
        self.schedule.stored(&known, self.now, wall(self.now));
    }

    pub(super) fn told(&mut self, told: &[Told]) {
        for Told { command, seq } in told {
            let row = self.rows.get_mut(command).unwrap();
            row.acked = row.acked.max(*seq);
        }
    }

    pub(super) fn divert(&mut self, one: &Diverted) -> Option<Stowed> {
        let row = self.rows.get_mut(&one.command).unwrap();
        row.acked = row.acked.max(one.accepted);
        let left: Vec<u16> = row
            .events
            .iter()
            .copied()
            .filter(|seq| *seq > row.acked)
            .collect();
        let upto = *left.last()?;
        for (n, seq) in left.into_iter().enumerate() {
            self.last_id += 1;
            let failed = one.failed.as_ref().filter(|_| n == 0).map(|(_, fate)| fate);
            let due = match failed {
                Some(Fate::Again(at)) => *at,
                Some(Fate::Dead(_)) => {
                    row.dead.push(seq);
                    continue;
                }
                Some(Fate::Accepted) => panic!("accepted is not diverted"),
                None => one.now,
            };
            let attempt = one.failed.as_ref().filter(|_| n == 0).map(|(attempt, _)| attempt);
            let stored = Stored {
                tries: u32::from(failed.is_some()),
                asked: attempt.is_some_and(|attempt| attempt.asked_for_pause),
                ..Stored::new(PushId(self.last_id), due)
            };
            row.stored.insert(seq, stored);
        }
        row.acked = upto;
        Some(Stowed {
            app: AppKey(1),
            receiver: ReceiverKey(row.port.into()),
            upto,
        })
    }

    /// The operator sends again what was given up of command `n`, with all that came after it.
    pub(super) fn replay(&mut self, n: u32) {
        let row = self.rows.get_mut(&id(n)).unwrap();
        let from = *row.dead.first().unwrap();
        row.dead.clear();
        for seq in row.events.iter().filter(|seq| **seq >= from) {
            self.last_id += 1;
            let (id, due) = (PushId(self.last_id), wall(self.now));
            row.stored.insert(*seq, Stored::new(id, due));
        }
        row.acked = row.events.iter().copied().max().unwrap();
        let port = row.port;
        self.look(port);
    }

    pub(super) fn settle(&mut self, settled: &[Settled]) -> Vec<ReceiverKey> {
        let mut stirred = Vec::new();
        for one in settled {
            let row = self
                .rows
                .values_mut()
                .find(|row| row.stored.values().next().is_some_and(|s| s.id == one.id));
            let row = row.expect("only what is ready is attempted");
            let (seq, mut stored) = row.stored.pop_first().unwrap();
            match one.fate {
                Fate::Accepted => stirred.push(ReceiverKey(row.port.into())),
                Fate::Dead(_) => row.dead.push(seq),
                Fate::Again(at) => {
                    (stored.due, stored.tries) = (at, stored.tries + 1);
                    stored.asked = one
                        .attempt
                        .as_ref()
                        .is_some_and(|attempt| attempt.asked_for_pause);
                    row.stored.insert(seq, stored);
                }
            }
        }
        stirred
    }

    pub(super) fn ready(&mut self, refill: &Refill) -> Ready {
        let until = wall(self.now + if refill.ahead { secs(2000) } else { Duration::ZERO });
        let port = refill.receiver.0 as u16;
        let mut heads: Vec<(Timestamp, CommandId, u16, Stored)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.port == port && !self.held.contains(&port))
            .filter_map(|(command, row)| {
                let (seq, stored) = row.stored.first_key_value()?;
                (!refill.except.contains(&stored.id)).then(|| (stored.due, *command, *seq, stored.clone()))
            })
            .collect();
        heads.sort_by_key(|(due, command, ..)| (*due, *command));
        let due = heads.iter().filter(|(due, ..)| *due <= until).count();
        let more = due > refill.limit;
        let next_at = heads.get(due).map(|(due, ..)| *due).filter(|_| !more);
        self.read += due.min(refill.limit);
        let pushes = heads.into_iter().take(due.min(refill.limit));
        Ready {
            pushes: pushes
                .map(|(_, command, seq, stored)| ready_push(port, command, seq, &stored))
                .collect(),
            next_at,
            more,
        }
    }
}

fn ready_push(port: u16, command: CommandId, seq: u16, stored: &Stored) -> ReadyPush {
    ReadyPush {
        id: stored.id,
        key: OrderKey::of_command(command),
        seq: seq.into(),
        url: format!("http://na.example:{port}/cmd").into(),
        content: PushContent::Change {
            device_id: DeviceId::new("d"),
            status: Status::Sent,
            result: None,
        },
        tries: stored.tries,
        at: Timestamp::from_millis(0),
        keeps_until: stored.asked.then_some(stored.due),
    }
}

fn port_of(url: &str) -> u16 {
    let after = url.trim_end_matches("/cmd").rsplit(':').next().unwrap();
    after.parse().unwrap()
}
