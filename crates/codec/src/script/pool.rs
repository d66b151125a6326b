//! Threads for scripts: few, and none that one script can have for itself.
//!
//! The engine ends a script that is out of time wherever it looks at the clock, and there are long operations in which it does
//! not. So nobody waits for a call longer than [`PoolLimits::patience`]: its caller is told that the time is over, and
//! another thread takes the place of the one that is lost, which ends as soon as the call does. A script that is still at
//! it after [`PoolLimits::stop_after`] is not run again. Scripts take turns, and each has half of the threads at most.

mod queue;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Script, ScriptHost};
use crate::error::ScriptError;
use queue::{Job, Queues};

/// More than a script's engine ever takes of it.
const STACK: usize = 1024 * 1024;

/// How much a pool may have.
#[derive(Debug, Clone, Copy)]
pub struct PoolLimits {
    /// Threads that work.
    pub threads: usize,
    /// Threads beside them that do not come back from a script. If there are more, the pool works with fewer.
    pub lost: usize,
    /// Calls that wait, in all.
    pub waiting: usize,
    /// Calls of one script that wait.
    pub waiting_per_script: usize,
    /// How long a call may take by the wall's clock before its caller is told that it is over: well above what the host gives to
    /// scripts, which is time of the processor. Only what the engine cannot end gets here, or what a machine has no time for.
    pub patience: Duration,
    /// How long it may take before its script is not run any more. Generous: a busy machine is no fault of the script.
    pub stop_after: Duration,
}

impl Default for PoolLimits {
    /// 2 threads, 2 lost; 1024 waiting, 256 of one script; 200 ms, 2 s.
    fn default() -> Self {
        Self {
            threads: 2,
            lost: 2,
            waiting: 1024,
            waiting_per_script: 256,
            patience: Duration::from_millis(200),
            stop_after: Duration::from_secs(2),
        }
    }
}

/// Too many calls wait, of all scripts or of this one. It is worth trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many scripts wait for their turn")]
pub struct Busy;

/// Threads for scripts. Without it they end, those that are lost excepted.
#[derive(Debug)]
pub struct ScriptPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: ScriptHost,
    limits: PoolLimits,
    state: Mutex<State>,
    /// There is work, or it is over.
    work: Condvar,
    /// A call began, or it is over.
    begun: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queues: Queues,
    running: Vec<Call>,
    lost: Vec<Lost>,
    /// Places of lost threads that nobody took.
    vacant: usize,
    calls: u64,
    closing: bool,
}

/// A call that a thread is at.
#[derive(Debug)]
struct Call {
    id: u64,
    script: Script,
    begun: Instant,
    give_up: GiveUp,
}

/// A call that nobody waits for any more, and its thread.
#[derive(Debug)]
struct Lost {
    id: u64,
    script: Script,
    begun: Instant,
}

/// Tells the caller that it is over.
struct GiveUp(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for GiveUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GiveUp")
    }
}

impl ScriptPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn new(host: ScriptHost, limits: PoolLimits) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            host,
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
            begun: Condvar::new(),
        });
        let pool = Self { shared };
        for _ in 0..limits.threads.max(1) {
            start("script", Arc::clone(&pool.shared), Shared::work)?;
        }
        start("script-watch", Arc::clone(&pool.shared), Shared::watch)?;
        Ok(pool)
    }

    /// Has `work` done on a thread for scripts, when it is this script's turn, and `reply` called with what comes of it: there, or
    /// elsewhere with [`ScriptError::Time`] if it takes too long. `reply` must not block.
    ///
    /// # Errors
    /// Too many calls wait; `reply` is not called then.
    pub fn run<T: Send + 'static>(
        &self,
        script: &Script,
        work: impl FnOnce(&ScriptHost) -> T + Send + 'static,
        reply: impl FnOnce(Result<T, ScriptError>) + Send + 'static,
    ) -> Result<(), Busy> {
        // Whoever comes first takes the reply.
        let reply = Arc::new(Mutex::new(Some(reply)));
        let late = Arc::clone(&reply);
        let ms = u64::try_from(self.shared.limits.patience.as_millis()).unwrap_or(u64::MAX);
        let take = |reply: &Mutex<Option<_>>| reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        let job = Job {
            script: script.clone(),
            work: Box::new(move |host| {
                let done = work(host);
                if let Some(reply) = take(&reply) {
                    reply(Ok(done));
                }
            }),
            give_up: GiveUp(Box::new(move || {
                if let Some(reply) = take(&late) {
                    reply(Err(ScriptError::Time { ms }));
                }
            })),
        };
        let limits = &self.shared.limits;
        let mut state = self.shared.lock();
        state
            .queues
            .push(job, limits.waiting, limits.waiting_per_script)?;
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// How many threads have not come back from a script. For metrics.
    pub fn lost(&self) -> usize {
        self.shared.lock().lost.len()
    }

    /// How many calls wait for their turn. For metrics.
    pub fn waiting(&self) -> usize {
        self.shared.lock().queues.waiting()
    }
}

