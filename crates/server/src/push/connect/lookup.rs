//! Look-ups of names: few at once, and never two of the same name.
//!
//! The system's resolver holds a thread until it answers or gives up, also when nobody waits any more. So there is a limit to look-ups
//! at once, and each application has a share of it: names of one that hang leave room for the others. Whoever asks for
//! a name that is being looked up waits for that answer, whoever began it. An answer goes to those who wait for it and is not kept. What may
//! be dialled is not judged here, but by each who got the answer.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use downlink_core::AppKey;
use foldhash::HashMap;
use futures_util::FutureExt;
use futures_util::future::Shared;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// Look-ups at once.
const MOST: usize = 128;

/// Those of them that one application began.
const MOST_OF_AN_APP: usize = MOST / 4;

/// Asks for the addresses of a name. They have no port.
pub(super) type Resolver = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The addresses of a name, or why there are none.
type Answer = Result<Vec<SocketAddr>, String>;

/// An answer to come, for any number of those who wait.
type Awaited = Shared<oneshot::Receiver<Answer>>;

const BROKE_OFF: &str = "the look-up broke off";

/// Asks the system's resolver.
pub(super) fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    (name, 0).to_socket_addrs().map(Vec::from_iter)
}

/// What is shown of look-ups.
#[derive(Clone, Default)]
pub(in crate::push) struct LookUpGauges {
    /// Look-ups under way.
    pub(in crate::push) under_way: Gauge,
    /// Attempts that wait for room for one.
    pub(in crate::push) waiting: Gauge,
}

/// One that counts for as long as it is there.
struct Counted(Gauge);

impl Counted {
    fn in_(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct LookUps {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Box<Resolver>,
    gauges: LookUpGauges,
    places: Arc<Semaphore>,
    under_way: Mutex<UnderWay>,
    /// One began that others may wait for.
    began: Notify,
}

#[derive(Default)]
struct UnderWay {
    names: HashMap<Box<str>, Awaited>,
    /// Of applications that have look-ups under way, or wait for one.
    shares: HashMap<AppKey, Arc<Semaphore>>,
}

/// Room for one look-up.
struct Place {
    _of_app: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    _counted: Counted,
}

impl LookUps {
    /// None under way. Names are asked of `resolver`, each in a thread of its own.
    pub(super) fn new(resolver: Box<Resolver>, gauges: LookUpGauges) -> Self {
        Self {
            inner: Arc::new(Inner {
                resolver,
                gauges,
                places: Arc::new(Semaphore::new(MOST)),
                under_way: Mutex::default(),
                began: Notify::new(),
            }),
        }
    }

    /// The addresses of a name, each with this port. Whoever gives up while it waits for room leaves nothing behind; a look-up that
    /// began goes on.
    pub(super) async fn addresses(&self, app: AppKey, name: &str, port: u16) -> Answer {
        let awaited = tokio::select! {
            biased;
            awaited = self.joined(name) => awaited,
            place = self.place(app) => self.begin(name, place?)?,
        };
        let mut addresses = awaited.await.unwrap_or_else(|_| Err(BROKE_OFF.to_owned()))?;
        addresses.iter_mut().for_each(|address| address.set_port(port));
        Ok(addresses)
    }

    /// The answer to a look-up of this name that is under way, as soon as one is, whoever began it.
    async fn joined(&self, name: &str) -> Awaited {
        loop {
            let mut began = pin!(self.inner.began.notified());
            // From here on none is missed.
            began.as_mut().enable();
            if let Some(awaited) = self.under_way().names.get(name) {
                return awaited.clone();
            }
            began.await;
        }
    }

    /// First of the application's share, so that not more than that wait among those of all.
    async fn place(&self, app: AppKey) -> Result<Place, String> {
        let _waits = Counted::in_(&self.inner.gauges.waiting);
        let share = self.share(app);
        let of_app = share.acquire_owned().await.map_err(|error| error.to_string())?;
        let places = Arc::clone(&self.inner.places);
        let of_all = places.acquire_owned().await.map_err(|error| error.to_string())?;
        Ok(Place {
            _of_app: of_app,
            _of_all: of_all,
            _counted: Counted::in_(&self.inner.gauges.under_way),
        })
    }

    fn share(&self, app: AppKey) -> Arc<Semaphore> {
        let mut under_way = self.under_way();
        let share = under_way.shares.entry(app);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(MOST_OF_AN_APP))))
    }

    /// Begins a look-up, if none of the name has begun meanwhile.
    fn begin(&self, name: &str, place: Place) -> Result<Awaited, String> {
        let (tell, awaited) = oneshot::channel();
        let awaited = awaited.shared();
        {
            let mut under_way = self.under_way();
            if let Some(before) = under_way.names.get(name) {
                return Ok(before.clone());
            }
            under_way.names.insert(name.into(), awaited.clone());
        }
        let look_up = LookUp {
            of: self.clone(),
            name: name.into(),
            place: Some(place),
            answer: Err(BROKE_OFF.to_owned()),
            tell: Some(tell),
        };
        // A thread of its own, not one of the runtime's: a resolver that hangs must not hold up the server's exit.
        let thread = thread::Builder::new().name("push-resolve".to_owned());
        let spawned = thread.spawn(move || look_up.run());
        self.inner.began.notify_waiters();
        spawned.map(|_thread| awaited).map_err(|error| error.to_string())
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        let under_way = self.inner.under_way.lock();
        under_way.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look-up that began. Its place goes with its thread, not with whoever waits for it, who may have given up.
struct LookUp {
    of: LookUps,
    name: Box<str>,
    place: Option<Place>,
    answer: Answer,
    tell: Option<oneshot::Sender<Answer>>,
}

impl LookUp {
    fn run(mut self) {
        let found = (self.of.inner.resolver)(&self.name);
        self.answer = found.map_err(|error| error.to_string());
    }

    /// From here on the name is looked up anew.
    fn leave(&mut self) {
        drop(self.place.take());
        let mut under_way = self.of.under_way();
        under_way.names.remove(&self.name);
        under_way.shares.retain(|_, share| Arc::strong_count(share) > 1);
    }
}

impl Drop for LookUp {
    /// However it ended, also if there was no thread for it. It leaves before it tells: whoever has the answer and asks again is not given
    /// the same.
    fn drop(&mut self) {
        self.leave();
        let answer = std::mem::replace(&mut self.answer, Ok(Vec::new()));
        if let Some(tell) = self.tell.take() {
            let _nobody = tell.send(answer);
        }
    }
}

#[cfg(test)]
mod tests;
