//! People, what they may do, and how they prove who they are.

use subtle::ConstantTimeEq;

use super::{MAX_ROWS, Page, Store, StoreError};

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The name, as in the certificate's `spiffe://hafleet/user/<name>`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they were added, microseconds since the epoch.
    pub created_at_us: i64,
    /// Their access was taken away.
    pub revoked: bool,
}

stored_row!(UserRow { name, role, created_at_us, revoked });

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer,
    /// Move addresses, acknowledge alerts.
    Operator,
    /// Add and remove nodes and people, change configs.
    Admin,
    /// Approve a fence; nothing else, so that the two hands stay two.
    FenceApprover,
}

words!(Role, "role" {
    Viewer => "viewer",
    Operator => "operator",
    Admin => "admin",
    FenceApprover => "fence_approver",
});

/// How a person proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A secret in the call's metadata.
    Token,
    /// A client certificate.
    Certificate,
}

words!(CredentialKind, "kind of credential" { Token => "token", Certificate => "certificate" });

/// A credential as people may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRow {
    /// The public part of a token, the serial number of a certificate.
    pub id: String,
    /// Whose.
    pub user_name: String,
    /// Of which kind.
    pub kind: CredentialKind,
    /// Who made it.
    pub created_by: String,
    /// When, microseconds since the epoch.
    pub created_at_us: i64,
    /// From when on it is refused.
    pub expires_at_us: i64,
}

stored_row!(CredentialRow { id, user_name, kind, created_by, created_at_us, expires_at_us });

/// What became of an attempt to add a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum AddUser {
    /// The person is there and has the credential.
    Added,
    /// The person is there with this role, which was not to be changed.
    OtherRole(Role),
    /// The name was revoked, which is for good.
    Revoked,
    /// The only admin would be none any more.
    LastAdmin,
}

/// What became of an attempt to take a person's access away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RevokeUser {
    /// It is taken away, now or before.
    Revoked,
    /// There is no such person.
    Unknown,
    /// Nobody could give access to anybody any more.
    LastAdmin,
}

/// Whom a token names. Everything but `Unknown` is told only to somebody who has the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TokenBearer {
    /// This person, whose access may have been taken away.
    User(UserRow),
    /// This person, but not any more.
    Expired {
        /// Whose it was.
        user: String,
        /// Since when, microseconds since the epoch.
        at_us: i64,
    },
    /// No such id, or another secret.
    Unknown,
}

/// A token with what proves it, and its bearer.
struct Secret {
    secret_hash: Option<String>,
    expires_at_us: i64,
    name: String,
    role: Role,
    created_at_us: i64,
    revoked: bool,
}

stored_row!(Secret { secret_hash, expires_at_us, name, role, created_at_us, revoked });

/// Reads the admins and holds their rows until the commit: of two who take each other's access, one sees what the other
/// did. (SELECT … FOR UPDATE is not known to SQLite.)
const HOLD_ADMINS: &str = "UPDATE users SET role = role WHERE role = 'admin' AND NOT revoked RETURNING name";

