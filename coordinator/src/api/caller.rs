//! Who is calling, and whether they may.
//!
//! The guard finds out who calls before the call's body is read and leaves a [`Caller`] with it; what
//! the caller needs is asked by each call. Streams ask again while they live.

use std::sync::Arc;

use hafleet_fleet::NodeName;
use tonic::Extensions;

use crate::{
    api::status::{CallError, RequestError},
    audit::Refusal,
    clock::rfc3339,
    identity::{Identity, certificate::ClientCertificate, user_token::UserToken},
    shared::Shared,
    store::{Role, TokenBearer},
    tls::Peer,
};

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To look.
    Look,
    /// To move addresses, to put nodes into maintenance, to judge configurations.
    Operate,
    /// To change who belongs to the fleet, and what it runs; and to see passwords.
    Administer,
    /// To approve a fence that another proposed.
    ApproveFence,
    /// To stop fencing, and to see whether its paths work: both hands may.
    CheckFence,
}

/// One who may call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is, as the audit log says it.
    pub actor: String,
    /// Which party.
    pub party: Party,
    /// Address and port.
    pub peer: String,
    proof: Proof,
}

/// The two kinds of callers.
#[derive(Clone, Debug)]
pub enum Party {
    /// An agent, by its certificate.
    Node(NodeName, Arc<ClientCertificate>),
    /// A person, with what they may do.
    User(Role),
}

/// What a caller shows.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A certificate, verified when the connection began.
    Certificate(Arc<ClientCertificate>),
    /// A person's token.
    Token(UserToken),
}

impl Caller {
    /// Whether secrets are shown to them.
    pub fn is_admin(&self) -> bool {
        match &self.party {
            Party::User(Role::Admin) => true,
            Party::User(Role::Viewer | Role::Operator | Role::FenceApprover) | Party::Node(..) => false,
        }
    }
}

/// The address that a call came from.
pub fn peer(extensions: &Extensions) -> String {
    extensions.get::<Peer>().map(address).unwrap_or_default()
}

fn address(peer: &Peer) -> String {
    peer.address.to_string()
}

/// What the other end of a connection shows with a call: its certificate, and only without one the token in `authorization`.
pub fn proof(peer: &Peer, authorization: Option<&[u8]>) -> Result<Proof, RequestError> {
    if let Some(certificate) = &peer.certificate {
        return Ok(Proof::Certificate(Arc::clone(certificate)));
    }
    let header = authorization.ok_or(RequestError::NoCredential)?;
    let text = std::str::from_utf8(header).map_err(|_| RequestError::BadToken)?;
    let token = match text.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
        Some(_) | None => return Err(RequestError::BadToken),
    };
    token.parse().map(Proof::Token).map_err(|_| RequestError::BadToken)
}

/// Whom a proof names, if it is still good. A connection may outlive it.
pub async fn identify(shared: &Shared, proof: Proof, peer: String) -> Result<Caller, CallError> {
    let (actor, party) = match &proof {
        Proof::Certificate(certificate) => {
            let actor = certificate.identity.to_string();
            (actor, by_certificate(shared, certificate).await?)
        }
        Proof::Token(token) => by_token(shared, token).await?,
    };
    Ok(Caller { actor, party, peer, proof })
}

async fn by_certificate(shared: &Shared, certificate: &Arc<ClientCertificate>) -> Result<Party, CallError> {
    let who = certificate.identity.to_string();
    if certificate.not_after_us <= shared.clock.wall_us() {
        return Err(RequestError::Expired { who, at: rfc3339(certificate.not_after_us) }.into());
    }
    match &certificate.identity {
        Identity::Node(node) if shared.revoked.contains(node) => Err(RequestError::Revoked { who }.into()),
        Identity::Node(node) => Ok(Party::Node(node.clone(), Arc::clone(certificate))),
        Identity::User(name) => match shared.store.user(name).await? {
            None => Err(RequestError::UnknownUser { who }.into()),
            Some(user) if user.revoked => Err(RequestError::Revoked { who }.into()),
            Some(user) => Ok(Party::User(user.role)),
        },
    }
}

