//! Whether a receiver works: the breaker.
//!
//! After several failures in a row only one attempt at a time goes there, a probe, with growing pauses between; the
//! first success ends that. A dead receiver costs few attempts, and nothing of it waits in memory.

use std::time::Duration;

use downlink_core::Span;
use downlink_core::retry::Backoff;

use super::Source;

/// Failures in a row that set the brake.
const BRAKE_AFTER: u32 = 10;

/// The longest pause between probes.
const LONGEST_BETWEEN_PROBES: Span = Span::from_secs(180);

/// What an operator should know of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum Notice {
    /// It failed several times in a row: the brake is on.
    Failing,
    /// It accepted again after that.
    WorksAgain,
}

#[derive(Debug)]
pub(super) enum Health {
    Working {
        failures: u32,
    },
    Braked {
        probes: u32,
        next_at: Duration,
        probe: Option<Source>,
    },
}

impl Health {
    pub(super) const WELL: Self = Self::Working { failures: 0 };

    pub(super) fn is_braked(&self) -> bool {
        matches!(self, Self::Braked { .. })
    }

    /// Whether an attempt may start.
    pub(super) fn allows(&self, now: Duration) -> bool {
        match self {
            Self::Working { .. } => true,
            Self::Braked { next_at, probe, .. } => probe.is_none() && *next_at <= now,
        }
    }

    /// When the next probe may start, if that is a matter of time.
    pub(super) fn probe_at(&self) -> Option<Duration> {
        match self {
            Self::Working { .. } | Self::Braked { probe: Some(_), .. } => None,
            Self::Braked {
                next_at, probe: None, ..
            } => Some(*next_at),
        }
    }

    /// It is taken to work again: a probe may go now, and if that one fails the pauses grow from the first. False: the
    /// brake is not on.
    pub(super) fn probe_now(&mut self, now: Duration) -> bool {
        match self {
            Self::Working { .. } => false,
            Self::Braked { probes, next_at, .. } => {
                (*probes, *next_at) = (0, now.min(*next_at));
                true
            }
        }
    }

    pub(super) fn started(&mut self, source: Source) {
        if let Self::Braked { probe, .. } = self {
            *probe = Some(source);
        }
    }

    pub(super) fn succeeded(&mut self) -> Option<Notice> {
        let braked = self.is_braked();
        *self = Self::WELL;
        braked.then_some(Notice::WorksAgain)
    }

    pub(super) fn failed(&mut self, source: Source, now: Duration, backoff: Backoff) -> Option<Notice> {
        let between = Backoff {
            longest: backoff.longest.min(LONGEST_BETWEEN_PROBES),
            ..backoff
        };
        match self {
            Self::Working { failures } => {
                *failures += 1;
                if *failures < BRAKE_AFTER {
                    return None;
                }
                *self = Self::Braked {
                    probes: 1,
                    next_at: now + pause(between, 1),
                    probe: None,
                };
                Some(Notice::Failing)
            }
            Self::Braked {
                probes,
                next_at,
                probe,
            } => {
                // Attempts that were in flight when the brake was set say nothing new.
                if *probe == Some(source) {
                    *probes = probes.saturating_add(1);
                    *next_at = now + pause(between, *probes);
                    *probe = None;
                }
                None
            }
        }
    }
}

/// The pause after probe number `probes`. Without jitter: there is one at a time.
fn pause(backoff: Backoff, probes: u32) -> Duration {
    let ms = backoff.whole(probes).as_millis();
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
