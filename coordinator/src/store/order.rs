//! What nodes were told to do over their configuration: written before they are told.

use super::{PruneOutcome, Store, StoreError, error::signed, event::PRUNE_STEP, row::text};

/// Orders that may be open at once; a coordinator that has more runs wild.
pub const OPEN_ORDERS_MAX: u32 = 1024;

/// One order as it was last written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Counted from 1; the node knows it as `<kind>/<subject>/<number>`.
    pub number: u64,
    /// What it is.
    pub kind: OrderKind,
    /// Who carries it out.
    pub node: String,
    /// What it is about: `dc1/192.168.178.3` or the node.
    pub subject: String,
    /// The node's instances that it is about, a JSON array; empty: all of them.
    pub instances: String,
    /// Of a switchover: with which priority.
    pub priority: Option<u8>,
    /// Of a switchover: who held the address.
    pub from_node: Option<String>,
    /// When it ends by itself, by the coordinator's clock, microseconds since the epoch.
    pub until_us: Option<i64>,
    /// Who gave it.
    pub given_by: String,
    /// Why, in their words.
    pub why: String,
    /// How far it is.
    pub state: OrderState,
    /// What happened last, in words.
    pub detail: String,
    /// When it was given, microseconds since the epoch.
    pub created_at_us: i64,
    /// When this row was written.
    pub updated_us: i64,
}

stored_row!(OrderRow {
    number,
    kind,
    node,
    subject,
    instances,
    priority,
    from_node,
    until_us,
    given_by,
    why,
    state,
    detail,
    created_at_us,
    updated_us,
});

/// What an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderKind {
    /// Take a group's addresses.
    Switchover,
    /// Hand over, and take nothing.
    Maintenance,
}

words!(OrderKind, "kind of order" { Switchover => "switchover", Maintenance => "maintenance" });

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderState {
    /// Its node has not said that it is done.
    Asked,
    /// It is in force.
    Standing,
    /// Its node is to forget it, and has not said that it did.
    Withdrawing,
    /// It is over.
    Over,
}

words!(OrderState, "state of an order" {
    Asked => "asked",
    Standing => "standing",
    Withdrawing => "withdrawing",
    Over => "over",
});

/// The columns of an order, in the order of its fields.
const COLUMNS: &str = "number, kind, node, subject, instances, priority, from_node, until_us, given_by, why, state, \
                       detail, created_at_us, updated_us";

impl Store {
    /// Writes a new order and says its number; the row's own is not looked at.
    ///
    /// # Errors
    /// One of this kind and subject is asked already; there is no such node; the database refuses.
    pub async fn begin_order(&self, order: &OrderRow) -> Result<u64, StoreError> {
        let saved: sqlx::Result<(i64,)> = on_writer!(self, |db| {
            sqlx::query_as(
                "INSERT INTO orders (kind, node, subject, instances, priority, from_node, until_us, given_by, why, \
                                     state, detail, created_at_us, updated_us) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING number",
            )
            .bind(order.kind.as_str())
            .bind(&order.node)
            .bind(&order.subject)
            .bind(&order.instances)
            .bind(order.priority.map(i64::from))
            .bind(order.from_node.as_deref())
            .bind(order.until_us)
            .bind(text(&order.given_by))
            .bind(text(&order.why))
            .bind(order.state.as_str())
            .bind(text(&order.detail))
            .bind(order.created_at_us)
            .bind(order.updated_us)
            .fetch_one(db)
            .await
        });
        let what = || format!("a {} of {}", order.kind, order.subject);
        let (number,) = saved.map_err(|source| StoreError::Write { what: what(), source })?;
        // The databases count from 1.
        Ok(u64::try_from(number).unwrap_or_default())
    }

    /// Writes how far an order is. It never goes back: one that is over stays so, and one that is withdrawn is not in force
    /// again. False then, and when there is none.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_order(
        &self,
        number: u64,
        state: OrderState,
        detail: &str,
        now_us: i64,
    ) -> Result<bool, StoreError> {
        let key = signed("order number", number)?;
        let saved = on_writer!(self, |db| {
            sqlx::query(
                "UPDATE orders SET state = $2, detail = $3, updated_us = $4 \
             WHERE number = $1 AND state <> 'over' AND (state <> 'withdrawing' OR $5)",
            )
            .bind(key)
            .bind(state.as_str())
            .bind(text(detail))
            .bind(now_us)
            .bind(matches!(state, OrderState::Withdrawing | OrderState::Over))
            .execute(db)
            .await
            .map(|done| done.rows_affected() > 0)
        });
        saved.map_err(|source| StoreError::Write { what: format!("order {number}"), source })
    }

    /// Every order that is not over, oldest first; at most [`OPEN_ORDERS_MAX`].
    ///
    /// # Errors
    /// The database refuses.
    pub async fn open_orders(&self) -> Result<Vec<OrderRow>, StoreError> {
        let rows = on_reader!(self, |db| {
            let mut select = sqlx::QueryBuilder::new("SELECT ");
            select.push(COLUMNS).push(" FROM orders WHERE state <> 'over' ORDER BY number LIMIT ");
            select.push_bind(i64::from(OPEN_ORDERS_MAX));
            select.build_query_as().fetch_all(db).await
        });
        rows.map_err(|source| StoreError::Read { what: "the open orders".into(), source })
    }

    /// Deletes orders that are over, oldest first and at most 1,000 in one call, but never one of the newest `keep_at_least`.
    /// Numbers are never given again.
    ///
    /// # Errors
    /// The database refuses; then nothing is deleted by this call.
    pub async fn prune_orders(&self, keep_at_least: u64) -> Result<PruneOutcome, StoreError> {
        let keep = signed("keep_at_least", keep_at_least)?;
        let deleted = on_writer!(self, |db| sqlx::query(
            "DELETE FROM orders WHERE number IN (\
                 SELECT number FROM orders WHERE state = 'over' \
                 AND number <= (SELECT number FROM orders ORDER BY number DESC LIMIT 1 OFFSET $1) \
                 ORDER BY number LIMIT $2)",
        )
        .bind(keep)
        .bind(PRUNE_STEP)
        .execute(db)
        .await
        .map(|done| done.rows_affected()));
        let deleted =
            deleted.map_err(|source| StoreError::Write { what: "the end of old orders".into(), source })?;
        Ok(PruneOutcome { deleted, more: deleted >= PRUNE_STEP.unsigned_abs() })
    }
}
