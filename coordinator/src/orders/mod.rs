//! Orders to nodes that stand over their configuration: switchovers and maintenance.
//!
//! ```text
//! api ─► switchover │ maintenance ─► store (asked) ─► actuator/agent ─► store (standing) ─► … ─► store (over)
//!                                        └──────────────── keeper: what is left over, what is due
//! ```
//! An order is written before its node is told, and is driven by one task at a time ([`Claim`]). Whatever is not
//! driven by the call that gave it, the [`keeper`] drives: what a restart left behind, what its node could not be told, what
//! has ended. An order whose node did not answer may stand there all the same, so it is withdrawn until the node says so.

pub mod keeper;
pub mod maintenance;
pub mod ready;
pub mod switchover;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hafleet_fleet::NodeName;
use hafleet_proto::v1;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use crate::{
    actuator::agent::AskError,
    api::status::{CallError, RequestError},
    shared::Shared,
    store::{OPEN_ORDERS_MAX, OrderKind, OrderRow, OrderState, Store, StoreError},
};

/// How long a node may take to say that it has done as told.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// The orders that are not over: the store's word, held in memory.
#[derive(Debug, Default)]
pub struct Orders {
    open: Mutex<BTreeMap<u64, Entry>>,
    /// Who judges whether a new order may be, and writes it, does both alone.
    turn: Arc<AsyncMutex<()>>,
    /// Told when the keeper may have something to do.
    due: Notify,
}

#[derive(Debug)]
struct Entry {
    row: OrderRow,
    /// A task drives it.
    claimed: bool,
}

/// Nobody else judges or writes a new order meanwhile: what one may be depends on those that are.
#[derive(Debug)]
struct Turn {
    _alone: OwnedMutexGuard<()>,
}

/// The right to drive one order; given back when it is dropped.
#[derive(Debug)]
pub struct Claim<'a> {
    orders: &'a Orders,
    number: u64,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.orders.lock().get_mut(&self.number) {
            entry.claimed = false;
        }
        self.orders.due.notify_one();
    }
}

impl Orders {
    /// Those that the store has.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let rows = store.open_orders().await?.into_iter();
        let open = rows.map(|row| (row.number, Entry { row, claimed: false })).collect();
        Ok(Self { open: Mutex::new(open), ..Self::default() })
    }

    /// Every order that is not over, oldest first.
    pub fn open(&self) -> Vec<OrderRow> {
        self.lock().values().map(|entry| entry.row.clone()).collect()
    }

    /// Nodes that are in maintenance: from when they were to be told until it is withdrawn.
    pub fn in_maintenance(&self) -> BTreeMap<NodeName, OrderRow> {
        let open = self.open().into_iter().filter(|row| {
            row.kind == OrderKind::Maintenance
                && matches!(row.state, OrderState::Asked | OrderState::Standing)
        });
        open.map(|row| (NodeName(row.node.clone()), row)).collect()
    }

    /// Waits until nobody else judges a new order. Held from the first look until the order is written ([`Orders::begin`]).
    async fn turn(&self) -> Turn {
        Turn { _alone: Arc::clone(&self.turn).lock_owned().await }
    }

    /// There is room for one more.
    fn has_room(&self) -> bool {
        self.lock().len() < usize::try_from(OPEN_ORDERS_MAX).unwrap_or(usize::MAX)
    }

    /// Writes a new order that was judged in this turn, which ends; who gave it drives it. `at_once` is what the caller is told when
    /// another one was quicker than the look before it.
    async fn begin(
        &self,
        _turn: Turn,
        store: &Store,
        mut row: OrderRow,
        at_once: &str,
    ) -> Result<(OrderRow, Claim<'_>), CallError> {
        row.number = store.begin_order(&row).await.map_err(|error| {
            if error.is_for_good() {
                RequestError::Conflict { what: at_once.to_owned() }.into()
            } else {
                CallError::from(error)
            }
        })?;
        let number = row.number;
        self.lock().insert(number, Entry { row: row.clone(), claimed: true });
        Ok((row, Claim { orders: self, number }))
    }

    /// The right to drive an order, if nobody has it.
    fn claim(&self, number: u64) -> Option<Claim<'_>> {
        let mut open = self.lock();
        let entry = open.get_mut(&number).filter(|entry| !entry.claimed)?;
        entry.claimed = true;
        Some(Claim { orders: self, number })
    }

    /// Writes how far an order is, then knows it.
    async fn set(
        &self,
        shared: &Shared,
        number: u64,
        state: OrderState,
        detail: &str,
    ) -> Result<(), StoreError> {
        let now_us = shared.clock.now_us();
        shared.store.set_order(number, state, detail, now_us).await?;
        let mut open = self.lock();
        if state == OrderState::Over {
            open.remove(&number);
            return Ok(());
        }
        // As in the store: who was told late that it is in force does not take a withdrawal back.
        let goes_on = |entry: &&mut Entry| {
            entry.row.state != OrderState::Withdrawing || state == OrderState::Withdrawing
        };
        if let Some(entry) = open.get_mut(&number).filter(goes_on) {
            entry.row.state = state;
            detail.clone_into(&mut entry.row.detail);
            entry.row.updated_us = now_us;
        }
        Ok(())
    }

    /// The keeper looks again.
    fn wake(&self) {
        self.due.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OrderRow {
    /// What the node knows it as.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.kind, self.subject, self.number)
    }
}

