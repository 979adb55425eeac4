//! Fence operations, what stands over all of them, and what is audited between: written in one transaction before anything
//! is done.
//!
//! Whoever is to act takes an epoch first. From then on rows of an older epoch are refused: a coordinator that was held
//! up cannot write, and therefore not act, under another one that leads by now.
//!
//! A database that is restored from a backup gives numbers again that agents know already. The id of an operation's order is
//! therefore chosen by chance when the operation is first written, and kept in its row.

use hafleet_fleet::fence::FenceState;
use sqlx::QueryBuilder;

use super::{
    AuditRow, Page, PruneOutcome, Store, StoreError, audit::INSERT_AUDIT, bounded, error::signed,
    event::PRUNE_STEP, row::text,
};

/// Operations that may be open, or have an order out, at once; a coordinator that has more runs wild.
pub const FENCES_MAX: u32 = 1024;

/// One operation as it was last written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceRow {
    /// `17` of `fence/17`.
    pub number: u64,
    /// The standing's revision with which it was written.
    pub revision: u64,
    /// The epoch under which it was written.
    pub epoch: u64,
    /// Whom it is against.
    pub target: String,
    /// Where it is.
    pub state: FenceState,
    /// The target may have an order of it that is not known to be withdrawn.
    pub holds_order: bool,
    /// When it was proposed, microseconds since the epoch.
    pub proposed_at_us: i64,
    /// When it came to its state.
    pub entered_at_us: i64,
    /// The rest, as the caller wrote it.
    pub body: String,
    /// When this row was written.
    pub updated_us: i64,
}

stored_row!(FenceRow {
    number,
    revision,
    epoch,
    target,
    state,
    holds_order,
    proposed_at_us,
    entered_at_us,
    body,
    updated_us,
});

/// What stands over all operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceStandingRow {
    /// Counts writes; 0: there was none yet.
    pub revision: u64,
    /// The newest epoch that was taken; of a row to be written the one that it is written under.
    pub epoch: u64,
    /// As the caller wrote it; empty before the first write.
    pub body: String,
    /// When it was written.
    pub updated_us: i64,
}

stored_row!(FenceStandingRow { revision, epoch, body, updated_us });

/// What is written down, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FenceEntry {
    /// The standing, and with it the operation that changed it, if one did.
    Write(FenceStandingRow, Option<FenceRow>),
    /// A line of the audit log.
    Audit(AuditRow),
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum FenceCommit {
    /// It is written, now or by the same commit before, whose answer was lost.
    Written,
    /// Nothing is written: somebody has a newer epoch, or wrote in between.
    Stale {
        /// The newest epoch that was taken.
        epoch: u64,
        /// The revision in the store.
        revision: u64,
    },
}

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub struct FenceFilter {
    /// Only those that came to their state at or after this instant; 0 for all.
    pub since_us: i64,
    /// Only those against this node.
    pub target: Option<String>,
    /// Only those that are open.
    pub open: bool,
    /// At most so many; 1 to [`super::MAX_ROWS`].
    pub limit: u32,
}

/// The columns of an operation, in the order of its fields.
const COLUMNS: &str =
    "number, revision, epoch, target, state, holds_order, proposed_at_us, entered_at_us, body, updated_us";
/// Closed for good: no order of it may be on a disk.
const CLOSED: &str = "NOT holds_order AND state IN ('denied', 'released')";
/// No second operation against the same node; the index says the same.
const OPEN: &str = "state NOT IN ('denied', 'released')";

const SAVE_OPERATION: &str = "\
    INSERT INTO fence_operations (number, revision, epoch, target, state, holds_order, proposed_at_us, entered_at_us, body, \
                                  updated_us, order_id) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
    ON CONFLICT (number) DO UPDATE SET revision = excluded.revision, epoch = excluded.epoch, state = excluded.state, \
        holds_order = excluded.holds_order, entered_at_us = excluded.entered_at_us, body = excluded.body, \
        updated_us = excluded.updated_us";

