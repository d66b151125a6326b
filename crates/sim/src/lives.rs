//! When the server was up, by its own clock, and what follows from that for deadlines.
//!
//! Promise 8 where it speaks of restarts, as the page on the life cycle has it:
//! - The deadline of an acknowledgement or of a result that fell due before a start ends nothing until [`GRACE`] after it; one that
//!   falls due later ends nothing before.
//! - A lifetime is not moved: nothing leaves for the first time at or after its end, and nothing is EXPIRED before it.
//!
//! All is read from the times in the record. Where those do not say when a send was made (it was repeated, or its session gave it
//! up by itself), only what holds in any case is asked for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ledger::Entry;

/// How long after a start what fell due before it still waits, in milliseconds.
pub const GRACE: i64 = 60_000;
/// How long a device's result is awaited, in milliseconds; the servers of the simulation are told so.
pub const RESPONSE: i64 = 60_000;
/// How long an acknowledgement over MQTT is awaited.
const ACK: i64 = 30_000;
/// The longest that a send over MQTT is awaited.
const LONGEST: i64 = 60_000;
/// No acknowledgement over LwM2M is awaited for longer.
const SLEEPER: i64 = 300_000;

/// A time in which the clock of a running server went on without a jump. All in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    life: u64,
    /// When that life began.
    up_since: i64,
    from: i64,
    until: i64,
}

/// Between which instants a deadline fell due.
#[derive(Debug, Clone, Copy)]
struct Due {
    least: i64,
    most: i64,
}

impl Due {
    const UNKNOWN: Self = Self::not_after(i64::MAX);

    const fn at(at: i64) -> Self {
        Self { least: at, most: at }
    }

    const fn not_after(most: i64) -> Self {
        Self {
            least: i64::MIN,
            most,
        }
    }
}

/// What a record says became of a command, and when.
struct Happened {
    status: String,
    at: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lives {
    stretches: Vec<Stretch>,
    life: u64,
    /// Devices that spoke to the server, by its lives.
    spoke: BTreeSet<(u64, usize)>,
}

impl Lives {
    /// The server starts, and its clock shows this.
    pub fn began(&mut self, wall: i64) {
        self.life += 1;
        self.stretches.push(Stretch {
            life: self.life,
            up_since: wall,
            from: wall,
            until: i64::MAX,
        });
    }

    /// It stops.
    pub fn ended(&mut self, wall: i64) {
        if let Some(last) = self.stretches.last_mut() {
            last.until = wall;
        }
    }

    /// Its clock jumps while it runs.
    pub fn jumped(&mut self, from: i64, to: i64) {
        self.ended(from);
        if let Some(last) = self.stretches.last().copied() {
            self.stretches.push(Stretch {
                from: to,
                until: i64::MAX,
                ..last
            });
        }
    }

    /// It has heard of this device.
    pub fn spoke(&mut self, device: usize) {
        self.spoke.insert((self.life, device));
    }

    /// What of a command's record cannot be.
    pub fn check(&self, entry: &Entry, record: &Value) -> Vec<String> {
        let happened = happened(record);
        let early = happened.windows(2).filter_map(|two| {
            let (from, to) = (&two[0], &two[1]);
            let mut then = self.at(to.at);
            let wrong =
                to.status == "TIMEOUT" && !then.any(|stretch| self.may_end(entry, from, to.at, stretch));
            wrong.then(|| {
                format!(
                    "8: it is TIMEOUT at {} after {} at {}",
                    to.at, from.status, from.at
                )
            })
        });
        early.chain(lifetime(entry, &happened)).collect()
    }

    /// The statuses in which a command was after its time, still heard of its device, because a start had granted it the grace.
    pub fn graced(&self, entry: &Entry, record: &Value) -> Vec<String> {
        let happened = happened(record);
        let helped = happened.windows(2).filter(|two| {
            let (from, to) = (&two[0], &two[1]);
            let heard = matches!(to.status.as_str(), "DELIVERED" | "SUCCESSFUL" | "FAILED");
            let out = matches!(from.status.as_str(), "SENT" | "DELIVERED");
            let passed = |stretch: &Stretch| self.due(entry, from, stretch).most < stretch.up_since;
            heard && out && self.at(to.at).all(passed)
        });
        helped.map(|two| two[0].status.clone()).collect()
    }

    /// When the clock may have shown this.
    fn at(&self, at: i64) -> impl Iterator<Item = &Stretch> {
        let shows = move |stretch: &&Stretch| (stretch.from..=stretch.until).contains(&at);
        self.stretches.iter().filter(shows)
    }

    /// Whether a deadline may have ended what is in `from` at `now`, in this stretch.
    fn may_end(&self, entry: &Entry, from: &Happened, now: i64, stretch: &Stretch) -> bool {
        let due = self.due(entry, from, stretch);
        match due.most < stretch.up_since {
            true => now >= stretch.up_since + GRACE,
            false => now >= due.least,
        }
    }

    fn due(&self, entry: &Entry, from: &Happened, stretch: &Stretch) -> Due {
        if from.status == "DELIVERED" {
            return Due::at(from.at + RESPONSE);
        }
        if entry.cached {
            return self.of_cached(entry, stretch);
        }
        // Over LwM2M a session may give it up before its time, but only its own.
        let own = |other: &Stretch| other.life >= stretch.life;
        match (entry.sleeper, entry.acknowledges) {
            (true, _) if self.at(from.at).any(own) => Due::UNKNOWN,
            (true, _) => Due::not_after(from.at + SLEEPER),
            // It may not have subscribed yet: what goes out before is not acknowledged either.
            (false, true) => Due {
                least: from.at + ACK,
                most: from.at + RESPONSE,
            },
            (false, false) => Due::at(from.at + RESPONSE),
        }
    }

    /// A cached command may have been sent again, to any device of which the server knows where it is.
    fn of_cached(&self, entry: &Entry, stretch: &Stretch) -> Due {
        let earlier = self.stretches.iter().filter(|other| other.life < stretch.life);
        let again = entry.sleeper || self.spoke.contains(&(stretch.life, entry.device));
        match earlier.map(|other| other.until).max() {
            Some(latest) if !again => Due::not_after(latest.saturating_add(LONGEST)),
            Some(_) | None => Due::UNKNOWN,
        }
    }
}

/// The lifetime is where it was.
fn lifetime(entry: &Entry, happened: &[Happened]) -> Option<String> {
    let first = happened.first().filter(|_| entry.expires > 0)?;
    let end = first.at + i64::try_from(entry.expires).ok()? * 1000;
    let next = happened.get(1)?;
    let wrong = match next.status.as_str() {
        "SENT" => next.at >= end,
        "EXPIRED" => next.at < end,
        _ => false,
    };
    wrong.then(|| {
        format!(
            "8: its life ends at {end}, and it is {} at {}",
            next.status, next.at
        )
    })
}

fn happened(record: &Value) -> Vec<Happened> {
    let events = record.get("events").and_then(Value::as_array);
    let read = |event: &Value| {
        let at: jiff::Timestamp = event.get("at")?.as_str()?.parse().ok()?;
        Some(Happened {
            status: event.get("status")?.as_str()?.to_owned(),
            at: at.as_millisecond(),
        })
    };
    events.into_iter().flatten().filter_map(read).collect()
}
