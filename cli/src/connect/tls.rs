//! TLS 1.3 with the context's CA alone, and the token of a context that has one.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS13};
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::context::{Context, ContextError, Credential};

/// A connector that trusts the context's CA and shows its certificate, if it has one.
pub fn connector(context: &Context) -> Result<TlsConnector, ContextError> {
    let unusable =
        |field: &'static str, why: String| ContextError::Field { path: context.path.clone(), field, why };
    let mut roots = RootCertStore::empty();
    for ca in &context.ca {
        roots.add(ca.clone()).map_err(|error| unusable("ca", error.to_string()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable("ca", error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match &context.credential {
        Credential::Certificate { chain, key } => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable("key", format!("it does not fit `cert`: {error}")))?,
        Credential::Token(_) => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shows the context's token, if it has one, with every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Of this context.
    pub fn of(context: &Context) -> Result<Self, ContextError> {
        let Credential::Token(token) = &context.credential else { return Ok(Self(None)) };
        let mut value =
            MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| ContextError::Field {
                path: context.path.clone(),
                field: "token",
                why: "it cannot stand in a header".to_owned(),
            })?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}
