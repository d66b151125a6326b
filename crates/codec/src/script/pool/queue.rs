//! Calls that wait: a queue for each script, and turns between the scripts.

use std::collections::VecDeque;

use super::{Busy, GiveUp};
use crate::script::{Script, ScriptHost};

/// A call.
pub(super) type Work = Box<dyn FnOnce(&ScriptHost) + Send>;

/// A call that waits.
pub(super) struct Job {
    pub(super) script: Script,
    pub(super) work: Work,
    pub(super) give_up: GiveUp,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// The queues, the one whose turn it is first. None is empty.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: VecDeque<(usize, VecDeque<Job>)>,
    waiting: usize,
}

impl Queues {
    /// Puts a call behind the others of its script.
    pub(super) fn push(&mut self, job: Job, most: usize, most_per_script: usize) -> Result<(), Busy> {
        if self.waiting >= most {
            return Err(Busy);
        }
        let key = job.script.key();
        match self.queues.iter_mut().find(|(other, _)| *other == key) {
            Some((_, jobs)) if jobs.len() >= most_per_script => return Err(Busy),
            Some((_, jobs)) => jobs.push_back(job),
            None => self.queues.push_back((key, VecDeque::from([job]))),
        }
        self.waiting += 1;
        Ok(())
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next call of the first script that may run; that script's turn comes last from then on.
    pub(super) fn next(&mut self, may: impl Fn(usize) -> bool) -> Option<Job> {
        let place = self.queues.iter().position(|(key, _)| may(*key))?;
        let (key, mut jobs) = self.queues.remove(place)?;
        let job = jobs.pop_front()?;
        self.waiting -= 1;
        if !jobs.is_empty() {
            self.queues.push_back((key, jobs));
        }
        Some(job)
    }
}
