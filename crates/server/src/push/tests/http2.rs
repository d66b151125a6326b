//! Receivers that speak HTTP/2.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use downlink_core::AppKey;
use futures_util::future::join_all;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::attempt::outgoing;
use super::book::{self, trusting};
use super::receiver::{Answer, Receiver};
use super::tls::{Authority, server};
use super::{config, until};
use crate::push::client::{Client, Outgoing};
use crate::push::connect::LookUpGauges;
use crate::push::guard::Guard;
use crate::push::outcome::{Outcome, Phase};

/// How a connection is treated.
#[derive(Clone, Copy)]
enum Manner {
    /// Requests are answered by path; so many at once.
    Serve(u32),
    /// The first request is said not to be processed, and the connection is closed.
    GoAway,
    /// Every request is refused by name.
    Refuse,
    /// There is no TLS handshake.
    Deaf,
    /// After the first answer nothing is read or written any more.
    FallSilent,
}

struct Shared {
    manner: Box<dyn Fn(usize) -> Manner + Send + Sync>,
    connections: AtomicUsize,
    requests: Mutex<Vec<Request<()>>>,
    resets: AtomicUsize,
    gate: watch::Receiver<bool>,
}

/// A receiver of HTTP/2 on a real socket. `/` is answered at once, `/hold` when the gate opens, `/hang` never.
struct Peer {
    address: SocketAddr,
    authority: Authority,
    shared: Arc<Shared>,
    gate: watch::Sender<bool>,
}

impl Peer {
    /// `manner` is given the number of the connection, from 0.
    async fn start(manner: impl Fn(usize) -> Manner + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let acceptor = server(&authority.sign("localhost"), None, &[b"h2"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (gate, opened) = watch::channel(false);
        let shared = Arc::new(Shared {
            manner: Box::new(manner),
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
            resets: AtomicUsize::new(0),
            gate: opened,
        });
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Self {
            address,
            authority,
            shared,
            gate,
        }
    }

    fn client(&self, timeout_secs: u64) -> Client {
        let mut config = config(&[self.address]);
        config.timeout_secs = timeout_secs;
        let guard = Guard::new(&config.allow, Vec::new()).unwrap();
        let roots = trusting(&[self.authority.der()], true);
        Client::new(&config, guard, book::empty(roots), LookUpGauges::default())
    }

    fn to(&self, path: &str) -> Outgoing {
        outgoing(&format!("https://localhost:{}{path}", self.address.port()))
    }

    fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    async fn requested(&self, times: usize) {
        until(|| async { (self.requests() == times).then_some(()) }).await;
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let manner = (shared.manner)(number);
            if matches!(manner, Manner::Deaf) {
                let _open = stream;
                return std::future::pending().await;
            }
            let stream = tls.accept(stream).await.unwrap();
            match manner {
                Manner::GoAway => go_away(stream).await,
                Manner::Deaf => unreachable!("it has no stream"),
                manner @ (Manner::Serve(_) | Manner::Refuse | Manner::FallSilent) => {
                    serve(stream, manner, &shared).await
                }
            }
        });
    }
}

async fn serve(stream: TlsStream<TcpStream>, manner: Manner, shared: &Arc<Shared>) {
    let most = match manner {
        Manner::Serve(most) => most,
        Manner::GoAway | Manner::Refuse | Manner::FallSilent | Manner::Deaf => 100,
    };
    let building = h2::server::Builder::new()
        .max_concurrent_streams(most)
        .handshake::<_, Bytes>(stream);
    let mut connection = building.await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if matches!(manner, Manner::Refuse) {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        shared
            .requests
            .lock()
            .unwrap()
            .push(Request::from_parts(parts, ()));
        if matches!(manner, Manner::FallSilent) && path == "/hang" {
            std::future::pending::<()>().await;
        }
        tokio::spawn(answer(path, body, respond, Arc::clone(shared)));
    }
}

async fn answer(path: String, mut body: RecvStream, mut respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    match path.as_str() {
        "/hold" => {
            shared.gate.clone().wait_for(|open| *open).await.unwrap();
        }
        "/hang" => {
            let _reset = std::future::poll_fn(|context| respond.poll_reset(context)).await;
            shared.resets.fetch_add(1, Ordering::SeqCst);
            return;
        }
        _ => {}
    }
    let _gone = respond.send_response(Response::new(()), true);
}

/// Frame by frame: a library would not deny what it has taken.
async fn go_away(mut stream: TlsStream<TcpStream>) {
    const HEADERS: u8 = 1;
    stream.read_exact(&mut [0; 24]).await.unwrap(); // the preface
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap(); // empty SETTINGS
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    // GOAWAY: the last stream that was processed is none, no error.
    let frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&frame).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn many_pushes_share_one_connection() {
    let peer = Peer::start(|_| Manner::Serve(100)).await;
    let client = peer.client(30);
    let push = peer.to("/hold");
    let all = join_all((0..50).map(|_| client.attempt(&push)));
    let released = async {
        peer.requested(50).await;
        peer.gate.send(true).unwrap();
    };
    let (reports, ()) = tokio::join!(all, released);
    assert!(reports.iter().all(|report| report.outcome.is_accepted()));
    assert_eq!(peer.connections(), 1);
    let requests = peer.shared.requests.lock().unwrap();
    let port = peer.address.port();
    assert_eq!(
        requests[0].uri().to_string(),
        format!("https://localhost:{port}/hold")
    );
    assert_eq!(requests[0].headers()["webhook-id"], "push-1");
    assert!(requests[0].headers().get("host").is_none());
}

