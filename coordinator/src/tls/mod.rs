//! TLS 1.3 with our own accept loop, so that a refused handshake is counted, written down and explained instead of
//! vanishing inside a library.

mod incoming;
mod refused;
mod under_way;

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub use incoming::{Connection, Incoming, Peer, accept};
pub use refused::{Reason, RefusedHandshakes};

use crate::identity::ca::Ca;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read.
    #[error("{what} is not PEM that can be read")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The verifier of client certificates cannot be made.
    #[error("the CA cannot be used to verify client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The parts do not fit.
    #[error("the CA, the server certificate and the server key do not fit together")]
    Config(#[source] rustls::Error),
}

/// TLS 1.3 only; a client certificate of our CA is asked for but may be missing, because `Enroll` has none. The chain
/// we present ends with the CA itself, so that a joining agent can pin it by the token's hash.
///
/// No session is ever resumed: a resumed one would not look at the client's certificate again.
pub fn server_config(ca: &Ca, certificate_pem: &str, key_pem: &str) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|source| TlsError::Pem { what: "the server certificate", source })?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|source| TlsError::Pem { what: "the server key", source })?;
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).map_err(TlsError::Config)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Config)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate, ca.der().clone()], key)
        .map_err(TlsError::Config)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Makes ring the process's default for libraries that ask for one (the webhook's HTTP client). Harmless when called
/// again.
pub fn install_default_provider() {
    // An error means that a default is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
