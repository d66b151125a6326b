//! Bad receivers, each in its manner, and one that is not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::spawn_local;

use crate::world::http::head;
use crate::world::tls::{Authority, Tls};

/// What is wrong with a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Takes the request and says nothing.
    Hang,
    /// Answers a byte a second.
    Drip,
    /// Nobody listens.
    Refuse,
    /// Does not even refuse: what is sent there is lost.
    BlackHole,
    /// Answers 500.
    Fail,
    /// Cuts the connection once it has the request.
    Reset,
    /// Answers with a body that never ends.
    Endless,
    /// Its certificate is good, but another's.
    WrongName,
    /// Answers with a redirect to a private address.
    Redirect,
    /// Says that it accepts, and never sends the body that it announced.
    HangAfterHead,
    /// Closes each connection as soon as it has it.
    Close,
    /// Accepts with a body of 64 MiB.
    Large,
    /// Nothing is wrong with it.
    Accept,
}

/// The ten that are dead for good.
pub(super) const DEAD: [Manner; 10] = [
    Manner::Refuse,
    Manner::BlackHole,
    Manner::Drip,
    Manner::Fail,
    Manner::Reset,
    Manner::Endless,
    Manner::WrongName,
    Manner::Redirect,
    Manner::HangAfterHead,
    Manner::Close,
];

/// What a large answer has.
const LARGE: usize = 64 << 20;
/// Written at a time.
const PIECE: usize = 64 << 10;
/// A connection to a black hole would take longer.
const FULL: Duration = Duration::from_millis(300);

/// A receiver that is there, in its manner.
pub(super) struct Bad {
    pub(super) url: String,
    /// What fills a black hole.
    _fillers: Vec<TcpStream>,
    /// A black hole, which accepts nothing.
    _hole: Option<TcpListener>,
}

/// The authority of receivers with the wrong name. The server is to trust it.
pub(super) fn authority(dir: &Path) -> anyhow::Result<Arc<Authority>> {
    Ok(Arc::new(Authority::new(dir)?))
}

impl Bad {
    /// Opens one at `at`, an address with any port.
    pub(super) async fn open(
        manner: Manner,
        at: SocketAddr,
        authority: &Arc<Authority>,
    ) -> anyhow::Result<Self> {
        if manner == Manner::BlackHole {
            return hole(at).await;
        }
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let (scheme, tls) = if manner == Manner::WrongName {
            ("https", Tls::On(Arc::clone(authority)))
        } else {
            ("http", Tls::Off)
        };
        if manner != Manner::Refuse {
            spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    spawn_local(behave(manner, stream, tls.clone()));
                }
            });
        }
        Ok(Self {
            url: format!("{scheme}://{address}/cb"),
            _fillers: Vec::new(),
            _hole: None,
        })
    }
}

/// A listener with its queue of connections full: the kernel drops what comes to it.
async fn hole(at: SocketAddr) -> anyhow::Result<Bad> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(at)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut fillers = Vec::new();
    while let Ok(filler) = tokio::time::timeout(FULL, TcpStream::connect(address)).await {
        fillers.push(filler?);
        ensure!(
            fillers.len() < 16,
            "a listener that accepts nothing takes connections"
        );
    }
    Ok(Bad {
        url: format!("http://{address}/cb"),
        _fillers: fillers,
        _hole: Some(listener),
    })
}

async fn behave(manner: Manner, mut stream: TcpStream, tls: Tls) -> anyhow::Result<()> {
    match manner {
        Manner::Refuse | Manner::BlackHole | Manner::Close => {}
        // The handshake fails on the other side.
        Manner::WrongName => {
            tls.accept(stream).await?;
        }
        Manner::Hang => {
            request(&mut stream).await?;
            ended(&mut stream).await;
        }
        Manner::Drip => drip(&mut stream).await?,
        Manner::Accept => say(&mut stream, "200 OK\r\nContent-Length: 0").await?,
        Manner::Fail => say(&mut stream, "500 Internal Server Error\r\nContent-Length: 0").await?,
        Manner::Redirect => {
            let place = "307 Temporary Redirect\r\nLocation: http://10.0.0.1:80/\r\nContent-Length: 0";
            say(&mut stream, place).await?;
        }
        Manner::Reset => {
            request(&mut stream).await?;
            stream.set_zero_linger()?;
        }
        Manner::Endless => body(&mut stream, usize::MAX).await?,
        Manner::Large => body(&mut stream, LARGE).await?,
        Manner::HangAfterHead => {
            request(&mut stream).await?;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
                .await?;
            ended(&mut stream).await;
        }
    }
    Ok(())
}

/// Reads a request.
async fn request(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        if let Some((from, length)) = head(&buffer)?
            && buffer.len() >= from + length
        {
            return Ok(());
        }
        let read = stream.read_buf(&mut buffer).await?;
        ensure!(read > 0, "the request ends early");
    }
}

/// Waits until the other side has closed.
async fn ended(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    while let Ok(1..) = stream.read(&mut rest).await {}
}

/// Answers each request the same.
async fn say(stream: &mut TcpStream, what: &str) -> anyhow::Result<()> {
    loop {
        request(stream).await?;
        stream
            .write_all(format!("HTTP/1.1 {what}\r\n\r\n").as_bytes())
            .await?;
    }
}

async fn drip(stream: &mut TcpStream) -> anyhow::Result<()> {
    request(stream).await?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        "x".repeat(100)
    );
    for byte in answer.bytes() {
        stream.write_all(&[byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Accepts a request with a body of so many bytes.
async fn body(stream: &mut TcpStream, mut left: usize) -> anyhow::Result<()> {
    request(stream).await?;
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n");
    stream.write_all(length.as_bytes()).await?;
    let piece = vec![b'x'; PIECE];
    while left > 0 {
        let now = left.min(PIECE);
        stream
            .write_all(&piece[..now])
            .await
            .context("it is not read to its end")?;
        left -= now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_black_hole_neither_takes_nor_refuses() {
        let bad = hole("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("a hole");
        let address: SocketAddr = bad.url["http://".len()..bad.url.len() - "/cb".len()]
            .parse()
            .expect("an address");
        let connecting = tokio::time::timeout(FULL, TcpStream::connect(address)).await;
        assert!(connecting.is_err());
    }
}
