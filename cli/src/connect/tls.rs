//! TLS 1.3 with the context's CA alone.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS13};
use tokio_rustls::TlsConnector;

use crate::context::{Context, ContextError};

/// A connector that trusts the context's CA and shows its certificate.
pub fn connector(context: &Context) -> Result<TlsConnector, ContextError> {
    let unusable =
        |field: &'static str, why: String| ContextError::Field { path: context.path.clone(), field, why };
    let mut roots = RootCertStore::empty();
    for ca in &context.ca {
        roots.add(ca.clone()).map_err(|error| unusable("ca", error.to_string()))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable("ca", error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(context.chain.clone(), context.key.clone_key())
        .map_err(|error| unusable("key", format!("it does not fit `cert`: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
