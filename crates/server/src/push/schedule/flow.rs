//! How many attempts one receiver is given at once, and how fast: learnt from how they end.
//!
//! It begins with a few and takes one more for each success while all it has are in use. Of those that are in flight when one
//! fails, as many as do not fail are what it holds; which of them do, says nothing: a receiver under load does not read them in
//! the order in which they started. What failed once is tried again only later, and later each time it fails again; only more
//! that has proved to hold shortens that. So a receiver that takes ten at once gets ten, and
//! eleven once in five minutes. One that is fast with few is given more only if that makes it faster ([`worth`]). After a pause of
//! failures only it begins with one, and with few a second.

mod worth;

use std::time::Duration;

use self::worth::{Advice, Worth};

/// Attempts at once before anything is known.
const FIRST: usize = 8;

/// The pause before a bound that was learnt is tried to be passed, at first and at the longest.
const HESITATE: Duration = Duration::from_secs(1);
const HESITATE_LONGEST: Duration = Duration::from_secs(300);

/// After it works again: attempts in the first step, and how they grow from step to step. In the first second that is
/// 10 + 14 + 19 … = 697 at the most; after three steps more than a second's worth it binds no more.
const RAMP_STEP: Duration = Duration::from_millis(100);
const RAMP_FIRST: f64 = 10.0;
const RAMP_GROWTH: f64 = 1.4;
const RAMP_STEPS: u32 = 20;

/// How much of a rate may be used at once.
const BURST: Duration = Duration::from_millis(50);

/// One receiver's flow.
#[derive(Debug)]
pub(super) struct Flow {
    most: usize,
    limit: usize,
    /// Successes since the limit grew, once it does not grow with each.
    credit: usize,
    /// Grows with each success: nothing has failed yet.
    eager: bool,
    ceiling: usize,
    raise_at: Duration,
    /// The ceiling was raised, and nothing failed since.
    raised: bool,
    hesitate: Duration,
    /// In flight with the one that started last.
    in_flight: usize,
    /// What started before this says nothing any more.
    anew_at: Duration,
    cut: Cut,
    ramp: Option<Ramp>,
    rate: Option<Rate>,
    worth: Worth,
}

/// What those that were in flight when one failed have come to.
#[derive(Debug)]
struct Cut {
    /// When that was.
    at: Duration,
    /// So many were in flight, as far as is known, and so many of them failed.
    of: usize,
    failed: usize,
    /// The ceiling before, and how far it may be lowered.
    ceiling: usize,
    floor: usize,
}

impl Cut {
    /// With nothing in flight.
    fn none(at: Duration) -> Self {
        Self {
            at,
            of: 0,
            failed: 0,
            ceiling: usize::MAX,
            floor: 1,
        }
    }

    /// One more failed, of at least so many.
    fn count(&mut self, in_flight: usize) -> usize {
        self.of = self.of.max(in_flight);
        self.failed += 1;
        let holds = self.of.saturating_sub(self.failed);
        self.ceiling.min(holds.max(self.floor))
    }
}

#[derive(Debug)]
struct Ramp {
    since: Duration,
    step: u32,
    left: u32,
}

#[derive(Debug)]
struct Rate {
    each: Duration,
    next: Duration,
}

