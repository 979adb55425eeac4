//! What was asked of the coordinator and what it refused. Rows are only ever added; the schema's triggers refuse
//! anything else, whoever asks.

use sqlx::QueryBuilder;

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

/// Which lines to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only those at or after this instant; 0 for all.
    pub since_us: i64,
    /// Only those with this actor or this subject.
    pub name: Option<String>,
    /// Only those with this action, or with one that begins with it and a dot.
    pub action: Option<String>,
    /// Only those that came to this.
    pub outcome: Option<AuditOutcome>,
    /// At most so many; 1 to [`super::MAX_ROWS`].
    pub limit: u32,
}

/// Adds one line; bound in the order of its fields.
pub(super) const INSERT_AUDIT: &str =
    "INSERT INTO audit (at_us, actor, action, subject, outcome, detail) VALUES ($1, $2, $3, $4, $5, $6)";

impl Store {
    /// Adds one line.
    ///
    /// # Errors
    /// The database refuses; what was to be audited must then not be done.
    pub async fn append_audit(&self, line: &AuditRow) -> Result<(), StoreError> {
        let saved = on_writer!(self, |db| {
            sqlx::query(INSERT_AUDIT)
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

    /// Lines that match, newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Page<AuditRow>, StoreError> {
        let limit = bounded(filter.limit);
        let rows = on_reader!(self, |db| {
            let mut select = QueryBuilder::new(
                "SELECT at_us, actor, action, subject, outcome, detail FROM audit WHERE at_us >= ",
            );
            select.push_bind(filter.since_us);
            if let Some(name) = &filter.name {
                let name = text(name).into_owned();
                select.push(" AND (actor = ").push_bind(name.clone());
                select.push(" OR subject = ").push_bind(name).push(")");
            }
            if let Some(action) = &filter.action {
                let family = text(&format!("{action}.")).into_owned();
                select.push(" AND (action = ").push_bind(text(action).into_owned());
                select.push(" OR SUBSTR(action, 1, ").push(family.chars().count()).push(") = ");
                select.push_bind(family).push(")");
            }
            if let Some(outcome) = filter.outcome {
                select.push(" AND outcome = ").push_bind(outcome.as_str());
            }
            select.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit) + 1);
            select.build_query_as().fetch_all(db).await
        });
        let rows = rows.map_err(|source| StoreError::Read { what: "the audit log".into(), source })?;
        Ok(Page::cut(rows, limit))
    }
}
