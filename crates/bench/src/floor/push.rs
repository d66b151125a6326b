//! Pushes: up to so many connections to each receiver, opened as they are needed, kept alive and handed round.
//!
//! A connection is one task, which makes the request and drives hyper's side of it. An idle one is not looked at: the bench's
//! receiver does not hang up.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::command::{After, Command};
use super::{Floor, ids, locked, record, spawn};

/// Connections to a receiver at the most: as many as the server has by default.
const CONNECTIONS: usize = 32;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SEQUENCE: HeaderName = HeaderName::from_static("downlink-sequence");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("downlink/", env!("CARGO_PKG_VERSION")));

/// Receivers by their URL.
#[derive(Default)]
pub(super) struct Receivers(Mutex<HashMap<Box<str>, Arc<Receiver>>>);

impl Receivers {
    /// The receiver at `url`.
    pub(super) fn at(&self, url: &str, floor: &Arc<Floor>) -> anyhow::Result<Arc<Receiver>> {
        let mut known = locked(&self.0);
        if let Some(receiver) = known.get(url) {
            return Ok(Arc::clone(receiver));
        }
        let receiver = Arc::new(Receiver::new(url, Arc::clone(floor))?);
        known.insert(url.into(), Arc::clone(&receiver));
        Ok(receiver)
    }
}

/// Where pushes go.
pub(super) struct Receiver {
    floor: Arc<Floor>,
    address: SocketAddr,
    host: HeaderValue,
    path: Uri,
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    /// Commands with something to tell.
    waiting: VecDeque<Arc<Command>>,
    /// Connections.
    open: usize,
    /// Those of them that wait for more and were not called yet.
    idle: usize,
}

impl Receiver {
    fn new(url: &str, floor: Arc<Floor>) -> anyhow::Result<Self> {
        let url: Uri = url.parse()?;
        let authority = url.authority().context("a callback URL with a host")?.as_str();
        let path = url.path_and_query().context("a callback URL with a path")?;
        Ok(Self {
            floor,
            address: authority.parse()?,
            host: HeaderValue::from_str(authority)?,
            path: Uri::from(path.clone()),
            queue: Mutex::default(),
            more: Notify::new(),
        })
    }

    /// Has the command's next status told.
    pub(super) fn push(self: &Arc<Self>, command: Arc<Command>) {
        let mut queue = locked(&self.queue);
        queue.waiting.push_back(command);
        if queue.idle > 0 {
            queue.idle -= 1;
            self.more.notify_one();
        } else if queue.open < CONNECTIONS {
            queue.open += 1;
            spawn(connection(Arc::clone(self)));
        }
    }

    async fn next(&self) -> Arc<Command> {
        loop {
            {
                let mut queue = locked(&self.queue);
                if let Some(command) = queue.waiting.pop_front() {
                    return command;
                }
                queue.idle += 1;
            }
            self.more.notified().await;
        }
    }

    fn request(&self, command: &Command, id: &str) -> anyhow::Result<Request<Full<Bytes>>> {
        let (sequence, body) = command.next(id);
        // Room for one more, which hyper adds.
        let mut headers = HeaderMap::with_capacity(7);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(WEBHOOK_ID, HeaderValue::try_from(format!("{id}-{sequence}"))?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(ids::now() / 1000));
        headers.insert(SEQUENCE, HeaderValue::from(sequence));
        headers.insert(HOST, self.host.clone());
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }
}

type Sender = SendRequest<Full<Bytes>>;
type Driver = Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// One connection: tells what waits, a command at a time.
async fn connection(to: Arc<Receiver>) -> anyhow::Result<()> {
    let stream = TcpStream::connect(to.address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = handshake(TokioIo::new(stream)).await?;
    let mut driver = pin!(driver);
    loop {
        let command = to.next().await;
        driven(driver.as_mut(), tell(&to, &mut sender, &command)).await?;
    }
}

/// Does `work` on a connection, in this task: to have hyper's side in another would cost waking each other.
async fn driven(
    mut driver: Pin<&mut Driver>,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut work = pin!(work);
    poll_fn(|cx| match driver.as_mut().poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(anyhow::anyhow!("the receiver hung up"))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending => work.as_mut().poll(cx),
    })
    .await
}

/// Tells all that a command has to tell now.
async fn tell(to: &Receiver, sender: &mut Sender, command: &Command) -> anyhow::Result<()> {
    let id = format!("{:032x}", command.id);
    loop {
        sender.ready().await?;
        let answer = sender.send_request(to.request(command, &id)?).await?;
        ensure!(answer.status().is_success(), "a push was refused");
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        match command.accepted() {
            After::More => {}
            After::Rest => return Ok(()),
            After::End => {
                to.floor.log.append_lazily(|out| record::told(out, command.id));
                return Ok(());
            }
        }
    }
}
