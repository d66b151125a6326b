//! TLS on all sides: an authority of the bench's own, which signs its receiver, and clients that do not check the server, as
//! the platform's own clients do not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Stream;

/// Whether connections are encrypted.
#[derive(Clone)]
pub(crate) enum Tls {
    Off,
    On(Arc<Authority>),
}

/// What signs the receiver.
pub(crate) struct Authority {
    roots: PathBuf,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Authority {
    /// Makes one, and writes its certificate under `dir` for the server to trust.
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut root = CertificateParams::new(Vec::new())?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate()?;
        let root_cert = root.self_signed(&root_key)?;
        let roots = dir.join("bench-roots.pem");
        std::fs::write(&roots, root_cert.pem())?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )?;
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
            .with_no_client_auth();
        Ok(Self {
            roots,
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    /// The file with its certificate.
    pub(crate) fn roots(&self) -> &Path {
        &self.roots
    }
}

impl Tls {
    /// The client's side of a connection.
    pub(crate) async fn wrap(&self, stream: TcpStream) -> anyhow::Result<Stream> {
        match self {
            Self::Off => Ok(Box::pin(stream)),
            Self::On(authority) => {
                let name = ServerName::try_from("localhost")?;
                Ok(Box::pin(authority.connector.connect(name, stream).await?))
            }
        }
    }

    /// The receiver's side of a connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> anyhow::Result<Stream> {
        match self {
            Self::Off => Ok(Box::pin(stream)),
            Self::On(authority) => Ok(Box::pin(authority.acceptor.accept(stream).await?)),
        }
    }

    /// The URL of a receiver at this address.
    pub(crate) fn url(&self, receiver: SocketAddr) -> String {
        match self {
            Self::Off => format!("http://{receiver}/cb"),
            Self::On(_) => format!("https://{receiver}/cb"),
        }
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