impl Store {
    /// Takes the next epoch: larger than every one before, and than those of all rows.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn take_fence_epoch(&self, now_us: i64) -> Result<u64, StoreError> {
        let taken: sqlx::Result<(i64,)> = on_writer!(self, |db| {
            sqlx::query_as(
                "UPDATE fence_standing SET epoch = epoch + 1, updated_us = $1 WHERE id = 1 RETURNING epoch",
            )
            .bind(now_us)
            .fetch_one(db)
            .await
        });
        let (epoch,) =
            taken.map_err(|source| StoreError::Write { what: "an epoch of fencing".into(), source })?;
        // The schema allows no negative one.
        Ok(u64::try_from(epoch).unwrap_or_default())
    }

    /// The newest epoch that was taken; 0: none. It does not wait for those who write.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn fence_epoch(&self) -> Result<u64, StoreError> {
        let read: sqlx::Result<(i64,)> =
            on_writer!(self, |db| sqlx::query_as("SELECT epoch FROM fence_standing WHERE id = 1")
                .fetch_one(db)
                .await);
        let (epoch,) =
            read.map_err(|source| StoreError::Read { what: "the epoch of fencing".into(), source })?;
        Ok(u64::try_from(epoch).unwrap_or_default())
    }

    /// Writes all entries in their order, or nothing: nothing when the store has a newer epoch, or when the revisions are not
    /// the next ones.
    ///
    /// # Errors
    /// Another operation against the same node is open; there is no such node; the database refuses.
    pub async fn commit_fence(&self, entries: &[FenceEntry]) -> Result<FenceCommit, StoreError> {
        let saved = in_transaction!(self, |db| {
            // It writes nothing, and holds the row until the commit. (SELECT … FOR UPDATE is not known to SQLite.)
            let found: FenceStandingRow = sqlx::query_as(
                "UPDATE fence_standing SET epoch = epoch WHERE id = 1 RETURNING revision, epoch, body, updated_us",
            )
            .fetch_one(&mut *db)
            .await?;
            match fits(&found, entries) {
                Fit::Next => {}
                Fit::Before => return Ok(FenceCommit::Written),
                Fit::Stale => {
                    return Ok(FenceCommit::Stale { epoch: found.epoch, revision: found.revision });
                }
            }
            for entry in entries {
                match entry {
                    FenceEntry::Audit(line) => {
                        sqlx::query(INSERT_AUDIT)
                            .bind(line.at_us)
                            .bind(text(&line.actor))
                            .bind(text(&line.action))
                            .bind(text(&line.subject))
                            .bind(line.outcome.as_str())
                            .bind(text(&line.detail))
                            .execute(&mut *db)
                            .await?;
                    }
                    FenceEntry::Write(standing, operation) => {
                        sqlx::query(
                            "UPDATE fence_standing SET revision = $1, epoch = $2, body = $3, updated_us = $4 \
                             WHERE id = 1",
                        )
                        .bind(signed("revision", standing.revision)?)
                        .bind(signed("epoch", standing.epoch)?)
                        .bind(text(&standing.body))
                        .bind(standing.updated_us)
                        .execute(&mut *db)
                        .await?;
                        let Some(row) = operation else { continue };
                        sqlx::query(SAVE_OPERATION)
                            .bind(signed("fence number", row.number)?)
                            .bind(signed("revision", row.revision)?)
                            .bind(signed("epoch", row.epoch)?)
                            .bind(&row.target)
                            .bind(row.state.as_str())
                            .bind(row.holds_order)
                            .bind(row.proposed_at_us)
                            .bind(row.entered_at_us)
                            .bind(text(&row.body))
                            .bind(row.updated_us)
                            // It stays what it was when there is a row already.
                            .bind(new_order_id(row.number)?)
                            .execute(&mut *db)
                            .await?;
                    }
                }
            }
            Ok(FenceCommit::Written)
        });
        saved.map_err(|abort| abort.or(|source| StoreError::Write { what: named(entries), source }))
    }

    /// What stands over all operations.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn fence_standing(&self) -> Result<FenceStandingRow, StoreError> {
        let row = on_reader!(self, |db| sqlx::query_as(
            "SELECT revision, epoch, body, updated_us FROM fence_standing WHERE id = 1"
        )
        .fetch_one(db)
        .await);
        row.map_err(|source| StoreError::Read { what: "the standing of fencing".into(), source })
    }

    /// Deletes operations that are closed, oldest first and at most 1,000 in one call, but never one of the newest
    /// `keep_at_least`, nor one whose order may be on a disk.
    ///
    /// # Errors
    /// The database refuses; then nothing is deleted by this call.
    pub async fn prune_fences(&self, keep_at_least: u64) -> Result<PruneOutcome, StoreError> {
        let keep = signed("keep_at_least", keep_at_least)?;
        let deleted = on_writer!(self, |db| {
            let mut delete = QueryBuilder::new(
                "DELETE FROM fence_operations WHERE number IN (SELECT number FROM fence_operations WHERE ",
            );
            delete.push(CLOSED);
            delete.push(
                " AND number <= (SELECT number FROM fence_operations ORDER BY number DESC LIMIT 1 OFFSET ",
            );
            delete.push_bind(keep).push(") ORDER BY number LIMIT ").push_bind(PRUNE_STEP).push(")");
            delete.build().execute(db).await.map(|done| done.rows_affected())
        });
        let deleted =
            deleted.map_err(|source| StoreError::Write { what: "the end of old fences".into(), source })?;
        Ok(PruneOutcome { deleted, more: deleted >= PRUNE_STEP.unsigned_abs() })
    }

    /// Every operation that is open or whose order is not known to be withdrawn, oldest first; at most [`FENCES_MAX`].
    ///
    /// # Errors
    /// The database refuses.
    pub async fn standing_fences(&self) -> Result<Page<FenceRow>, StoreError> {
        let rows = on_reader!(self, |db| {
            let mut select = QueryBuilder::new("SELECT ");
            select.push(COLUMNS).push(" FROM fence_operations WHERE holds_order OR ").push(OPEN);
            select.push(" ORDER BY number LIMIT ").push_bind(i64::from(FENCES_MAX) + 1);
            select.build_query_as().fetch_all(db).await
        });
        let rows = rows.map_err(|source| StoreError::Read { what: "the open fences".into(), source })?;
        Ok(Page::cut(rows, FENCES_MAX))
    }

    /// Operations that match, newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn fences(&self, filter: &FenceFilter) -> Result<Page<FenceRow>, StoreError> {
        let limit = bounded(filter.limit);
        let rows = on_reader!(self, |db| {
            let mut select = QueryBuilder::new("SELECT ");
            select.push(COLUMNS).push(" FROM fence_operations WHERE entered_at_us >= ");
            select.push_bind(filter.since_us);
            if let Some(target) = &filter.target {
                select.push(" AND target = ").push_bind(text(target).into_owned());
            }
            if filter.open {
                select.push(" AND ").push(OPEN);
            }
            select.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit) + 1);
            select.build_query_as().fetch_all(db).await
        });
        let rows = rows.map_err(|source| StoreError::Read { what: "the fences".into(), source })?;
        Ok(Page::cut(rows, limit))
    }

    /// One operation.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn fence(&self, number: u64) -> Result<Option<FenceRow>, StoreError> {
        let key = signed("fence number", number)?;
        let row = on_reader!(self, |db| {
            let mut select = QueryBuilder::new("SELECT ");
            select.push(COLUMNS).push(" FROM fence_operations WHERE number = ").push_bind(key);
            select.build_query_as().fetch_optional(db).await
        });
        row.map_err(|source| StoreError::Read { what: format!("fence/{number}"), source })
    }

    /// The id of the order that an operation gives to its target's agent; `None` when the operation is not written down.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn fence_order_id(&self, number: u64) -> Result<Option<String>, StoreError> {
        let key = signed("fence number", number)?;
        let found: sqlx::Result<Option<(String,)>> = on_reader!(self, |db| {
            sqlx::query_as("SELECT order_id FROM fence_operations WHERE number = $1")
                .bind(key)
                .fetch_optional(db)
                .await
        });
        let found = found
            .map_err(|source| StoreError::Read { what: format!("the order of fence/{number}"), source })?;
        // Before the column there was but one id for each number.
        Ok(found.map(|(id,)| if id.is_empty() { format!("fence/{number}") } else { id }))
    }
}

