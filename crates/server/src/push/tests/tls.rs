//! One attempt at a time, over TLS and signed.

use std::net::SocketAddr;
use std::sync::Arc;

use downlink_core::{AppKey, Span};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::attempt::outgoing;
use super::book::{self, Book, trusting};
use super::receiver::{Answer, Receiver};
use super::{config, until};
use crate::clock;
use crate::push::client::{Client, Outgoing};
use crate::push::connect::{ConnectError, LookUpGauges};
use crate::push::guard::Guard;
use crate::push::outcome::{Outcome, Report};
use crate::push::sign::SigningSecret;
use crate::push::tls::{OwnTls, Roots};
use crate::push::trust::TrustBook;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// An authority, and what it signed.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(super) struct Signed {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        let name = crate::secrets::random_hex(4);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn sign(&self, name: &str) -> Signed {
        self.sign_for(name, |_| ())
    }

    /// A certificate for `name` that counts in these years only.
    fn sign_between(&self, name: &str, from: i32, to: i32) -> Signed {
        self.sign_for(name, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        })
    }

    fn sign_for(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }

    fn own(&self, check_name: bool) -> OwnTls {
        OwnTls {
            ca: Some(self.0.pem().into()),
            check_name,
            certificate: None,
            key: None,
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        roots
    }
}

