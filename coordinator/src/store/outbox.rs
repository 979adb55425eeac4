//! Messages to receivers: written with their finding, tried until delivered or given up.

use super::{Store, StoreError, bounded, row::text};

/// A message to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOutbox {
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// What the receiver is to be told, JSON.
    pub body: String,
    /// Now, microseconds since the epoch.
    pub created_us: i64,
    /// When it may first be tried.
    pub next_attempt_us: i64,
}

/// A message as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number; a receiver may see it twice (at least once), never two messages under one number.
    pub id: i64,
    /// The finding it tells of.
    pub finding_id: String,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// What the receiver is to be told, JSON.
    pub body: String,
    /// When it was written, microseconds since the epoch.
    pub created_us: i64,
    /// Where it is in its life.
    pub status: OutboxStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// When it may be tried next.
    pub next_attempt_us: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was delivered or given up.
    pub finished_us: Option<i64>,
}

stored_row!(OutboxRow {
    id,
    finding_id,
    receiver,
    body,
    created_us,
    status,
    attempts,
    next_attempt_us,
    last_error,
    finished_us,
});

/// Where a message is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutboxStatus {
    /// To be tried.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It will not be tried again.
    GivenUp,
}

words!(OutboxStatus, "outbox status" { Pending => "pending", Delivered => "delivered", GivenUp => "given_up" });

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxSummary {
    /// To be tried.
    pub pending: u64,
    /// The receiver took it.
    pub delivered: u64,
    /// It will not be tried again.
    pub given_up: u64,
}

