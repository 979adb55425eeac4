//! Who may send a body at all.
//!
//! A handler is called with the whole message, which is in memory by then. Strangers, expired and revoked parties are
//! therefore turned away by the head of their call; only `Enroll` is open to all, on connections that may say little
//! (`tls::incoming`). A connection without a certificate on which somebody shows a good token may say more from then on.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    Status,
    body::Body,
    codegen::{
        BoxFuture, Service,
        http::{HeaderValue, Request, Response},
    },
    server::NamedService,
};

use crate::{
    api::{
        caller::{self, Caller},
        status::{CallError, RequestError},
    },
    shared::Shared,
    tls::Peer,
};

/// The one call that needs no credential.
const ENROLL: &str = "/hafleet.v1.AgentService/Enroll";

/// A service that known parties may call, and everybody its `Enroll`.
#[derive(Clone)]
pub struct Guarded<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Guarded<S> {
    /// Puts the guard before a service.
    pub fn new(shared: Arc<Shared>, inner: S) -> Self {
        Self { shared, inner }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if request.uri().path() == ENROLL {
            return Box::pin(self.inner.call(request));
        }
        let shared = Arc::clone(&self.shared);
        let peer = request.extensions().get::<Peer>().cloned();
        let authorization = request.headers().get("authorization").cloned();
        let call = action(request.uri().path());
        // The one that is ready is used; its clone waits to be ready again.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let authorization = authorization.as_ref().map(HeaderValue::as_bytes);
            match admit(&shared, peer, authorization, call).await {
                Ok(caller) => {
                    request.extensions_mut().insert(Arc::new(caller));
                    inner.call(request).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

async fn admit(
    shared: &Shared,
    peer: Option<Peer>,
    authorization: Option<&[u8]>,
    call: &'static str,
) -> Result<Caller, CallError> {
    // Every connection is accepted by `tls::incoming`, which says who is there.
    let peer = peer.ok_or(RequestError::NoCredential)?;
    let found = match caller::proof(&peer, authorization) {
        Ok(proof) => caller::identify(shared, proof, peer.address.to_string()).await,
        Err(error) => Err(error.into()),
    };
    match &found {
        Ok(_) => peer.vouch(),
        Err(CallError::Request(error)) => caller::note_peer(shared, &peer, call, error),
        Err(_) => {}
    }
    found
}

/// What the audit log calls a call; the path itself is a stranger's text.
fn action(path: &str) -> &'static str {
    match path {
        "/hafleet.v1.AgentService/Renew" => "renew",
        "/hafleet.v1.AgentService/Session" => "session",
        "/hafleet.v1.OperatorService/GetFleet" => "fleet.get",
        "/hafleet.v1.OperatorService/ListFindings" => "finding.list",
        "/hafleet.v1.OperatorService/ListTransitions" => "transition.list",
        "/hafleet.v1.OperatorService/ExplainGroup" => "group.explain",
        "/hafleet.v1.OperatorService/Watch" => "watch",
        "/hafleet.v1.OperatorService/CreateToken" => "token.create",
        "/hafleet.v1.OperatorService/ListTokens" => "token.list",
        "/hafleet.v1.OperatorService/RevokeNode" => "node.revoke",
        "/hafleet.v1.OperatorService/ListAudit" => "audit.list",
        "/hafleet.v1.OperatorService/AddUser" => "user.add",
        "/hafleet.v1.OperatorService/ListUsers" => "user.list",
        "/hafleet.v1.OperatorService/RevokeUser" => "user.revoke",
        "/hafleet.v1.OperatorService/SwitchOver" => "switchover",
        "/hafleet.v1.OperatorService/UndoSwitchOver" => "switchover.undo",
        "/hafleet.v1.OperatorService/SetMaintenance" => "maintenance",
        "/hafleet.v1.OperatorService/ProbeGroup" => "group.probe",
        "/hafleet.v1.FenceService/List" => "fence.list",
        "/hafleet.v1.FenceService/Get" => "fence.get",
        "/hafleet.v1.FenceService/Propose" => "fence.propose",
        "/hafleet.v1.FenceService/Approve" => "fence.approve",
        "/hafleet.v1.FenceService/Deny" => "fence.deny",
        "/hafleet.v1.FenceService/Run" => "fence.run",
        "/hafleet.v1.FenceService/Confirm" => "fence.confirm",
        "/hafleet.v1.FenceService/Release" => "fence.release",
        "/hafleet.v1.FenceService/Pause" => "fence.pause",
        "/hafleet.v1.FenceService/Resume" => "fence.resume",
        "/hafleet.v1.FenceService/Test" => "fence.test",
        path if path.starts_with("/grpc.health.") => "health",
        path if path.starts_with("/grpc.reflection.") => "reflection",
        "/hafleet.v1.ConfigService/ValidateConfig" => "config.validate",
        "/hafleet.v1.ConfigService/DiffConfig" => "config.diff",
        "/hafleet.v1.ConfigService/ApplyConfig" => "config.apply",
        "/hafleet.v1.ConfigService/RollbackConfig" => "config.rollback",
        "/hafleet.v1.ConfigService/ListConfigs" => "config.list",
        "/hafleet.v1.ConfigService/GetConfig" => "config.get",
        "/hafleet.v1.ConfigService/GetDrift" => "config.drift",
        _ => "call",
    }
}
