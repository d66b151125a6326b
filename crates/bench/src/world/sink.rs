//! The receiver: answers 200 to every push and keeps what it says of each command under way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::http::{head, member};
use super::tls::Tls;

/// The pushes of a whole cycle.
pub(crate) const CYCLE: &[&str] = &["SENT", "DELIVERED", "SUCCESSFUL"];

/// No push for so long: there will be none.
const QUIET: Duration = Duration::from_secs(30);

/// What was pushed. One thread, so no lock.
pub(crate) struct Pushed {
    expected: &'static [&'static str],
    under_way: HashMap<String, Seen>,
    pub(crate) pushes: u64,
    /// Commands of which all came.
    pub(crate) finished: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// When the last push came.
    pub(crate) last_at: Option<Instant>,
}

/// How many commands are finished, and what came that should not have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) finished: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
}

impl Counts {
    /// What came after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            finished: self.finished - before.finished,
            duplicates: self.duplicates - before.duplicates,
            out_of_order: self.out_of_order - before.out_of_order,
        }
    }
}

#[derive(Default)]
struct Seen {
    next: usize,
    done_at: Option<Instant>,
    waiting: Option<oneshot::Sender<Instant>>,
}

impl Pushed {
    /// `expected` of every command, in this order.
    pub(crate) fn new(expected: &'static [&'static str]) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            expected,
            under_way: HashMap::new(),
            pushes: 0,
            finished: 0,
            duplicates: 0,
            out_of_order: 0,
            last_at: None,
        }))
    }

    /// What came so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            finished: self.finished,
            duplicates: self.duplicates,
            out_of_order: self.out_of_order,
        }
    }

    /// Expects other pushes from now on.
    pub(crate) fn expect(&mut self, expected: &'static [&'static str]) {
        self.expected = expected;
    }

    /// Takes note of a push, or of what else is waited for by a command's name.
    pub(crate) fn take(&mut self, command: &str, status: &str) {
        let now = Instant::now();
        self.pushes += 1;
        self.last_at = Some(now);
        let seen = self.under_way.entry(command.to_owned()).or_default();
        match self.expected.iter().position(|expected| *expected == status) {
            Some(place) if place == seen.next => seen.next += 1,
            Some(place) if place < seen.next => self.duplicates += 1,
            Some(_) | None => self.out_of_order += 1,
        }
        if seen.next == self.expected.len() && seen.done_at.is_none() {
            seen.done_at = Some(now);
            self.finished += 1;
            if let Some(waiting) = seen.waiting.take() {
                let _gone = waiting.send(now);
            }
        }
    }

    /// Whether all came of a command that was not waited for.
    pub(crate) fn is_done(&self, command: &str) -> bool {
        self.under_way
            .get(command)
            .is_some_and(|seen| seen.done_at.is_some())
    }

    /// Waits until all pushes of `count` commands came, or none came for a long time; gives how many are finished.
    pub(crate) async fn all(this: &RefCell<Self>, count: u64) -> u64 {
        let began = Instant::now();
        loop {
            let (finished, last) = {
                let pushed = this.borrow();
                (pushed.finished, pushed.last_at.unwrap_or(began).max(began))
            };
            if finished >= count || last.elapsed() > QUIET {
                return finished;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for the last push of a command, then forgets the command: a push of it after that counts as out of order.
    pub(crate) async fn done(this: &RefCell<Self>, command: &str) -> Option<Instant> {
        let when = this.borrow_mut().when_done(command);
        let at = match when {
            Ok(at) => Some(at),
            Err(later) => later.await.ok(),
        };
        this.borrow_mut().under_way.remove(command);
        at
    }

    fn when_done(&mut self, command: &str) -> Result<Instant, oneshot::Receiver<Instant>> {
        let seen = self.under_way.entry(command.to_owned()).or_default();
        match seen.done_at {
            Some(at) => Ok(at),
            None => {
                let (sender, receiver) = oneshot::channel();
                seen.waiting = Some(sender);
                Err(receiver)
            }
        }
    }
}

/// Listens on a free port; gives its address.
pub(crate) async fn start(pushed: Rc<RefCell<Pushed>>, tls: Tls) -> anyhow::Result<SocketAddr> {
    start_slow(pushed, tls, Rc::default()).await
}

/// The same, and each answer takes so long.
pub(crate) async fn start_slow(
    pushed: Rc<RefCell<Pushed>>,
    tls: Tls,
    delay: Rc<Cell<Duration>>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream, tls.clone(), Rc::clone(&pushed), Rc::clone(&delay)));
        }
    });
    Ok(address)
}

async fn serve(
    stream: TcpStream,
    tls: Tls,
    pushed: Rc<RefCell<Pushed>>,
    delay: Rc<Cell<Duration>>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = tls.accept(stream).await?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        if let Some((from, length)) = head(&buffer)?
            && buffer.len() >= from + length
        {
            let body = std::str::from_utf8(&buffer[from..from + length])?;
            let command = member(body, "commandId").context("a commandId")?;
            let status = member(body, "resultCode").context("a resultCode")?;
            pushed.borrow_mut().take(command, status);
            buffer.drain(..from + length);
            if !delay.get().is_zero() {
                tokio::time::sleep(delay.get()).await;
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
            stream.flush().await?;
            continue;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
