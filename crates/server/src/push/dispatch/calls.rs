//! The dispatcher's calls of the store: what it has recorded, what it reads.
//!
//! Of each kind of record one call is under way at a time: what comes in meanwhile shares the next. A few reads at once.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::retry::Backoff;
use downlink_core::{Span, Timestamp};
use downlink_store::{
    Diverted, Ready, ReceiverKey, Settled, Store, StoreError, StoredReceiver, Stowed, Told,
};
use foldhash::{HashSet, HashSetExt};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use super::Dispatcher;
use crate::clock;
use crate::push::attempt::Sends;
use crate::push::desk::Changed;
use crate::push::schedule::Refill;

/// Records in one call of the store at the most.
const RECORDS: usize = 1024;

/// Stored pushes become so in smaller groups: each writes rows, and others wait for the writer.
const DIVERTS: usize = 256;

/// Reads at once; and receivers that wait to be looked at.
const READS: usize = 4;
const LOOKS: usize = 1024;

/// Receivers in one read; bytes of content in one.
const PAGE: u32 = 500;
const READ_BYTES: usize = 256 * 1024;

/// The pause after a read that failed.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Pauses while the store refuses.
const STORE_PAUSE: Backoff = Backoff {
    first: Span::from_millis(100),
    longest: Span::from_secs(5),
};

/// Refusals of the store in a row after which a stopping server gives up: what it could not record is pushed again
/// after the next start.
const LAST_TRIES: u32 = 3;

/// A call that came back.
pub(super) enum Done {
    Told(Vec<Told>, Result<(), StoreError>),
    Settled(Vec<Settled>, Result<Vec<ReceiverKey>, StoreError>),
    Diverted(Vec<Diverted>, Result<Vec<Option<Stowed>>, StoreError>),
    Read(ReceiverKey, Result<Ready, StoreError>),
    Looked(Look, Result<Option<StoredReceiver>, StoreError>),
    Paged(Result<Vec<StoredReceiver>, StoreError>),
    /// Notices made something ready of these.
    Stirred(Vec<ReceiverKey>),
}

/// A receiver to be looked at, and who waits for that.
pub(super) struct Look {
    receiver: ReceiverKey,
    asked: Vec<Changed>,
}

type Call = Pin<Box<dyn Future<Output = Done> + Send>>;

/// See the module.
pub(super) struct Calls {
    store: Arc<dyn Store>,
    under_way: FuturesUnordered<Call>,
    telling: bool,
    settling: bool,
    diverting: bool,
    reads: usize,
    paging: bool,
    /// Rows of receivers are read one call after the other, so that what was read last is what the store had last.
    looking: bool,
    /// All of them were read since the start.
    looked_at_all: bool,
    listening: bool,
    /// Receivers that this round of looking has found held.
    held: HashSet<ReceiverKey>,
    looks: VecDeque<Look>,
    refusals: u32,
    look_every: Duration,
    next_page: Option<ReceiverKey>,
    next_look: Duration,
    /// How far ahead a read goes that leaves no pause out.
    ahead: Span,
}

impl Calls {
    pub(super) fn new(store: Arc<dyn Store>, look_every: Duration, longest_pause: Span) -> Self {
        Self {
            store,
            under_way: FuturesUnordered::new(),
            telling: false,
            settling: false,
            diverting: false,
            reads: 0,
            paging: false,
            looking: false,
            looked_at_all: false,
            listening: false,
            held: HashSet::new(),
            looks: VecDeque::new(),
            refusals: 0,
            look_every,
            next_page: None,
            next_look: Duration::ZERO,
            ahead: longest_pause.times(2),
        }
    }

    /// The next call that comes back; none while none is under way.
    pub(super) async fn next(&mut self) -> Option<Done> {
        let done = self.under_way.next().await?;
        match &done {
            Done::Told(..) => self.telling = false,
            Done::Settled(..) => self.settling = false,
            Done::Diverted(..) => self.diverting = false,
            Done::Read(..) => self.reads -= 1,
            Done::Looked(..) => self.looking = false,
            Done::Paged(_) => self.paging = false,
            Done::Stirred(_) => self.listening = false,
        }
        Some(done)
    }

    /// The store has news of this receiver.
    pub(super) fn look_at(&mut self, key: ReceiverKey) {
        if self.has_room() {
            self.look(key);
        }
    }

    /// The operator changed something of this receiver, and waits: of whom there are as many as calls of his.
    pub(super) fn look_for(&mut self, changed: Changed) {
        self.look(changed.receiver).asked.push(changed);
    }