impl Drop for ScriptPool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.begun.notify_all();
    }
}

fn start(name: &str, shared: Arc<Shared>, duty: fn(&Arc<Shared>)) -> io::Result<()> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(move || duty(&shared)).map(drop)
}

impl Shared {
    /// Nothing that is done under the lock can panic half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread for scripts does all its life.
    fn work(self: &Arc<Self>) {
        while let Some((id, work)) = self.next() {
            work(&self.host);
            if !self.is_still_mine(id) {
                return;
            }
        }
    }

    fn next(&self) -> Option<(u64, queue::Work)> {
        let most = (self.limits.threads / 2).max(1);
        let mut state = self.lock();
        loop {
            if state.closing {
                return None;
            }
            let State {
                queues,
                running,
                lost,
                ..
            } = &mut *state;
            let busy = |key| {
                let running = running.iter().filter(|call| call.script.key() == key).count();
                running + lost.iter().filter(|lost| lost.script.key() == key).count()
            };
            if let Some(job) = queues.next(|key| busy(key) < most) {
                state.calls += 1;
                let id = state.calls;
                state.running.push(Call {
                    id,
                    script: job.script,
                    begun: Instant::now(),
                    give_up: job.give_up,
                });
                self.begun.notify_one();
                return Some((id, job.work));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the thread that did this call goes on: it does not if another took its place.
    fn is_still_mine(&self, id: u64) -> bool {
        let mut state = self.lock();
        // What it did may have kept others of the same script back.
        self.work.notify_all();
        let before = state.running.len();
        state.running.retain(|call| call.id != id);
        if state.running.len() < before {
            return true;
        }
        state.lost.retain(|lost| lost.id != id);
        let vacant = state.vacant > 0;
        state.vacant -= usize::from(vacant);
        vacant
    }

    /// Looks after calls that take too long.
    fn watch(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.closing {
            let now = Instant::now();
            for lost in state
                .lost
                .iter()
                .filter(|lost| now >= lost.begun + self.limits.stop_after)
            {
                lost.script.stop();
            }
            let overdue = state
                .running
                .iter()
                .position(|call| now >= call.begun + self.limits.patience);
            if let Some(place) = overdue {
                let call = state.running.swap_remove(place);
                state = self.give_up(state, call);
                continue;
            }
            let due = state.running.iter().map(|call| call.begun + self.limits.patience);
            let due = due.chain(
                state
                    .lost
                    .iter()
                    .filter(|lost| lost.script.check().is_ok())
                    .map(|lost| lost.begun + self.limits.stop_after),
            );
            state = match due.min() {
                None => self.begun.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let wait = due.saturating_duration_since(now);
                    self.begun
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Another thread for the one that is lost, if there may be so many.
    fn give_up<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        call: Call,
    ) -> MutexGuard<'a, State> {
        state.lost.push(Lost {
            id: call.id,
            script: call.script,
            begun: call.begun,
        });
        let may = state.lost.len() - state.vacant <= self.limits.lost;
        drop(state);
        (call.give_up.0)();
        let started = may && start("script", Arc::clone(self), Self::work).is_ok();
        let mut state = self.lock();
        if !started {
            state.vacant += 1;
        }
        state
    }
}

#[cfg(all(test, feature = "codec-js"))]
mod tests;
