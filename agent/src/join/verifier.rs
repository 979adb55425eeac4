//! Trust before the first word: the authority is the certificate in the presented chain whose SHA-256 the token names.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::token::Fingerprint;

/// The token's authority is not in the chain.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token is for a CA with SHA-256 {wanted}, but this coordinator presents {presented}; either the address is that \
     of another fleet's coordinator, or the token is of another fleet, or somebody is in between"
)]
pub struct WrongAuthority {
    wanted: Fingerprint,
    presented: String,
}

/// Verifies a coordinator by the authority that a token names.
#[derive(Debug)]
pub struct PinnedByToken {
    wanted: Fingerprint,
    provider: Arc<CryptoProvider>,
    picked: Mutex<Option<CertificateDer<'static>>>,
}

impl PinnedByToken {
    /// Trusts only the authority with this fingerprint.
    pub fn new(wanted: Fingerprint, provider: Arc<CryptoProvider>) -> Self {
        Self { wanted, provider, picked: Mutex::new(None) }
    }

    /// The authority, once a coordinator that it signed was verified.
    pub fn authority(&self) -> Option<CertificateDer<'static>> {
        self.picked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for PinnedByToken {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) =
            intermediates.iter().find(|certificate| Fingerprint::of(certificate) == self.wanted)
        else {
            let presented = match intermediates.last() {
                Some(last) => format!("one with {}", Fingerprint::of(last)),
                None => "none".to_owned(),
            };
            let error = WrongAuthority { wanted: self.wanted, presented };
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        };
        let authority = authority.clone().into_owned();
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        *self.picked.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
