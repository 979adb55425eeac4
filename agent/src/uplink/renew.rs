//! A new certificate before the old one ends.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hafleet_proto::v1::{RenewRequest, agent_service_client::AgentServiceClient};
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;
use tonic::{Status, transport::Channel};

use super::client_config;
use crate::join::{Identity, IdentityError, KeyAndRequest};

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewError {
    #[error("no new key can be made")]
    Key(#[source] rcgen::Error),
    #[error("the coordinator does not renew the certificate: {}", .0.message())]
    Refused(#[source] Box<Status>),
    #[error("the coordinator did not answer the request for a new certificate within {} s", .0.as_secs_f32())]
    NoAnswer(Duration),
    #[error("the coordinator's new certificate is not usable")]
    Unusable(#[source] rustls::Error),
    #[error("the new certificate cannot be kept")]
    Store(#[source] IdentityError),
    #[error("interrupted")]
    Interrupted,
}

/// Makes a new key, has it certified over the connection of the old one, and keeps both. The coordinator's
/// answer must come within `within`, so that one that never comes keeps no later attempt back.
pub(super) async fn renew(
    mut client: AgentServiceClient<Channel>,
    identity: Arc<Identity>,
    state_dir: PathBuf,
    within: Duration,
) -> Result<(), RenewError> {
    let made = KeyAndRequest::generate().map_err(RenewError::Key)?;
    let request = RenewRequest { csr_der: made.request_der };
    let answer = timeout(within, client.renew(request))
        .await
        .map_err(|_| RenewError::NoAnswer(within))?
        .map_err(|status| RenewError::Refused(Box::new(status)))?
        .into_inner();
    let renewed = Identity {
        node: identity.node.clone(),
        site: identity.site.clone(),
        coordinators: identity.coordinators.clone(),
        certificate: CertificateDer::from(answer.certificate_der),
        key: made.key,
        // The authority stays the one that was pinned when the node joined.
        ca: identity.ca.clone(),
    };
    client_config(&renewed).map_err(RenewError::Unusable)?;
    let stored = tokio::task::spawn_blocking(move || renewed.store(&state_dir)).await;
    stored.map_err(|_| RenewError::Interrupted)?.map_err(RenewError::Store)
}
