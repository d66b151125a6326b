//! The sessions of connected devices: who is reachable, and how to hand them something.
//!
//! A gateway registers a session before it reads the device's queue, and removes it when the connection ends. The
//! newest session of a device wins. State of a session belongs to its own task; what stands here is what others
//! may see of it.

use foldhash::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use downlink_core::{CommandId, DeviceKey, Offer, Proof, SessionId, Span};
use downlink_store::Dispatch;

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
pub(crate) enum CloseReason {
    /// A newer connection of the same device.
    TakenOver,
    /// The device was removed, or its credentials changed.
    Removed,
    /// The server stops.
    Stopping,
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
    capacity: usize,
    ack_wait: Option<Span>,
    letters: Mutex<Letters>,
    reach: AtomicU8,
    inflight: AtomicUsize,
}

/// What waits to be taken by the session's task. A list, not a channel: idle sessions are many, and an empty list
/// holds no memory.
#[derive(Debug, Default)]
struct Letters {
    waiting: Vec<ToSession>,
    work: bool,
    close: Option<CloseReason>,
    over: bool,
    reader: Option<Waker>,
}

/// The reading end of a session's inbox; owned by the session's task. When it is dropped, nothing can be handed to
/// the session any more.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<SessionHandle>);

/// What was taken out of an inbox.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// In order; hints for work are one, and the last.
    pub(crate) messages: Vec<ToSession>,
    /// The session is to close. Said again each time.
    pub(crate) close: Option<CloseReason>,
}

impl Inbox {
    /// Takes all that waits; pending while there is nothing, and no reason to close.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut letters = self.0.letters();
        if letters.waiting.is_empty() && !letters.work && letters.close.is_none() {
            match &mut letters.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                reader => *reader = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(Taken {
            messages: letters.take(),
            close: letters.close,
        })
    }

    /// Ends the inbox: gives what was not taken; from here on nothing can be handed to the session.
    pub(crate) fn end(&self) -> Vec<ToSession> {
        let mut letters = self.0.letters();
        letters.over = true;
        letters.take()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _lost = self.end();
    }
}

impl Letters {
    fn take(&mut self) -> Vec<ToSession> {
        let mut taken = mem::take(&mut self.waiting);
        if mem::take(&mut self.work) {
            taken.push(ToSession::Work);
        }
        taken
    }
}

impl SessionHandle {
    /// A handle and the inbox behind it; `capacity` is the most that may wait there.
    pub(crate) fn new(id: SessionId, device: DeviceKey, capacity: usize) -> (Arc<Self>, Inbox) {
        Self::patient(id, device, capacity, None)
    }

    /// The same for a session whose acknowledgements may take longer, as in an [`Offer`].
    pub(crate) fn patient(
        id: SessionId,
        device: DeviceKey,
        capacity: usize,
        ack_wait: Option<Span>,
    ) -> (Arc<Self>, Inbox) {
        let handle = Arc::new(Self {
            id,
            device,
            capacity,
            ack_wait,
            letters: Mutex::default(),
            reach: AtomicU8::new(0),
            inflight: AtomicUsize::new(0),
        });
        let inbox = Inbox(Arc::clone(&handle));
        (handle, inbox)
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
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
                ack_wait: self.ack_wait,
            }),
        }
    }

    /// Set by the session's own task: how many dispatches it has taken that are neither acknowledged nor answered.
    pub(crate) fn set_inflight(&self, inflight: usize) {
        self.inflight.store(inflight, Ordering::Release);
    }

    /// How many dispatches are under way: in its inbox, or taken and neither acknowledged nor answered.
    pub(crate) fn inflight(&self) -> usize {
        self.letters().waiting.len() + self.inflight.load(Ordering::Acquire)
    }

    /// Whether as much is under way as may be: `limit`, or what its inbox holds if that is less.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.inflight() >= limit.min(self.capacity)
    }

    /// Hands it a message; gives it back if its inbox is full or the session is over.
    pub(crate) fn hand(&self, message: ToSession) -> Result<(), ToSession> {
        let mut letters = self.letters();
        if letters.over {
            return Err(message);
        }
        match message {
            ToSession::Work => letters.work = true,
            message @ (ToSession::Dispatch(_) | ToSession::AckOverdue(_)) => {
                if letters.waiting.len() >= self.capacity {
                    return Err(message);
                }
                letters.waiting.push(message);
            }
        }
        wake(letters);
        Ok(())
    }

    /// Tells it to close. The first reason stays.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut letters = self.letters();
        letters.close.get_or_insert(reason);
        wake(letters);
    }
}

/// Wakes the reader, after the lock is given back.
fn wake(mut letters: MutexGuard<'_, Letters>) {
    let reader = letters.reader.take();
    drop(letters);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The sessions, by device.
pub(crate) struct Sessions {
    shards: Box<[Shard]>,
}

type Shard = Mutex<HashMap<DeviceKey, Arc<SessionHandle>>>;

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
    use std::future::poll_fn;

    use super::*;

    fn session(id: i64) -> (Arc<SessionHandle>, Inbox) {
        SessionHandle::new(SessionId(id), DeviceKey(1), 1)
    }

    #[tokio::test]
    async fn the_newest_session_wins_whatever_the_order_of_arrival() {
        let (sessions, (old, inbox), (new, _inbox)) = (Sessions::new(), session(1), session(2));
        assert!(sessions.register(&old));
        assert!(sessions.register(&new));
        let taken = poll_fn(|cx| inbox.poll_take(cx)).await;
        assert_eq!(taken.close, Some(CloseReason::TakenOver));
        assert!(!sessions.register(&old));
        assert!(!sessions.remove(&old));
        assert_eq!(sessions.of(DeviceKey(1)).map(|s| s.id), Some(SessionId(2)));
        assert!(sessions.remove(&new));
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn an_offer_says_what_the_subscription_allows() {
        let (handle, _inbox) = session(9);
        assert_eq!(handle.offer(), None);
        handle.set_reach(Reach::Reachable {
            proof: Proof::ResultOnly,
            needs_mid: true,
        });
        let offer = Offer {
            session: SessionId(9),
            proof: Proof::ResultOnly,
            needs_mid: true,
            ack_wait: None,
        };
        assert_eq!(handle.offer(), Some(offer));
    }

    #[test]
    fn the_inbox_is_bounded_and_hints_for_work_are_one() {
        let (handle, inbox) = session(1);
        let overdue = |n| ToSession::AckOverdue(CommandId::from_parts(1, 0, n, 0));
        handle.hand(ToSession::Work).unwrap();
        handle.hand(overdue(1)).unwrap();
        assert!(matches!(handle.hand(overdue(2)), Err(ToSession::AckOverdue(_))));
        handle.hand(ToSession::Work).unwrap();
        assert_eq!(handle.inflight(), 1);
        assert!(handle.is_full(5), "its inbox holds one");
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(taken) = inbox.poll_take(&mut cx) else {
            panic!("nothing to take")
        };
        assert!(matches!(
            taken.messages[..],
            [ToSession::AckOverdue(_), ToSession::Work]
        ));
        assert!(inbox.poll_take(&mut cx).is_pending());
        drop(inbox);
        assert!(matches!(handle.hand(ToSession::Work), Err(ToSession::Work)));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let (handle, inbox) = session(1);
        let waiting = tokio::spawn(async move { poll_fn(|cx| inbox.poll_take(cx)).await });
        tokio::task::yield_now().await;
        handle.hand(ToSession::Work).unwrap();
        assert!(matches!(waiting.await.unwrap().messages[..], [ToSession::Work]));
    }
}
