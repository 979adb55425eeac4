//! People and what they may do.

use super::{Store, StoreError};

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
}
