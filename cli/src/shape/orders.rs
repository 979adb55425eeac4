//! What nodes are told to do over their configuration.

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::present;
use crate::look::instant;

/// In `orders` of a node.
#[derive(Debug, Serialize)]
pub struct Order {
    id: String,
    /// `switchover`, `maintenance` or `demote`.
    kind: String,
    subject: Option<String>,
    /// `asked`, `standing`, `withdrawing` or `reported`.
    state: String,
    /// `null`: until it is ended.
    until: Option<Timestamp>,
    by: Option<String>,
    why: Option<String>,
    since: Option<Timestamp>,
}

impl From<&v1::NodeOrder> for Order {
    fn from(order: &v1::NodeOrder) -> Self {
        Self {
            id: order.id.clone(),
            kind: order.kind.clone(),
            subject: present(&order.subject),
            state: order.state.clone(),
            until: instant(order.until_us),
            by: present(&order.by),
            why: present(&order.why),
            since: instant(order.since_us),
        }
    }
}

/// `hactl switchover --to -o json`.
#[derive(Debug, Serialize)]
pub struct Switchover {
    group: String,
    /// `null` when nobody held it.
    from: Option<String>,
    to: String,
    /// `null`, as below, when it held the group already and nothing was ordered.
    order: Option<String>,
    priority: Option<u32>,
    taken_ms: Option<u64>,
    released_ms: Option<u64>,
    /// `null`: until it is undone.
    until: Option<Timestamp>,
}

impl From<&v1::SwitchOverResponse> for Switchover {
    fn from(answer: &v1::SwitchOverResponse) -> Self {
        let order = present(&answer.order_id);
        let moved = order.is_some();
        let from = present(&answer.from);
        Self {
            group: answer.group.clone(),
            to: answer.to.clone(),
            priority: moved.then_some(answer.priority),
            taken_ms: moved.then_some(answer.taken_us / 1000),
            released_ms: from.as_ref().filter(|_| moved).map(|_| answer.released_us / 1000),
            until: instant(answer.until_us),
            order,
            from,
        }
    }
}

/// `hactl switchover --undo -o json`.
#[derive(Debug, Serialize)]
pub struct SwitchoverUndone {
    group: String,
    nodes: Vec<String>,
    pending: Vec<String>,
}

impl From<&v1::UndoSwitchOverResponse> for SwitchoverUndone {
    fn from(answer: &v1::UndoSwitchOverResponse) -> Self {
        Self { group: answer.group.clone(), nodes: answer.nodes.clone(), pending: answer.pending.clone() }
    }
}

/// `hactl maintenance -o json`.
#[derive(Debug, Serialize)]
pub struct Maintained {
    node: String,
    maintenance: bool,
    order: Option<String>,
    until: Option<Timestamp>,
    /// The node is not reached now.
    pending: bool,
    released: Vec<String>,
}

impl Maintained {
    /// What was asked for and what became of it.
    pub fn new(request: &v1::SetMaintenanceRequest, answer: &v1::SetMaintenanceResponse) -> Self {
        Self {
            node: request.node.clone(),
            maintenance: request.on,
            order: present(&answer.order_id),
            until: instant(answer.until_us),
            pending: answer.pending,
            released: answer.released.clone(),
        }
    }
}
