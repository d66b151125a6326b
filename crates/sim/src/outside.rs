//! What the server sees of the world: the disk under it, the receivers, its wires. One for each life of the server; when the
//! machine has stopped, nothing gets out of it any more.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use downlink_server::simulated::{Disk, Fate, Letter, Receivers, Reply};
use tokio::sync::{Notify, oneshot};

use crate::chance::Chance;

/// What the server did that the world has to deal with.
pub(crate) enum Seen {
    /// It wrote to a connection.
    Bytes(u64, Vec<u8>),
    /// It closed a connection.
    Closed(u64),
    /// It sent a datagram.
    Datagram(SocketAddr, Vec<u8>),
    /// It pushes, and waits for the reply.
    Push(Letter, oneshot::Sender<Reply>),
    /// It answered a call of an application.
    Answer(u64, u16, Vec<u8>),
}

/// When the machine stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAt {
    /// Before this many-th commit from now.
    BeforeCommit(u32),
    /// After it, before anybody is told.
    AfterCommit(u32),
    /// After it, its sync being said to have failed.
    UnsaidCommit(u32),
    /// After so many bytes more went out.
    Byte(usize),
}

/// How the disk is.
#[derive(Debug, Clone, Copy)]
pub struct DiskMood {
    /// Milliseconds that a write takes at the least.
    pub write_least: u64,
    /// The same at the most.
    pub write_most: u64,
    /// The same of a read.
    pub read_most: u64,
    /// Commits of a hundred that are refused because the disk is full.
    pub full_percent: u64,
}

/// See the module.
pub(crate) struct Outside {
    state: Mutex<State>,
    told: Notify,
}

struct State {
    alive: bool,
    stop_at: Option<StopAt>,
    mood: DiskMood,
    chance: Chance,
    seen: VecDeque<Seen>,
    commits: u64,
    refused: u64,
}

impl Outside {
    /// The world around a server that begins.
    pub(crate) fn new(seed: u64, mood: DiskMood) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                alive: true,
                stop_at: None,
                mood,
                chance: Chance::new(seed),
                seen: VecDeque::new(),
                commits: 0,
                refused: 0,
            }),
            told: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to take.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }

    /// The next thing that the server did.
    pub(crate) fn take(&self) -> Option<Seen> {
        self.state().seen.pop_front()
    }

    /// Whether the machine runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.state().alive
    }

    /// Commits so far, and those that were refused.
    pub(crate) fn commits(&self) -> (u64, u64) {
        let state = self.state();
        (state.commits, state.refused)
    }

    /// Stops the machine.
    pub(crate) fn stop(&self) {
        self.state().alive = false;
        self.told.notify_one();
    }

    /// From now on the machine stops by itself so.
    pub(crate) fn stop_at(&self, when: Option<StopAt>) {
        self.state().stop_at = when;
    }

    /// Changes the disk.
    pub(crate) fn set_mood(&self, mood: DiskMood) {
        self.state().mood = mood;
    }

    /// The server did this, if the machine runs.
    pub(crate) fn see(&self, what: Seen) {
        let mut state = self.state();
        if state.alive {
            state.seen.push_back(what);
            self.told.notify_one();
        }
    }

    /// The server writes these bytes to a connection. Gives how many were taken; none: the machine has stopped.
    pub(crate) fn write(&self, connection: u64, bytes: &[u8]) -> Option<usize> {
        if !self.is_alive() {
            return None;
        }
        let most = self.budget(bytes.len());
        if most > 0 {
            let mut state = self.state();
            state
                .seen
                .push_back(Seen::Bytes(connection, bytes[..most].to_vec()));
        }
        if most < bytes.len() {
            self.stop();
            return None;
        }
        self.told.notify_one();
        Some(most)
    }

    /// How many of so many bytes go out before the machine stops.
    fn budget(&self, bytes: usize) -> usize {
        let mut state = self.state();
        match state.stop_at {
            Some(StopAt::Byte(left)) if left < bytes => left,
            Some(StopAt::Byte(left)) => {
                state.stop_at = Some(StopAt::Byte(left - bytes));
                bytes
            }
            Some(StopAt::BeforeCommit(_) | StopAt::AfterCommit(_) | StopAt::UnsaidCommit(_)) | None => bytes,
        }
    }
}

impl State {
    /// `most` is not less than `least`.
    fn time(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.chance.below(most.saturating_sub(least) + 1))
    }
}

impl Disk for Outside {
    fn write_time(&self) -> Duration {
        let mut state = self.state();
        let (least, most) = (state.mood.write_least, state.mood.write_most);
        state.time(least, most)
    }

    fn read_time(&self) -> Duration {
        let mut state = self.state();
        let most = state.mood.read_most;
        state.time(0, most)
    }

    fn fate(&self) -> Option<Fate> {
        let mut state = self.state();
        if !state.alive {
            return None;
        }
        state.commits += 1;
        match state.stop_at {
            Some(StopAt::BeforeCommit(0)) => {
                drop(state);
                self.stop();
                return None;
            }
            Some(StopAt::UnsaidCommit(0)) => return Some(Fate::KeptUnsaid),
            Some(
                StopAt::BeforeCommit(_) | StopAt::AfterCommit(_) | StopAt::UnsaidCommit(_) | StopAt::Byte(_),
            )
            | None => {}
        }
        let full = state.mood.full_percent;
        if state.chance.percent(full) {
            state.refused += 1;
            return Some(Fate::Lost);
        }
        Some(Fate::Kept)
    }

    fn committed(&self) -> bool {
        let mut state = self.state();
        let left = match state.stop_at {
            Some(StopAt::AfterCommit(0) | StopAt::UnsaidCommit(0)) => {
                drop(state);
                self.stop();
                return false;
            }
            Some(StopAt::BeforeCommit(left)) => Some(StopAt::BeforeCommit(left.saturating_sub(1))),
            Some(StopAt::AfterCommit(left)) => Some(StopAt::AfterCommit(left - 1)),
            Some(StopAt::UnsaidCommit(left)) => Some(StopAt::UnsaidCommit(left - 1)),
            Some(StopAt::Byte(left)) => Some(StopAt::Byte(left)),
            None => None,
        };
        state.stop_at = left;
        state.alive
    }
}

impl Receivers for Outside {
    fn deliver(&self, letter: Letter) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
        let (reply, replied) = oneshot::channel();
        self.see(Seen::Push(letter, reply));
        Box::pin(async move {
            match replied.await {
                Ok(reply) => reply,
                // Nobody will ever answer.
                Err(_) => std::future::pending().await,
            }
        })
    }
}
