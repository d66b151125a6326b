//! A receiver that keeps an account: what came first and when, what came again, what came too early, how many at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use crate::world::http::{head, member};

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// How long each answer takes.
    pub(super) after: Duration,
    /// More at once than so many are answered 503, at once.
    pub(super) at_once: usize,
}

impl Shape {
    /// One that takes all, at once.
    pub(super) const OPEN: Self = Self {
        after: Duration::ZERO,
        at_once: usize::MAX,
    };
}

/// A request, when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub(super) at: Instant,
    /// Requests in hand then, with this one.
    pub(super) in_hand: usize,
    pub(super) refused: bool,
}

/// What became of one command.
#[derive(Default)]
struct Told {
    /// The sequences that were accepted.
    seqs: Vec<u32>,
    first: Option<Instant>,
}

/// The account. One thread, so no lock.
#[derive(Default)]
pub(super) struct Heard {
    commands: HashMap<Box<str>, Told>,
    /// Every request, refused ones too.
    pub(super) requests: Vec<Came>,
    /// Changes that were accepted, each counted once.
    pub(super) distinct: u64,
    /// Accepted again.
    pub(super) repeats: u64,
    /// Accepted for the first time after a later change of the same command.
    pub(super) overtaken: u64,
    in_hand: usize,
}

impl Heard {
    /// When the first push of a command was accepted.
    pub(super) fn first(&self, command: &str) -> Option<Instant> {
        self.commands.get(command)?.first
    }

    /// When the last request came.
    pub(super) fn last_at(&self) -> Option<Instant> {
        self.requests.last().map(|came| came.at)
    }

    /// Requests that were not refused, in their order.
    pub(super) fn accepted(&self) -> impl DoubleEndedIterator<Item = Instant> {
        let accepted = self.requests.iter().filter(|came| !came.refused);
        accepted.map(|came| came.at)
    }

    fn begin(&mut self, shape: Shape) -> bool {
        self.in_hand += 1;
        let refused = self.in_hand > shape.at_once;
        self.requests.push(Came {
            at: Instant::now(),
            in_hand: self.in_hand,
            refused,
        });
        refused
    }

    fn accept(&mut self, command: &str, seq: u32, at: Instant) {
        let told = self.commands.entry(command.into()).or_default();
        told.first.get_or_insert(at);
        if told.seqs.contains(&seq) {
            self.repeats += 1;
            return;
        }
        if told.seqs.iter().any(|known| *known > seq) {
            self.overtaken += 1;
        }
        told.seqs.push(seq);
        self.distinct += 1;
    }

    /// Waits until `count` changes were accepted, or nothing has come for `quiet`.
    pub(super) async fn all(this: &RefCell<Self>, count: u64, quiet: Duration) {
        let began = Instant::now();
        loop {
            let (distinct, last) = {
                let heard = this.borrow();
                (heard.distinct, heard.last_at().unwrap_or(began).max(began))
            };
            if distinct >= count || last.elapsed() > quiet {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Listens at `at`; gives the account and the address.
pub(super) async fn listen(at: SocketAddr, shape: Shape) -> anyhow::Result<(Rc<RefCell<Heard>>, SocketAddr)> {
    let listener = TcpListener::bind(at).await.context("a receiver's address")?;
    let (heard, address) = (Rc::<RefCell<Heard>>::default(), listener.local_addr()?);
    let account = Rc::clone(&heard);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(serve(stream, shape, Rc::clone(&account)));
        }
    });
    Ok((heard, address))
}

/// The URL of a receiver at this address.
pub(super) fn url(at: SocketAddr) -> String {
    format!("http://{at}/cb")
}

async fn serve(mut stream: TcpStream, shape: Shape, heard: Rc<RefCell<Heard>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        if let Some((from, length)) = head(&buffer)?
            && buffer.len() >= from + length
        {
            let whole = std::str::from_utf8(&buffer[..from + length])?;
            let answer = take(whole, from, shape, &heard).await?;
            buffer.drain(..from + length);
            stream.write_all(answer).await?;
            continue;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn take(
    request: &str,
    body: usize,
    shape: Shape,
    heard: &RefCell<Heard>,
) -> anyhow::Result<&'static [u8]> {
    let came = Instant::now();
    let command = member(&request[body..], "commandId").context("a commandId")?;
    let seq = sequence(&request[..body]).context("a sequence")?;
    let refused = heard.borrow_mut().begin(shape);
    if !refused && !shape.after.is_zero() {
        tokio::time::sleep(shape.after).await;
    }
    let mut heard = heard.borrow_mut();
    heard.in_hand -= 1;
    if refused {
        return Ok(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    }
    heard.accept(command, seq, came);
    Ok(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

fn sequence(head: &str) -> Option<u32> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("downlink-sequence")
            .then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_overtaking_are_told_apart() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        for seq in [2, 4, 4, 3] {
            heard.accept("a", seq, now);
        }
        heard.accept("b", 2, now);
        assert_eq!((heard.distinct, heard.repeats, heard.overtaken), (4, 1, 1));
        assert_eq!(heard.first("a"), Some(now));
        assert_eq!(heard.first("c"), None);
    }

    #[test]
    fn more_than_it_takes_is_refused() {
        let mut heard = Heard::default();
        let shape = Shape {
            at_once: 1,
            ..Shape::OPEN
        };
        assert!(!heard.begin(shape));
        assert!(heard.begin(shape));
        assert_eq!(heard.accepted().count(), 1);
    }
}
