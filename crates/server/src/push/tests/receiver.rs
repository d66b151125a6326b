//! A receiver on a real socket that answers as a test wants it to, well or badly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How to answer a request.
#[derive(Clone)]
pub(super) enum Answer {
    Status(u16),
    Redirect(String),
    /// 200 as soon as the gate is open.
    When(watch::Receiver<bool>),
    /// A head, then a byte now and then.
    Drip,
    /// 64 MiB.
    Huge,
    /// Nothing, and the connection stays open.
    Never,
    /// Nothing, and the connection is closed.
    Close,
    /// 200, and the connection is closed after it, unannounced.
    ThenClose,
    /// 200, and the connection is closed in the middle of the body.
    CutOff,
    /// These bytes.
    Raw(String),
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn webhook_id(&self) -> Option<String> {
        self.header("webhook-id").map(str::to_owned)
    }
}

/// What all connections share.
struct Shared {
    /// By how often the same webhook id came before.
    script: Box<dyn Fn(usize) -> Answer + Send + Sync>,
    requests: Mutex<Vec<Request>>,
    seen: Mutex<HashMap<String, usize>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    cut: AtomicUsize,
    torn: AtomicUsize,
}

/// Runs until it is dropped.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// `script` is given how often the same push came before.
    pub(super) async fn start(script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(script, None).await
    }

    /// The same over TLS.
    pub(super) async fn listen(
        script: impl Fn(usize) -> Answer + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            torn: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Connections accepted in all.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(super) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Answers that the other side did not want the end of.
    pub(super) fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// Connections that ended with an error, such as those over TLS that ended without a word.
    pub(super) fn torn(&self) -> usize {
        self.shared.torn.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        let tls = tls.clone();
        connections.spawn(async move {
            let gone = match tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &shared).await,
                    Err(error) => Err(error),
                },
                None => serve(stream, &shared).await,
            };
            shared
                .torn
                .fetch_add(usize::from(gone.is_err()), Ordering::SeqCst);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let answer = {
            let mut seen = shared.seen.lock().unwrap();
            let before = seen.entry(request.webhook_id().unwrap_or_default()).or_default();
            *before += 1;
            (shared.script)(*before - 1)
        };
        shared.requests.lock().unwrap().push(request);
        let head = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\n{more}\r\n");
        match answer {
            Answer::Status(204) => stream.write_all(head(204, "").as_bytes()).await?,
            Answer::Status(status) => {
                stream
                    .write_all((head(status, "content-length: 2\r\n") + "ok").as_bytes())
                    .await?;
            }
            Answer::Raw(bytes) => stream.write_all(bytes.as_bytes()).await?,
            Answer::Redirect(to) => {
                let more = format!("location: {to}\r\ncontent-length: 0\r\n");
                stream.write_all(head(307, &more).as_bytes()).await?;
            }
            Answer::When(mut gate) => {
                gate.wait_for(|open| *open).await.unwrap();
                stream
                    .write_all(head(200, "content-length: 0\r\n").as_bytes())
                    .await?;
            }
            Answer::Drip => {
                stream
                    .write_all(head(200, "content-length: 1000\r\n").as_bytes())
                    .await?;
                return count_cut(shared, drip(&mut stream).await);
            }
            Answer::Huge => {
                stream
                    .write_all(head(200, "content-length: 67108864\r\n").as_bytes())
                    .await?;
                return count_cut(shared, stream.write_all(&vec![b'x'; 64 << 20]).await);
            }
            Answer::Never => std::future::pending().await,
            Answer::Close => return Ok(()),
            Answer::ThenClose => {
                stream
                    .write_all(head(200, "content-length: 0\r\n").as_bytes())
                    .await?;
                return stream.flush().await;
            }
            Answer::CutOff => {
                stream
                    .write_all((head(200, "content-length: 9\r\n") + "half").as_bytes())
                    .await?;
                return stream.flush().await;
            }
        }
        stream.flush().await?;
    }
    Ok(())
}

fn count_cut(shared: &Shared, written: std::io::Result<()>) -> std::io::Result<()> {
    shared
        .cut
        .fetch_add(usize::from(written.is_err()), Ordering::SeqCst);
    written
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    for _ in 0..1000 {
        stream.write_all(b"x").await?;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(())
}

/// The next request; none: the connection was closed.
async fn read(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut request = Request {
        line: line.trim_end().to_owned(),
        headers,
        body: String::new(),
    };
    let length = request.header("content-length").unwrap_or("0").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    request.body = String::from_utf8(body).unwrap();
    Ok(Some(request))
}
