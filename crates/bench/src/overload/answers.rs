//! What became of the calls of a flood: accepted, refused by which code, broken off; and the ids of what was accepted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;

use crate::report::{Run, Times};
use crate::world::http::member;
use crate::world::sink::Pushed;

/// See the module.
#[derive(Default)]
pub(super) struct Answers {
    /// Calls that were due.
    pub(super) offered: u64,
    /// Of these, those for which no connection was free: a client of so many connections does not get further.
    pub(super) unsent: u64,
    /// Connections that ended under a call.
    pub(super) broken: u64,
    /// From sending to the 201, and to the refusal.
    pub(super) accepted: Times,
    pub(super) refused: Times,
    /// The accepted ones since somebody took these.
    pub(super) latest: Times,
    /// By status and code.
    pub(super) by_code: BTreeMap<String, u64>,
    /// Of the accepted commands.
    pub(super) ids: Vec<String>,
}

impl Answers {
    /// Counts the answer to a create.
    pub(super) fn create(&mut self, status: u16, body: &str, took: Duration) {
        match member(body, "commandId") {
            Some(id) if status == 201 => {
                self.accept(took);
                self.ids.push(id.to_owned());
            }
            Some(_) | None => self.other(status, body, took),
        }
    }

    /// Counts an answer that is 2xx.
    pub(super) fn accept(&mut self, took: Duration) {
        self.accepted.add(took);
        self.latest.add(took);
    }

    /// Counts an answer that is not 2xx.
    pub(super) fn other(&mut self, status: u16, body: &str, took: Duration) {
        self.refused.add(took);
        let code = member(body, "error_code").or_else(|| member(body, "resultcode"));
        let named = format!("{status}_{}", code.unwrap_or("unnamed"));
        *self.by_code.entry(named).or_default() += 1;
    }

    /// As figures.
    pub(super) fn tell(&mut self, run: &mut Run) {
        run.add("offered", self.offered as f64);
        run.add("accepted", self.accepted.count() as f64);
        for (code, count) in &self.by_code {
            run.add(format!("refused_{code}"), *count as f64);
        }
        run.add("no_connection_free", self.unsent as f64);
        run.add("broken_off", self.broken as f64);
        tell_times(run, "accepted", &mut self.accepted);
        tell_times(run, "refused", &mut self.refused);
    }

    /// Refusals have to be named, and to be of the kind that says "later".
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let named = |code: &String| matches!(code.as_str(), "503_100501" | "400_100223");
        let wrong: Vec<_> = self.by_code.keys().filter(|code| !named(code)).collect();
        ensure!(wrong.is_empty(), "answers that overload must not have: {wrong:?}");
        ensure!(self.broken == 0, "{} calls were broken off", self.broken);
        Ok(())
    }
}

/// How many of these commands were not told to their end.
pub(super) fn untold(ids: &[String], pushed: &Pushed) -> usize {
    ids.iter().filter(|id| !pushed.is_done(id)).count()
}

/// p50, p99 and the longest, in milliseconds.
pub(super) fn tell_times(run: &mut Run, name: &str, times: &mut Times) {
    for (label, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        run.add(format!("{name}_ms_{label}"), times.at(share).as_secs_f64() * 1e3);
    }
}