impl Flow {
    /// A flow of at the most `most` at once.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            limit: FIRST.min(most),
            credit: 0,
            eager: true,
            ceiling: most,
            raise_at: Duration::ZERO,
            raised: false,
            hesitate: HESITATE,
            in_flight: 0,
            anew_at: Duration::ZERO,
            cut: Cut::none(Duration::ZERO),
            ramp: None,
            rate: None,
            worth: Worth::new(Duration::ZERO),
        }
    }

    /// Attempts at once, as of now.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// At the most so many a second from now on. What was used of the rate before stays used.
    pub(super) fn set_rate(&mut self, per_second: Option<u32>) {
        let next = self.rate.as_ref().map_or(Duration::ZERO, |before| before.next);
        self.rate = per_second.filter(|rate| *rate > 0).map(|rate| Rate {
            each: Duration::from_secs(1) / rate,
            next,
        });
    }

    /// Whether one more may start beside `in_flight` others.
    pub(super) fn allows(&mut self, in_flight: usize, now: Duration) -> bool {
        self.step_ramp(now);
        in_flight < self.limit
            && self.ramp.as_ref().is_none_or(|ramp| ramp.left > 0)
            && self.rate.as_ref().is_none_or(|rate| rate.next <= now + BURST)
    }

    /// One starts: the `nth` in flight.
    pub(super) fn started(&mut self, nth: usize, now: Duration) {
        self.in_flight = nth;
        if let Some(ramp) = &mut self.ramp {
            ramp.left = ramp.left.saturating_sub(1);
        }
        if let Some(rate) = &mut self.rate {
            rate.next = rate.next.max(now) + rate.each;
        }
    }

    /// When one may start that may not now for want of time alone.
    pub(super) fn opens_at(&self, in_flight: usize, now: Duration) -> Option<Duration> {
        if in_flight >= self.limit {
            return None;
        }
        let ramp = self.ramp.as_ref().filter(|ramp| ramp.left == 0);
        let ramp = ramp.map(|ramp| ramp.since + RAMP_STEP * (ramp.step + 1));
        let rate = self.rate.as_ref().map(|rate| rate.next.saturating_sub(BURST));
        ramp.into_iter().chain(rate).filter(|at| *at > now).max()
    }

    /// One succeeded that was the `nth` in flight when it started. If that was low, the limit is not what holds things up.
    pub(super) fn succeeded(&mut self, nth: usize, now: Duration) {
        if nth * 2 < self.limit {
            return;
        }
        let advice = self.worth.succeeded(self.limit, self.ceiling, now);
        if self.limit >= self.ceiling {
            self.try_higher(now);
        }
        match advice {
            Advice::Set(limit) => self.limit = limit,
            Advice::Grow if self.limit < self.ceiling => self.grow(),
            Advice::Grow => {}
        }
    }

    fn grow(&mut self) {
        self.credit += 1;
        if self.eager || self.credit >= self.limit {
            self.credit = 0;
            self.limit += 1;
        }
    }

    fn try_higher(&mut self, now: Duration) {
        if self.ceiling < self.most && now >= self.raise_at {
            if self.raised {
                // What was raised before was reached, and held for as long as was waited for: wait less.
                self.hesitate = (self.hesitate / 2).max(HESITATE);
            }
            self.ceiling = (self.ceiling + (self.ceiling / 4).max(1)).min(self.most);
            self.raise_at = now + self.hesitate;
            self.raised = true;
        }
    }

    /// One failed for which the receiver's load may be to blame: the `nth` in flight when it started, at `started`.
    pub(super) fn failed(&mut self, nth: usize, started: Duration, now: Duration) {
        if started < self.anew_at {
            return;
        }
        let in_flight = nth.max(self.in_flight);
        if started >= self.cut.at {
            self.begin_cut(in_flight, now);
        }
        self.ceiling = self.cut.count(in_flight);
        self.limit = self.limit.min(self.ceiling).max(1);
        (self.eager, self.raised, self.credit) = (false, false, 0);
        self.worth = Worth::new(now);
        self.raise_at = now + self.hesitate;
    }

    /// A failure at low load says nothing of high load: not below half for what started before it, and not below what is given to one of
    /// which nothing is known.
    fn begin_cut(&mut self, in_flight: usize, now: Duration) {
        let loaded = in_flight * 2 >= self.limit;
        let least = if loaded { 1 } else { self.limit.min(FIRST) };
        if loaded {
            self.hesitate = (self.hesitate * 2).min(HESITATE_LONGEST);
        }
        self.cut = Cut {
            at: now,
            ceiling: self.ceiling,
            floor: self.limit.div_ceil(2).max(least),
            ..Cut::none(now)
        };
    }

    /// It works again after a time of failures only: begins anew, slowly.
    pub(super) fn restart(&mut self, now: Duration) {
        (self.limit, self.ceiling, self.credit, self.eager) = (1, self.most, 0, true);
        (self.anew_at, self.cut, self.hesitate) = (now, Cut::none(now), HESITATE);
        self.worth = Worth::new(now);
        self.ramp = Some(Ramp {
            since: now,
            step: 0,
            left: RAMP_FIRST as u32,
        });
    }

    fn step_ramp(&mut self, now: Duration) {
        let Some(ramp) = &mut self.ramp else { return };
        let step = (now.saturating_sub(ramp.since).as_millis() / RAMP_STEP.as_millis()) as u32;
        if step >= RAMP_STEPS {
            self.ramp = None;
        } else if step > ramp.step {
            ramp.step = step;
            ramp.left = (RAMP_FIRST * RAMP_GROWTH.powi(step.cast_signed())) as u32;
        }
    }
}

#[cfg(test)]
mod tests;
