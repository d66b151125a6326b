//! The sessions of connected devices: who is reachable, and how to hand them something.
//!
//! A gateway registers a session before it reads the device's queue, and removes it when the connection ends. The
//! newest session of a device wins. State of a session belongs to its own task; what stands here is what others
//! may see of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use downlink_core::{CommandId, DeviceKey, Offer, Proof, SessionId};
use downlink_store::Dispatch;
use tokio::sync::{Notify, mpsc};

const SHARDS: usize = 64;

/// What can be handed to a session.
#[derive(Debug)]
pub(crate) enum ToSession {
    /// A committed Send: write it, or report it as not written.
    Dispatch(Box<Dispatch>),
    /// A hint: the device's queue may have something due.
    Work,
    /// The ack deadline of this command passed. If its acknowledgement is still owed here, the session is half-dead.
    AckOverdue(CommandId),
}

/// Why a session is told to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CloseReason {
    /// A newer connection of the same device.
    TakenOver = 1,
    /// The device was removed, or its credentials changed.
    Removed = 2,
    /// The server stops.
    Stopping = 3,
}

/// Whether a session can be sent commands, and what a send proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not (yet): no subscription.
    Unreachable,
    /// As in an [`Offer`].
    Reachable {
        /// What a send proves.
        proof: Proof,
        /// Whether messages carry a mid.
        needs_mid: bool,
    },
}

/// What others may see of a session, and its inbox.
#[derive(Debug)]
pub(crate) struct SessionHandle {
    /// Which session.
    pub(crate) id: SessionId,
    /// Of which device.
    pub(crate) device: DeviceKey,
    inbox: mpsc::Sender<ToSession>,
    reach: AtomicU8,
    inflight: AtomicUsize,
    close: AtomicU8,
    closing: Notify,
}

impl SessionHandle {
    /// A handle and the inbox behind it; `capacity` is the most that may wait there.
    pub(crate) fn new(
        id: SessionId,
        device: DeviceKey,
        capacity: usize,
    ) -> (Arc<Self>, mpsc::Receiver<ToSession>) {
        let (inbox, receiver) = mpsc::channel(capacity);
        let handle = Self {
            id,
            device,
            inbox,
            reach: AtomicU8::new(0),
            inflight: AtomicUsize::new(0),
            close: AtomicU8::new(0),
            closing: Notify::new(),
        };
        (Arc::new(handle), receiver)
    }

    /// Set by the session's own task when a subscription is granted or given up.
    pub(crate) fn set_reach(&self, reach: Reach) {
        let bits = match reach {
            Reach::Unreachable => 0,
            Reach::Reachable { proof, needs_mid } => {
                1 | u8::from(proof == Proof::ResultOnly) << 1 | u8::from(needs_mid) << 2
            }
        };
        self.reach.store(bits, Ordering::Release);
    }

    /// Whether it can be sent commands.
    pub(crate) fn reach(&self) -> Reach {
        match self.reach.load(Ordering::Acquire) {
            0 => Reach::Unreachable,
            bits => Reach::Reachable {
                proof: if bits & 2 == 0 {
                    Proof::Ack
                } else {
                    Proof::ResultOnly
                },
                needs_mid: bits & 4 != 0,
            },
        }
    }

    /// Its offer to send, if it is reachable.
    pub(crate) fn offer(&self) -> Option<Offer> {
        match self.reach() {
            Reach::Unreachable => None,
            Reach::Reachable { proof, needs_mid } => Some(Offer {
                session: self.id,
                proof,
                needs_mid,
            }),
        }
    }

    /// How many dispatches are under way: in its inbox, or written and neither acknowledged nor answered.
    /// Kept by the session's own task.
    pub(crate) fn set_inflight(&self, inflight: usize) {
        self.inflight.store(inflight, Ordering::Release);
    }

