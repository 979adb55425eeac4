//! Findings, written together with the messages that tell of them.

use hafleet_fleet::{FindingStatus, Severity};
use sqlx::QueryBuilder;

use super::{Page, Store, StoreError, bounded, error::signed, outbox::NewOutbox, row::text};

/// The columns of a finding, in the order of `$1…`.
const COLUMNS: &str = "id, kind, severity, subject, site, status, since_us, resolved_at_us, summary, cause_code, cause, \
                       action, evidence, updated_us";

/// One finding as it was last written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// `<kind>@<subject>#<n>`, n from 1 for that kind and subject.
    pub id: String,
    /// What kind, such as `split_brain.confirmed`.
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// What it is about: `dc1/192.168.178.3` or `node/lb01`.
    pub subject: String,
    /// The layer-2 world.
    pub site: String,
    /// Where it is in its life.
    pub status: FindingStatus,
    /// When the condition began, microseconds since the epoch.
    pub since_us: i64,
    /// When it ended; there exactly when `status` is resolved.
    pub resolved_at_us: Option<i64>,
    /// One sentence for people.
    pub summary: String,
    /// The probable cause as a code.
    pub cause_code: String,
    /// The probable cause in words; empty when unknown.
    pub cause: String,
    /// The command that acts; empty when there is none.
    pub action: String,
    /// The facts behind it, JSON.
    pub evidence: String,
    /// When this row was written.
    pub updated_us: i64,
}

stored_row!(FindingRow {
    id,
    kind,
    severity,
    subject,
    site,
    status,
    since_us,
    resolved_at_us,
    summary,
    cause_code,
    cause,
    action,
    evidence,
    updated_us,
});

/// How far the findings of one kind and subject are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingNumberRow {
    /// What kind.
    pub kind: String,
    /// What they are about.
    pub subject: String,
    /// The highest `n` used so far.
    pub last: u64,
}

stored_row!(FindingNumberRow { kind, subject, last });

/// Which findings to list.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Resolved ones too.
    pub include_resolved: bool,
    /// Only those that began or were resolved at or after this instant; 0 for all.
    pub since_us: i64,
    /// Only the one with this id, resolved or not.
    pub id: Option<String>,
    /// At most so many; 1 to [`super::MAX_ROWS`].
    pub limit: u32,
}

impl Store {
    /// Writes a finding as it now is, by id, and its messages to receivers, in one transaction: a message that must go
    /// out survives a crash together with what it tells.
    ///
    /// # Errors
    /// The id does not fit the kind and the subject; the database refuses. Nothing is kept then.
    pub async fn save_finding(&self, finding: &FindingRow, messages: &[NewOutbox]) -> Result<(), StoreError> {
        let number = number_of(finding)?;
        let saved = in_transaction!(self, |db| {
            sqlx::query(
                "INSERT INTO findings (id, kind, severity, subject, site, status, since_us, resolved_at_us, summary, \
                                       cause_code, cause, action, evidence, updated_us, number) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
                 ON CONFLICT (id) DO UPDATE SET \
                     severity = excluded.severity, site = excluded.site, status = excluded.status, \
                     since_us = excluded.since_us, resolved_at_us = excluded.resolved_at_us, \
                     summary = excluded.summary, cause_code = excluded.cause_code, cause = excluded.cause, \
                     action = excluded.action, evidence = excluded.evidence, updated_us = excluded.updated_us",
            )
            .bind(&finding.id)
            .bind(&finding.kind)
            .bind(finding.severity.as_str())
            .bind(&finding.subject)
            .bind(&finding.site)
            .bind(finding.status.as_str())
            .bind(finding.since_us)
            .bind(finding.resolved_at_us)
            .bind(text(&finding.summary))
            .bind(&finding.cause_code)
            .bind(text(&finding.cause))
            .bind(text(&finding.action))
            .bind(text(&finding.evidence))
            .bind(finding.updated_us)
            .bind(number)
            .execute(&mut *db)
            .await?;
            for message in messages {
                sqlx::query(
                    "INSERT INTO outbox (finding_id, receiver, body, created_us, status, attempts, next_attempt_us) \
                     VALUES ($1, $2, $3, $4, 'pending', 0, $5)",
                )
                .bind(&finding.id)
                .bind(&message.receiver)
                .bind(text(&message.body))
                .bind(message.created_us)
                .bind(message.next_attempt_us)
                .execute(&mut *db)
                .await?;
            }
            Ok(())
        });
        saved.map_err(|abort| {
            abort.or(|source| StoreError::Write { what: format!("finding {}", finding.id), source })
        })
    }

    /// Every finding that is not resolved, oldest first: what the fleet core is restored from.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn open_findings(&self) -> Result<Vec<FindingRow>, StoreError> {
        let rows = on_reader!(self, |db| {
            let mut select = QueryBuilder::new("SELECT ");
            select.push(COLUMNS).push(" FROM findings WHERE status <> 'resolved' ORDER BY since_us, id");
            select.build_query_as().fetch_all(db).await
        });
        rows.map_err(|source| StoreError::Read { what: "the open findings".into(), source })
    }

    /// Findings that match, newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn findings(&self, filter: &FindingFilter) -> Result<Page<FindingRow>, StoreError> {
        let limit = bounded(filter.limit);
        let rows = on_reader!(self, |db| {
            let mut select = QueryBuilder::new("SELECT ");
            select.push(COLUMNS).push(" FROM findings WHERE (since_us >= ").push_bind(filter.since_us);
            select.push(" OR resolved_at_us >= ").push_bind(filter.since_us).push(")");
            if let Some(id) = &filter.id {
                select.push(" AND id = ").push_bind(id);
            } else if !filter.include_resolved {
                select.push(" AND status <> 'resolved'");
            }
            select.push(" ORDER BY since_us DESC, id LIMIT ").push_bind(i64::from(limit) + 1);
            select.build_query_as().fetch_all(db).await
        });
        let rows = rows.map_err(|source| StoreError::Read { what: "findings".into(), source })?;
        Ok(Page::cut(rows, limit))
    }

    /// The highest `n` of every kind and subject, resolved findings included: what the fleet core's numbers go on
    /// from after a restart.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn finding_numbers(&self) -> Result<Vec<FindingNumberRow>, StoreError> {
        let rows = on_reader!(self, |db| {
            sqlx::query_as(
            "SELECT kind, subject, MAX(number) AS last FROM findings GROUP BY kind, subject ORDER BY MAX(since_us)"
        )
        .fetch_all(db)
        .await
        });
        rows.map_err(|source| StoreError::Read { what: "the numbers of the findings".into(), source })
    }
}

/// The `n` of `<kind>@<subject>#<n>`.
fn number_of(finding: &FindingRow) -> Result<i64, StoreError> {
    let number = finding
        .id
        .strip_prefix(finding.kind.as_str())
        .and_then(|rest| rest.strip_prefix('@'))
        .and_then(|rest| rest.strip_prefix(finding.subject.as_str()))
        .and_then(|rest| rest.strip_prefix('#'))
        .and_then(|number| number.parse::<u64>().ok())
        .filter(|number| *number >= 1);
    match number {
        Some(number) => signed("finding number", number),
        None => Err(StoreError::FindingId {
            id: finding.id.clone(),
            kind: finding.kind.clone(),
            subject: finding.subject.clone(),
        }),
    }
}
