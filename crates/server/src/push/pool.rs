//! Connections to receivers: taken for one exchange, kept a while for the next.
//!
//! By origin and TLS profile, so for all applications that push there and have no TLS of their own: such a connection
//! carries nothing of an application but its requests. One that was made with an application's certificate serves no other, and is let go when
//! the profile changes.
//!
//! Over HTTP/1.1 a connection serves one exchange at a time; the one that was used last is used next, so that those
//! that are too many age and go. Over HTTP/2 one connection serves many, and a further one is made when it is full; an application makes one
//! at a time.

mod lane;
mod link;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use downlink_core::AppKey;
use foldhash::HashMap;
use tokio::time::{Instant, timeout};

use self::lane::{Found, Lane};
use self::link::{Begun, Lease};
use super::connect::{ConnectError, Connector};
use super::outcome::{self, Phase};
use super::target::Target;
use super::tls::TlsProfile;
use super::trust::TrustBook;

pub(super) use self::link::{One, Stream};

/// A connection for one exchange.
pub(super) struct Taken {
    pub(super) over: Over,
    /// It was used before: its receiver may have closed it meanwhile.
    pub(super) reused: bool,
}

/// How the exchange goes over it.
pub(super) enum Over {
    /// HTTP/1.1: for this exchange alone.
    Http1(One),
    /// HTTP/2: beside others.
    Http2(Stream),
}

/// See the module.
pub(super) struct Pool {
    connector: Connector,
    lanes: Arc<Lanes>,
}

/// The connections that there are.
struct Lanes {
    by_key: Mutex<HashMap<Key, Lane>>,
    most: usize,
    rest: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    profile: u64,
    origin: Arc<str>,
}

impl Pool {
    /// A pool that keeps up to `most` idle connections per origin, each for as long as `rest`.
    pub(super) fn new(connector: Connector, most: usize, rest: Duration, trust: &Arc<TrustBook>) -> Self {
        let lanes = Arc::new(Lanes {
            by_key: Mutex::default(),
            most,
            rest,
        });
        tokio::spawn(sweep(Arc::downgrade(&lanes), Arc::downgrade(trust), rest));
        Self { connector, lanes }
    }

    /// A connection to the target: one that has room, else a new one, for which `app` is the one that asks.
    pub(super) async fn take(
        &self,
        app: AppKey,
        target: &Target,
        profile: &Arc<TlsProfile>,
    ) -> Result<Taken, ConnectError> {
        let key = key(target, profile);
        match self.reuse(&key).await {
            Some(taken) => Ok(taken),
            // Apart, since what dialling needs is large, and most attempts need it not.
            None => Box::pin(self.make(app, key, target, profile)).await,
        }
    }

    async fn make(
        &self,
        app: AppKey,
        key: Key,
        target: &Target,
        profile: &Arc<TlsProfile>,
    ) -> Result<Taken, ConnectError> {
        let https = target.ask.as_ref().is_some_and(|ask| ask.https);
        if !(https && profile.http2) {
            return self.dial(app, key, target, profile).await;
        }
        // Whoever comes while its application makes a connection waits for it: it may have room for all of them.
        let Some(turns) = self.lanes.turns(app, &key, profile) else {
            return self.dial(app, key, target, profile).await;
        };
        outcome::enter(Phase::Connect);
        let turn = turns.lock_owned().await;
        if let Some(taken) = self.reuse(&key).await {
            outcome::enter(Phase::Answer);
            return Ok(taken);
        }
        // It turned out to be HTTP/1.1 while this one waited.
        if self.lanes.turns(app, &key, profile).is_none() {
            drop(turn);
        }
        self.dial(app, key, target, profile).await
    }

    /// Gives a connection back whose answer was read to the end.
    pub(super) fn give_back(&self, target: &Target, profile: &Arc<TlsProfile>, mut one: One) {
        let lanes = &self.lanes;
        if lanes.most > 0 && !one.was_closed() {
            let mut by_key = lanes.lock();
            let lane = by_key
                .entry(key(target, profile))
                .or_insert_with(|| Lane::new(profile));
            lane.put(one, lanes.most);
        }
    }

    async fn reuse(&self, key: &Key) -> Option<Taken> {
        loop {
            let found = self.lanes.lock().get_mut(key)?.take()?;
            let over = match found {
                // It is ready as soon as its last answer is read to the end; or it was closed.
                Found::One(mut one) => match one.ready().await {
                    true => Over::Http1(one),
                    false => continue,
                },
                Found::Stream(stream) => Over::Http2(stream),
            };
            return Some(Taken { over, reused: true });
        }
    }

    async fn dial(
        &self,
        app: AppKey,
        key: Key,
        target: &Target,
        profile: &Arc<TlsProfile>,
    ) -> Result<Taken, ConnectError> {
        let link = self.connector.connect(app, target, profile).await?;
        let over = match link::begin(link).await? {
            Begun::Http1(one) => {
                self.lanes.speaks_http1(key, profile);
                Over::Http1(one)
            }
            Begun::Http2(shared) => {
                let stream = Stream {
                    sender: shared.sender.clone(),
                    lease: Lease::of(&shared.load),
                };
                let mut by_key = self.lanes.lock();
                let lane = by_key.entry(key).or_insert_with(|| Lane::new(profile));
                lane.share(shared, self.lanes.most);
                Over::Http2(stream)
            }
        };
        Ok(Taken { over, reused: false })
    }
}

fn key(target: &Target, profile: &TlsProfile) -> Key {
    let https = target.ask.as_ref().is_some_and(|ask| ask.https);
    Key {
        profile: if https { profile.number } else { 0 },
        origin: Arc::clone(&target.origin),
    }
}

impl Lanes {
    /// Where those of an application wait who would make a connection; none: the receiver speaks HTTP/1.1, which needs one for each. Applications
    /// wait apart: one may have all its look-ups under way, and would hold up the others.
    fn turns(
        &self,
        app: AppKey,
        key: &Key,
        profile: &Arc<TlsProfile>,
    ) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let mut by_key = self.lock();
        let lane = by_key.entry(key.clone()).or_insert_with(|| Lane::new(profile));
        lane.turns(app)
    }

    fn speaks_http1(&self, key: Key, profile: &Arc<TlsProfile>) {
        if profile.http2 {
            let mut by_key = self.lock();
            let lane = by_key.entry(key).or_insert_with(|| Lane::new(profile));
            lane.speaks_http1();
        }
    }

    /// Lets go of those that rested long enough, that were closed, and whose profile is no more.
    fn forget(&self, now: Instant) {
        self.lock().retain(|_, lane| lane.forget(now, self.rest));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Lane>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks through the idle ones now and then, and when a profile changed, for as long as there is a pool.
async fn sweep(lanes: Weak<Lanes>, trust: Weak<TrustBook>, rest: Duration) {
    let pause = (rest / 4).max(Duration::from_millis(100));
    while let (Some(lanes), Some(trust)) = (lanes.upgrade(), trust.upgrade()) {
        lanes.forget(Instant::now());
        drop(lanes);
        // Which of the two it was makes no difference.
        let _either = timeout(pause, trust.changed()).await;
    }
}