    fn look(&mut self, receiver: ReceiverKey) -> &mut Look {
        let known = self.looks.iter().position(|look| look.receiver == receiver);
        let place = known.unwrap_or(self.looks.len());
        if known.is_none() {
            let asked = Vec::new();
            self.looks.push_back(Look { receiver, asked });
        }
        &mut self.looks[place]
    }

    /// Whether it is known which receivers are held.
    pub(super) fn knows_receivers(&self) -> bool {
        self.looked_at_all
    }

    pub(super) fn has_room(&self) -> bool {
        self.looks.len() < LOOKS
    }

    /// When to look which receivers have something waiting.
    pub(super) fn next_look(&self) -> Option<Duration> {
        (!self.paging && !self.looking).then_some(self.next_look)
    }

    /// Whether acceptances can be recorded now: no call for that is under way.
    pub(super) fn may_tell(&self) -> bool {
        !self.telling
    }

    pub(super) fn is_finished(&self, owes: bool) -> bool {
        let recording = self.telling || self.settling || self.diverting || owes;
        !recording || self.refusals >= LAST_TRIES
    }

    fn start(&mut self, call: impl Future<Output = Done> + Send + 'static, record: bool) {
        let pause = STORE_PAUSE.whole(self.refusals).as_millis();
        let pause = Duration::from_millis(u64::try_from(pause).unwrap_or(0));
        let refused_before = self.refusals > 0;
        self.under_way.push(Box::pin(async move {
            if refused_before && record {
                sleep(pause).await;
            }
            call.await
        }));
    }

    /// Whether the store did it. If not, that is said once.
    fn did<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(done) => {
                self.refusals = 0;
                Some(done)
            }
            Err(error) => {
                if self.refusals == 0 {
                    tracing::warn!(%error, "the store did not record what became of pushes; trying on");
                }
                self.refusals = self.refusals.saturating_add(1);
                None
            }
        }
    }
}

impl<S: Sends> Dispatcher<S> {
    /// Has the store record and read what is to be. `stopping`: also what could wait, and nothing is read.
    pub(super) fn call(&mut self, stopping: bool) {
        self.tell(stopping);
        self.record();
        if !stopping {
            self.page();
            self.look_at_receiver();
            self.read();
            self.listen();
        }
    }

    fn tell(&mut self, all: bool) {
        if self.calls.telling {
            return;
        }
        let now = if all { Duration::MAX } else { self.began.elapsed() };
        let told = self.schedule.take_accepted(now, RECORDS);
        if told.is_empty() {
            return;
        }
        self.calls.telling = true;
        let store = Arc::clone(&self.calls.store);
        let call = async move {
            let result = store.told(told.clone()).await;
            Done::Told(told, result)
        };
        self.calls.start(call, true);
    }

    fn record(&mut self) {
        if !self.calls.settling {
            let settled = self.schedule.take_settled(RECORDS);
            if !settled.is_empty() {
                self.calls.settling = true;
                let store = Arc::clone(&self.calls.store);
                let call = async move {
                    let result = store.settle(settled.clone()).await;
                    Done::Settled(settled, result)
                };
                self.calls.start(call, true);
            }
        }
        if !self.calls.diverting {
            let diverted = self.schedule.take_diverts(DIVERTS);
            if !diverted.is_empty() {
                self.calls.diverting = true;
                let store = Arc::clone(&self.calls.store);
                let call = async move {
                    let result = store.divert(diverted.clone()).await;
                    Done::Diverted(diverted, result)
                };
                self.calls.start(call, true);
            }
        }
    }

    fn look_at_receiver(&mut self) {
        if self.calls.paging || self.calls.looking {
            return;
        }
        let Some(look) = self.calls.looks.pop_front() else {
            return;
        };
        self.calls.looking = true;
        let store = Arc::clone(&self.calls.store);
        let call = async move {
            let known = store.receiver(look.receiver).await;
            if known.is_err() {
                // It is asked for again at once.
                sleep(READ_PAUSE).await;
            }
            Done::Looked(look, known)
        };
        self.calls.start(call, false);
    }

    fn read(&mut self) {
        while self.calls.reads < READS {
            let store = Arc::clone(&self.calls.store);
            if let Some(refill) = self.schedule.take_refill(self.began.elapsed()) {
                let (now, key) = (clock::now(), refill.receiver);
                let until = if refill.ahead { now + self.calls.ahead } else { now };
                let call = async move { Done::Read(key, refill_from(&*store, refill, until).await) };
                self.calls.start(call, false);
            } else {
                return;
            }
            self.calls.reads += 1;
        }
    }

