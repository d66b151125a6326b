//! Why there is no connection: told apart as far as somebody can act on it.

use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError};

use crate::push::guard::Refused;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::push) enum ConnectError {
    #[error("cannot resolve the name: {0}")]
    Dns(String),
    #[error(transparent)]
    NotAllowed(#[from] Refused),
    #[error("cannot connect to {address}: {why}")]
    Dial { address: SocketAddr, why: DialFailure },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("no connection in time")]
    TooSlow,
    #[error("HTTP: {0}")]
    Http(String),
    #[error("not a URL that can be pushed to")]
    NoTarget,
}

/// Why an address could not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::push) enum DialFailure {
    /// Nothing listens there, or a firewall says so.
    #[error("refused")]
    Refused,
    /// There is no way to it.
    #[error("no route to it")]
    Unreachable,
    /// Accepted, and closed at once.
    #[error("reset")]
    Reset,
    /// No word in its share of the time.
    #[error("no answer in time")]
    Silent,
    #[error("{0}")]
    Other(String),
}

impl DialFailure {
    #[allow(clippy::wildcard_enum_match_arm)] // not an enum of ours
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// What went wrong with TLS, if that is what the error is about. In plain words where people can do something about it.
#[allow(clippy::wildcard_enum_match_arm)] // not an enum of ours
pub(in crate::push) fn tls_failure(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let why = match error {
        rustls::Error::InvalidCertificate(why) => certificate_failure(why),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Some("the receiver asks for a client's certificate")
        }
        _ => None,
    };
    Some(why.map_or_else(|| error.to_string(), str::to_owned))
}

#[allow(clippy::wildcard_enum_match_arm)] // not an enum of ours
fn certificate_failure(error: &CertificateError) -> Option<&'static str> {
    Some(match error {
        CertificateError::UnknownIssuer => {
            "the receiver's certificate is not signed by an authority that is trusted here"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the receiver's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the receiver's certificate is not valid yet"
        }
        CertificateError::Revoked => "the receiver's certificate was revoked",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the receiver's certificate does not bear the name in the URL"
        }
        _ => return None,
    })
}