/// `fence/17.5f0c…`: no other operation's order has it, in whichever database.
fn new_order_id(number: u64) -> Result<String, StoreError> {
    let mut chance = [0; 8];
    getrandom::fill(&mut chance)
        .map_err(|source| StoreError::Random { what: "the id of an order", source })?;
    Ok(format!("fence/{number}.{:016x}", u64::from_be_bytes(chance)))
}

/// How entries follow on what is there.
enum Fit {
    /// They are the next ones.
    Next,
    /// They were written already, and the answer was lost.
    Before,
    /// Somebody has a newer epoch, or wrote in between.
    Stale,
}

fn fits(found: &FenceStandingRow, entries: &[FenceEntry]) -> Fit {
    let (mut revision, mut epoch) = (found.revision, found.epoch);
    let mut next = true;
    for entry in entries {
        if let FenceEntry::Write(standing, _) = entry {
            next &= revision.checked_add(1) == Some(standing.revision) && epoch <= standing.epoch;
            (revision, epoch) = (standing.revision, standing.epoch);
        }
    }
    if next {
        Fit::Next
    } else if (revision, epoch) == (found.revision, found.epoch) {
        // An epoch is one coordinator's alone, and it counts its writes: these are the very same ones.
        Fit::Before
    } else {
        Fit::Stale
    }
}

/// For errors.
fn named(entries: &[FenceEntry]) -> String {
    let names: Vec<String> = entries
        .iter()
        .map(|entry| match entry {
            FenceEntry::Write(_, Some(row)) => format!("fence/{} against {}", row.number, row.target),
            FenceEntry::Write(_, None) => "the standing of fencing".to_owned(),
            FenceEntry::Audit(line) => format!("the audit of {} by {}", line.action, line.actor),
        })
        .collect();
    names.join(", ")
}