/// TLS of a receiver with this certificate; `clients`: it asks for one that this authority signed.
pub(super) fn server(signed: &Signed, clients: Option<&Authority>, protocols: &[&[u8]]) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivatePkcs8KeyDer::from(signed.key.serialize_der()).into();
    let mut config = builder.with_single_cert(vec![signed.der.clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn receiver(signed: &Signed, clients: Option<&Authority>) -> Receiver {
    Receiver::listen(|_| Answer::Status(200), Some(server(signed, clients, &[]))).await
}

pub(super) fn client(allow: SocketAddr, trust: &Arc<TrustBook>) -> Client {
    let mut config = config(&[allow]);
    // What is let go here is not let go for its age.
    config.idle_secs = 600;
    let guard = Guard::new(&config.allow, Vec::new()).unwrap();
    Client::new(&config, guard, Arc::clone(trust), LookUpGauges::default())
}

fn to(receiver: &Receiver, host: &str, app: AppKey) -> Outgoing {
    let port = receiver.address.port();
    Outgoing {
        app,
        ..outgoing(&format!("https://{host}:{port}/cmd"))
    }
}

async fn attempt(receiver: &Receiver, host: &str, roots: Roots) -> Report {
    let client = client(receiver.address, &book::empty(roots));
    client.attempt(&to(receiver, host, AppKey(1))).await
}

/// Why TLS failed.
fn failure(report: &Report) -> &str {
    let Outcome::NotConnected(ConnectError::Tls(why)) = &report.outcome else {
        panic!("{report:?}");
    };
    why
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_bear_the_name_in_the_url() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver = receiver(&authority.sign("localhost"), None).await;
    let accepted = attempt(&receiver, "localhost", trusting(&[authority.der()], true)).await;
    assert!(accepted.outcome.is_accepted(), "{accepted:?}");
    let unnamed = attempt(&receiver, "127.0.0.1", trusting(&[authority.der()], true)).await;
    assert!(
        failure(&unnamed).contains("does not bear the name"),
        "{unnamed:?}"
    );
    let unknown = attempt(&receiver, "localhost", trusting(&[stranger.der()], true)).await;
    assert!(
        failure(&unknown).contains("not signed by an authority"),
        "{unknown:?}"
    );
    assert_eq!((unknown.outcome.word(), unknown.phase.word()), ("tls", "tls"));
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn connections_that_are_let_go_end_with_a_word() {
    let authority = Authority::new();
    let receiver = receiver(&authority.sign("localhost"), None).await;
    let client = client(receiver.address, &book::empty(trusting(&[authority.der()], true)));
    for _ in 0..2 {
        let report = client.attempt(&to(&receiver, "localhost", AppKey(1))).await;
        assert!(report.outcome.is_accepted(), "{report:?}");
    }
    assert_eq!((receiver.connections(), receiver.open()), (1, 1));
    drop(client);
    until(|| async { (receiver.open() == 0).then_some(()) }).await;
    assert_eq!(receiver.torn(), 0);
}

#[tokio::test]
async fn without_any_roots_the_outcome_says_so() {
    let receiver = receiver(&Authority::new().sign("localhost"), None).await;
    let report = attempt(&receiver, "localhost", book::no_roots()).await;
    assert_eq!(report.outcome.to_string(), "TLS: no certificates on this system");
}

#[tokio::test]
async fn an_applications_authority_counts_for_it_alone() {
    let authority = Authority::new();
    let receiver = receiver(&authority.sign("localhost"), None).await;
    let book = Book::open(book::no_roots()).await;
    let client = client(receiver.address, &book.trust);
    book.trust
        .set_tls(book.app, Some(authority.own(true)))
        .await
        .unwrap();
    let mine = client.attempt(&to(&receiver, "localhost", book.app)).await;
    assert!(mine.outcome.is_accepted(), "{mine:?}");
    // Neither its trust nor its connection serves another.
    let other = client.attempt(&to(&receiver, "localhost", AppKey(99))).await;
    failure(&other);
    book.trust.set_tls(book.app, None).await.unwrap();
    let after = client.attempt(&to(&receiver, "localhost", book.app)).await;
    failure(&after);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn the_name_may_be_wrong_only_under_an_authority_of_ones_own() {
    let (own, platform, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let book = Book::open(trusting(&[platform.der()], true)).await;
    for (signer, check_name, accepted) in [
        (&own, false, true),
        (&own, true, false),
        (&platform, false, false),
        (&stranger, false, false),
    ] {
        let receiver = receiver(&signer.sign("elsewhere.example"), None).await;
        book.trust
            .set_tls(book.app, Some(own.own(check_name)))
            .await
            .unwrap();
        let client = client(receiver.address, &book.trust);
        let report = client.attempt(&to(&receiver, "localhost", book.app)).await;
        assert_eq!(report.outcome.is_accepted(), accepted, "{report:?}");
        if !accepted {
            failure(&report);
        }
    }
}

/// Whoever trusts it: the platform, an application by an authority of its own, and one that does not look at the name.
#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused_whoever_trusts_it() {
    let (own, platform) = (Authority::new(), Authority::new());
    let book = Book::open(trusting(&[platform.der()], true)).await;
    for (signer, check_name, name) in [
        (&platform, true, "localhost"),
        (&own, true, "localhost"),
        (&own, false, "localhost"),
        (&own, false, "elsewhere.example"),
    ] {
        book.trust
            .set_tls(book.app, Some(own.own(check_name)))
            .await
            .unwrap();
        for (from, until, why) in [
            (2000, 2001, Some("has expired")),
            (2500, 2501, Some("is not valid yet")),
            (2000, 2501, None),
        ] {
            let receiver = receiver(&signer.sign_between(name, from, until), None).await;
            let client = client(receiver.address, &book.trust);
            let report = client.attempt(&to(&receiver, "localhost", book.app)).await;
            let Some(why) = why else {
                assert!(report.outcome.is_accepted(), "{report:?}");
                continue;
            };
            assert!(failure(&report).contains(why), "{report:?}");
            assert_eq!((report.outcome.word(), report.phase.word()), ("tls", "tls"));
            assert_eq!(receiver.requests().len(), 0);
        }
    }
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_certificate_gets_the_applications() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver = receiver(&authority.sign("localhost"), Some(&authority)).await;
    let book = Book::open(trusting(&[authority.der()], true)).await;
    let client = client(receiver.address, &book.trust);
    let push = to(&receiver, "localhost", book.app);
    let without = client.attempt(&push).await;
    assert!(
        failure(&without).contains("asks for a client's certificate"),
        "{without:?}"
    );
    let with = async |signed: Signed| {
        let own = OwnTls {
            ca: None,
            check_name: true,
            certificate: Some(signed.pem.into()),
            key: Some(signed.key.serialize_pem()),
        };
        book.trust.set_tls(book.app, Some(own)).await.unwrap();
        client.attempt(&push).await
    };
    let accepted = with(authority.sign("client")).await;
    assert!(accepted.outcome.is_accepted(), "{accepted:?}");
    until(|| async { (receiver.open() == 1).then_some(()) }).await;
    // The connection that was made with it is not used again with another, nor kept.
    failure(&with(stranger.sign("client")).await);
    until(|| async { (receiver.open() == 0).then_some(()) }).await;
    assert_eq!(receiver.requests().len(), 1);
    let again = book.again(3).await;
    assert!(again.of(book.app).tls.config.is_ok(), "after a restart");
    let other_key = book.again(4).await;
    let closed = other_key.of(book.app).tls.config.clone().unwrap_err();
    assert!(closed.contains("master key"), "{closed}");
}

#[tokio::test]
async fn a_push_is_signed_with_all_live_keys_and_never_unsigned() {
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let book = Book::open(book::no_roots()).await;
    let push = Outgoing {
        app: book.app,
        ..outgoing(&receiver.url("/"))
    };
    let sent = client(receiver.address, &book.trust);
    let signatures = async |client: &Client| {
        assert!(client.attempt(&push).await.outcome.is_accepted());
        let header = receiver
            .requests()
            .last()
            .unwrap()
            .header("webhook-signature")
            .map(str::to_owned);
        header.map_or(0, |text| text.split(' ').count())
    };
    assert_eq!(signatures(&sent).await, 0);
    let later = clock::now() + Span::from_secs(3600);
    let add = async |end| book.trust.add_key(book.app, &SigningSecret::random(), end).await;
    let first = add(later).await.unwrap();
    assert_eq!(signatures(&sent).await, 1);
    let second = add(later).await.unwrap();
    assert_eq!(signatures(&sent).await, 2);
    assert!(add(later).await.unwrap_err().to_string().contains("two keys"));
    let after_restart = client(receiver.address, &book.again(3).await);
    assert_eq!(signatures(&after_restart).await, 2);
    let wrong_key = client(receiver.address, &book.again(4).await);
    let unsigned = wrong_key.attempt(&push).await;
    assert!(
        unsigned.outcome.to_string().contains("master key"),
        "{unsigned:?}"
    );
    assert!(book.trust.remove_key(book.app, first.id).await.unwrap());
    assert_eq!(signatures(&sent).await, 1);
    // The last one ends at once when another takes its place without overlap.
    add(clock::now()).await.unwrap();
    assert_eq!(signatures(&sent).await, 1);
    assert!(!book.trust.remove_key(book.app, second.id).await.unwrap());
    assert_eq!(receiver.requests().len(), 6);
}
