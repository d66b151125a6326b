//! The receiver: answers 200 to every push and keeps what it says of each command.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::http::{head, member};

const EXPECTED: [&str; 3] = ["SENT", "DELIVERED", "SUCCESSFUL"];

/// What was pushed. One thread, so no lock.
#[derive(Default)]
pub(crate) struct Pushed {
    commands: HashMap<String, Seen>,
    pub(crate) pushes: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
}

#[derive(Default)]
struct Seen {
    next: usize,
    done_at: Option<Instant>,
    waiting: Option<oneshot::Sender<Instant>>,
}

impl Pushed {
    fn take(&mut self, command: &str, status: &str) {
        self.pushes += 1;
        let seen = self.commands.entry(command.to_owned()).or_default();
        match EXPECTED.iter().position(|expected| *expected == status) {
            Some(place) if place == seen.next => seen.next += 1,
            Some(place) if place < seen.next => self.duplicates += 1,
            Some(_) | None => self.out_of_order += 1,
        }
        if seen.next == EXPECTED.len() && seen.done_at.is_none() {
            let now = Instant::now();
            seen.done_at = Some(now);
            if let Some(waiting) = seen.waiting.take() {
                let _gone = waiting.send(now);
            }
        }
    }

    /// When the command's last push arrived, or will.
    pub(crate) fn done(&mut self, command: &str) -> Result<Instant, oneshot::Receiver<Instant>> {
        let seen = self.commands.entry(command.to_owned()).or_default();
        match seen.done_at {
            Some(at) => Ok(at),
            None => {
                let (sender, receiver) = oneshot::channel();
                seen.waiting = Some(sender);
                Err(receiver)
            }
        }
    }

    /// Commands without all of their pushes.
    pub(crate) fn unfinished(&self) -> usize {
        self.commands
            .values()
            .filter(|seen| seen.done_at.is_none())
            .count()
    }
}

/// Listens; gives its address.
pub(crate) async fn start(pushed: Rc<RefCell<Pushed>>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream, Rc::clone(&pushed)));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream, pushed: Rc<RefCell<Pushed>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
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
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
            continue;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
