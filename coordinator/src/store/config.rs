//! The fleet's configuration: generations, which are never changed, and how each was applied. The newest are kept, and old
//! ones that still count.
//!
//! One apply is open at most: the schema sees to it. What a node is to be asked is written before it is asked.
//!
//! A text has passwords in it: it is sealed as a whole ([`crate::sealing`]), for its number. Texts of before are read as they
//! are.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::{Page, PruneOutcome, Store, StoreError, bounded, error::signed, row::text};
use crate::sealing::{self, GENERATION};

/// Generations that one call of [`Store::prune_configs`] deletes.
const PRUNE_STEP: usize = 100;

/// Generations that [`Store::owed_configs`] gives.
const OWED_MAX: i64 = 64;

/// SHA-256 of a text, hex.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A generation to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGeneration {
    /// The generation that it was made from; 0: none.
    pub parent: u64,
    /// `user/admin`.
    pub author: String,
    /// Why, in the author's words.
    pub message: String,
    /// The fleet's file.
    pub text: String,
    /// Now, microseconds since the epoch.
    pub created_at_us: i64,
    /// How long a node waits to be confirmed before it goes back by itself.
    pub confirm_within_us: u64,
    /// Its number is above this one: what nodes have is newer than a database that was restored.
    pub above: u64,
}

/// A generation and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationRow {
    /// Its number, from 1.
    pub number: u64,
    /// The generation that it was made from; 0: none.
    pub parent: u64,
    /// `user/admin`.
    pub author: String,
    /// Why, in the author's words.
    pub message: String,
    /// The fleet's file; empty in a list when it cannot be opened.
    pub text: String,
    /// When it was begun, microseconds since the epoch.
    pub created_at_us: i64,
    /// How far it came.
    pub state: ApplyState,
    /// Why it was given up; empty if it was not.
    pub why: String,
    /// How long a node waits to be confirmed.
    pub confirm_within_us: u64,
    /// When it last changed, microseconds since the epoch.
    pub updated_us: i64,
}

stored_row!(GenerationRow {
    number,
    parent,
    author,
    message,
    text,
    created_at_us,
    state,
    why,
    confirm_within_us,
    updated_us,
});

/// How far an apply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplyState {
    /// Nodes judge it; nothing runs differently.
    Staging,
    /// Nodes run it, one after the other.
    Committing,
    /// Nodes go back.
    RollingBack,
    /// Every node runs it.
    Applied,
    /// No node runs it any more.
    RolledBack,
    /// A node refused it, and none ever ran it.
    Refused,
}

words!(ApplyState, "state of an apply" {
    Staging => "staging",
    Committing => "committing",
    RollingBack => "rolling_back",
    Applied => "applied",
    RolledBack => "rolled_back",
    Refused => "refused",
});

impl ApplyState {
    /// Whether something is still to be done.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Staging | Self::Committing | Self::RollingBack => true,
            Self::Applied | Self::RolledBack | Self::Refused => false,
        }
    }
}

/// What one node was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// The node.
    pub node: String,
    /// What, and what became of it.
    pub state: StepState,
    /// Its words.
    pub detail: String,
    /// When, microseconds since the epoch.
    pub updated_us: i64,
}

stored_row!(StepRow { node, state, detail, updated_us });

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepState {
    /// Not asked yet.
    Waiting,
    /// It runs that already.
    Unchanged,
    /// Asked to judge it.
    Staging,
    /// It would run it.
    Staged,
    /// It would not.
    Refused,
    /// Asked to run it.
    Committing,
    /// It runs it for a while.
    Committed,
    /// Told to keep it.
    Confirming,
    /// It keeps it.
    Confirmed,
    /// Told to go back.
    RollingBack,
    /// It runs what it ran before.
    RolledBack,
    /// Nobody knows what it runs.
    Failed,
}

words!(StepState, "state of a step" {
    Waiting => "waiting",
    Unchanged => "unchanged",
    Staging => "staging",
    Staged => "staged",
    Refused => "refused",
    Committing => "committing",
    Committed => "committed",
    Confirming => "confirming",
    Confirmed => "confirmed",
    RollingBack => "rolling_back",
    RolledBack => "rolled_back",
    Failed => "failed",
});

/// What became of the wish to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is this generation.
    Generation(u64),
    /// Another generation than the parent was applied last.
    Moved {
        /// That one; 0: none.
        head: u64,
    },
    /// Another one is under way.
    Busy {
        /// That one.
        generation: u64,
    },
}

