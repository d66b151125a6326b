//! Connections to receivers: taken for one exchange at a time, kept a while for the next.
//!
//! By origin, so for all applications that push there: a connection carries nothing of an application but its requests. The
//! one that was used last is used next, so that those that are too many age and go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use foldhash::HashMap;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep};

use super::connect::{ConnectError, Connector, Link};
use super::target::Target;

/// The largest head of an answer, and how much of a body is read at once.
const MAX_HEAD: usize = 64 * 1024;

/// The sending side of a connection.
pub(super) type Sender = http1::SendRequest<Full<Bytes>>;

/// A connection taken out of the pool, or made.
pub(super) struct Taken {
    pub(super) sender: Sender,
    /// It was used before: its receiver may have closed it meanwhile.
    pub(super) reused: bool,
}

/// See the module.
pub(super) struct Pool {
    connector: Connector,
    idle: Arc<Idle>,
}

/// The idle ones.
struct Idle {
    origins: Mutex<HashMap<Arc<str>, VecDeque<Resting>>>,
    most: usize,
    rest: Duration,
}

struct Resting {
    sender: Sender,
    since: Instant,
}

impl Pool {
    /// A pool that keeps up to `most` idle connections per origin, each for as long as `rest`.
    pub(super) fn new(connector: Connector, most: usize, rest: Duration) -> Self {
        let idle = Arc::new(Idle {
            origins: Mutex::default(),
            most,
            rest,
        });
        tokio::spawn(sweep(Arc::downgrade(&idle), rest));
        Self { connector, idle }
    }

    /// A connection to the target: one that is idle, else a new one.
    pub(super) async fn take(&self, target: &Target) -> Result<Taken, ConnectError> {
        while let Some(mut sender) = self.idle.take(&target.origin) {
            // It is ready as soon as its last answer is read to the end; or it was closed.
            if sender.ready().await.is_ok() {
                return Ok(Taken { sender, reused: true });
            }
        }
        let link = self.connector.connect(target).await?;
        let sender = handshake(link).await?;
        Ok(Taken {
            sender,
            reused: false,
        })
    }

    /// Gives a connection back whose answer was read to the end.
    pub(super) fn give_back(&self, target: &Target, sender: Sender) {
        self.idle.put(&target.origin, sender);
    }
}

async fn handshake(link: Link) -> Result<Sender, ConnectError> {
    match link {
        Link::Plain(tcp) => begin(TokioIo::new(tcp)).await,
        Link::Tls(tls) => begin(TokioIo::new(*tls)).await,
    }
}

/// HTTP over a connection. A task of its own moves the bytes, and notices when the receiver closes an idle one.
async fn begin<S>(io: TokioIo<S>) -> Result<Sender, ConnectError>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let begun = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(io).await;
    let (sender, connection) = begun.map_err(|error| ConnectError::Http(error.to_string()))?;
    tokio::spawn(async move {
        // How it ended is told to whoever waits for an answer.
        let _ended = connection.await;
    });
    Ok(sender)
}

impl Idle {
    fn take(&self, origin: &Arc<str>) -> Option<Sender> {
        let mut origins = self.lock();
        let resting = origins.get_mut(origin)?;
        while let Some(last) = resting.pop_back() {
            if !last.sender.is_closed() {
                return Some(last.sender);
            }
        }
        None
    }

    fn put(&self, origin: &Arc<str>, sender: Sender) {
        if sender.is_closed() || self.most == 0 {
            return;
        }
        let mut origins = self.lock();
        let resting = origins.entry(Arc::clone(origin)).or_default();
        if resting.len() >= self.most {
            resting.pop_front();
        }
        resting.push_back(Resting {
            sender,
            since: Instant::now(),
        });
    }

    /// Lets go of those that rested long enough, and of those that were closed.
    fn forget(&self, now: Instant) {
        self.lock().retain(|_, resting| {
            resting.retain(|one| !one.sender.is_closed() && one.since + self.rest > now);
            !resting.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, VecDeque<Resting>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks through the idle ones now and then, for as long as there is a pool.
async fn sweep(idle: Weak<Idle>, rest: Duration) {
    let pause = (rest / 4).max(Duration::from_millis(100));
    while let Some(idle) = idle.upgrade() {
        idle.forget(Instant::now());
        drop(idle);
        sleep(pause).await;
    }
}