impl Store {
    /// Messages to try now, the longest due first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn due_outbox(&self, now_us: i64, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = on_reader!(self, |db| {
            sqlx::query_as(
            "SELECT id, finding_id, receiver, body, created_us, status, attempts, next_attempt_us, last_error, \
                    finished_us \
             FROM outbox WHERE status = 'pending' AND next_attempt_us <= $1 ORDER BY next_attempt_us, id LIMIT $2",
        )
        .bind(now_us)
        .bind(i64::from(bounded(limit)))
        .fetch_all(db)
        .await
        });
        rows.map_err(|source| StoreError::Read { what: "the due messages of the outbox".into(), source })
    }

    /// Messages that wait for one receiver, due or not, the oldest first. What waits for others takes no place of its own.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn waiting_outbox(&self, receiver: &str, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = on_reader!(self, |db| {
            sqlx::query_as(
                "SELECT id, finding_id, receiver, body, created_us, status, attempts, next_attempt_us, last_error, \
                        finished_us \
                 FROM outbox WHERE status = 'pending' AND receiver = $1 ORDER BY id LIMIT $2",
            )
            .bind(receiver)
            .bind(i64::from(bounded(limit)))
            .fetch_all(db)
            .await
        });
        rows.map_err(|source| StoreError::Read {
            what: format!("the messages that wait for {receiver}"),
            source,
        })
    }

    /// The receivers for whom messages wait.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn waiting_receivers(&self) -> Result<Vec<String>, StoreError> {
        let rows: sqlx::Result<Vec<(String,)>> = on_reader!(self, |db| {
            sqlx::query_as(
                "SELECT DISTINCT receiver FROM outbox WHERE status = 'pending' ORDER BY receiver LIMIT $1",
            )
            .bind(i64::from(super::MAX_ROWS))
            .fetch_all(db)
            .await
        });
        let rows =
            rows.map_err(|source| StoreError::Read { what: "the receivers of the outbox".into(), source })?;
        Ok(rows.into_iter().map(|(receiver,)| receiver).collect())
    }

    /// Nothing that waits for this receiver will be tried again; says how many messages that were.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn give_up_all(&self, receiver: &str, error: &str, at_us: i64) -> Result<u64, StoreError> {
        let done = on_writer!(self, |db| {
            sqlx::query(
                "UPDATE outbox SET status = 'given_up', last_error = $2, finished_us = $3 \
                 WHERE receiver = $1 AND status = 'pending'",
            )
            .bind(receiver)
            .bind(text(error))
            .bind(at_us)
            .execute(db)
            .await
            .map(|done| done.rows_affected())
        });
        done.map_err(|source| StoreError::Write {
            what: format!("the end of what waits for {receiver}"),
            source,
        })
    }

    /// The receiver took it.
    ///
    /// # Errors
    /// It is not pending; the database refuses.
    pub async fn delivered(&self, id: i64, at_us: i64) -> Result<(), StoreError> {
        let done = on_writer!(self, |db| sqlx::query(
            "UPDATE outbox SET status = 'delivered', attempts = attempts + 1, finished_us = $2 \
             WHERE id = $1 AND status = 'pending'",
        )
        .bind(id)
        .bind(at_us)
        .execute(db)
        .await
        .map(|done| done.rows_affected()));
        was_pending(id, done)
    }

    /// The attempt failed; `attempts` were made so far, the next is due at `next_attempt_us`.
    ///
    /// # Errors
    /// It is not pending; the database refuses.
    pub async fn delivery_failed(
        &self,
        id: i64,
        error: &str,
        attempts: u32,
        next_attempt_us: i64,
    ) -> Result<(), StoreError> {
        let done = on_writer!(self, |db| sqlx::query(
            "UPDATE outbox SET last_error = $2, attempts = $3, next_attempt_us = $4 \
             WHERE id = $1 AND status = 'pending'",
        )
        .bind(id)
        .bind(text(error))
        .bind(i64::from(attempts))
        .bind(next_attempt_us)
        .execute(db)
        .await
        .map(|done| done.rows_affected()));
        was_pending(id, done)
    }

    /// The last attempt failed; there will be no other.
    ///
    /// # Errors
    /// It is not pending; the database refuses.
    pub async fn give_up(&self, id: i64, error: &str, at_us: i64) -> Result<(), StoreError> {
        let done = on_writer!(self, |db| {
            sqlx::query(
            "UPDATE outbox SET status = 'given_up', last_error = $2, attempts = attempts + 1, finished_us = $3 \
             WHERE id = $1 AND status = 'pending'",
        )
        .bind(id)
        .bind(text(error))
        .bind(at_us)
        .execute(db)
        .await
        .map(|done| done.rows_affected())
        });
        was_pending(id, done)
    }

    /// How many messages are where.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn outbox_summary(&self) -> Result<OutboxSummary, StoreError> {
        let what = || "how many messages the outbox holds".to_owned();
        let counted: sqlx::Result<Vec<(String, i64)>> =
            on_reader!(self, |db| sqlx::query_as("SELECT status, COUNT(*) FROM outbox GROUP BY status")
                .fetch_all(db)
                .await);
        let mut summary = OutboxSummary::default();
        for (status, count) in counted.map_err(|source| StoreError::Read { what: what(), source })? {
            let count = count.unsigned_abs();
            match status.parse() {
                Ok(OutboxStatus::Pending) => summary.pending = count,
                Ok(OutboxStatus::Delivered) => summary.delivered = count,
                Ok(OutboxStatus::GivenUp) => summary.given_up = count,
                Err(unknown) => {
                    return Err(StoreError::Read {
                        what: what(),
                        source: sqlx::Error::Decode(Box::new(unknown)),
                    });
                }
            }
        }
        Ok(summary)
    }

    /// Deletes finished messages that were finished before `before_us`, at most 10,000 in one call; says how many.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn prune_outbox(&self, before_us: i64) -> Result<u64, StoreError> {
        let done = on_writer!(self, |db| sqlx::query(
            "DELETE FROM outbox WHERE id IN (\
                 SELECT id FROM outbox WHERE status <> 'pending' AND finished_us < $1 ORDER BY id LIMIT $2)",
        )
        .bind(before_us)
        .bind(i64::from(super::MAX_ROWS))
        .execute(db)
        .await
        .map(|done| done.rows_affected()));
        done.map_err(|source| StoreError::Write { what: "the end of old messages".into(), source })
    }
}

fn was_pending(id: i64, done: sqlx::Result<u64>) -> Result<(), StoreError> {
    match done {
        Ok(0) => Err(StoreError::NotPending { id }),
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::Write { what: format!("message {id} of the outbox"), source }),
    }
}
