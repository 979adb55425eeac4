//! Join tokens: spent once, whoever else tries at the same instant, together with the node that they bring in.

use subtle::ConstantTimeEq;

use super::{MAX_ROWS, NodeRow, Page, Store, StoreError, row::text};

/// A token to write.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its public part.
    pub id: String,
    /// SHA-256 of its secret part, 64 lower-case hex digits.
    pub secret_hash: String,
    /// The only node that may use it; `None` for any.
    pub node: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// Now, microseconds since the epoch.
    pub created_at_us: i64,
    /// From when on it is refused.
    pub expires_at_us: i64,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id).field("node", &self.node).finish_non_exhaustive()
    }
}

/// A token as people may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public part.
    pub id: String,
    /// The only node that may use it; `None` for any.
    pub node: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When, microseconds since the epoch.
    pub created_at_us: i64,
    /// From when on it is refused.
    pub expires_at_us: i64,
    /// When it was used.
    pub used_at_us: Option<i64>,
    /// The node that used it.
    pub used_by: Option<String>,
}

stored_row!(TokenRow { id, node, created_by, created_at_us, expires_at_us, used_at_us, used_by });

/// What became of an attempt to spend a token. Everything but `Unknown` and `WrongSecret` is told only to somebody who
/// has the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Spend {
    /// It was good, and is spent now.
    Spent,
    /// No such id.
    Unknown,
    /// The id is right, the secret is not.
    WrongSecret,
    /// It was used before.
    AlreadyUsed {
        /// When, microseconds since the epoch.
        at_us: i64,
        /// By which node.
        by: String,
    },
    /// Too late.
    Expired {
        /// Since when, microseconds since the epoch.
        at_us: i64,
    },
    /// It is for another node.
    OtherNode {
        /// For this one.
        bound_to: String,
    },
    /// There is such a node, and the token is for none in particular.
    NameTaken,
    /// There is such a node, and its access was taken away for good.
    Revoked {
        /// When, microseconds since the epoch.
        at_us: i64,
    },
}

/// A token with what proves it.
struct Secret {
    secret_hash: String,
    node: Option<String>,
    expires_at_us: i64,
    used_at_us: Option<i64>,
    used_by: Option<String>,
}

/// Reads a token and holds its row until the commit: of two spenders, one sees what the other did. (SELECT … FOR UPDATE
/// is not known to SQLite.)
const HOLD: &str = "UPDATE tokens SET created_by = created_by WHERE id = $1 \
                    RETURNING secret_hash, node, expires_at_us, used_at_us, used_by";

stored_row!(Secret { secret_hash, node, expires_at_us, used_at_us, used_by });

impl Store {
    /// Adds a token.
    ///
    /// # Errors
    /// There is one with this id; the hash is not 64 characters long; the database refuses.
    pub async fn create_token(&self, token: &NewToken) -> Result<(), StoreError> {
        let saved = on_writer!(self, |db| sqlx::query(
            "INSERT INTO tokens (id, secret_hash, node, created_by, created_at_us, expires_at_us) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&token.id)
        .bind(&token.secret_hash)
        .bind(token.node.as_deref())
        .bind(&token.created_by)
        .bind(token.created_at_us)
        .bind(token.expires_at_us)
        .execute(db)
        .await
        .map(|_| ()));
        saved.map_err(|source| StoreError::Write { what: format!("token {}", token.id), source })
    }

    /// Spends a token that is good now, and adds the node that it is spent for; both or neither. A node that was there is
    /// brought up to date if the token names it. Of any number of callers at the same instant one gets
    /// [`Spend::Spent`], be it that they share the token or the node's name. The hash is compared in constant time.
    ///
    /// # Errors
    /// The database refuses; whether the token was spent can then be seen in [`Store::tokens`].
    pub async fn spend_token(
        &self,
        id: &str,
        secret_hash: &str,
        node: &NodeRow,
        now_us: i64,
    ) -> Result<Spend, StoreError> {
        let spend = in_transaction!(self, |db| {
            let token: Option<Secret> = sqlx::query_as(HOLD).bind(id).fetch_optional(&mut *db).await?;
            let bound = token.as_ref().is_some_and(|token| token.node.is_some());
            let verdict = judge(token, secret_hash, &node.name, now_us);
            if verdict != Spend::Spent {
                return Ok(verdict);
            }
            // On PostgreSQL this waits for whoever else adds this name, and then sees the row.
            let added = sqlx::query(
                "INSERT INTO nodes (name, site, first_seen_us, last_seen_us, agent_version, certificate_serial, \
                                    certificate_not_after_us, revoked_at_us) \
                 VALUES ($1, $2, $3, NULL, $4, $5, $6, NULL) \
                 ON CONFLICT (name) DO UPDATE SET \
                     site = excluded.site, \
                     certificate_serial = excluded.certificate_serial, \
                     certificate_not_after_us = excluded.certificate_not_after_us \
                 WHERE nodes.revoked_at_us IS NULL AND $7",
            )
            .bind(&node.name)
            .bind(&node.site)
            .bind(node.first_seen_us)
            .bind(text(&node.agent_version))
            .bind(node.certificate_serial.as_deref())
            .bind(node.certificate_not_after_us)
            .bind(bound)
            .execute(&mut *db)
            .await?;
            if added.rows_affected() == 0 {
                let (revoked,): (Option<i64>,) =
                    sqlx::query_as("SELECT revoked_at_us FROM nodes WHERE name = $1")
                        .bind(&node.name)
                        .fetch_one(&mut *db)
                        .await?;
                return Ok(revoked.map_or(Spend::NameTaken, |at_us| Spend::Revoked { at_us }));
            }
            sqlx::query("UPDATE tokens SET used_at_us = $2, used_by = $3 WHERE id = $1")
                .bind(id)
                .bind(now_us)
                .bind(&node.name)
                .execute(&mut *db)
                .await?;
            Ok(Spend::Spent)
        });
        spend.map_err(|abort| {
            abort.or(|source| StoreError::Write { what: format!("the use of token {id}"), source })
        })
    }

    /// The tokens, newest first; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The database refuses.
    pub async fn tokens(&self) -> Result<Page<TokenRow>, StoreError> {
        let rows = on_reader!(self, |db| sqlx::query_as(
            "SELECT id, node, created_by, created_at_us, expires_at_us, used_at_us, used_by FROM tokens \
             ORDER BY created_at_us DESC, id LIMIT $1",
        )
        .bind(i64::from(MAX_ROWS) + 1)
        .fetch_all(db)
        .await);
        let rows = rows.map_err(|source| StoreError::Read { what: "the tokens".into(), source })?;
        Ok(Page::cut(rows, MAX_ROWS))
    }
}

/// The secret first: who does not have it learns nothing else.
fn judge(found: Option<Secret>, secret_hash: &str, node: &str, now_us: i64) -> Spend {
    let Some(token) = found else { return Spend::Unknown };
    if !bool::from(token.secret_hash.as_bytes().ct_eq(secret_hash.as_bytes())) {
        return Spend::WrongSecret;
    }
    if let (Some(at_us), Some(by)) = (token.used_at_us, token.used_by) {
        return Spend::AlreadyUsed { at_us, by };
    }
    if token.expires_at_us <= now_us {
        return Spend::Expired { at_us: token.expires_at_us };
    }
    match token.node {
        Some(bound_to) if bound_to != node => Spend::OtherNode { bound_to },
        Some(_) | None => Spend::Spent,
    }
}
