//! People: who may do what, and what they prove it by.

use std::{collections::BTreeMap, time::Duration};

use hafleet_proto::v1;

use crate::{
    api::{
        caller::{self, Caller},
        status::{CallError, RequestError},
    },
    clock::rfc3339,
    identity::{self, Identity, user_token::UserToken},
    shared::Shared,
    store::{AddUser, AuditOutcome, CredentialKind, CredentialRow, RevokeUser, Role, UserRow},
};

const LIFETIME_DEFAULT: Duration = Duration::from_secs(90 * 86_400);
const LIFETIME_MIN: Duration = Duration::from_secs(60);
const LIFETIME_MAX: Duration = Duration::from_secs(400 * 86_400);

/// A credential that is made, before anybody may use it.
struct Made {
    row: CredentialRow,
    secret_hash: Option<String>,
    token: String,
    certificate_pem: String,
}

/// Adds a person, or gives one more credential to somebody who is there.
pub async fn add(
    shared: &Shared,
    caller: &Caller,
    request: v1::AddUserRequest,
) -> Result<v1::AddUserResponse, CallError> {
    let name = identity::user_name(&request.name)
        .map_err(|error| RequestError::Field { field: "name", what: error.to_string() })?;
    let role = role(request.role())?;
    let lifetime = match request.lifetime_s {
        0 => LIFETIME_DEFAULT,
        seconds => Duration::from_secs(seconds),
    };
    if !(LIFETIME_MIN..=LIFETIME_MAX).contains(&lifetime) {
        let what = format!("{} s; a credential lives 1 minute to 400 days", lifetime.as_secs());
        return Err(RequestError::Field { field: "lifetime_s", what }.into());
    }
    let known = shared.store.user(&name).await?;
    let verdict = match &known {
        Some(known) if known.revoked => AddUser::Revoked,
        Some(known) if known.role != role && !request.change_role => AddUser::OtherRole(known.role),
        Some(known) if known.role != role && is_only_admin(shared, &name).await? => AddUser::LastAdmin,
        Some(_) | None => AddUser::Added,
    };
    let subject = Identity::User(name.clone()).to_string();
    refuse_addition(shared, caller, &subject, role, verdict).await?;

    let made = make(shared, caller, &name, &request.csr_der, lifetime)?;
    let detail = format!(
        "role {}, {} {}, until {}",
        caller::word(role),
        made.row.kind,
        made.row.id,
        rfc3339(made.row.expires_at_us)
    );
    let (audit, store) = (&shared.audit, &shared.store);
    audit.record(store, &caller.actor, "user.add", &subject, AuditOutcome::Done, detail).await?;
    let added = store.add_user(role, request.change_role, &made.row, made.secret_hash.as_deref()).await?;
    // Somebody else may have been faster than the look above.
    refuse_addition(shared, caller, &subject, role, added).await?;
    Ok(v1::AddUserResponse {
        id: made.row.id,
        token: made.token,
        certificate_pem: made.certificate_pem,
        ca_pem: shared.ca.pem().to_owned(),
        expires_at_us: made.row.expires_at_us,
    })
}

async fn refuse_addition(
    shared: &Shared,
    caller: &Caller,
    subject: &str,
    role: Role,
    verdict: AddUser,
) -> Result<(), CallError> {
    let what = match verdict {
        AddUser::Added => return Ok(()),
        AddUser::OtherRole(has) => format!(
            "{subject} is there with the role {}, not {}; ask for a change of the role, or for a credential of that role",
            caller::word(has),
            caller::word(role)
        ),
        AddUser::Revoked => {
            format!("{subject} was revoked, and a revoked name is refused for good; choose another name")
        }
        AddUser::LastAdmin => {
            format!("{subject} is the only admin, and must stay one; add another admin first")
        }
    };
    refuse(shared, caller, "user.add", subject, what).await
}

/// Everybody, with their credentials.
pub async fn list(shared: &Shared) -> Result<v1::ListUsersResponse, CallError> {
    let mut credentials: BTreeMap<String, Vec<v1::Credential>> = BTreeMap::new();
    for row in shared.store.credentials().await?.rows {
        credentials.entry(row.user_name).or_default().push(v1::Credential {
            id: row.id,
            kind: row.kind.as_str().into(),
            created_by: row.created_by,
            created_at_us: row.created_at_us,
            expires_at_us: row.expires_at_us,
        });
    }
    let user = |row: UserRow| v1::User {
        credentials: credentials.remove(&row.name).unwrap_or_default(),
        role: wire(row.role).into(),
        name: row.name,
        created_at_us: row.created_at_us,
        revoked: row.revoked,
    };
    Ok(v1::ListUsersResponse { users: shared.store.users().await?.rows.into_iter().map(user).collect() })
}

