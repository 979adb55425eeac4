//! Who may send a body at all.
//!
//! A handler is called with the whole message, which is in memory by then. Strangers, expired and revoked parties are
//! therefore turned away by the head of their call; only `Enroll` is open to all, on connections that may say little
//! (`tls::incoming`).

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
        http::{Request, Response},
    },
    server::NamedService,
};

use crate::{api::caller, shared::Shared, tls::Peer};

/// The one call that needs no certificate.
const ENROLL: &str = "/hafleet.v1.AgentService/Enroll";

/// A service that certified parties may call, and everybody its `Enroll`.
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
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != ENROLL {
            let peer = request.extensions().get::<Peer>();
            if let Err(error) = caller::certified_peer(&self.shared, peer) {
                caller::note_peer(&self.shared, peer, action(request.uri().path()), &error);
                let refused = Status::from(error).into_http();
                return Box::pin(std::future::ready(Ok(refused)));
            }
        }
        Box::pin(self.inner.call(request))
    }
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
        _ => "call",
    }
}
