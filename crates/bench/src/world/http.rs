//! A keep-alive HTTP/1.1 client of the smallest kind: one request, one answer with a Content-Length.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Door, Server};
use super::{APP, Stream, dial};

/// One connection.
pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    headers: String,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> anyhow::Result<Self> {
        Self::connect_at(&server.applications()).await
    }

    async fn connect_at(door: &Door) -> anyhow::Result<Self> {
        let stream = dial(door.address, None).await?;
        Ok(Self {
            stream: door.tls.wrap(stream).await?,
            buffer: Vec::with_capacity(1024),
            headers: String::new(),
        })
    }

    /// A connection that calls with the application's token.
    pub(crate) async fn authorized(server: &Server, token: &str) -> anyhow::Result<Self> {
        Self::authorized_at(&server.applications(), token).await
    }

    /// The same, without the server at hand.
    pub(crate) async fn authorized_at(door: &Door, token: &str) -> anyhow::Result<Self> {
        let mut client = Self::connect_at(door).await?;
        client.headers = format!("app_key: {APP}\r\nAuthorization: Bearer {token}\r\n");
        Ok(client)
    }

    /// Posts `body`; gives the status and the answer's body.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        self.call("POST", path, body).await
    }

    /// Makes a request; gives the status and the answer's body.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\n{}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<(u16, String)> {
        self.buffer.clear();
        loop {
            if let Some((head, length)) = head(&self.buffer)?
                && self.buffer.len() >= head + length
            {
                let text = std::str::from_utf8(&self.buffer)?;
                let status = text.get(9..12).context("no status")?.parse()?;
                return Ok((status, text[head..head + length].to_owned()));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// Fetches a page over a plain connection of its own; gives the body.
pub(crate) async fn get(from: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = dial(from, None).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without a body")?;
    Ok(body.to_owned())
}

/// So many connections that call with the application's token.
pub(crate) async fn clients(server: &Server, token: &str, count: usize) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(Client::authorized(server, token).await?);
    }
    Ok(clients)
}

/// Where the head ends and how long the body is, once the head is whole.
pub(crate) fn head(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    Ok(Some((end + 4, length.unwrap_or(0))))
}

/// The text of a string member of a compact JSON object.
pub(crate) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\":\"");
    let from = json.find(&key)? + key.len();
    json[from..].split('"').next()
}
