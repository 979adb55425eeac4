//! What was asked of the coordinator and what it refused. Rows are only ever added; the schema's triggers refuse
//! anything else, whoever asks.

use super::{Page, Store, StoreError, bounded, row::text};

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When, microseconds since the epoch.
    pub at_us: i64,
    /// `user/admin`, `node/lb01`, or a peer address that proved nothing.
    pub actor: String,
    /// `token.create`, `enroll`, `session`, `tls`, ….
    pub action: String,
    /// What it was about.
    pub subject: String,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The operands in words; never a secret.
    pub detail: String,
}

stored_row!(AuditRow { at_us, actor, action, subject, outcome, detail });

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

words!(AuditOutcome, "audit outcome" { Done => "done", Refused => "refused" });

impl Store {
    /// Adds one line.
    ///
    /// # Errors
    /// The database refuses; what was to be audited must then not be done.
    pub async fn append_audit(&self, line: &AuditRow) -> Result<(), StoreError> {
        let saved = on_writer!(self, |db| {
            sqlx::query(
            "INSERT INTO audit (at_us, actor, action, subject, outcome, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(line.at_us)
        .bind(text(&line.actor))
        .bind(text(&line.action))
        .bind(text(&line.subject))
        .bind(line.outcome.as_str())
        .bind(text(&line.detail))
        .execute(db)
        .await
        .map(|_| ())
        });
        saved.map_err(|source| StoreError::Write {
            what: format!("the audit of {} by {}", line.action, line.actor),
            source,
        })
    }

    /// Lines at or after `since_us`, newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn audit(&self, since_us: i64, limit: u32) -> Result<Page<AuditRow>, StoreError> {
        let limit = bounded(limit);
        let rows = on_reader!(self, |db| sqlx::query_as(
            "SELECT at_us, actor, action, subject, outcome, detail FROM audit WHERE at_us >= $1 \
             ORDER BY id DESC LIMIT $2",
        )
        .bind(since_us)
        .bind(i64::from(limit) + 1)
        .fetch_all(db)
        .await);
        let rows = rows.map_err(|source| StoreError::Read { what: "the audit log".into(), source })?;
        Ok(Page::cut(rows, limit))
    }
}
