//! One attempt at a time, over TLS.

use std::sync::Arc;

use bytes::Bytes;
use downlink_core::AppKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::config;
use super::receiver::{Answer, Receiver};
use crate::push::client::{Client, Outgoing};
use crate::push::connect::{self, ConnectError};
use crate::push::guard::Guard;
use crate::push::outcome::Outcome;
use crate::push::target::Target;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A receiver with a certificate for `localhost`, and that certificate.
async fn receiver() -> (Receiver, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let cert = made.cert.der().clone();
    let tls = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .unwrap();
    let receiver = Receiver::listen(|_| Answer::Status(200), Some(TlsAcceptor::from(Arc::new(tls)))).await;
    (receiver, cert)
}

fn trusting(roots: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    connect::http1_only(config)
}

async fn attempt(receiver: &Receiver, host: &str, tls: Result<Arc<ClientConfig>, String>) -> Outcome {
    let config = config(&[receiver.address]);
    let client = Client::new(&config, Guard::new(&config.allow, Vec::new()).unwrap(), tls);
    let port = receiver.address.port();
    let outgoing = Outgoing {
        app: AppKey(1),
        target: Arc::new(Target::of(&format!("https://{host}:{port}/cmd"))),
        webhook_id: "1-1".into(),
        sequence: 1,
        body: Bytes::from_static(b"{}"),
    };
    client.attempt(&outgoing).await.outcome
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_bear_the_name_in_the_url() {
    let (receiver, cert) = receiver().await;
    let stranger = self::receiver().await.1;
    let accepted = attempt(&receiver, "localhost", Ok(trusting(std::slice::from_ref(&cert)))).await;
    assert!(accepted.is_accepted(), "{accepted}");
    for (host, root) in [("127.0.0.1", cert), ("localhost", stranger)] {
        let refused = attempt(&receiver, host, Ok(trusting(&[root]))).await;
        assert!(
            matches!(refused, Outcome::NotConnected(ConnectError::Tls(_))),
            "{refused}"
        );
    }
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn without_any_roots_the_outcome_says_so() {
    let (receiver, _) = receiver().await;
    let outcome = attempt(
        &receiver,
        "localhost",
        Err("no certificates on this system".to_owned()),
    )
    .await;
    assert_eq!(outcome.to_string(), "TLS: no certificates on this system");
}
