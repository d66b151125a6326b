//! TLS for listeners: the operator's certificate, else a self-signed one made at first start.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Why there is no TLS. Names the file at fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read, written or parsed.
    #[error("TLS: {path}: {message}")]
    File { path: PathBuf, message: String },
    /// Certificate and key do not go together, or rustls refuses them.
    #[error("TLS: certificate {path}: {source}")]
    Rejected { path: PathBuf, source: rustls::Error },
}

/// The files of a listener's TLS.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The certificate chain, PEM.
    pub(crate) cert: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Certificates of clients.
    pub(crate) clients: Clients,
}

/// What is asked of clients.
#[derive(Debug, Clone)]
pub(crate) enum Clients {
    /// No certificate.
    NotAsked,
    /// One that a certificate of this file (PEM) vouches for, if it has one.
    Optional(PathBuf),
    /// Such a one.
    Required(PathBuf),
}

/// What the files held.
pub(super) struct Loaded {
    pub(super) config: ServerConfig,
    /// Stands for their contents.
    pub(super) print: [u8; 32],
    /// When the certificate ends, in seconds since 1970.
    pub(super) not_after: i64,
}

impl TlsFiles {
    /// A certificate and its key; both empty: self-signed, in `<data_dir>/tls`, made if it is not there.
    pub(crate) fn of(cert: &str, key: &str, data_dir: &Path) -> Result<Self, TlsError> {
        let (cert, key) = match (cert, key) {
            ("", "") => self_signed(&data_dir.join("tls"))?,
            (cert, key) => (PathBuf::from(cert), PathBuf::from(key)),
        };
        Ok(Self {
            cert,
            key,
            clients: Clients::NotAsked,
        })
    }

    /// Reads them.
    pub(super) fn load(&self, alpn: &[Vec<u8>]) -> Result<Loaded, TlsError> {
        let mut seen = Context::new(&SHA256);
        let mut read = |path: &Path| {
            let text = fs::read(path).map_err(|error| TlsError::file(path, error))?;
            seen.update(&(text.len() as u64).to_be_bytes());
            seen.update(&text);
            Ok::<_, TlsError>(text)
        };
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        let chain = certificates(&self.cert, &cert)?;
        let private =
            PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::file(&self.key, error))?;
        let not_after = not_after(&chain).map_err(|error| TlsError::file(&self.cert, error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions");
        let builder = match &self.clients {
            Clients::NotAsked => builder.with_no_client_auth(),
            Clients::Optional(ca) | Clients::Required(ca) => {
                let roots = roots(ca, &read(ca)?)?;
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if matches!(self.clients, Clients::Optional(_)) {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| TlsError::file(ca, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, private)
            .map_err(|source| TlsError::Rejected {
                path: self.cert.clone(),
                source,
            })?;
        config.alpn_protocols = alpn.to_vec();
        let mut print = [0; 32];
        print.copy_from_slice(seen.finish().as_ref());
        Ok(Loaded {
            config,
            print,
            not_after,
        })
    }
}

impl TlsError {
    fn file(path: &Path, error: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| TlsError::file(path, error))?;
    match chain.is_empty() {
        true => Err(TlsError::file(path, "it holds no certificate")),
        false => Ok(chain),
    }
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(path, pem)? {
        roots.add(cert).map_err(|error| TlsError::file(path, error))?;
    }
    Ok(roots)
}

/// When the first certificate of a chain ends.
fn not_after(chain: &[CertificateDer<'_>]) -> Result<i64, String> {
    let first = chain.first().ok_or("it holds no certificate")?;
    let cert = Certificate::from_der(first).map_err(|error| error.to_string())?;
    let ends = cert.tbs_certificate().validity().not_after.to_unix_duration();
    Ok(i64::try_from(ends.as_secs()).unwrap_or(i64::MAX))
}

/// The self-signed pair, made if it is not there.
fn self_signed(dir: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if !(cert.exists() && key.exists()) {
        make(dir, &cert, &key).map_err(|error| TlsError::File {
            path: dir.to_owned(),
            message: error.to_string(),
        })?;
    }
    Ok((cert, key))
}

fn make(dir: &Path, cert: &Path, key: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    // The certificate last: its presence says that the pair is whole.
    write(key, &made.signing_key.serialize_pem(), 0o600)?;
    write(cert, &made.cert.pem(), 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_pair_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = TlsFiles::of("", "", dir.path()).unwrap().load(&[]).unwrap();
        let again = TlsFiles::of("", "", dir.path()).unwrap().load(&[]).unwrap();
        assert_eq!(first.print, again.print);
        assert!(first.not_after > 1_800_000_000);
    }

    #[test]
    fn a_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let good = TlsFiles::of("", "", dir.path()).unwrap();
        let bad = dir.path().join("bad.pem");
        fs::write(&bad, "no PEM").unwrap();
        let nowhere = dir.path().join("nowhere.pem");
        let with = |cert: &Path, key: &Path, clients| TlsFiles {
            cert: cert.to_owned(),
            key: key.to_owned(),
            clients,
        };
        for (files, named) in [
            (with(&nowhere, &good.key, Clients::NotAsked), &nowhere),
            (with(&bad, &good.key, Clients::NotAsked), &bad),
            (with(&good.cert, &bad, Clients::NotAsked), &bad),
            (with(&good.cert, &good.key, Clients::Required(bad.clone())), &bad),
            (
                with(&good.cert, &good.key, Clients::Optional(nowhere.clone())),
                &nowhere,
            ),
        ] {
            let Err(error) = files.load(&[]) else {
                panic!("accepted {files:?}")
            };
            assert!(error.to_string().contains(named.to_str().unwrap()), "{error}");
        }
    }
}
