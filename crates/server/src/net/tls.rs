//! TLS for listeners: the operator's certificate, else a self-signed one made at first start.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

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

/// An acceptor with this certificate and key (PEM files); both empty: self-signed, in `<data_dir>/tls`.
pub(crate) fn acceptor(
    cert: &str,
    key: &str,
    data_dir: &Path,
    alpn: &[&[u8]],
) -> Result<TlsAcceptor, TlsError> {
    let (cert, key) = match (cert, key) {
        ("", "") => self_signed(&data_dir.join("tls"))?,
        (cert, key) => (PathBuf::from(cert), PathBuf::from(key)),
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::File {
            path: cert.clone(),
            message: error.to_string(),
        })?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| TlsError::File {
        path: key.clone(),
        message: error.to_string(),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|source| TlsError::Rejected { path: cert, source })?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
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
        acceptor("", "", dir.path(), &[b"http/1.1"]).unwrap();
        let first = fs::read(dir.path().join("tls/cert.pem")).unwrap();
        acceptor("", "", dir.path(), &[]).unwrap();
        assert_eq!(fs::read(dir.path().join("tls/cert.pem")).unwrap(), first);
    }

    #[test]
    fn a_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let Err(error) = acceptor("/nowhere/c.pem", "/nowhere/k.pem", dir.path(), &[]) else {
            panic!("accepted")
        };
        assert!(error.to_string().contains("/nowhere/c.pem"), "{error}");
    }
}
