//! Who is calling, and whether they may.

use std::sync::Arc;

use tonic::{Extensions, Request, Status};

use crate::{
    api::status::{CallError, RequestError},
    audit::Refusal,
    clock::rfc3339,
    identity::{Identity, certificate::ClientCertificate},
    shared::Shared,
    store::Role,
    tls::Peer,
};

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To look.
    Look,
    /// To change who belongs to the fleet.
    Administer,
}

/// One who may call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whom the certificate names, as the audit log says it.
    pub actor: String,
    /// The certificate.
    pub certificate: Arc<ClientCertificate>,
    /// Address and port.
    pub peer: String,
}

/// The address that a call came from.
pub fn peer(extensions: &Extensions) -> String {
    extensions.get::<Peer>().map(|peer| peer.address.to_string()).unwrap_or_default()
}

/// The caller's certificate, if it is still good. A connection may outlive it.
pub fn certified(shared: &Shared, extensions: &Extensions) -> Result<Caller, RequestError> {
    certified_peer(shared, extensions.get::<Peer>())
}

/// The same, of the other end of a connection.
pub fn certified_peer(shared: &Shared, peer: Option<&Peer>) -> Result<Caller, RequestError> {
    let peer = peer.ok_or(RequestError::NoCertificate)?;
    let certificate = peer.certificate.clone().ok_or(RequestError::NoCertificate)?;
    let actor = certificate.identity.to_string();
    if certificate.not_after_us <= shared.clock.wall_us() {
        return Err(RequestError::Expired { who: actor, at: rfc3339(certificate.not_after_us) });
    }
    if let Identity::Node(node) = &certificate.identity
        && shared.revoked.contains(node)
    {
        return Err(RequestError::Revoked { who: actor });
    }
    Ok(Caller { actor, certificate, peer: peer.address.to_string() })
}

/// A user with a role that suffices. A refusal is noted in the audit log.
pub async fn user(
    shared: &Shared,
    extensions: &Extensions,
    need: Need,
    call: &'static str,
) -> Result<Caller, CallError> {
    let judged = judge(shared, extensions, need).await;
    if let Err(CallError::Request(error)) = &judged {
        note(shared, extensions, call, error);
    }
    judged
}

async fn judge(shared: &Shared, extensions: &Extensions, need: Need) -> Result<Caller, CallError> {
    let caller = certified(shared, extensions)?;
    let Identity::User(name) = &caller.certificate.identity else {
        return Err(RequestError::WrongParty { who: caller.actor, whom: "users (hactl)" }.into());
    };
    let Some(user) = shared.store.user(name).await? else {
        return Err(RequestError::UnknownUser { who: caller.actor }.into());
    };
    if user.revoked {
        return Err(RequestError::Revoked { who: caller.actor }.into());
    }
    let suffices = match (need, user.role) {
        (Need::Look, Role::Viewer | Role::Operator | Role::Admin | Role::FenceApprover)
        | (Need::Administer, Role::Admin) => true,
        (Need::Administer, Role::Viewer | Role::Operator | Role::FenceApprover) => false,
    };
    if suffices {
        Ok(caller)
    } else {
        Err(RequestError::Role { who: caller.actor, role: word(user.role), needed: "admin" }.into())
    }
}

/// A refused call becomes a row of the audit log, within the bounds of strangers.
pub fn note(shared: &Shared, extensions: &Extensions, call: &'static str, error: &RequestError) {
    note_peer(shared, extensions.get::<Peer>(), call, error);
}

/// The same, of the other end of a connection.
pub fn note_peer(shared: &Shared, peer: Option<&Peer>, call: &'static str, error: &RequestError) {
    let Some(reason) = error.refusal() else { return };
    let address = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    let named =
        peer.and_then(|peer| peer.certificate.as_ref()).map(|certificate| certificate.identity.to_string());
    shared.audit.note_refusal(Refusal {
        actor: named.as_ref().unwrap_or(&address),
        action: call,
        reason,
        subject: &address,
        detail: &error.to_string(),
    });
}

/// For services that every certified party may call: health and reflection.
pub fn require_certificate(
    shared: Arc<Shared>,
) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |request| match certified(&shared, request.extensions()) {
        Ok(_) => Ok(request),
        Err(error) => {
            note(&shared, request.extensions(), "health", &error);
            Err(error.into())
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
        Role::FenceApprover => "fence_approver",
    }
}
