//! A certificate for a join token, and a new certificate for one that is still good.

use std::time::Duration;

use hafleet_fleet::{NodeName, Site};

use crate::{
    audit::AuditLog,
    clock::{Clock, rfc3339},
    identity::{
        Identity,
        ca::{Ca, CaError, Issued},
        certificate,
        revoked::RevokedNodes,
        token::JoinToken,
    },
    store::{AuditOutcome, NodeRow, Spend, Store, StoreError},
};

/// Issues node certificates.
pub struct Registrar<'a> {
    /// Who signs.
    pub ca: &'a Ca,
    /// Where tokens, nodes and the audit log are.
    pub store: &'a Store,
    /// Dates things.
    pub clock: Clock,
    /// Whom to refuse.
    pub revoked: &'a RevokedNodes,
    /// What was done is written here first.
    pub audit: &'a AuditLog,
    /// How long a certificate is valid.
    pub lifetime: Duration,
}

/// Why nobody was enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token is for another fleet.
    #[error(
        "the token was made by another coordinator: it names a CA with SHA-256 {token}, this coordinator's CA has {ours}. \
         Make a token here with `hactl node token`"
    )]
    OtherCa {
        /// The token's.
        token: String,
        /// Ours.
        ours: String,
    },
    /// Unknown id.
    #[error("the token is not known here; make a new one with `hactl node token`")]
    UnknownToken,
    /// Known id, wrong secret.
    #[error(
        "the secret of the token is wrong; copy the whole token, or make a new one with `hactl node token`"
    )]
    WrongSecret,
    /// Spent.
    #[error(
        "the token was used already, by {by} at {at}; a token is good once: make a new one with `hactl node token`"
    )]
    UsedToken {
        /// By which node.
        by: String,
        /// When.
        at: String,
    },
    /// Too late.
    #[error("the token expired at {at}; make a new one with `hactl node token`")]
    ExpiredToken {
        /// When.
        at: String,
    },
    /// For another node.
    #[error(
        "the token is for the node {bound_to}, not for {node}; make one with `hactl node token --node {node}`"
    )]
    OtherNode {
        /// For this one.
        bound_to: String,
        /// Who wants it.
        node: NodeName,
    },
    /// The name is taken, and the token does not say that it may be taken over.
    #[error(
        "there is a node {node} already, and this token is for no node in particular. To join that host again, make a \
         token for it with `hactl node token --node {node}`; for another host choose another --name"
    )]
    NameTaken {
        /// The name.
        node: NodeName,
    },
    /// The name was revoked.
    #[error("the node {node} was revoked at {at}; its name is refused for good: join with another --name")]
    Revoked {
        /// The name.
        node: NodeName,
        /// When.
        at: String,
    },
    /// The request or the authority is wrong.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The certificate that was just made cannot be read.
    #[error("the certificate that was made for {node} cannot be read back")]
    ReadBack {
        /// For whom.
        node: NodeName,
        /// Why.
        #[source]
        source: certificate::CertificateError,
    },
    /// The database refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnrolError {
    /// A stable code for the audit log; `None` when nobody was refused but something failed.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::OtherCa { .. } => Some("foreign_ca"),
            Self::UnknownToken => Some("unknown_token"),
            Self::WrongSecret => Some("wrong_secret"),
            Self::UsedToken { .. } => Some("used_token"),
            Self::ExpiredToken { .. } => Some("expired_token"),
            Self::OtherNode { .. } => Some("other_node"),
            Self::NameTaken { .. } => Some("name_taken"),
            Self::Revoked { .. } => Some("revoked"),
            Self::Ca(CaError::Request(_)) => Some("bad_request"),
            Self::Ca(
                CaError::CertificatePem(_)
                | CaError::Key(_)
                | CaError::Issue { .. }
                | CaError::Date { .. }
                | CaError::Random(_),
            )
            | Self::ReadBack { .. }
            | Self::Store(_) => None,
        }
    }
}

