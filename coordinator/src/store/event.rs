//! The journals of all nodes: every event once, each node's in its journal's order, what is missing named.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeSet};

use hafleet_fleet::VrrpState;
use sqlx::{ColumnIndex, Decode, FromRow, QueryBuilder, Row, Type};

use super::{Page, Store, StoreError, bounded, error::signed, row::text};

/// Rows that one statement of [`Store::prune_events`] deletes, so that it never holds the writer for long.
pub(super) const PRUNE_STEP: i64 = 1_000;
/// Statements of one call of [`Store::prune_events`].
const PRUNE_STEPS: u32 = 20;
/// Rows of one INSERT. SQLite binds at most 32,766 values in one statement, an event has 13.
const INSERT_ROWS: usize = 512;
/// Pairs of one SELECT, of the same values.
const FILTER_PAIRS: usize = 8_000;

/// One event of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its number in the journal, from 1 without holes.
    pub seq: u64,
    /// What happened.
    pub what: Happening,
    /// A stable code; for [`Happening::Lost`] the bound that was hit.
    pub reason: String,
    /// The operands of the reason in words.
    pub detail: String,
    /// The agent's wall clock, microseconds since the epoch. Never compared across nodes.
    pub at_us: i64,
    /// CLOCK_BOOTTIME of the agent's host, microseconds.
    pub mono_us: u64,
}

/// What an event tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A VRRP instance changed state.
    Transition {
        /// The instance's name.
        instance: String,
        /// Its VRID.
        vrid: u8,
        /// The state it left.
        from: VrrpState,
        /// The state it entered.
        to: VrrpState,
    },
    /// The agent started.
    Started,
    /// The agent stopped in good order.
    Stopped,
    /// Events were lost before they reached the journal.
    Lost,
    /// A configuration came to the running agent.
    Configuration,
    /// The kernel did something to an address unasked, or refused what was asked.
    Address {
        /// The instance whose address it is.
        instance: String,
    },
}

/// Events of one journal, as an agent sent them.
#[derive(Clone, Copy, Debug)]
pub struct EventBatch<'a> {
    /// Whose.
    pub node: &'a str,
    /// Which life of its journal.
    pub journal_id: &'a str,
    /// The oldest sequence that the journal still holds (`Hello.first_seq`); 1 or 0 when it lost nothing. What lies
    /// between the last committed event and this one can never come, and is recorded as a gap.
    pub first_seq: u64,
    /// In order, without holes; may be empty.
    pub events: &'a [EventRow],
    /// When they came, by the coordinator's clock, microseconds since the epoch.
    pub received_us: i64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Everything of this journal up to here is committed, or recorded as gone.
    pub acked_seq: u64,
    /// Events that are new.
    pub inserted: u64,
    /// Events that were here already and were left alone.
    pub duplicates: u64,
    /// The first and the last sequence of a gap that was recorded just now.
    pub gap: Option<(u64, u64)>,
}

/// Which transitions to list.
#[derive(Clone, Debug, Default)]
pub struct TransitionFilter {
    /// Received at or after this instant; 0 for all.
    pub since_us: i64,
    /// Of this node only.
    pub node: Option<String>,
    /// Of instances of this name only.
    pub instance: Option<String>,
    /// Of these (node, instance) pairs only; an empty list matches nothing.
    pub nodes_and_instances: Option<Vec<(String, String)>>,
    /// At most so many, the newest; 1 to [`super::MAX_ROWS`].
    pub limit: u32,
}

/// One transition as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// Whose.
    pub node: String,
    /// Which life of its journal.
    pub journal_id: String,
    /// Its number in the journal.
    pub seq: u64,
    /// The instance's name.
    pub instance: String,
    /// Its VRID.
    pub vrid: u8,
    /// The state it left.
    pub from_state: VrrpState,
    /// The state it entered.
    pub to_state: VrrpState,
    /// A stable code.
    pub reason: String,
    /// The operands of the reason in words.
    pub detail: String,
    /// The agent's wall clock, microseconds since the epoch.
    pub at_us: i64,
    /// When it came, by the coordinator's clock.
    pub received_us: i64,
}

stored_row!(TransitionRow {
    node,
    journal_id,
    seq,
    instance,
    vrid,
    from_state,
    to_state,
    reason,
    detail,
    at_us,
    received_us,
});

