//! Checks a receiver's certificate against an application's own authorities, and then against the platform's.
//!
//! The chain is always checked. The name may be left unchecked, and then only of a certificate whose chain ends at one of
//! the application's own authorities: rustls looks at the name after the chain, so the error about the name alone is let pass.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// See the module.
#[derive(Debug)]
pub(super) struct OwnVerifier {
    own: Option<Arc<WebPkiServerVerifier>>,
    check_name: bool,
    platform: Result<Arc<dyn ServerCertVerifier>, String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl OwnVerifier {
    /// The error says why `own` cannot be trusted.
    pub(super) fn new(
        own: Option<RootCertStore>,
        check_name: bool,
        platform: Result<Arc<dyn ServerCertVerifier>, String>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let build = |roots: RootCertStore| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()
        };
        Ok(Self {
            own: own.map(build).transpose().map_err(|error| error.to_string())?,
            check_name,
            platform,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// The name is all that is wrong, and it does not matter.
    fn lets_pass(&self, error: &Error) -> bool {
        let about_name = matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        );
        about_name && !self.check_name
    }
}

impl ServerCertVerifier for OwnVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut of_own = None;
        if let Some(own) = &self.own {
            match own.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                Ok(verified) => return Ok(verified),
                Err(error) if self.lets_pass(&error) => return Ok(ServerCertVerified::assertion()),
                Err(error) => of_own = Some(error),
            }
        }
        let of_platform = match &self.platform {
            Ok(platform) => platform.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            Err(why) => Err(Error::General(why.clone())),
        };
        // Under an authority of the application's own, its verdict says more.
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        of_platform.map_err(|error| match of_own {
            Some(own) if own != unknown || self.platform.is_err() => own,
            Some(_) | None => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
