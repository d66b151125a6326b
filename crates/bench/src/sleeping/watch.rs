//! What happened at the devices of one process, from their events.

use std::time::{Duration, Instant};

use downlink_fleet::lwm2m::Event;

/// See the module.
pub(super) struct Watch {
    seen: Vec<Seen>,
    asleep: usize,
    repeated: u64,
    /// Commands that came to one that slept: a simulator that does not sleep.
    pub(super) heard_asleep: u64,
}

#[derive(Default, Clone)]
struct Seen {
    asleep: bool,
    missed: u64,
    woke: Option<Instant>,
    answered: Option<Instant>,
    written: Option<Instant>,
}

impl Watch {
    pub(super) fn new(devices: usize) -> Self {
        Self {
            seen: vec![Seen::default(); devices],
            asleep: 0,
            repeated: 0,
            heard_asleep: 0,
        }
    }

    /// How many devices there are.
    pub(super) const fn len(&self) -> usize {
        self.seen.len()
    }

    /// Takes in what happened at a device.
    pub(super) fn note(&mut self, device: usize, at: Instant, event: &Event) {
        let Some(seen) = self.seen.get_mut(device) else {
            return;
        };
        match event {
            Event::Asleep => {
                self.asleep += usize::from(!seen.asleep);
                seen.asleep = true;
            }
            Event::Awake => {
                self.asleep -= usize::from(seen.asleep);
                seen.asleep = false;
                seen.woke.get_or_insert(at);
            }
            Event::Updated => {
                seen.answered.get_or_insert(at);
            }
            Event::Received(_) => {
                self.heard_asleep += u64::from(seen.asleep);
                seen.written.get_or_insert(at);
            }
            Event::Missed => seen.missed += 1,
            Event::Repeated(_) => self.repeated += 1,
            Event::Secured
            | Event::Unsecured(_)
            | Event::Registered(_)
            | Event::Refused(_)
            | Event::Forgotten(_)
            | Event::Deregistered
            | Event::Observed
            | Event::Unobserved
            | Event::Acked(..)
            | Event::Executed(_)
            | Event::Answered(_)
            | Event::AnswerAcked(_)
            | Event::Reported
            | Event::GivenUp(_)
            | Event::Stray(_)
            | Event::Rebooted => {}
        }
    }

    /// Forgets when these woke and what came then.
    pub(super) fn begin(&mut self, devices: std::ops::Range<usize>) {
        for seen in &mut self.seen[devices] {
            (seen.woke, seen.answered, seen.written) = (None, None, None);
        }
    }

    /// Whether all sleep.
    pub(super) fn all_sleep(&self) -> bool {
        self.asleep == self.seen.len()
    }

    /// Whether the first so many woke and sleep again.
    pub(super) fn napped(&self, first: usize) -> bool {
        self.seen[..first]
            .iter()
            .all(|seen| seen.asleep && seen.woke.is_some())
    }

    /// What the first so many lost in their sleep, once each lost something.
    pub(super) fn lost(&self, first: usize) -> Option<u64> {
        let lost = self.seen[..first].iter().map(|seen| seen.missed);
        lost.clone().all(|missed| missed > 0).then(|| lost.sum())
    }

    /// Whether each of these got its command.
    pub(super) fn served(&self, devices: std::ops::Range<usize>) -> bool {
        self.seen[devices].iter().all(|seen| seen.written.is_some())
    }

    /// From waking to the answer, and to the command, of those of these to which it came.
    pub(super) fn times(&self, devices: std::ops::Range<usize>) -> (Vec<Duration>, Vec<Duration>) {
        let seen = &self.seen[devices];
        let since = |seen: &Seen, at: Option<Instant>| Some(at?.saturating_duration_since(seen.woke?));
        let answers = seen.iter().filter_map(|seen| since(seen, seen.answered));
        let written = seen.iter().filter_map(|seen| since(seen, seen.written));
        (answers.collect(), written.collect())
    }

    /// Messages that came twice.
    pub(super) const fn repeated(&self) -> u64 {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use downlink_fleet::lwm2m::event::Command;

    use super::*;

    fn command() -> Event {
        Event::Received(Command {
            mid: None,
            message_id: 1,
            payload: vec![],
        })
    }

    #[test]
    fn times_count_from_the_waking_to_what_comes_first() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut watch = Watch::new(3);
        for device in 0..3 {
            watch.note(device, start, &Event::Asleep);
        }
        assert!(watch.all_sleep());
        watch.begin(1..3);
        watch.note(1, start, &Event::Awake);
        watch.note(1, start + ms(2), &Event::Updated);
        watch.note(1, start + ms(5), &command());
        watch.note(1, start + ms(9), &command());
        watch.note(2, start + ms(1), &Event::Awake);
        assert!(!watch.all_sleep() && !watch.served(1..3) && watch.served(1..2));
        assert_eq!(watch.times(1..3), (vec![ms(2)], vec![ms(5)]));
        assert_eq!(watch.heard_asleep, 0);
    }

    #[test]
    fn a_nap_is_a_waking_and_a_sleep_and_what_comes_then_is_lost() {
        let start = Instant::now();
        let mut watch = Watch::new(2);
        watch.note(0, start, &Event::Asleep);
        assert!(!watch.napped(1), "it never woke");
        watch.note(0, start, &Event::Awake);
        assert!(!watch.napped(1), "it is awake");
        watch.note(0, start, &Event::Asleep);
        assert!(watch.napped(1));
        assert_eq!(watch.lost(1), None);
        watch.note(0, start, &Event::Missed);
        watch.note(0, start, &Event::Missed);
        assert_eq!((watch.lost(1), watch.lost(2)), (Some(2), None));
        watch.note(0, start, &command());
        assert_eq!(watch.heard_asleep, 1);
    }
}