async fn by_token(shared: &Shared, token: &UserToken) -> Result<(String, Party), CallError> {
    // Like a certificate's, a token's end is dated by the wall clock.
    let bearer = shared.store.token_bearer(&token.id, &token.secret_hash(), shared.clock.wall_us()).await?;
    match bearer {
        TokenBearer::Unknown => Err(RequestError::BadToken.into()),
        TokenBearer::Expired { user, at_us } => {
            let who = Identity::User(user).to_string();
            Err(RequestError::TokenExpired { who, at: rfc3339(at_us) }.into())
        }
        TokenBearer::User(user) => {
            let who = Identity::User(user.name).to_string();
            if user.revoked {
                Err(RequestError::Revoked { who }.into())
            } else {
                Ok((who, Party::User(user.role)))
            }
        }
    }
}

/// Whom the guard has found.
pub fn found(extensions: &Extensions) -> Result<Arc<Caller>, RequestError> {
    extensions.get::<Arc<Caller>>().cloned().ok_or(RequestError::NoCredential)
}

/// A user with a role that suffices. A refusal is noted in the audit log.
pub fn user(
    shared: &Shared,
    extensions: &Extensions,
    need: Need,
    call: &'static str,
) -> Result<Arc<Caller>, RequestError> {
    let caller = found(extensions)?;
    judge(&caller, need).inspect_err(|error| note(shared, &caller.actor, &caller.peer, call, error))?;
    Ok(caller)
}

/// The same of a stream that lives: asked anew, for what a caller may can be taken away.
pub async fn still(
    shared: &Shared,
    caller: &Caller,
    need: Need,
    call: &'static str,
) -> Result<(), CallError> {
    let judged = identify(shared, caller.proof.clone(), caller.peer.clone())
        .await
        .and_then(|caller| judge(&caller, need).map_err(CallError::from));
    if let Err(CallError::Request(error)) = &judged {
        note(shared, &caller.actor, &caller.peer, call, error);
    }
    judged
}

/// What each role may.
fn judge(caller: &Caller, need: Need) -> Result<(), RequestError> {
    let role = match &caller.party {
        Party::User(role) => *role,
        Party::Node(..) => {
            return Err(RequestError::WrongParty { who: caller.actor.clone(), whom: "users (hactl)" });
        }
    };
    let (suffices, needed) = match (need, role) {
        (Need::Look, Role::Viewer | Role::Operator | Role::Admin | Role::FenceApprover) => (true, "viewer"),
        (Need::Operate, Role::Operator | Role::Admin) => (true, "operator"),
        (Need::Operate, Role::Viewer | Role::FenceApprover) => (false, "operator"),
        (Need::Administer, Role::Admin) => (true, "admin"),
        (Need::Administer, Role::Viewer | Role::Operator | Role::FenceApprover) => (false, "admin"),
        (Need::ApproveFence, Role::FenceApprover) => (true, "fence-approver"),
        (Need::CheckFence, Role::Operator | Role::Admin | Role::FenceApprover) => (true, "operator"),
        (Need::CheckFence, Role::Viewer) => (false, "operator or fence-approver"),
        // Not even an admin: who proposes and who approves are two.
        (Need::ApproveFence, Role::Viewer | Role::Operator | Role::Admin) => (false, "fence-approver"),
    };
    if suffices {
        Ok(())
    } else {
        Err(RequestError::Role { who: caller.actor.clone(), role: word(role), needed })
    }
}

/// A refused call becomes a row of the audit log, within the bounds of strangers.
pub fn note(shared: &Shared, actor: &str, address: &str, call: &'static str, error: &RequestError) {
    let Some(reason) = error.refusal() else { return };
    let detail = error.to_string();
    shared.audit.note_refusal(Refusal { actor, action: call, reason, subject: address, detail: &detail });
}

/// The same, of somebody whom the guard turned away.
pub fn note_peer(shared: &Shared, peer: &Peer, call: &'static str, error: &RequestError) {
    let address = address(peer);
    let named = peer.certificate.as_ref().map(|certificate| certificate.identity.to_string());
    let actor = named.as_deref().or(error.named()).unwrap_or(&address);
    note(shared, actor, &address, call, error);
}

/// A role as people write it.
pub fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
        Role::FenceApprover => "fence-approver",
    }
}