/// A transition with its place in the order of receipt.
struct Received {
    id: i64,
    row: TransitionRow,
}

impl<'r, R> FromRow<'r, R> for Received
where
    R: Row,
    TransitionRow: FromRow<'r, R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        Ok(Self { id: row.try_get("id")?, row: TransitionRow::from_row(row)? })
    }
}

/// Events that can never be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    /// Whose.
    pub node: String,
    /// Which life of its journal.
    pub journal_id: String,
    /// The first that is missing.
    pub first_seq: u64,
    /// The last that is missing.
    pub last_seq: u64,
    /// When that became known, by the coordinator's clock, microseconds since the epoch.
    pub recorded_us: i64,
}

stored_row!(GapRow { node, journal_id, first_seq, last_seq, recorded_us });

/// What [`Store::prune_events`] or [`Store::prune_configs`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneOutcome {
    /// Events or generations that are gone.
    pub deleted: u64,
    /// There are more to delete: call again.
    pub more: bool,
}

impl Store {
    /// Commits what is new of a batch, in one transaction, and says how far the journal is committed now. Only then
    /// may the agent be told.
    ///
    /// What was committed before is left alone and counted. The rest must follow the last committed event directly;
    /// a hole is accepted only where the agent's journal no longer reaches back (`first_seq`), and is recorded.
    ///
    /// # Errors
    /// There is no such node; the events have a hole; the database refuses. Nothing of the batch is kept then.
    pub async fn append_events(&self, batch: EventBatch<'_>) -> Result<AppendOutcome, StoreError> {
        let first_seq = signed("first_seq", batch.first_seq)?;
        let lines = batch.events.iter().map(Line::new).collect::<Result<Vec<_>, _>>()?;
        check_contiguous(&batch)?;
        let EventBatch { node, journal_id, received_us, .. } = batch;
        let appended = in_transaction!(self, |db| {
            let known: Option<(String,)> = sqlx::query_as("SELECT name FROM nodes WHERE name = $1")
                .bind(node)
                .fetch_optional(&mut *db)
                .await?;
            if known.is_none() {
                return Err(StoreError::UnknownNode { node: node.to_owned() }.into());
            }
            // Reads how far the journal is, and holds its row until the commit: two streams of one journal take turns.
            let (acked,): (i64,) = sqlx::query_as(
                "INSERT INTO journals (node, journal_id, acked_seq, last_received_us) VALUES ($1, $2, 0, $3) \
                 ON CONFLICT (node, journal_id) DO UPDATE SET last_received_us = excluded.last_received_us \
                 RETURNING acked_seq",
            )
            .bind(node)
            .bind(journal_id)
            .bind(received_us)
            .fetch_one(&mut *db)
            .await?;

            let new = lines.get(lines.partition_point(|line| line.seq <= acked)..).unwrap_or_default();
            let gap = gap_after(acked, first_seq, new);
            if let Some((first, last)) = gap {
                sqlx::query(
                    "INSERT INTO event_gaps (node, journal_id, first_seq, last_seq, recorded_us) \
                     VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(node)
                .bind(journal_id)
                .bind(first)
                .bind(last)
                .bind(received_us)
                .execute(&mut *db)
                .await?;
            }
            let reached = gap.map_or(acked, |(_, last)| last);
            if let Some(first) = new.first()
                && first.seq != reached + 1
            {
                return Err(not_contiguous(node, journal_id, reached + 1, first.seq).into());
            }

            // One statement for many rows; identities are handed out in the order of VALUES, which is the journal's.
            for some in new.chunks(INSERT_ROWS) {
                let mut insert = QueryBuilder::new(
                    "INSERT INTO events (node, journal_id, seq, kind, instance, vrid, from_state, to_state, reason, \
                                         detail, at_us, mono_us, received_us) ",
                );
                insert.push_values(some, |mut row, line| {
                    row.push_bind(node)
                        .push_bind(journal_id)
                        .push_bind(line.seq)
                        .push_bind(line.kind)
                        .push_bind(line.instance.as_deref())
                        .push_bind(line.vrid)
                        .push_bind(line.from_state)
                        .push_bind(line.to_state)
                        .push_bind(line.reason.as_ref())
                        .push_bind(line.detail.as_ref())
                        .push_bind(line.at_us)
                        .push_bind(line.mono_us)
                        .push_bind(received_us);
                });
                insert.build().execute(&mut *db).await?;
            }

            let now_acked = new.last().map_or(reached, |line| line.seq);
            if now_acked != acked {
                sqlx::query("UPDATE journals SET acked_seq = $3 WHERE node = $1 AND journal_id = $2")
                    .bind(node)
                    .bind(journal_id)
                    .bind(now_acked)
                    .execute(&mut *db)
                    .await?;
            }
            Ok((now_acked, new.len(), gap))
        });
        let (acked, inserted, gap) = appended.map_err(|abort| {
            abort.or(|source| StoreError::Write {
                what: format!("events of {node}, journal {journal_id}"),
                source,
            })
        })?;
        Ok(AppendOutcome {
            acked_seq: acked.unsigned_abs(),
            inserted: inserted as u64,
            duplicates: (batch.events.len() - inserted) as u64,
            gap: gap.map(|(first, last)| (first.unsigned_abs(), last.unsigned_abs())),
        })
    }

    /// How far a journal is committed; 0 when nothing of it is known.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn acked_seq(&self, node: &str, journal_id: &str) -> Result<u64, StoreError> {
        let row: sqlx::Result<Option<(i64,)>> = on_reader!(self, |db| sqlx::query_as(
            "SELECT acked_seq FROM journals WHERE node = $1 AND journal_id = $2"
        )
        .bind(node)
        .bind(journal_id)
        .fetch_optional(db)
        .await);
        match row {
            Ok(row) => Ok(row.map_or(0, |(acked,)| acked.unsigned_abs())),
            Err(source) => {
                Err(StoreError::Read { what: format!("how far journal {journal_id} of {node} is"), source })
            }
        }
    }

