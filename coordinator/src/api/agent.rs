//! `AgentService`: Enroll, Renew, Session.

use std::sync::Arc;

use hafleet_fleet::NodeName;
use hafleet_proto::v1::{self, agent_service_server::AgentService};
use tonic::{Extensions, Request, Response, Status, Streaming};

use crate::{
    api::{
        caller::{self, Party},
        status::{CallError, RequestError},
    },
    audit::Refusal,
    identity::{
        self,
        certificate::ClientCertificate,
        enrol::{EnrolError, Registrar},
        renewals::Renewals,
        token::JoinToken,
    },
    sessions,
    shared::Shared,
};

/// The agents' API.
pub struct Agents {
    shared: Arc<Shared>,
    renewals: Renewals,
}

impl Agents {
    /// Over what is shared.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, renewals: Renewals::default() }
    }

    fn registrar(&self) -> Registrar<'_> {
        Registrar {
            ca: &self.shared.ca,
            store: &self.shared.store,
            clock: self.shared.clock,
            revoked: &self.shared.revoked,
            audit: &self.shared.audit,
            lifetime: self.shared.node_certificate_lifetime,
        }
    }

    async fn enrol(&self, request: &v1::EnrollRequest, peer: &str) -> Result<v1::EnrollResponse, CallError> {
        let field = |field, what: String| RequestError::Field { field, what };
        let token: JoinToken = request.token.parse().map_err(|error| {
            let error: identity::token::TokenFormatError = error;
            field("token", error.to_string())
        })?;
        let node = identity::node_name(&request.node).map_err(|error| field("node", error.to_string()))?;
        let site = identity::site_name(&request.site).map_err(|error| field("site", error.to_string()))?;
        let issued = self.registrar().enrol(&token, &node, &site, &request.csr_der, peer).await?;
        self.shared.roster.with(&node, |entry| {
            entry.site = site.0.clone();
            entry.certificate_not_after_us = issued.not_after_us;
        });
        tracing::info!(%node, %site, peer, "enrolled");
        Ok(v1::EnrollResponse {
            certificate_der: issued.der.to_vec(),
            ca_der: self.shared.ca.der().to_vec(),
            not_after_us: issued.not_after_us,
            site: site.0,
        })
    }

    fn note_enrol(&self, request: &v1::EnrollRequest, peer: &str, error: &CallError) {
        let reason = match error {
            CallError::Enrol(error) => error.refusal(),
            CallError::Request(_) => Some("bad_request"),
            CallError::Store(_)
            | CallError::Finding(_)
            | CallError::Fence(_)
            | CallError::Gone(_)
            | CallError::Random(_)
            | CallError::Ca(_) => None,
        };
        if let Some(reason) = reason {
            let subject: String = request.node.chars().take(64).collect();
            let detail = super::status::said(error);
            let refusal =
                Refusal { actor: peer, action: "enroll", reason, subject: &subject, detail: &detail };
            self.shared.audit.note_refusal(refusal);
        }
    }

    /// The node that the caller's certificate names.
    fn node(&self, extensions: &Extensions, call: &'static str) -> Result<Agent, RequestError> {
        let caller = caller::found(extensions)?;
        match &caller.party {
            Party::Node(name, certificate) => Ok(Agent {
                name: name.clone(),
                certificate: Arc::clone(certificate),
                peer: caller.peer.clone(),
            }),
            Party::User(_) => {
                let error = RequestError::WrongParty { who: caller.actor.clone(), whom: "agents" };
                caller::note(&self.shared, &caller.actor, &caller.peer, call, &error);
                Err(error)
            }
        }
    }
}

/// An agent that calls.
struct Agent {
    name: NodeName,
    certificate: Arc<ClientCertificate>,
    peer: String,
}

#[tonic::async_trait]
impl AgentService for Agents {
    type SessionStream = sessions::ToAgentStream;

    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let peer = caller::peer(request.extensions());
        let request = request.into_inner();
        match self.enrol(&request, &peer).await {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => {
                self.note_enrol(&request, &peer, &error);
                Err(error.into())
            }
        }
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let Agent { name: node, peer, .. } = self.node(request.extensions(), "renew")?;
        // Not audited: that the log stays bounded is what this is for.
        self.renewals.begin(&node, self.shared.clock.now()).map_err(RequestError::from)?;
        let renewed = self.registrar().renew(&node, &request.into_inner().csr_der, &peer).await;
        if renewed.is_err() {
            self.renewals.failed(&node);
        }
        let issued = renewed.map_err(|error: EnrolError| Status::from(CallError::from(error)))?;
        self.shared.roster.with(&node, |entry| entry.certificate_not_after_us = issued.not_after_us);
        Ok(Response::new(v1::RenewResponse {
            certificate_der: issued.der.to_vec(),
            ca_der: self.shared.ca.der().to_vec(),
            not_after_us: issued.not_after_us,
        }))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let Agent { name, certificate, peer } = self.node(request.extensions(), "session")?;
        let shared = Arc::clone(&self.shared);
        Ok(Response::new(sessions::serve(shared, name, certificate, peer, request.into_inner())))
    }
}