#[tokio::test]
async fn a_full_connection_is_joined_by_another() {
    let peer = Peer::start(|_| Manner::Serve(10)).await;
    let client = peer.client(30);
    // The receiver says with its first frame how many it takes.
    assert!(client.attempt(&peer.to("/")).await.outcome.is_accepted());
    let push = peer.to("/hold");
    let all = join_all((0..10).map(|_| client.attempt(&push)));
    let more = async {
        peer.requested(11).await;
        assert!(client.attempt(&peer.to("/")).await.outcome.is_accepted());
        peer.gate.send(true).unwrap();
    };
    let (reports, ()) = tokio::join!(all, more);
    assert!(reports.iter().all(|report| report.outcome.is_accepted()));
    assert_eq!(peer.connections(), 2);
}

/// Found by reading: an attempt held up by its application's limit of look-ups kept all others from making a connection.
#[tokio::test]
async fn a_connection_that_one_application_cannot_make_holds_up_no_other() {
    let deaf_first = |number| match number {
        0 => Manner::Deaf,
        _ => Manner::Serve(100),
    };
    let peer = Peer::start(deaf_first).await;
    let client = peer.client(60);
    let other = Outgoing {
        app: AppKey(2),
        ..peer.to("/")
    };
    let hangs = peer.to("/");
    let mut hangs = pin!(client.attempt(&hangs));
    let until_connected = until(|| async { (peer.connections() == 1).then_some(()) });
    tokio::select! {
        report = &mut hangs => panic!("{report:?}"),
        () = until_connected => {}
    }
    tokio::select! {
        report = &mut hangs => panic!("{report:?}"),
        report = client.attempt(&other) => assert!(report.outcome.is_accepted()),
    }
}

#[tokio::test]
async fn what_was_not_processed_goes_over_another_connection_at_once() {
    for manner in [Manner::GoAway, Manner::Refuse] {
        let first = move |number| match number {
            0 => manner,
            _ => Manner::Serve(100),
        };
        let peer = Peer::start(first).await;
        let report = peer.client(30).attempt(&peer.to("/")).await;
        assert!(report.outcome.is_accepted(), "{report:?}");
        assert_eq!((peer.connections(), peer.requests()), (2, 1));
    }
}

#[tokio::test]
async fn it_is_sent_again_only_once() {
    let peer = Peer::start(|_| Manner::Refuse).await;
    let report = peer.client(30).attempt(&peer.to("/")).await;
    assert_eq!(report.outcome.word(), "broken", "{report:?}");
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_push_that_times_out_takes_no_other_with_it() {
    let peer = Peer::start(|_| Manner::Serve(100)).await;
    let client = peer.client(2);
    let (hang, hold) = (peer.to("/hang"), peer.to("/hold"));
    let late = client.attempt(&hang);
    let other = async {
        peer.requested(1).await;
        tokio::time::sleep(Duration::from_millis(1000)).await;
        client.attempt(&hold).await
    };
    let released = async {
        until(|| async { (peer.shared.resets.load(Ordering::SeqCst) == 1).then_some(()) }).await;
        peer.gate.send(true).unwrap();
    };
    let (late, other, ()) = tokio::join!(late, other, released);
    assert!(
        matches!(late.outcome, Outcome::Timeout(Phase::Answer)),
        "{late:?}"
    );
    assert!(other.outcome.is_accepted(), "{other:?}");
    assert!(client.attempt(&peer.to("/")).await.outcome.is_accepted());
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_dead_connection_is_found_before_the_attempt_times_out() {
    let peer = Peer::start(|number| match number {
        0 => Manner::FallSilent,
        _ => Manner::Serve(100),
    })
    .await;
    let client = peer.client(60);
    assert!(client.attempt(&peer.to("/")).await.outcome.is_accepted());
    let dead = client.attempt(&peer.to("/hang")).await;
    assert_eq!(
        (dead.outcome.word(), dead.phase),
        ("broken", Phase::Answer),
        "{dead:?}"
    );
    assert!(client.attempt(&peer.to("/")).await.outcome.is_accepted());
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_receiver_without_http2_gets_a_connection_for_each_push() {
    let authority = Authority::new();
    let (release, gate) = watch::channel(false);
    let tls = server(&authority.sign("localhost"), None, &[b"http/1.1"]);
    let receiver = Receiver::listen(move |_| Answer::When(gate.clone()), Some(tls)).await;
    let config = config(&[receiver.address]);
    let guard = Guard::new(&config.allow, Vec::new()).unwrap();
    let client = Client::new(
        &config,
        guard,
        book::empty(trusting(&[authority.der()], true)),
        LookUpGauges::default(),
    );
    let push = outgoing(&format!("https://localhost:{}/", receiver.address.port()));
    let all = join_all((0..8).map(|_| client.attempt(&push)));
    let released = async {
        until(|| async { (receiver.requests().len() == 8).then_some(()) }).await;
        release.send(true).unwrap();
    };
    let (reports, ()) = tokio::join!(all, released);
    assert!(reports.iter().all(|report| report.outcome.is_accepted()));
}

#[tokio::test]
async fn http2_is_not_offered_where_it_is_switched_off() {
    let authority = Authority::new();
    let tls = server(&authority.sign("localhost"), None, &[b"h2", b"http/1.1"]);
    let receiver = Receiver::listen(|_| Answer::Status(200), Some(tls)).await;
    let config = config(&[receiver.address]);
    let guard = Guard::new(&config.allow, Vec::new()).unwrap();
    let client = Client::new(
        &config,
        guard,
        book::empty(trusting(&[authority.der()], false)),
        LookUpGauges::default(),
    );
    let push = outgoing(&format!("https://localhost:{}/", receiver.address.port()));
    assert!(client.attempt(&push).await.outcome.is_accepted());
}