impl Store {
    /// Adds a person, or changes their role and access. The instant of adding is kept.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn save_user(&self, user: &UserRow) -> Result<(), StoreError> {
        let saved = on_writer!(self, |db| sqlx::query(
            "INSERT INTO users (name, role, created_at_us, revoked) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET role = excluded.role, revoked = excluded.revoked",
        )
        .bind(&user.name)
        .bind(user.role.as_str())
        .bind(user.created_at_us)
        .bind(user.revoked)
        .execute(db)
        .await
        .map(|_| ()));
        saved.map_err(|source| StoreError::Write { what: format!("user {}", user.name), source })
    }

    /// Adds a person, if there is none of this name, together with a credential; both or neither. `secret_hash` is the
    /// SHA-256 of a token's secret, 64 lower-case hex digits, and `None` for a certificate.
    ///
    /// # Errors
    /// There is a credential with this id; the hash does not fit the kind; the database refuses.
    pub async fn add_user(
        &self,
        role: Role,
        change_role: bool,
        credential: &CredentialRow,
        secret_hash: Option<&str>,
    ) -> Result<AddUser, StoreError> {
        let name = credential.user_name.as_str();
        let added = in_transaction!(self, |db| {
            let admins: Vec<(String,)> = sqlx::query_as(HOLD_ADMINS).fetch_all(&mut *db).await?;
            sqlx::query(
                "INSERT INTO users (name, role, created_at_us, revoked) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(name)
            .bind(role.as_str())
            .bind(credential.created_at_us)
            .bind(false)
            .execute(&mut *db)
            .await?;
            let user: UserRow = sqlx::query_as(
                "UPDATE users SET name = name WHERE name = $1 RETURNING name, role, created_at_us, revoked",
            )
            .bind(name)
            .fetch_one(&mut *db)
            .await?;
            match (user.revoked, user.role == role, change_role) {
                (true, _, _) => return Ok(AddUser::Revoked),
                (false, false, false) => return Ok(AddUser::OtherRole(user.role)),
                (false, false, true) if is_last(&admins, name) => return Ok(AddUser::LastAdmin),
                (false, false, true) => {
                    sqlx::query("UPDATE users SET role = $2 WHERE name = $1")
                        .bind(name)
                        .bind(role.as_str())
                        .execute(&mut *db)
                        .await?;
                }
                (false, true, _) => {}
            }
            sqlx::query(
                "INSERT INTO credentials (id, user_name, kind, secret_hash, created_by, created_at_us, \
                                          expires_at_us) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&credential.id)
            .bind(name)
            .bind(credential.kind.as_str())
            .bind(secret_hash)
            .bind(&credential.created_by)
            .bind(credential.created_at_us)
            .bind(credential.expires_at_us)
            .execute(&mut *db)
            .await?;
            Ok(AddUser::Added)
        });
        added.map_err(|abort| abort.or(|source| StoreError::Write { what: format!("user {name}"), source }))
    }

    /// Takes a person's access away for good.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn revoke_user(&self, name: &str) -> Result<RevokeUser, StoreError> {
        let revoked = in_transaction!(self, |db| {
            let admins: Vec<(String,)> = sqlx::query_as(HOLD_ADMINS).fetch_all(&mut *db).await?;
            if is_last(&admins, name) {
                return Ok(RevokeUser::LastAdmin);
            }
            let done = sqlx::query("UPDATE users SET revoked = $2 WHERE name = $1")
                .bind(name)
                .bind(true)
                .execute(&mut *db)
                .await?;
            Ok(if done.rows_affected() == 0 { RevokeUser::Unknown } else { RevokeUser::Revoked })
        });
        revoked.map_err(|abort| {
            abort.or(|source| StoreError::Write { what: format!("the revocation of user {name}"), source })
        })
    }

    /// One person.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let row = on_reader!(self, |db| sqlx::query_as(
            "SELECT name, role, created_at_us, revoked FROM users WHERE name = $1"
        )
        .bind(name)
        .fetch_optional(db)
        .await);
        row.map_err(|source| StoreError::Read { what: format!("user {name}"), source })
    }

    /// Everybody, revoked people too, by name; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The database refuses.
    pub async fn users(&self) -> Result<Page<UserRow>, StoreError> {
        let rows = on_reader!(self, |db| sqlx::query_as(
            "SELECT name, role, created_at_us, revoked FROM users ORDER BY name LIMIT $1"
        )
        .bind(i64::from(MAX_ROWS) + 1)
        .fetch_all(db)
        .await);
        let rows = rows.map_err(|source| StoreError::Read { what: "the people".into(), source })?;
        Ok(Page::cut(rows, MAX_ROWS))
    }

    /// The credentials of everybody, newest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The database refuses.
    pub async fn credentials(&self) -> Result<Page<CredentialRow>, StoreError> {
        let rows = on_reader!(self, |db| sqlx::query_as(
            "SELECT id, user_name, kind, created_by, created_at_us, expires_at_us FROM credentials \
             ORDER BY created_at_us DESC, id LIMIT $1",
        )
        .bind(i64::from(MAX_ROWS) + 1)
        .fetch_all(db)
        .await);
        let rows = rows.map_err(|source| StoreError::Read { what: "the credentials".into(), source })?;
        Ok(Page::cut(rows, MAX_ROWS))
    }

    /// Whom a token names now. The hash is compared in constant time.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn token_bearer(
        &self,
        id: &str,
        secret_hash: &str,
        now_us: i64,
    ) -> Result<TokenBearer, StoreError> {
        let found: sqlx::Result<Option<Secret>> = on_reader!(self, |db| {
            sqlx::query_as(
            "SELECT secret_hash, expires_at_us, name, role, users.created_at_us AS created_at_us, revoked \
             FROM credentials JOIN users ON user_name = name WHERE id = $1 AND kind = 'token'",
        )
        .bind(id)
        .fetch_optional(db)
        .await
        });
        let found = found.map_err(|source| StoreError::Read { what: format!("token {id}"), source })?;
        let Some(Secret { secret_hash: Some(known), expires_at_us, name, role, created_at_us, revoked }) =
            found
        else {
            return Ok(TokenBearer::Unknown);
        };
        if !bool::from(known.as_bytes().ct_eq(secret_hash.as_bytes())) {
            return Ok(TokenBearer::Unknown);
        }
        if expires_at_us <= now_us {
            return Ok(TokenBearer::Expired { user: name, at_us: expires_at_us });
        }
        Ok(TokenBearer::User(UserRow { name, role, created_at_us, revoked }))
    }
}

/// Among those who can give access to others there is only this one.
fn is_last(admins: &[(String,)], name: &str) -> bool {
    matches!(admins, [(only,)] if only == name)
}
