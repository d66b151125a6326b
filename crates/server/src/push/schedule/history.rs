//! Random histories: commands change, hints are lost, late and stale, receivers fail, the store refuses, time passes.
//! Whatever happens, the rules on order hold, and in the end every change is accepted and recorded.

use std::collections::{BTreeMap, VecDeque};

use downlink_core::Span;

use super::tests::duty;
use super::*;

/// xorshift64*: a seed gives the same history for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the store has of a command.
#[derive(Default)]
struct Row {
    events: Vec<u16>,
    last: u16,
    acked: u16,
}

impl Row {
    fn duty(&self, n: u32, receivers: u32) -> Option<PushDuty> {
        let due: Vec<u16> = self
            .events
            .iter()
            .copied()
            .filter(|seq| *seq > self.acked)
            .collect();
        (!due.is_empty()).then(|| duty(n, 80 + (n % receivers) as u16, &due))
    }
}

struct World {
    random: Random,
    schedule: Schedule,
    limits: Limits,
    now: Duration,
    receivers: u32,
    rows: BTreeMap<u32, Row>,
    /// Hints on their way, possibly overtaken by what happened since.
    hints: VecDeque<PushDuty>,
    in_flight: Vec<(CommandId, u16)>,
    accepted: BTreeMap<CommandId, Vec<u16>>,
    telling: Vec<Told>,
    calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let limits = Limits {
            in_flight: 1 + random.below(12) as usize,
            per_receiver: 1 + random.below(4) as usize,
            backlog: 2 + random.below(60) as usize,
            backoff: Backoff {
                first: Span::from_millis(100),
                longest: Span::from_secs(4),
            },
            record_wait: Duration::from_millis(400 * random.below(2)),
        };
        Self {
            schedule: Schedule::new(limits),
            limits,
            now: Duration::ZERO,
            receivers: 1 + random.below(5) as u32,
            rows: BTreeMap::new(),
            hints: VecDeque::new(),
            in_flight: Vec::new(),
            accepted: BTreeMap::new(),
            telling: Vec::new(),
            calm: false,
            random,
        }
    }

    fn command(n: u32) -> CommandId {
        CommandId::from_parts(1, 0, n, 0)
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 | 1 => self.change(),
            2 => self.sweep_one(),
            3 | 4 => self.deliver_hint(),
            5 | 6 => self.end_one(),
            7 => self.tell(),
            _ => self.now += Duration::from_millis(self.random.below(400)),
        }
        self.start();
        self.check();
    }

    /// A command changes; the change may be one that is not pushed; its hint may get lost.
    fn change(&mut self) {
        let n = self.random.below(40) as u32;
        let skip = self.random.chance(20);
        let row = self.rows.entry(n).or_default();
        if row.last >= 8 {
            return;
        }
        row.last += 1 + u16::from(skip);
        row.events.push(row.last);
        if let Some(duty) = row.duty(n, self.receivers)
            && self.random.chance(70)
        {
            self.hints.push_back(duty);
        }
    }

    fn sweep_one(&mut self) {
        let n = self.random.below(40) as u32;
        let duty = self.rows.get(&n).and_then(|row| row.duty(n, self.receivers));
        self.hints.extend(duty);
    }

    fn deliver_hint(&mut self) {
        if self.hints.is_empty() {
            return;
        }
        let at = self.random.below(self.hints.len() as u64) as usize;
        let Some(duty) = self.hints.remove(at) else { return };
        if self.random.chance(20) {
            self.hints.push_back(duty.clone());
        }
        self.schedule.hint(duty, self.now);
    }

    fn end_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.random.below(self.in_flight.len() as u64) as usize;
        let (command, seq) = self.in_flight.swap_remove(at);
        let accepted = self.calm || self.random.chance(60);
        if accepted {
            self.accepted.entry(command).or_default().push(seq);
        }
        let random = self.random.next() as u32;
        self.schedule.ended(command, accepted, self.now, random);
    }

    /// The store's answer to one call, and the next call.
    fn tell(&mut self) {
        let told = std::mem::take(&mut self.telling);
        if self.calm || self.random.chance(80) {
            for Told { command, seq } in &told {
                let row = self.rows.iter_mut().find(|(n, _)| Self::command(**n) == *command);
                let row = row.expect("only commands that there are").1;
                row.acked = row.acked.max(*seq);
            }
            self.schedule.recorded(&told, self.now);
        } else {
            self.schedule.not_recorded(&told);
        }
        let most = 1 + self.random.below(5) as usize;
        self.telling = self.schedule.take_accepted(self.now, most);
    }

    fn start(&mut self) {
        while let Some(push) = self.schedule.start(self.now) {
            let same = self
                .in_flight
                .iter()
                .filter(|(command, _)| *command == push.command);
            assert_eq!(same.count(), 0, "two attempts of one command at once");
            let n = self
                .rows
                .keys()
                .find(|n| Self::command(**n) == push.command)
                .expect("known");
            let before = self.accepted.get(&push.command).map_or(&[][..], Vec::as_slice);
            // Hints never outlive the memory of what was let go here, so each change is accepted once, in order.
            let expected = self.rows[n].events.iter().find(|seq| !before.contains(seq));
            assert_eq!(Some(&push.seq), expected, "out of order");
            self.in_flight.push((push.command, push.seq));
        }
    }

    fn check(&self) {
        assert_eq!(self.schedule.in_flight(), self.in_flight.len());
        assert!(self.in_flight.len() <= self.limits.in_flight);
        for port in 0..self.receivers {
            let of_receiver = |command: &CommandId| {
                (0..40).any(|n| n % self.receivers == port && Self::command(n) == *command)
            };
            let count = self
                .in_flight
                .iter()
                .filter(|(command, _)| of_receiver(command))
                .count();
            assert!(count <= self.limits.per_receiver);
        }
        assert!(self.schedule.backlog() <= self.limits.backlog);
    }

    /// Receivers and store work, the sweep runs: all has to come to an end.
    fn settle(&mut self) {
        self.calm = true;
        for _ in 0..2000 {
            let due: Vec<PushDuty> = self
                .rows
                .iter()
                .filter_map(|(n, row)| row.duty(*n, self.receivers))
                .collect();
            self.hints.extend(due);
            while let Some(duty) = self.hints.pop_front() {
                self.schedule.hint(duty, self.now);
            }
            self.start();
            while !self.in_flight.is_empty() {
                self.end_one();
            }
            self.tell();
            self.check();
            if let Some(at) = self.schedule.next_wake() {
                self.now = self.now.max(at);
            }
            if self.schedule.backlog() == 0 && self.rows.values().all(|row| row.duty(0, 1).is_none()) {
                return;
            }
        }
        panic!("{} commands never came to an end", self.schedule.backlog());
    }
}

#[test]
fn every_change_is_accepted_in_order_whatever_happens() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..100)
            .map(|n| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n + 1))
            .collect(),
    };
    for seed in seeds {
        println!("SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.step();
            // Hints that are older than the memory of what was let go may cause repetitions: not in these histories.
            if world.now > Duration::from_secs(50) {
                break;
            }
        }
        world.settle();
        for (n, row) in &world.rows {
            let accepted = world
                .accepted
                .get(&World::command(*n))
                .map_or(&[][..], Vec::as_slice);
            assert_eq!(accepted, row.events, "command {n}");
        }
        let left = &world.schedule;
        assert_eq!((left.weight, left.receivers.len(), left.alarms.len()), (0, 0, 0));
    }
}
