use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{APP, COMMANDS, DEVICES, LOGIN, SECRET, World, error};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all))
        .await
        .expect("it does not end");
    match read {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_in_the_usual_shape() {
    let world = World::start().await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "100225"),
        ("GET", "/iocm/app/cmd/v9/deviceCommands", 404, "100225"),
        ("POST", "/nothing", 404, "100225"),
        ("DELETE", COMMANDS, 405, "100019"),
        ("GET", LOGIN, 405, "100019"),
    ] {
        let answer = world.bare(method, path, &[], "").await;
        assert_eq!(answer.error(), error(status, code), "{method} {path}");
        assert!(!answer.headers["x-request-id"].is_empty());
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_an_answer() {
    let world = World::with(vec![("northbound", "max_body_bytes", 1000.into())]).await;
    let na = world.na().await;
    for length in [1001, 3000] {
        let answer = na.call("POST", COMMANDS, &"x".repeat(length)).await;
        assert_eq!(answer.error(), error(413, "100022"), "{length}");
    }
    let form = format!("appId={APP}&secret={SECRET}&x={}", "x".repeat(1000));
    assert_eq!(
        world.bare("POST", LOGIN, &[], &form).await.error(),
        error(413, "100022")
    );
    assert_eq!(na.call("GET", DEVICES, "").await.status, 200);
}

#[tokio::test]
async fn a_connection_carries_several_requests() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.plain()).await.unwrap();
    let form = format!("appId={APP}&secret={SECRET}");
    let request = |close: &str| {
        format!(
            "POST {LOGIN} HTTP/1.1\r\nhost: x\r\n{close}content-length: {}\r\n\r\n{form}",
            form.len()
        )
    };
    let both = format!("{}{}", request(""), request("connection: close\r\n"));
    stream.write_all(both.as_bytes()).await.unwrap();
    let all = read_to_end(&mut stream).await;
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 2, "{all}");
    assert_eq!(all.matches("content-length: ").count(), 2, "{all}");
}

#[tokio::test]
async fn silent_and_slow_clients_are_let_go() {
    let world = World::with(vec![("northbound", "request_timeout_secs", 1.into())]).await;
    for (sent, told) in [
        ("", ""),
        ("P", ""),
        ("GET / HTTP/1.1\r\nhost", ""),
        (
            "POST /iocm/app/sec/v1.1.0/login HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nappId",
            "HTTP/1.1 408",
        ),
    ] {
        let mut stream = TcpStream::connect(world.plain()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let all = read_to_end(&mut stream).await;
        assert!(all.starts_with(told), "{sent}: {all}");
    }
}

#[tokio::test]
async fn a_head_beyond_64_kib_is_refused() {
    let world = World::start().await;
    for (length, told) in [(60 * 1024, "HTTP/1.1 404"), (66 * 1024, "HTTP/1.1 431")] {
        let mut stream = TcpStream::connect(world.plain()).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n",
            "x".repeat(length)
        );
        // It may be refused before it was sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let all = read_to_end(&mut stream).await;
        assert!(all.starts_with(told), "{length}: {all}");
    }
}

/// Settings are the first frame of a server (RFC 9113 §3.4); 3 is SETTINGS_MAX_CONCURRENT_STREAMS (§6.5.2).
#[tokio::test]
async fn a_connection_over_http_2_has_128_requests_at_once() {
    let world = World::start().await;
    let mut stream = tls(&world, b"h2").await;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    stream.write_all(&hello).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "no settings: {head:?}");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
    assert_eq!(streams.map(|setting| &setting[2..]), Some(&[0, 0, 0, 128][..]));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let world = World::with(vec![("northbound", "max_connections", 1.into())]).await;
    let first = TcpStream::connect(world.plain()).await.unwrap();
    first.set_nodelay(true).unwrap();
    let mut second = TcpStream::connect(world.plain()).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let told = read_to_end(&mut second).await;
    assert!(
        told.starts_with("HTTP/1.1 503") && told.contains("\"100501\""),
        "{told}"
    );
    drop(first);
    // Once the server has seen that the first is gone there is room again.
    loop {
        let mut third = TcpStream::connect(world.plain()).await.unwrap();
        third
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let told = read_to_end(&mut third).await;
        if told.starts_with("HTTP/1.1 404") {
            break;
        }
        assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    }
}

#[tokio::test]
async fn stop_ends_idle_connections_at_once() {
    let world = World::start().await;
    let mut fresh = TcpStream::connect(world.plain()).await.unwrap();
    let mut used = TcpStream::connect(world.plain()).await.unwrap();
    used.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 12];
    used.read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"HTTP/1.1 404");
    tokio::time::timeout(Duration::from_secs(5), world.stop())
        .await
        .expect("stop waited for idle connections");
    read_to_end(&mut used).await;
    read_to_end(&mut fresh).await;
}

async fn tls(world: &World, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(world.dir.path().join("tls/cert.pem")).unwrap();
    roots.add(cert).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(world.tls()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

fn login(host: &str) -> Request<Full<Bytes>> {
    let form = format!("appId={APP}&secret={SECRET}");
    Request::post(format!("{host}{LOGIN}"))
        .header("host", "x")
        .body(Full::new(Bytes::from(form)))
        .unwrap()
}

#[tokio::test]
async fn tls_with_http_1_and_2() {
    let world = World::start().await;
    let (mut one, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls(&world, b"http/1.1").await))
            .await
            .unwrap();
    let driver = tokio::spawn(driver);
    let answer = one.send_request(login("")).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop((one, driver));

    let io = TokioIo::new(tls(&world, b"h2").await);
    let (mut two, driver) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let driver = tokio::spawn(driver);
    let answers = [
        two.send_request(login("https://localhost")),
        two.send_request(login("https://localhost")),
    ];
    for answer in answers {
        let body = answer
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        assert!(body.starts_with(br#"{"scope":"default""#), "{body:?}");
    }
    drop((two, driver));
}

#[tokio::test]
async fn a_client_that_hangs_in_its_handshake_holds_up_nobody() {
    let world = World::start().await;
    let mut hanging = TcpStream::connect(world.tls()).await.unwrap();
    hanging.write_all(b"\x16\x03\x01\x00").await.unwrap();
    tokio::time::timeout(PATIENCE, tls(&world, b"http/1.1"))
        .await
        .expect("held up");
}
