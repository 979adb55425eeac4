//! People.

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use crate::look::instant;

/// A role as people write it.
pub fn role_word(role: v1::Role) -> &'static str {
    match role {
        v1::Role::Unspecified => "unknown",
        v1::Role::Viewer => "viewer",
        v1::Role::Operator => "operator",
        v1::Role::Admin => "admin",
        v1::Role::FenceApprover => "fence-approver",
    }
}

/// `hactl user list -o json`.
#[derive(Debug, Serialize)]
pub struct User {
    user: String,
    role: &'static str,
    revoked: bool,
    created_at: Option<Timestamp>,
    credentials: Vec<Credential>,
}

#[derive(Debug, Serialize)]
struct Credential {
    id: String,
    /// `token` or `certificate`.
    kind: String,
    created_by: String,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl From<&v1::User> for User {
    fn from(user: &v1::User) -> Self {
        let credential = |credential: &v1::Credential| Credential {
            id: credential.id.clone(),
            kind: credential.kind.clone(),
            created_by: credential.created_by.clone(),
            created_at: instant(credential.created_at_us),
            expires_at: instant(credential.expires_at_us),
        };
        Self {
            user: user.name.clone(),
            role: role_word(user.role()),
            revoked: user.revoked,
            created_at: instant(user.created_at_us),
            credentials: user.credentials.iter().map(credential).collect(),
        }
    }
}

/// `hactl user add -o json`.
#[derive(Debug, Serialize)]
pub struct NewUser {
    user: String,
    role: &'static str,
    /// Of the credential.
    id: String,
    /// `token` or `certificate`.
    kind: &'static str,
    expires_at: Option<Timestamp>,
    /// The text of a context file, with the secret; `null` when it was written to a file.
    context: Option<String>,
}

impl NewUser {
    /// A person with a new credential.
    pub fn new(name: &str, role: v1::Role, answer: &v1::AddUserResponse, context: Option<&str>) -> Self {
        Self {
            user: name.to_owned(),
            role: role_word(role),
            id: answer.id.clone(),
            kind: if answer.token.is_empty() { "certificate" } else { "token" },
            expires_at: instant(answer.expires_at_us),
            context: context.map(ToOwned::to_owned),
        }
    }
}

/// `hactl user revoke -o json`.
#[derive(Debug, Serialize)]
pub struct UserRevoked {
    /// The name.
    pub user: String,
    revoked: bool,
}

impl UserRevoked {
    /// This person is.
    pub fn new(name: &str) -> Self {
        Self { user: name.to_owned(), revoked: true }
    }
}
