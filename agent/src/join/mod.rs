//! `ha-agent join`: a one-use token becomes an identity.
//!
//! ```text
//! token ─► connect, verify the coordinator by the CA that the token names ─► Enroll{token, request}
//!       ─► check what came back ─► <state dir>/identity
//! ```
//!
//! The key is made here and never leaves. Nothing of the token is kept or logged.

mod identity;
mod request;
mod token;
mod verifier;

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hafleet_proto::v1::{EnrollRequest, agent_service_client::AgentServiceClient};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;

pub use crate::config::{CoordinatorAddress, InvalidAddress, InvalidName, Name};
use identity::Prepared;
pub use identity::{Identity, IdentityError, Validity};
pub use request::KeyAndRequest;
pub use token::{Fingerprint, InvalidToken, JoinToken};

use crate::uplink::{ConnectError, client_config, connect, provider, with_alpn};
use verifier::PinnedByToken;

const ENROLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No coordinator could be reached and verified.
    #[error("{0}")]
    Unreachable(String),
    /// The coordinator refuses.
    #[error("{address} refuses to let this node in: {why}")]
    Refused {
        /// Who.
        address: CoordinatorAddress,
        /// Its words.
        why: String,
    },
    /// The coordinator does not answer.
    #[error("{address} did not answer the request to join within {} s; the token may be used up", ENROLL_TIMEOUT.as_secs())]
    NoAnswer {
        /// Who.
        address: CoordinatorAddress,
    },
    /// What came back is not what was asked for.
    #[error("the certificate that {address} sent is not usable")]
    Unusable {
        /// Who.
        address: CoordinatorAddress,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// What came back is not what was asked for.
    #[error("{address} sent {what}")]
    Answer {
        /// Who.
        address: CoordinatorAddress,
        /// What is wrong.
        what: String,
    },
    /// No key.
    #[error("no new key can be made")]
    Key(#[source] rcgen::Error),
    /// No TLS.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The state directory.
    #[error("cannot create the state directory {}", path.display())]
    StateDir {
        /// Which.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: std::io::Error,
    },
    /// The identity cannot be kept.
    #[error(transparent)]
    Store(#[from] IdentityError),
}

/// Who wants to join what.
#[derive(Debug)]
pub struct Join {
    /// Whom to ask, in order.
    pub coordinators: Vec<CoordinatorAddress>,
    /// What an administrator gave.
    pub token: JoinToken,
    /// The name to have.
    pub node: Name,
    /// The layer-2 world.
    pub site: Name,
}

impl Join {
    /// Joins, and keeps the identity in `state_dir`; one that is there already is replaced.
    ///
    /// # Errors
    /// With what went wrong; the old identity, if any, is then untouched.
    pub async fn run(&self, state_dir: &Path) -> Result<Identity, JoinError> {
        let state_dir_error = |source| JoinError::StateDir { path: state_dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o750).create(state_dir).map_err(state_dir_error)?;
        // The token is good once: what it buys must have a place before it is shown.
        let KeyAndRequest { key, request_der } = KeyAndRequest::generate().map_err(JoinError::Key)?;
        let prepared = Prepared::for_join(state_dir, &key)?;
        let verifier = Arc::new(PinnedByToken::new(self.token.ca(), provider()));
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(JoinError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_no_client_auth();
        let config = Arc::new(with_alpn(config));
        let mut failures = Vec::new();
        for address in &self.coordinators {
            match connect(address, Arc::clone(&config)).await {
                Ok(connection) => {
                    let client = AgentServiceClient::new(connection.channel);
                    let identity = self.enroll(address, client, &verifier, key, request_der).await?;
                    prepared.complete(&identity)?;
                    return Ok(identity);
                }
                Err(error) => failures.push(describe(&error)),
            }
        }
        Err(JoinError::Unreachable(failures.join("\n  ")))
    }

    async fn enroll(
        &self,
        address: &CoordinatorAddress,
        mut client: AgentServiceClient<tonic::transport::Channel>,
        verifier: &PinnedByToken,
        key: PrivateKeyDer<'static>,
        request_der: Vec<u8>,
    ) -> Result<Identity, JoinError> {
        let request = EnrollRequest {
            token: self.token.secret_text().to_owned(),
            node: self.node.to_string(),
            site: self.site.to_string(),
            csr_der: request_der,
        };
        let answer = timeout(ENROLL_TIMEOUT, client.enroll(request))
            .await
            .map_err(|_| JoinError::NoAnswer { address: address.clone() })?
            .map_err(|status| JoinError::Refused {
                address: address.clone(),
                why: status.message().to_owned(),
            })?
            .into_inner();
        let wrong = |what: String| JoinError::Answer { address: address.clone(), what };
        let ca = verifier.authority().ok_or_else(|| wrong("no CA certificate".to_owned()))?;
        if !answer.ca_der.is_empty() && Fingerprint::of(&answer.ca_der) != self.token.ca() {
            return Err(wrong("another CA certificate than the one that the token names".to_owned()));
        }
        let site = if answer.site.is_empty() {
            self.site.clone()
        } else {
            parse_site(&answer.site).map_err(wrong)?
        };
        let identity = Identity {
            node: self.node.clone(),
            site,
            coordinators: self.coordinators.clone(),
            certificate: CertificateDer::from(answer.certificate_der),
            key,
            ca,
        };
        client_config(&identity)
            .map_err(|source| JoinError::Unusable { address: address.clone(), source })?;
        identity.validity()?;
        Ok(identity)
    }
}

fn parse_site(site: &str) -> Result<Name, String> {
    site.parse().map_err(|error| format!("a site that is none: {error}"))
}

/// A connection failure in one line; what the verifier found out says more than TLS's own words.
fn describe(error: &ConnectError) -> String {
    if let ConnectError::Tls { address, source: rustls::Error::InvalidCertificate(why) } = error
        && let rustls::CertificateError::Other(rustls::OtherError(why)) = why
    {
        return format!("no secure connection to {address}: {why}");
    }
    crate::log::chain(error)
}

#[cfg(test)]
mod tests;