/// Tells a node its order.
async fn give(shared: &Shared, row: &OrderRow) -> Result<(), AskError> {
    let order = wire(shared, row);
    ask(shared, &NodeName(row.node.clone()), &row.id(), "give", v1::request::Request::Give(order)).await
}

/// Tells a node to forget an order. One that it does not have it has forgotten.
async fn withdraw(shared: &Shared, row: &OrderRow) -> Result<(), AskError> {
    forget(shared, &NodeName(row.node.clone()), &row.id()).await
}

/// The same of an order that only the node knows of: this coordinator's database may be older than it.
async fn forget(shared: &Shared, node: &NodeName, order_id: &str) -> Result<(), AskError> {
    let request = v1::request::Request::Withdraw(v1::Withdraw { order_id: order_id.to_owned() });
    ask(shared, node, order_id, "withdraw", request).await
}

/// Orders that a node reports and this coordinator does not have.
fn strays(shared: &Shared, node: &NodeName) -> Vec<v1::Order> {
    let known: BTreeSet<String> = shared.orders.open().iter().map(OrderRow::id).collect();
    shared.roster.with(node, |entry| {
        let orders = entry.last.iter().flat_map(|last| &last.snapshot.orders);
        orders.filter(|order| !known.contains(&order.id)).cloned().collect()
    })
}

async fn ask(
    shared: &Shared,
    node: &NodeName,
    order_id: &str,
    verb: &str,
    request: v1::request::Request,
) -> Result<(), AskError> {
    // A new attempt is a new question: an agent answers the same one as it did before. The order itself is known by its id.
    let id = format!("{order_id}/{verb}/{}", shared.clock.now_us());
    shared.agents.ask(node, &id, request, ASK_WITHIN).await
}

/// Whether a node may have been told an order before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It was not: who says no, or cannot be told, has nothing to forget.
    First,
    /// It may have been, whatever becomes of this attempt.
    Later,
}

fn wire(shared: &Shared, row: &OrderRow) -> v1::Order {
    let order = match (row.kind, row.priority) {
        (OrderKind::Switchover, priority) => {
            v1::order::Order::TakeOver(v1::TakeOver { priority: priority.unwrap_or_default().into() })
        }
        (OrderKind::Maintenance, _) => v1::order::Order::Maintenance(v1::Maintenance {}),
    };
    v1::Order {
        id: row.id(),
        instances: instances(row),
        until_us: row.until_us.map(|until_us| by_the_nodes_clock(shared, row, until_us)).unwrap_or_default(),
        by: row.given_by.clone(),
        why: row.why.clone(),
        order: Some(order),
    }
}

/// The instances that an order is about.
fn instances(row: &OrderRow) -> Vec<String> {
    // Written by us as JSON; what cannot be read would be "all of the node", which an order never is by accident.
    serde_json::from_str(&row.instances).unwrap_or_else(|_| vec![row.instances.clone()])
}

/// The node ends an order by its own wall clock.
fn by_the_nodes_clock(shared: &Shared, row: &OrderRow, until_us: i64) -> i64 {
    let left_us = until_us.saturating_sub(shared.clock.now_us());
    let wall_us = shared.clock.wall_us();
    let offset = shared
        .roster
        .with(&NodeName(row.node.clone()), |entry| entry.offset.estimate(wall_us))
        .map(|clock| clock.offset_us);
    wall_us.saturating_add(left_us).saturating_add(offset.unwrap_or_default())
}