impl Registrar<'_> {
    /// Spends the token and makes the node's first certificate. The request is read before the token is spent, and the
    /// token is spent only together with the node's row: a refusal costs nothing.
    pub async fn enrol(
        &self,
        token: &JoinToken,
        node: &NodeName,
        site: &Site,
        request_der: &[u8],
        peer: &str,
    ) -> Result<Issued, EnrolError> {
        let ours = self.ca.fingerprint();
        if token.ca_fingerprint != ours {
            return Err(EnrolError::OtherCa { token: token.ca_fingerprint.clone(), ours });
        }
        let issued = self.issue(node, request_der)?;
        let now_us = self.clock.now_us();
        let row = self.row(node, site, None, &issued, now_us)?;
        let spend = self.store.spend_token(&token.id, &token.secret_hash(), &row, now_us).await?;
        self.judge(spend, node)?;
        let detail =
            format!("from {peer} with token {}, valid until {}", token.id, rfc3339(issued.not_after_us));
        self.record(node, "enroll", detail).await?;
        Ok(issued)
    }

    /// A new certificate for the node that proved itself by its present one.
    pub async fn renew(&self, node: &NodeName, request_der: &[u8], peer: &str) -> Result<Issued, EnrolError> {
        let known = self.store.node(&node.0).await?;
        if let Some(at_us) = known.as_ref().and_then(|known| known.revoked_at_us) {
            return Err(EnrolError::Revoked { node: node.clone(), at: rfc3339(at_us) });
        }
        let issued = self.issue(node, request_der)?;
        let site = Site(known.as_ref().map(|known| known.site.clone()).unwrap_or_default());
        let row = self.row(node, &site, known, &issued, self.clock.now_us())?;
        self.store.save_node(&row).await?;
        self.record(node, "renew", format!("from {peer}, valid until {}", rfc3339(issued.not_after_us)))
            .await?;
        Ok(issued)
    }

    fn issue(&self, node: &NodeName, request_der: &[u8]) -> Result<Issued, EnrolError> {
        let identity = Identity::Node(node.clone());
        Ok(self.ca.issue_for_request(&identity, request_der, self.lifetime, self.clock.wall_us())?)
    }

    fn judge(&self, spend: Spend, node: &NodeName) -> Result<(), EnrolError> {
        match spend {
            Spend::Spent => Ok(()),
            Spend::Unknown => Err(EnrolError::UnknownToken),
            Spend::WrongSecret => Err(EnrolError::WrongSecret),
            Spend::AlreadyUsed { at_us, by } => Err(EnrolError::UsedToken { by, at: rfc3339(at_us) }),
            Spend::Expired { at_us } => Err(EnrolError::ExpiredToken { at: rfc3339(at_us) }),
            Spend::OtherNode { bound_to } => Err(EnrolError::OtherNode { bound_to, node: node.clone() }),
            Spend::NameTaken => Err(EnrolError::NameTaken { node: node.clone() }),
            Spend::Revoked { at_us } => Err(EnrolError::Revoked { node: node.clone(), at: rfc3339(at_us) }),
        }
    }

    fn row(
        &self,
        node: &NodeName,
        site: &Site,
        known: Option<NodeRow>,
        issued: &Issued,
        now_us: i64,
    ) -> Result<NodeRow, EnrolError> {
        let serial = certificate::parse(&issued.der)
            .map_err(|source| EnrolError::ReadBack { node: node.clone(), source })?
            .serial;
        Ok(NodeRow {
            name: node.0.clone(),
            site: site.0.clone(),
            first_seen_us: now_us,
            last_seen_us: None,
            agent_version: known.map(|known| known.agent_version).unwrap_or_default(),
            certificate_serial: Some(serial),
            certificate_not_after_us: Some(issued.not_after_us),
            revoked_at_us: None,
        })
    }

    async fn record(&self, node: &NodeName, action: &str, detail: String) -> Result<(), EnrolError> {
        let actor = Identity::Node(node.clone()).to_string();
        self.audit.record(self.store, &actor, action, &actor, AuditOutcome::Done, detail).await?;
        Ok(())
    }
}