    /// The newest transitions that match, oldest first: in the order of receipt, which for each journal is its own
    /// order.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn transitions(&self, filter: &TransitionFilter) -> Result<Page<TransitionRow>, StoreError> {
        let limit = bounded(filter.limit);
        let rows = match &filter.nodes_and_instances {
            None => self.newest_transitions(filter, limit, None).await?,
            Some(pairs) => {
                let pairs: BTreeSet<_> = pairs.iter().collect();
                let pairs: Vec<_> = pairs.into_iter().collect();
                let mut rows = Vec::new();
                // Each statement answers with its newest; the newest of all are among them.
                for some in pairs.chunks(FILTER_PAIRS) {
                    rows.extend(self.newest_transitions(filter, limit, Some(some)).await?);
                    rows.sort_unstable_by_key(|found| Reverse(found.id));
                    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1));
                }
                rows
            }
        };
        let mut page = Page::cut(rows.into_iter().map(|found| found.row).collect(), limit);
        page.rows.reverse();
        Ok(page)
    }

    /// At most one more than `limit`, the newest first.
    async fn newest_transitions(
        &self,
        filter: &TransitionFilter,
        limit: u32,
        pairs: Option<&[&(String, String)]>,
    ) -> Result<Vec<Received>, StoreError> {
        let found: sqlx::Result<Vec<Received>> = on_reader!(self, |db| {
            let mut select = QueryBuilder::new(
                "SELECT id, node, journal_id, seq, instance, vrid, from_state, to_state, reason, detail, at_us, \
                        received_us \
                 FROM events WHERE kind = 'transition'",
            );
            // Left out when it says nothing, so that the order of receipt is read off the primary key from its end.
            if filter.since_us > 0 {
                select.push(" AND received_us >= ").push_bind(filter.since_us);
            }
            if let Some(node) = &filter.node {
                select.push(" AND node = ").push_bind(node);
            }
            if let Some(instance) = &filter.instance {
                select.push(" AND instance = ").push_bind(instance);
            }
            if let Some(pairs) = pairs {
                select.push(" AND (node, instance) IN (");
                select.push_values(pairs, |mut row, (node, instance)| {
                    row.push_bind(node).push_bind(instance);
                });
                select.push(")");
            }
            select.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit) + 1);
            select.build_query_as().fetch_all(db).await
        });
        found.map_err(|source| StoreError::Read { what: "transitions".into(), source })
    }

    /// Gaps that became known at or after `since_us`, newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn gaps(&self, since_us: i64, limit: u32) -> Result<Page<GapRow>, StoreError> {
        let limit = bounded(limit);
        let rows = on_reader!(self, |db| {
            sqlx::query_as(
            "SELECT node, journal_id, first_seq, last_seq, recorded_us FROM event_gaps WHERE recorded_us >= $1 \
             ORDER BY recorded_us DESC, first_seq DESC LIMIT $2",
        )
        .bind(since_us)
        .bind(i64::from(limit) + 1)
        .fetch_all(db)
        .await
        });
        let rows = rows.map_err(|source| StoreError::Read { what: "gaps of journals".into(), source })?;
        Ok(Page::cut(rows, limit))
    }

    /// Deletes events that were received before `before_us`, oldest first, but never one of the newest
    /// `keep_at_least`. Deletes in short statements and at most 20,000 in one call. How far the journals are
    /// committed is kept.
    ///
    /// # Errors
    /// The database refuses; what was deleted before stays deleted.
    pub async fn prune_events(&self, before_us: i64, keep_at_least: u64) -> Result<PruneOutcome, StoreError> {
        let keep = signed("keep_at_least", keep_at_least)?;
        let mut deleted = 0;
        for _ in 0..PRUNE_STEPS {
            let step = on_writer!(self, |db| sqlx::query(
                "DELETE FROM events WHERE id IN (\
                     SELECT id FROM events WHERE received_us < $1 \
                     AND id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET $2) \
                     ORDER BY id LIMIT $3)",
            )
            .bind(before_us)
            .bind(keep)
            .bind(PRUNE_STEP)
            .execute(db)
            .await
            .map(|done| done.rows_affected()));
            let step =
                step.map_err(|source| StoreError::Write { what: "the end of old events".into(), source })?;
            deleted += step;
            if step < PRUNE_STEP.unsigned_abs() {
                return Ok(PruneOutcome { deleted, more: false });
            }
        }
        Ok(PruneOutcome { deleted, more: true })
    }
}