/// Columns of a [`GenerationRow`].
macro_rules! generations {
    ($rest:literal) => {
        concat!(
            "SELECT number, parent, author, message, text, created_at_us, state, why, confirm_within_us, updated_us \
             FROM config_generations JOIN config_applies ON generation = number ",
            $rest
        )
    };
}

impl Store {
    /// Writes a generation down, with a step for each node, if its parent is what was applied last and no other is under
    /// way.
    ///
    /// # Errors
    /// The database refuses, or a number is too large for it.
    pub async fn begin_config(&self, new: &NewGeneration, nodes: &[String]) -> Result<Begun, StoreError> {
        let parent = signed("generation", new.parent)?;
        let within_us = signed("confirm_within_us", new.confirm_within_us)?;
        let above = signed("generation", new.above)?;
        let begun = in_transaction!(self, |db| {
            let open: Option<(i64,)> =
                sqlx::query_as("SELECT generation FROM config_applies WHERE is_open = 1")
                    .fetch_optional(&mut *db)
                    .await?;
            let head: (i64,) = sqlx::query_as(
                "SELECT CAST(COALESCE(MAX(generation), 0) AS BIGINT) FROM config_applies WHERE state = 'applied'",
            )
            .fetch_one(&mut *db)
            .await?;
            if let Some((generation,)) = open {
                Ok(Begun::Busy { generation: generation.unsigned_abs() })
            } else if head.0 != parent {
                Ok(Begun::Moved { head: head.0.unsigned_abs() })
            } else {
                let last: (i64,) =
                    sqlx::query_as("SELECT CAST(COALESCE(MAX(number), 0) AS BIGINT) FROM config_generations")
                        .fetch_one(&mut *db)
                        .await?;
                let number = last.0.max(above).saturating_add(1);
                let sealed = self.seal_generation(number.unsigned_abs(), &new.text)?;
                sqlx::query(
                    "INSERT INTO config_generations (number, parent, author, message, text, hash, created_at_us) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(number)
                .bind(parent)
                .bind(text(&new.author))
                .bind(text(&new.message))
                .bind(&sealed)
                // Of what stands in the row: a hash of the text itself would let passwords be tried on it.
                .bind(hash(&sealed))
                .bind(new.created_at_us)
                .execute(&mut *db)
                .await?;
                sqlx::query(
                    "INSERT INTO config_applies (generation, state, why, confirm_within_us, updated_us, is_open) \
                     VALUES ($1, 'staging', '', $2, $3, 1)",
                )
                .bind(number)
                .bind(within_us)
                .bind(new.created_at_us)
                .execute(&mut *db)
                .await?;
                for node in nodes {
                    sqlx::query(
                        "INSERT INTO config_steps (generation, node, state, detail, updated_us) \
                         VALUES ($1, $2, 'waiting', '', $3)",
                    )
                    .bind(number)
                    .bind(node)
                    .bind(new.created_at_us)
                    .execute(&mut *db)
                    .await?;
                }
                Ok(Begun::Generation(number.unsigned_abs()))
            }
        });
        begun.map_err(|abort| {
            abort.or(|source| StoreError::Write {
                what: "a generation of the fleet's configuration".into(),
                source,
            })
        })
    }

    /// The generation that was applied last.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn config_head(&self) -> Result<Option<GenerationRow>, StoreError> {
        let row = on_reader!(self, |db| {
            sqlx::query_as(generations!("WHERE state = 'applied' ORDER BY number DESC LIMIT 1"))
                .fetch_optional(db)
                .await
        });
        self.opened(row.map_err(|source| StoreError::Read {
            what: "the generation that was applied last".into(),
            source,
        })?)
    }