    /// See [`set_inflight`](Self::set_inflight).
    pub(crate) fn inflight(&self) -> usize {
        self.inflight.load(Ordering::Acquire)
    }

    /// Hands it a message; gives it back if its inbox is full or the session is over.
    pub(crate) fn hand(&self, message: ToSession) -> Result<(), ToSession> {
        self.inbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message) | mpsc::error::TrySendError::Closed(message) => message,
        })
    }

    /// Tells it to close. The first reason stays.
    pub(crate) fn close(&self, reason: CloseReason) {
        let _earlier = self
            .close
            .compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        self.closing.notify_one();
    }

    /// Waits until it is told to close. For the session's own task only.
    pub(crate) async fn closing(&self) -> CloseReason {
        loop {
            match self.close.load(Ordering::Acquire) {
                1 => return CloseReason::TakenOver,
                2 => return CloseReason::Removed,
                3 => return CloseReason::Stopping,
                _ => self.closing.notified().await,
            }
        }
    }
}

/// The sessions, by device.
pub(crate) struct Sessions {
    shards: Box<[Mutex<HashMap<DeviceKey, Arc<SessionHandle>>>]>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Makes this the device's session, unless a later one stands there. An earlier one is told to close.
    /// False: a later one stands there, and this one is to close.
    pub(crate) fn register(&self, handle: &Arc<SessionHandle>) -> bool {
        let mut shard = self.shard(handle.device);
        match shard.entry(handle.device) {
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(handle));
                true
            }
            Entry::Occupied(mut entry) if entry.get().id < handle.id => {
                entry.insert(Arc::clone(handle)).close(CloseReason::TakenOver);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Removes this session, if it still is the device's. Says whether it was.
    pub(crate) fn remove(&self, handle: &SessionHandle) -> bool {
        let mut shard = self.shard(handle.device);
        match shard.entry(handle.device) {
            Entry::Occupied(entry) if entry.get().id == handle.id => {
                entry.remove();
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }

    /// The device's session.
    pub(crate) fn of(&self, device: DeviceKey) -> Option<Arc<SessionHandle>> {
        self.shard(device).get(&device).cloned()
    }

    /// Hints to the device's session that its queue may have something due. A lost hint is made up for by a sweep.
    pub(crate) fn wake(&self, device: DeviceKey) {
        if let Some(session) = self.of(device) {
            let _hint = session.hand(ToSession::Work);
        }
    }

    /// All sessions, as they stand; for sweeps and the end.
    pub(crate) fn all(&self) -> Vec<Arc<SessionHandle>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(
                shard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .values()
                    .cloned(),
            );
        }
        all
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    fn shard(&self, device: DeviceKey) -> MutexGuard<'_, HashMap<DeviceKey, Arc<SessionHandle>>> {
        let shard = device.0.unsigned_abs() as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: i64) -> Arc<SessionHandle> {
        SessionHandle::new(SessionId(id), DeviceKey(1), 1).0
    }

    #[tokio::test]
    async fn the_newest_session_wins_whatever_the_order_of_arrival() {
        let (sessions, old, new) = (Sessions::new(), session(1), session(2));
        assert!(sessions.register(&old));
        assert!(sessions.register(&new));
        assert_eq!(old.closing().await, CloseReason::TakenOver);
        assert!(!sessions.register(&old));
        assert!(!sessions.remove(&old));
        assert_eq!(sessions.of(DeviceKey(1)).map(|s| s.id), Some(SessionId(2)));
        assert!(sessions.remove(&new));
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn an_offer_says_what_the_subscription_allows() {
        let handle = session(9);
        assert_eq!(handle.offer(), None);
        handle.set_reach(Reach::Reachable {
            proof: Proof::ResultOnly,
            needs_mid: true,
        });
        let offer = Offer {
            session: SessionId(9),
            proof: Proof::ResultOnly,
            needs_mid: true,
        };
        assert_eq!(handle.offer(), Some(offer));
    }
}
