//! Whom pushes over TLS trust, and what they show of themselves: the platform's roots for all, certificates of its own
//! for an application that gave some.

mod verify;

use std::sync::Arc;

use ring::digest;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;

use self::verify::OwnVerifier;

/// The longest PEM text that is taken.
const MAX_PEM: usize = 256 * 1024;

/// What is trusted where an application says nothing else, and what is spoken.
#[derive(Clone)]
pub(crate) struct Roots {
    verifier: Result<Arc<dyn ServerCertVerifier>, String>,
    http2: bool,
}

impl Roots {
    /// The platform's. Without any, HTTPS receivers fail, and the log says why.
    pub(crate) fn platform(http2: bool) -> Self {
        let verifier = Verifier::new(provider()).map_err(|error| error.to_string());
        if let Err(why) = &verifier {
            tracing::warn!(
                why,
                "no trusted root certificates: pushes to HTTPS receivers will fail"
            );
        }
        Self {
            verifier: verifier.map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>),
            http2,
        }
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn of(verifier: Result<Arc<dyn ServerCertVerifier>, String>, http2: bool) -> Self {
        Self { verifier, http2 }
    }
}

/// How connections of one kind are secured. Those of different profiles are never mixed up.
pub(super) struct TlsProfile {
    /// Never used again. 0: that of all applications without one of their own.
    pub(super) number: u64,
    /// Else why there can be no connection.
    pub(super) config: Result<Arc<ClientConfig>, String>,
    /// HTTP/2 is offered.
    pub(super) http2: bool,
}

impl TlsProfile {
    /// That of all who have none of their own.
    pub(super) fn plain(roots: &Roots) -> Self {
        let config = roots.verifier.clone().map(|verifier| {
            let config = builder(verifier).with_no_client_auth();
            speaking(config, roots.http2)
        });
        Self {
            number: 0,
            config,
            http2: roots.http2,
        }
    }

    /// One under which there is no connection, and why.
    pub(super) fn unusable(number: u64, why: &str) -> Self {
        Self {
            number,
            config: Err(why.to_owned()),
            http2: false,
        }
    }

    /// An application's own.
    pub(super) fn own(number: u64, own: &OwnTls, roots: &Roots) -> Self {
        Self {
            number,
            config: own.config(roots).map_err(|fault| fault.to_string()),
            http2: roots.http2,
        }
    }
}

/// An application's own TLS, as it was given: PEM texts.
#[derive(Clone)]
pub(crate) struct OwnTls {
    /// Certificates that are trusted besides the platform's.
    pub(crate) ca: Option<Arc<str>>,
    /// The receiver's certificate must bear the name in the URL.
    pub(crate) check_name: bool,
    /// The certificate that is shown to receivers, then those that lead to its authority.
    pub(crate) certificate: Option<Arc<str>>,
    /// Its key.
    pub(crate) key: Option<String>,
}

/// What is wrong with it, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub(crate) struct TlsFault {
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

fn fault(field: &'static str, why: impl Into<String>) -> TlsFault {
    TlsFault {
        field,
        why: why.into(),
    }
}

impl OwnTls {
    /// Whether it can be used, whatever the platform trusts.
    pub(crate) fn check(&self) -> Result<(), TlsFault> {
        if self.ca.is_none() && self.certificate.is_none() && self.key.is_none() {
            return Err(fault("ca", "or `certificate` with `key` must be given"));
        }
        let (ca, certificate) = (self.ca.as_deref(), self.certificate.as_deref());
        for (field, text) in [
            ("ca", ca),
            ("certificate", certificate),
            ("key", self.key.as_deref()),
        ] {
            if text.is_some_and(|text| text.len() > MAX_PEM) {
                return Err(fault(field, format!("has more than {MAX_PEM} bytes")));
            }
        }
        self.config(&Roots {
            verifier: Err("nothing is trusted here".to_owned()),
            http2: false,
        })
        .map(drop)
    }

