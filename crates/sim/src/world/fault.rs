//! What goes wrong, and when.

use crate::life::{Life, Traits};
use crate::outside::{DiskMood, StopAt};

use super::{Todo, World};

/// A disk that does as it should.
pub(super) const CALM_DISK: DiskMood = DiskMood {
    write_least: 0,
    write_most: 3,
    read_most: 1,
    full_percent: 0,
};

/// How a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It accepts.
    Good,
    /// It accepts, late.
    Slow,
    /// It answers 500.
    Fails,
    /// It asks for less.
    Throttles,
    /// It wants none of it any more.
    Refuses,
    /// It never answers.
    Hangs,
    /// It accepts, and breaks the connection before it says so.
    AcceptsAndBreaks,
    /// Now this, now that.
    Mixed,
    /// It answers each when a script says so.
    Waits,
}

const MOODS: [Mood; 9] = [
    Mood::Good,
    Mood::Good,
    Mood::Slow,
    Mood::Fails,
    Mood::Throttles,
    Mood::Refuses,
    Mood::Hangs,
    Mood::AcceptsAndBreaks,
    Mood::Mixed,
];

impl Mood {
    /// What it answers; none: nothing.
    pub(super) const fn status(self) -> Option<u16> {
        match self {
            Self::Good | Self::Slow | Self::Mixed => Some(204),
            Self::Fails => Some(500),
            Self::Throttles => Some(429),
            Self::Refuses => Some(410),
            Self::Hangs | Self::AcceptsAndBreaks | Self::Waits => None,
        }
    }
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        let after = self.chance.between(5_000, 90_000);
        self.plan(after, Todo::Arm);
        self.plan(20_000, Todo::DiskTurn);
        for place in 0..self.moods.len() {
            let after = self.chance.below(20_000);
            self.plan(after, Todo::ReceiverTurn(place));
        }
        for place in 0..self.sleepers.len() {
            let after = self.chance.between(60_000, 600_000);
            self.plan(after, Todo::SleeperReboots(place));
        }
        self.jumpy = self.chance.percent(40);
        if self.jumpy {
            let after = self.chance.between(20_000, 200_000);
            self.plan(after, Todo::ClockJump);
        }
    }

    /// The machine will stop, in one of the ways in which machines do.
    pub(super) fn arm(&mut self) {
        if !self.rough {
            return;
        }
        let after = u32::try_from(self.chance.below(6)).unwrap_or(0);
        let when = match self.chance.below(5) {
            0 => {
                self.plan(0, Todo::Crash("at an instant"));
                return;
            }
            1 => StopAt::BeforeCommit(after),
            2 => StopAt::AfterCommit(after),
            3 => StopAt::UnsaidCommit(after),
            _ => StopAt::Byte(usize::try_from(self.chance.below(400)).unwrap_or(0)),
        };
        self.note(format_args!("will stop {when:?}"));
        if let Some(life) = &self.life {
            life.outside().stop_at(Some(when));
        }
        // In case nothing comes to that.
        let after = self.chance.between(10_000, 60_000);
        self.plan(after, Todo::Crash("after all"));
    }

    /// The machine is off from here.
    pub(super) fn crash(&mut self, how: &'static str) -> anyhow::Result<()> {
        let Some(life) = self.life.take() else {
            return Ok(());
        };
        let (done, refused) = life.outside().commits();
        self.commits = (self.commits.0 + done, self.commits.1 + refused);
        drop(life);
        self.ledger.lives.ended(self.wall_now());
        self.note(format_args!("stopped: {how}"));
        self.meet(how);
        for (connection, device) in std::mem::take(&mut self.connections) {
            let after = self.chance.below(500);
            self.plan(after, Todo::CutByServer(device, connection));
        }
        self.no_answers();
        if self.rough {
            let most = *self.chance.pick(&[200, 2_000, 40_000, 150_000]);
            let after = self.chance.below(most);
            self.plan(after, Todo::Boot);
        }
        Ok(())
    }

    /// Counts which commands a fault met in which status.
    pub(super) fn meet(&mut self, fault: &'static str) {
        for (number, _) in self.known() {
            let status = self.ledger.status(number).to_owned();
            *self.met.entry((fault, status)).or_default() += 1;
        }
    }

    /// The same, of the commands of one device.
    pub(super) fn meet_of(&mut self, fault: &'static str, device: usize) {
        for (place, entry) in self.ledger.entries.iter().enumerate() {
            if entry.device == device && entry.id.is_some() {
                let status = self.ledger.status(place as u64).to_owned();
                *self.met.entry((fault, status)).or_default() += 1;
            }
        }
    }

    /// The server starts.
    pub(super) fn boot(&mut self) -> anyhow::Result<()> {
        if self.life.is_some() {
            return Ok(());
        }
        self.lives += 1;
        let rough = self.rough;
        let by_chance = *self.chance.pick(&[0, 4, 64, 16_384]);
        let traits = Traits {
            hints: !(rough && self.chance.percent(20)),
            tail: self.tail.unwrap_or(by_chance),
            disk: CALM_DISK,
            seed: self.chance.number(),
        };
        self.note(format_args!(
            "starts, hints {}, tail {}",
            traits.hints, traits.tail
        ));
        if !traits.hints {
            self.meet("hints lost");
        }
        let wall = self.wall_now();
        self.life = Some(Life::begin(self.dir.path(), self.now, wall, traits)?);
        self.ledger.lives.began(wall);
        if rough {
            let after = self.chance.between(5_000, 120_000);
            self.plan(after, Todo::Arm);
        }
        Ok(())
    }

    pub(super) fn wall_now(&self) -> i64 {
        self.wall
            .saturating_add(i64::try_from(self.now).unwrap_or(i64::MAX))
    }

    /// The wall clock jumps, now and again.
    pub(super) fn turn_clock(&mut self) {
        if !self.rough {
            return;
        }
        self.jump();
        let after = self.chance.between(20_000, 200_000);
        self.plan(after, Todo::ClockJump);
    }

    /// The wall clock goes forward or back.
    pub(super) fn jump(&mut self) {
        let most = *self.chance.pick(&[1_000, 40_000, 120_000]);
        let by = i64::try_from(self.chance.between(1, most)).unwrap_or(0);
        let by = if self.chance.percent(50) { by } else { -by };
        self.jump_by(by);
    }

    /// The wall clock goes forward or back by so many milliseconds.
    pub(super) fn jump_by(&mut self, by: i64) {
        let before = self.wall_now();
        self.wall = self.wall.saturating_add(by);
        self.note(format_args!("clock jumps by {by}"));
        self.meet("clock jump");
        if let Some(life) = &self.life {
            life.set_wall(self.wall_now());
            self.ledger.lives.jumped(before, self.wall_now());
        }
    }

    /// The disk becomes better or worse.
    pub(super) fn turn_disk(&mut self) {
        if !self.rough {
            return;
        }
        let mood = DiskMood {
            write_least: 0,
            write_most: *self.chance.pick(&[0, 5, 50, 3_000]),
            read_most: *self.chance.pick(&[0, 0, 5, 500]),
            full_percent: *self.chance.pick(&[0, 0, 0, 10, 60]),
        };
        if mood.full_percent > 0 {
            self.meet("disk full");
        }
        self.note(format_args!("disk {mood:?}"));
        if let Some(life) = &self.life {
            life.outside().set_mood(mood);
        }
        let after = self.chance.between(5_000, 40_000);
        self.plan(after, Todo::DiskTurn);
    }

    /// The disk is as good as full, or is not any more.
    pub(super) fn disk_fills(&mut self, full: bool) {
        self.note(format_args!("disk full: {full}"));
        let mood = DiskMood {
            full_percent: if full { 70 } else { 0 },
            ..CALM_DISK
        };
        if let Some(life) = &self.life {
            life.outside().set_mood(mood);
        }
    }

    /// A receiver becomes better or worse.
    pub(super) fn turn_receiver(&mut self, place: usize) {
        if !self.rough {
            return;
        }
        let mood = *self.chance.pick(&MOODS);
        self.note(format_args!("receiver {place} {mood:?}"));
        self.moods[place] = mood;
        if mood != Mood::Good {
            self.meet("receiver turns bad");
        }
        let after = self.chance.between(2_000, 90_000);
        self.plan(after, Todo::ReceiverTurn(place));
    }
}