/// Takes a person's access away. Their streams end when they ask again whether they may.
pub async fn revoke(
    shared: &Shared,
    caller: &Caller,
    request: v1::RevokeUserRequest,
) -> Result<(), CallError> {
    let name = identity::user_name(&request.name)
        .map_err(|error| RequestError::Field { field: "name", what: error.to_string() })?;
    if shared.store.user(&name).await?.is_none() {
        return Err(RequestError::NotFound { what: "user", name }.into());
    }
    let (audit, store) = (&shared.audit, &shared.store);
    let subject = Identity::User(name.clone()).to_string();
    let last = format!("{subject} is the only admin; add another admin first");
    if is_only_admin(shared, &name).await? {
        return refuse(shared, caller, "user.revoke", &subject, last).await;
    }
    let detail = format!("asked from {}", caller.peer);
    audit.record(store, &caller.actor, "user.revoke", &subject, AuditOutcome::Done, detail).await?;
    match store.revoke_user(&name).await? {
        RevokeUser::Revoked => Ok(()),
        RevokeUser::Unknown => Err(RequestError::NotFound { what: "user", name }.into()),
        // Somebody else was faster than the look above.
        RevokeUser::LastAdmin => refuse(shared, caller, "user.revoke", &subject, last).await,
    }
}

async fn is_only_admin(shared: &Shared, name: &str) -> Result<bool, CallError> {
    let users = shared.store.users().await?.rows;
    let mut admins = users.iter().filter(|user| user.role == Role::Admin && !user.revoked);
    Ok(admins.next().is_some_and(|admin| admin.name == name) && admins.next().is_none())
}

/// Says no, in the audit log too.
async fn refuse(
    shared: &Shared,
    caller: &Caller,
    action: &str,
    subject: &str,
    what: String,
) -> Result<(), CallError> {
    let (audit, store) = (&shared.audit, &shared.store);
    audit.record(store, &caller.actor, action, subject, AuditOutcome::Refused, what.clone()).await?;
    Err(RequestError::Conflict { what }.into())
}

fn make(
    shared: &Shared,
    caller: &Caller,
    name: &str,
    csr_der: &[u8],
    lifetime: Duration,
) -> Result<Made, CallError> {
    let now_us = shared.clock.wall_us();
    let lifetime_us = i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX);
    let row = |id: String, kind, expires_at_us| CredentialRow {
        id,
        user_name: name.to_owned(),
        kind,
        created_by: caller.actor.clone(),
        created_at_us: shared.clock.now_us(),
        expires_at_us,
    };
    if csr_der.is_empty() {
        let token = UserToken::generate()?;
        return Ok(Made {
            row: row(token.id.clone(), CredentialKind::Token, now_us.saturating_add(lifetime_us)),
            secret_hash: Some(token.secret_hash()),
            token: token.to_string(),
            certificate_pem: String::new(),
        });
    }
    let identity = Identity::User(name.to_owned());
    let issued = shared.ca.issue_for_request(&identity, csr_der, lifetime, now_us)?;
    Ok(Made {
        row: row(issued.serial, CredentialKind::Certificate, issued.not_after_us),
        secret_hash: None,
        token: String::new(),
        certificate_pem: issued.pem,
    })
}

fn role(role: v1::Role) -> Result<Role, RequestError> {
    match role {
        v1::Role::Viewer => Ok(Role::Viewer),
        v1::Role::Operator => Ok(Role::Operator),
        v1::Role::Admin => Ok(Role::Admin),
        v1::Role::FenceApprover => Ok(Role::FenceApprover),
        v1::Role::Unspecified => {
            let what = "say viewer, operator, admin or fence-approver".into();
            Err(RequestError::Field { field: "role", what })
        }
    }
}

fn wire(role: Role) -> v1::Role {
    match role {
        Role::Viewer => v1::Role::Viewer,
        Role::Operator => v1::Role::Operator,
        Role::Admin => v1::Role::Admin,
        Role::FenceApprover => v1::Role::FenceApprover,
    }
}
