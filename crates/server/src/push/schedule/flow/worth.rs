//! How many attempts at once are worth it, where a receiver is fast.
//!
//! Up to a rate that few need, more at once is given without asking: that an answer is slow says nothing of what a receiver can take.
//! Beyond it what holds things up may be this machine or the receiver's, and then more at once makes nothing faster: it only costs memory,
//! and time for each push. So half as many are tried, and stay if that is hardly slower; and, now and then, twice as many, which stay if
//! that is faster.

use std::time::Duration;

/// Fewer are never too many.
const FEW: usize = 16;

/// Successes a second from which on this is asked.
const FAST: f64 = 8_000.0;

/// How much faster twice as many have to be.
const GAIN: f64 = 1.2;

/// Successes that a rate is measured by.
const SAMPLE: u32 = 256;

/// The pause after something was tried in vain, at first and at the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// What to do with the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// It may grow.
    Grow,
    /// It is to be this.
    Set(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Worth {
    fast: bool,
    /// So many succeeded since; those that started before are not counted.
    since: Duration,
    count: u32,
    skip: usize,
    /// What is compared with: another limit, and the rate with that.
    before: Option<(usize, f64)>,
    /// Whether more is tried next.
    upwards: bool,
    again_at: Duration,
    pause: Duration,
}

impl Worth {
    /// Nothing is known from `now` on.
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            fast: false,
            since: now,
            count: 0,
            skip: 0,
            before: None,
            upwards: false,
            again_at: now,
            pause: PAUSE,
        }
    }

    /// One succeeded of a receiver that uses its whole `limit`, which may become `most`.
    pub(super) fn succeeded(&mut self, limit: usize, most: usize, now: Duration) -> Advice {
        if let Some(rate) = self.measured(now) {
            let fast = (rate >= FAST && limit >= FEW.min(most)) || self.before.is_some();
            if fast && !self.fast {
                // It may have grown meanwhile.
                (self.upwards, self.again_at, self.pause) = (false, now, PAUSE);
            }
            self.fast = fast;
            if let Some(next) = self.judged(limit, rate, most, now) {
                return Advice::Set(next);
            }
        }
        match self.fast {
            true => Advice::Set(limit),
            false => Advice::Grow,
        }
    }

    /// Gives another limit, if there is to be one after this rate.
    fn judged(&mut self, limit: usize, rate: f64, most: usize, now: Duration) -> Option<usize> {
        if let Some((other, other_rate)) = self.before.take() {
            let (lower, higher) = if other < limit {
                (other_rate, rate)
            } else {
                (rate, other_rate)
            };
            let keeps = (higher >= lower * GAIN) == (other < limit);
            if !keeps {
                return Some(self.turn(other, limit, now));
            }
            self.pause = PAUSE;
        }
        let next = self.fast.then(|| self.next(limit, most, now)).flatten()?;
        self.before = Some((limit, rate));
        Some(self.set(next, limit))
    }

    /// What is tried next.
    fn next(&mut self, limit: usize, most: usize, now: Duration) -> Option<usize> {
        if now < self.again_at {
            return None;
        }
        let next = match self.upwards {
            true => (limit * 2).min(most),
            false => (limit / 2).max(FEW),
        };
        if next == limit || (next > limit) != self.upwards {
            self.upwards = !self.upwards;
            self.wait(now);
            return None;
        }
        Some(next)
    }

    /// It was in vain: back, and the other way next.
    fn turn(&mut self, back: usize, limit: usize, now: Duration) -> usize {
        self.upwards = !self.upwards;
        self.wait(now);
        self.set(back, limit)
    }

    fn wait(&mut self, now: Duration) {
        self.again_at = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_LONGEST);
    }

    fn set(&mut self, next: usize, limit: usize) -> usize {
        (self.count, self.skip) = (0, limit.max(next));
        next
    }

    /// Counts one; gives the rate once there are enough.
    fn measured(&mut self, now: Duration) -> Option<f64> {
        if self.skip > 0 {
            (self.skip, self.since) = (self.skip - 1, now);
            return None;
        }
        self.count += 1;
        let took = now.saturating_sub(self.since);
        if self.count < SAMPLE || took.is_zero() {
            return None;
        }
        let rate = f64::from(self.count) / took.as_secs_f64();
        (self.since, self.count) = (now, 0);
        Some(rate)
    }
}