    /// Looks which receivers have something waiting: what hints did not tell, and all after a start.
    fn page(&mut self) {
        if self.calls.paging || self.calls.looking || self.began.elapsed() < self.calls.next_look {
            return;
        }
        self.calls.paging = true;
        let (store, after) = (Arc::clone(&self.calls.store), self.calls.next_page);
        let call = async move { Done::Paged(store.receivers(after, true, PAGE).await) };
        self.calls.start(call, false);
    }

    /// Hears which receivers notices made something ready for.
    fn listen(&mut self) {
        if self.calls.listening {
            return;
        }
        self.calls.listening = true;
        let store = Arc::clone(&self.calls.store);
        let call = async move {
            store.stirred().await;
            Done::Stirred(store.take_stirred())
        };
        self.calls.start(call, false);
    }

    /// A call came back.
    pub(super) fn done(&mut self, done: Done) {
        let (now, wall) = (self.began.elapsed(), clock::now());
        match done {
            Done::Told(told, result) => match self.calls.did(result) {
                Some(()) => self.schedule.recorded(&told, now),
                None => self.schedule.not_recorded(&told),
            },
            Done::Settled(settled, result) => match self.calls.did(result) {
                Some(stirred) => self.schedule.settled(&settled, &stirred, now, wall),
                None => self.schedule.not_settled(settled),
            },
            Done::Diverted(diverted, result) => match self.calls.did(result) {
                Some(stowed) => {
                    let strangers = self.schedule.diverted(&diverted, &stowed, now, wall);
                    strangers.into_iter().for_each(|key| self.calls.look_at(key));
                }
                None => self.schedule.not_diverted(diverted),
            },
            Done::Read(key, Ok(ready)) => self.schedule.refilled(key, ready, now, wall),
            Done::Read(key, Err(error)) => {
                tracing::debug!(%error, "stored pushes were not read; trying on");
                self.schedule.not_refilled(key, now);
            }
            Done::Looked(look, Ok(known)) => {
                if let Some(known) = known {
                    self.schedule.stored(&known, now, wall);
                }
                self.changed(look, now, wall);
            }
            Done::Looked(look, Err(error)) => {
                tracing::debug!(%error, "a receiver was not read");
                look.asked
                    .into_iter()
                    .for_each(|changed| self.calls.look_for(changed));
            }
            Done::Stirred(keys) => {
                for key in keys {
                    if !self.schedule.stir(key, now) {
                        self.calls.look_at(key);
                    }
                }
            }
            Done::Paged(Ok(page)) => self.paged(&page, now, wall),
            Done::Paged(Err(error)) => {
                match self.calls.looked_at_all {
                    true => tracing::debug!(%error, "receivers were not read; trying on"),
                    false => tracing::warn!(
                        %error,
                        "nothing is pushed until it is known which receivers are held; trying on"
                    ),
                }
                self.calls.next_look = now + self.calls.look_every.min(Duration::from_secs(1));
            }
        }
    }

    /// What the operator changed of a receiver is known now. Who asked may be gone.
    fn changed(&mut self, look: Look, now: Duration, wall: Timestamp) {
        if look.asked.is_empty() {
            return;
        }
        let again = look.asked.iter().any(|changed| changed.again);
        self.schedule.changed(look.receiver, again, now, wall);
        for changed in look.asked {
            let _ = changed.done.send(());
        }
    }

    fn paged(&mut self, page: &[StoredReceiver], now: Duration, wall: Timestamp) {
        for known in page {
            self.schedule.stored(known, now, wall);
            if known.held_at.is_some() {
                self.calls.held.insert(known.key);
            }
        }
        let full = page.len() == PAGE as usize;
        self.calls.next_page = page.last().map(|last| last.key).filter(|_| full);
        if !full {
            self.calls.next_look = now + self.calls.look_every;
            self.calls.looked_at_all = true;
            // One that was released and has nothing waiting is not among them.
            let held = std::mem::take(&mut self.calls.held);
            for key in self.schedule.held().filter(|key| !held.contains(key)) {
                self.calls.look_at(key);
            }
        }
    }
}

async fn refill_from(store: &dyn Store, refill: Refill, until: Timestamp) -> Result<Ready, StoreError> {
    let limit = u32::try_from(refill.limit).unwrap_or(u32::MAX);
    let ready = store
        .ready(refill.receiver, refill.except, until, limit, READ_BYTES)
        .await;
    if ready.is_err() {
        // It is asked for again at once.
        sleep(READ_PAUSE).await;
    }
    ready
}