/// An event as its row is bound.
struct Line<'a> {
    seq: i64,
    kind: &'static str,
    instance: Option<Cow<'a, str>>,
    vrid: Option<i64>,
    from_state: Option<&'static str>,
    to_state: Option<&'static str>,
    reason: Cow<'a, str>,
    detail: Cow<'a, str>,
    at_us: i64,
    mono_us: i64,
}

impl<'a> Line<'a> {
    fn new(event: &'a EventRow) -> Result<Self, StoreError> {
        let mut line = Self {
            seq: signed("seq", event.seq)?,
            kind: "",
            instance: None,
            vrid: None,
            from_state: None,
            to_state: None,
            reason: text(&event.reason),
            detail: text(&event.detail),
            at_us: event.at_us,
            mono_us: signed("mono_us", event.mono_us)?,
        };
        match &event.what {
            Happening::Transition { instance, vrid, from, to } => {
                line.kind = "transition";
                line.instance = Some(text(instance));
                line.vrid = Some(i64::from(*vrid));
                line.from_state = Some(from.as_str());
                line.to_state = Some(to.as_str());
            }
            Happening::Started => line.kind = "started",
            Happening::Stopped => line.kind = "stopped",
            Happening::Lost => line.kind = "lost",
            Happening::Configuration => line.kind = "configuration",
            Happening::Address { instance } => {
                line.kind = "address";
                line.instance = Some(text(instance));
            }
        }
        Ok(line)
    }
}

/// Within a batch each event follows the one before.
fn check_contiguous(batch: &EventBatch<'_>) -> Result<(), StoreError> {
    let mut expected = batch.events.first().map_or(1, |event| event.seq.max(1));
    for event in batch.events {
        if event.seq != expected {
            return Err(StoreError::NotContiguous {
                node: batch.node.to_owned(),
                journal_id: batch.journal_id.to_owned(),
                expected,
                got: event.seq,
            });
        }
        expected = expected.saturating_add(1);
    }
    Ok(())
}

fn not_contiguous(node: &str, journal_id: &str, expected: i64, got: i64) -> StoreError {
    StoreError::NotContiguous {
        node: node.to_owned(),
        journal_id: journal_id.to_owned(),
        expected: expected.unsigned_abs(),
        got: got.unsigned_abs(),
    }
}

/// What lies between the last committed event and the oldest that can still come.
fn gap_after(acked: i64, first_seq: i64, new: &[Line<'_>]) -> Option<(i64, i64)> {
    let oldest = new.first().map_or(first_seq, |line| line.seq.min(first_seq));
    (oldest - 1 > acked).then(|| (acked + 1, oldest - 1))
}