    fn config(&self, roots: &Roots) -> Result<Arc<ClientConfig>, TlsFault> {
        let own = self.ca.as_deref().map(authorities).transpose()?;
        if own.is_none() && !self.check_name {
            return Err(fault("checkName", "may be false only together with `ca`"));
        }
        let verifier = OwnVerifier::new(own, self.check_name, roots.verifier.clone(), &provider())
            .map_err(|why| fault("ca", why))?;
        let builder = builder(Arc::new(verifier));
        let config = match self.identity()? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| fault("key", unfit(&error)))?,
        };
        Ok(speaking(config, roots.http2))
    }

    /// What is shown to receivers.
    #[allow(clippy::type_complexity)] // two things that belong together
    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsFault> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(fault("key", "is missing: `certificate` is given")),
            (None, Some(_)) => return Err(fault("certificate", "is missing: `key` is given")),
            (Some(certificate), Some(key)) => (certificate, key),
        };
        let chain = certificates("certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| fault("key", format!("holds no readable private key ({error})")))?;
        Ok(Some((chain, key)))
    }
}

/// Why certificate and key were not taken.
#[allow(clippy::wildcard_enum_match_arm)] // not an enum of ours
fn unfit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "does not fit the certificate".to_owned(),
        other => format!("cannot be used ({other})"),
    }
}

fn certificates(field: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if all.is_empty() => Err(fault(field, "holds no certificate in PEM")),
        Ok(all) => Ok(all),
        Err(error) => Err(fault(field, format!("is not readable PEM ({error})"))),
    }
}

/// The SHA-256 of each certificate, in hexadecimal.
pub(crate) fn fingerprints(pem: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = |der: CertificateDer<'_>| hex(digest::digest(&digest::SHA256, &der).as_ref());
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .flatten()
        .map(digest)
        .collect()
}

fn authorities(pem: &str) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| fault("ca", format!("holds a certificate that cannot be used ({error})")))?;
    }
    Ok(roots)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder(
    verifier: Arc<dyn ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// With the protocols that are spoken here.
fn speaking(mut config: ClientConfig, http2: bool) -> Arc<ClientConfig> {
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pair {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn own(ca: Option<&str>, check_name: bool, certificate: Option<&str>, key: Option<&str>) -> OwnTls {
        OwnTls {
            ca: ca.map(Into::into),
            check_name,
            certificate: certificate.map(Into::into),
            key: key.map(Into::into),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (one, other) = (pair(), pair());
        let (cert, key) = (Some(&*one.certificate), Some(&*one.key));
        let broken = one.certificate.replace("BEGIN CERTIFICATE", "BEGIN CERTIFICAT");
        let cut = one.certificate.replacen("MII", "M", 1);
        for (given, field, why) in [
            (own(None, true, None, None), "ca", "must be given"),
            (own(Some(""), true, None, None), "ca", "no certificate"),
            (own(Some("text"), true, None, None), "ca", "no certificate"),
            (own(Some(&broken), true, None, None), "ca", ""),
            (own(Some(&cut), true, None, None), "ca", ""),
            (
                own(None, false, cert, key),
                "checkName",
                "only together with `ca`",
            ),
            (own(None, true, cert, None), "key", "missing"),
            (own(None, true, None, key), "certificate", "missing"),
            (own(None, true, cert, cert), "key", "no readable private key"),
            (own(None, true, key, key), "certificate", "no certificate"),
            (own(None, true, cert, Some(&other.key)), "key", "does not fit"),
        ] {
            let fault = given.check().unwrap_err();
            assert!(
                fault.field == field && fault.why.contains(why),
                "{fault}, not {field} {why}"
            );
        }
        let whole = own(cert, false, cert, key);
        assert_eq!(whole.check(), Ok(()));
        assert_eq!(own(cert, true, None, None).check(), Ok(()));
        assert_eq!(own(None, true, cert, key).check(), Ok(()));
    }
}