    /// The generation that is under way.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn open_config(&self) -> Result<Option<GenerationRow>, StoreError> {
        let row = on_reader!(self, |db| {
            sqlx::query_as(generations!("WHERE is_open = 1")).fetch_optional(db).await
        });
        self.opened(
            row.map_err(|source| StoreError::Read {
                what: "the generation that is under way".into(),
                source,
            })?,
        )
    }

    /// The number of the generation that is under way: its text may be sealed with a key that is not here.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn open_config_number(&self) -> Result<Option<u64>, StoreError> {
        let row: sqlx::Result<Option<(i64,)>> = on_reader!(self, |db| {
            sqlx::query_as("SELECT generation FROM config_applies WHERE is_open = 1").fetch_optional(db).await
        });
        let row = row.map_err(|source| StoreError::Read {
            what: "the number of the generation that is under way".into(),
            source,
        })?;
        Ok(row.map(|(number,)| number.unsigned_abs()))
    }

    /// One generation.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn config_generation(&self, number: u64) -> Result<Option<GenerationRow>, StoreError> {
        let bound = signed("generation", number)?;
        let row = on_reader!(self, |db| {
            sqlx::query_as(generations!("WHERE number = $1")).bind(bound).fetch_optional(db).await
        });
        self.opened(row.map_err(|source| StoreError::Read { what: format!("generation {number}"), source })?)
    }

    /// Every generation, the newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn config_history(&self, limit: u32) -> Result<Page<GenerationRow>, StoreError> {
        let limit = bounded(limit);
        let rows = on_reader!(self, |db| {
            sqlx::query_as(generations!("ORDER BY number DESC LIMIT $1"))
                .bind(i64::from(limit) + 1)
                .fetch_all(db)
                .await
        });
        let rows: Vec<GenerationRow> =
            rows.map_err(|source| StoreError::Read { what: "the generations".into(), source })?;
        // That there was one is known without its text, too.
        let open = |mut row: GenerationRow| {
            row.text = self.open_generation(&row).unwrap_or_default();
            row
        };
        Ok(Page::cut(rows.into_iter().map(open).collect(), limit))
    }

    /// Generations that were given up since one was applied, with nodes of which it is not known that they went back; the newest
    /// first, and at most 64.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn owed_configs(&self) -> Result<Vec<GenerationRow>, StoreError> {
        let rows: sqlx::Result<Vec<GenerationRow>> = on_reader!(self, |db| {
            sqlx::query_as(generations!(
                "WHERE is_open IS NULL \
                 AND number > (SELECT COALESCE(MAX(generation), 0) FROM config_applies WHERE state = 'applied') \
                 AND number IN (SELECT generation FROM config_steps WHERE state = 'failed') \
                 ORDER BY number DESC LIMIT $1"
            ))
            .bind(OWED_MAX)
            .fetch_all(db)
            .await
        });
        let rows = rows.map_err(|source| StoreError::Read {
            what: "generations that were not given up by all".into(),
            source,
        })?;
        // Going back needs no text.
        let open = |mut row: GenerationRow| {
            row.text = self.open_generation(&row).unwrap_or_default();
            row
        };
        Ok(rows.into_iter().map(open).collect())
    }

    /// Whether a text is there that only the key can open.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn has_sealed_texts(&self) -> Result<bool, StoreError> {
        let found: sqlx::Result<(i64,)> = on_reader!(self, |db| {
            sqlx::query_as(
                "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT 1 FROM config_generations \
                 WHERE SUBSTR(text, 1, 10) = $1 LIMIT 1) AS sealed",
            )
            .bind(sealing::PREFIX)
            .fetch_one(db)
            .await
        });
        let found = found.map_err(|source| StoreError::Read { what: "the sealed texts".into(), source })?;
        Ok(found.0 > 0)
    }

    fn opened(&self, row: Option<GenerationRow>) -> Result<Option<GenerationRow>, StoreError> {
        let Some(mut row) = row else { return Ok(None) };
        row.text = self.open_generation(&row)?;
        Ok(Some(row))
    }

    fn open_generation(&self, row: &GenerationRow) -> Result<String, StoreError> {
        if !sealing::is_sealed(&row.text) {
            return Ok(row.text.clone());
        }
        let what = || format!("the text of generation {}", row.number);
        let sealing = self.sealing.as_ref().ok_or_else(|| StoreError::NoSealing { what: what() })?;
        let opened = sealing.open(GENERATION, &row.number.to_string(), &row.text);
        opened.map_err(|source| StoreError::Sealed { verb: "open", what: what(), source })
    }

    fn seal_generation(&self, number: u64, text: &str) -> Result<String, StoreError> {
        let what = || format!("the text of generation {number}");
        let sealing = self.sealing.as_ref().ok_or_else(|| StoreError::NoSealing { what: what() })?;
        let sealed = sealing.seal(GENERATION, &number.to_string(), text);
        sealed.map_err(|source| StoreError::Sealed { verb: "seal", what: what(), source })
    }

    /// Deletes generations with all that was noted of them, oldest first and at most 100 in one call; never one of the newest
    /// `keep_at_least` (the schema itself keeps 100), nor one that is under way, nor the one that was applied last, nor one
    /// that is in `in_use`. Numbers are never given again.
    ///
    /// # Errors
    /// The database refuses; then nothing is deleted by this call.
    pub async fn prune_configs(
        &self,
        keep_at_least: u64,
        in_use: &BTreeSet<u64>,
    ) -> Result<PruneOutcome, StoreError> {
        let keep = signed("keep_at_least", keep_at_least)?;
        // Whoever is in use may be the oldest, and must not hide the others.
        let looked_at = i64::try_from(in_use.len().saturating_add(PRUNE_STEP + 1)).unwrap_or(i64::MAX);
        let pruned = in_transaction!(self, |db| {
            let old: Vec<(i64,)> = sqlx::query_as(
                "SELECT generation FROM config_applies WHERE is_open IS NULL \
                 AND generation <= (SELECT number FROM config_generations ORDER BY number DESC LIMIT 1 OFFSET $1) \
                 AND generation <> (SELECT COALESCE(MAX(generation), 0) FROM config_applies WHERE state = 'applied') \
                 ORDER BY generation LIMIT $2",
            )
            .bind(keep)
            .bind(looked_at)
            .fetch_all(&mut *db)
            .await?;
            let all = old.len();
            let old: Vec<i64> = old
                .into_iter()
                .map(|(number,)| number)
                .filter(|number| !in_use.contains(&number.unsigned_abs()))
                .take(PRUNE_STEP)
                .collect();
            for number in &old {
                for statement in [
                    "DELETE FROM config_steps WHERE generation = $1",
                    "DELETE FROM config_applies WHERE generation = $1",
                    "DELETE FROM config_generations WHERE number = $1",
                ] {
                    sqlx::query(statement).bind(*number).execute(&mut *db).await?;
                }
            }
            let deleted = u64::try_from(old.len()).unwrap_or(u64::MAX);
            Ok(PruneOutcome { deleted, more: old.len() == PRUNE_STEP && all > old.len() })
        });
        pruned.map_err(|abort| {
            abort.or(|source| StoreError::Write { what: "the end of old generations".into(), source })
        })
    }

    /// What each node of a generation was asked last, in the order of names.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn config_steps(&self, generation: u64) -> Result<Vec<StepRow>, StoreError> {
        let bound = signed("generation", generation)?;
        let rows = on_reader!(self, |db| {
            sqlx::query_as(
                "SELECT node, state, detail, updated_us FROM config_steps WHERE generation = $1 ORDER BY node LIMIT $2",
            )
            .bind(bound)
            .bind(i64::from(super::MAX_ROWS))
            .fetch_all(db)
            .await
        });
        let mut rows: Vec<StepRow> = rows.map_err(|source| StoreError::Read {
            what: format!("the steps of generation {generation}"),
            source,
        })?;
        // Collations differ between the engines.
        rows.sort_by(|one, other| one.node.cmp(&other.node));
        Ok(rows)
    }

    /// Notes what a node is asked, or what became of it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn save_config_step(&self, generation: u64, step: &StepRow) -> Result<(), StoreError> {
        let bound = signed("generation", generation)?;
        let saved = on_writer!(self, |db| {
            sqlx::query(
                "UPDATE config_steps SET state = $3, detail = $4, updated_us = $5 WHERE generation = $1 AND node = $2",
            )
            .bind(bound)
            .bind(&step.node)
            .bind(step.state.as_str())
            .bind(text(&step.detail))
            .bind(step.updated_us)
            .execute(db)
            .await
            .map(|_| ())
        });
        saved.map_err(|source| StoreError::Write {
            what: format!("the step of {} in generation {generation}", step.node),
            source,
        })
    }

    /// Notes how far a generation came. One that is over stays as it is.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn save_config_apply(
        &self,
        generation: u64,
        state: ApplyState,
        why: &str,
        now_us: i64,
    ) -> Result<(), StoreError> {
        let bound = signed("generation", generation)?;
        let saved = on_writer!(self, |db| {
            sqlx::query(
                "UPDATE config_applies SET state = $2, why = $3, updated_us = $4, is_open = $5 \
                 WHERE generation = $1 AND is_open = 1",
            )
            .bind(bound)
            .bind(state.as_str())
            .bind(text(why))
            .bind(now_us)
            .bind(state.is_open().then_some(1_i64))
            .execute(db)
            .await
            .map(|_| ())
        });
        saved.map_err(|source| StoreError::Write {
            what: format!("the state of generation {generation}"),
            source,
        })
    }
}
