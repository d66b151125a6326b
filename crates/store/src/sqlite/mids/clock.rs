//! The clock that the numbers of commands go by: that of the calls, but one that is not set back.
//!
//! If the wall clock is set back, a block of before would be handed out again, and a late answer to a command of then would count
//! for one of now. While the process runs, what was asked before says so. At a start the newest id does: it was minted by
//! the wall clock of then. What happened after it, within [`BEYOND`], is passed by as well. While it is ahead of the wall clock,
//! what it gives is kept with the devices: newest ids stand still then.

use downlink_core::{CommandId, Timestamp};

/// How long after the newest command something may still have been sent, in milliseconds.
const BEYOND: i64 = 60_000;
/// Calls of one batch are not in the order of their times; a step back of less is taken for that. In milliseconds.
const DISORDER: i64 = 1000;

/// See the module.
#[derive(Debug)]
pub(in crate::sqlite) struct Clock {
    /// How much it is ahead of the wall clock, in milliseconds.
    ahead: i64,
    latest: i64,
}

impl Clock {
    /// The clock of a process that is up since `up_since`, on a store whose newest id is `newest`.
    pub(in crate::sqlite) fn new(up_since: Timestamp, newest: Option<CommandId>) -> Self {
        let up_since = up_since.as_millis();
        let minted = newest.map_or(i64::MIN, |id| id.minted_at().as_millis());
        let ahead = match minted > up_since {
            true => minted + BEYOND - up_since,
            false => 0,
        };
        let latest = up_since + ahead;
        Self { ahead, latest }
    }

    /// Whether it is ahead of the wall clock. What it shows then, nobody can tell after a restart.
    pub(in crate::sqlite) fn is_ahead(&self) -> bool {
        self.ahead > 0
    }

    /// What it shows at `now`.
    pub(in crate::sqlite) fn at(&mut self, now: Timestamp) -> Timestamp {
        let now = now.as_millis();
        if now + self.ahead + DISORDER < self.latest {
            self.ahead = self.latest - now;
        }
        let shown = now + self.ahead;
        self.latest = self.latest.max(shown);
        Timestamp::from_millis(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn id(ms: u64) -> CommandId {
        CommandId::from_parts(ms, 0, 0, 0)
    }

    #[test]
    fn it_shows_the_time_while_that_goes_on() {
        let mut clock = Clock::new(at(5000), Some(id(5000)));
        let shown = [5000, 9000, 8500, 9100].map(|ms| clock.at(at(ms)).as_millis());
        assert_eq!(shown, [5000, 9000, 8500, 9100]);
    }

    #[test]
    fn it_goes_on_when_the_time_is_set_back() {
        let mut clock = Clock::new(at(5000), None);
        let shown = [90_000, 10_000, 11_000, 90_000].map(|ms| clock.at(at(ms)).as_millis());
        assert_eq!(shown, [90_000, 90_000, 91_000, 170_000]);
    }

    #[test]
    fn it_is_ahead_once_the_time_was_set_back() {
        let mut clock = Clock::new(at(5000), Some(id(5000)));
        clock.at(at(90_000));
        assert!(!clock.is_ahead());
        clock.at(at(10_000));
        assert!(clock.is_ahead());
        assert!(Clock::new(at(5000), Some(id(8000))).is_ahead());
    }

    #[test]
    fn it_is_past_all_that_was_sent_when_it_was_set_back_before_the_start() {
        let mut clock = Clock::new(at(5000), Some(id(8000)));
        assert_eq!(clock.at(at(6000)), at(69_000));
    }
}
