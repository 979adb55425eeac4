//! A node is worked on: it hands over what it holds, takes nothing, and what is expected of it then is no finding.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hafleet_fleet::{
    Input, NodeName, VrrpState,
    view::{FleetView, MemberView},
};
use hafleet_proto::v1;

use crate::{
    actuator::agent::AskError,
    api::status::{CallError, RequestError},
    orders::{self, Attempt},
    shared::Shared,
    store::{AuditOutcome, OrderKind, OrderRow, OrderState},
};

/// How long the node may take to release what it holds, from its word.
const RELEASE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// By whom, as the audit log says it.
    pub by: String,
    /// Of which node.
    pub node: NodeName,
    /// For how long; `None`: until it is ended.
    pub lasts: Option<Duration>,
    /// In their words.
    pub why: String,
    /// Also if nobody else can hold one of its groups.
    pub even_if_last: bool,
}

/// Puts a node into maintenance. A node that is not reached now is told when it is.
///
/// # Errors
/// There is no such node, it is in maintenance already, it is the last that could hold a group, it refuses; the database refuses.
pub async fn begin(shared: &Arc<Shared>, wish: Wish) -> Result<v1::SetMaintenanceResponse, CallError> {
    known(shared, &wish.node).await?;
    let turn = shared.orders.turn().await;
    let maintenance = shared.orders.in_maintenance();
    if let Some(row) = maintenance.get(&wish.node) {
        let what = format!("{} is in maintenance already ({} by {})", wish.node, row.id(), row.given_by);
        return refuse(shared, &wish.by, &wish.node, what).await;
    }
    let view = shared.fleet.view().await?;
    let last_of = last_of(&view, &wish.node, &maintenance);
    if !last_of.is_empty() && !wish.even_if_last {
        let what = format!(
            "{} is the last member that can hold {}; nobody would after this",
            wish.node,
            last_of.join(", ")
        );
        return refuse(shared, &wish.by, &wish.node, what).await;
    }
    if !shared.orders.has_room() {
        return refuse(shared, &wish.by, &wish.node, "too many orders are open".into()).await;
    }
    let now_us = shared.clock.now_us();
    let lasts_us = wish.lasts.map(|lasts| i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX));
    let row = OrderRow {
        number: 0,
        kind: OrderKind::Maintenance,
        node: wish.node.0.clone(),
        subject: wish.node.0.clone(),
        instances: "[]".into(),
        priority: None,
        from_node: None,
        until_us: lasts_us.map(|lasts_us| now_us.saturating_add(lasts_us)),
        given_by: wish.by.clone(),
        why: wish.why.clone(),
        state: OrderState::Asked,
        detail: String::new(),
        created_at_us: now_us,
        updated_us: now_us,
    };
    let mut detail = if last_of.is_empty() {
        String::new()
    } else {
        format!("although it is the last of {}", last_of.join(", "))
    };
    if !wish.why.is_empty() {
        detail = if detail.is_empty() { wish.why.clone() } else { format!("{}; {detail}", wish.why) };
    }
    note(shared, &wish.by, "maintenance.on", &wish.node, AuditOutcome::Done, detail).await?;
    let held = held_by(&view, &wish.node);
    // A task of its own: a caller who goes away leaves nothing half done.
    let task = tokio::spawn({
        let shared = Arc::clone(shared);
        async move {
            let at_once = "somebody else put this node into maintenance at the same instant";
            let (row, _claim) = shared.orders.begin(turn, &shared.store, row, at_once).await?;
            tell(&shared, &row.node, true).await?;
            let pending = tokio::select! {
                told = carry_out(&shared, &row, Attempt::First) => !told?,
                () = shared.closing() => return Err(CallError::Gone(crate::effects::FleetGone)),
            };
            let released = if pending { Vec::new() } else { released(&shared, &row.node, held).await };
            Ok(v1::SetMaintenanceResponse {
                order_id: row.id(),
                until_us: row.until_us.unwrap_or_default(),
                pending,
                released,
            })
        }
    });
    task.await.map_err(|_| CallError::Gone(crate::effects::FleetGone))?
}

/// Ends a node's maintenance. A node that is not reached now is told when it is.
///
/// # Errors
/// There is no such node; the database refuses.
pub async fn end(
    shared: &Arc<Shared>,
    by: &str,
    node: &NodeName,
) -> Result<v1::SetMaintenanceResponse, CallError> {
    known(shared, node).await?;
    let open = shared.orders.open().into_iter();
    let mut rows = open.filter(|row| row.kind == OrderKind::Maintenance && row.node == node.0);
    let Some(row) = rows.find(|row| row.state != OrderState::Withdrawing) else {
        return end_strays(shared, by, node).await;
    };
    note(shared, by, "maintenance.off", node, AuditOutcome::Done, row.id()).await?;
    let claim = shared.orders.claim(row.number);
    shared.orders.set(shared, row.number, OrderState::Withdrawing, "ended").await?;
    tell(shared, &row.node, false).await?;
    let done = claim.is_some() && orders::withdraw(shared, &row).await.is_ok();
    if done {
        shared.orders.set(shared, row.number, OrderState::Over, "ended").await?;
    }
    Ok(v1::SetMaintenanceResponse { order_id: row.id(), pending: !done, ..Default::default() })
}

/// Ends what the node itself says that it is told, and nobody here knows of.
async fn end_strays(
    shared: &Shared,
    by: &str,
    node: &NodeName,
) -> Result<v1::SetMaintenanceResponse, CallError> {
    let mut response = v1::SetMaintenanceResponse::default();
    let strays = orders::strays(shared, node).into_iter();
    for order in strays.filter(|order| matches!(order.order, Some(v1::order::Order::Maintenance(_)))) {
        note(shared, by, "maintenance.off", node, AuditOutcome::Done, order.id.clone()).await?;
        orders::forget(shared, node, &order.id)
            .await
            .map_err(|error| RequestError::Failed { what: error.to_string() })?;
        response.order_id = order.id;
    }
    Ok(response)
}

/// Tells the node, and says whether it has heard. One that refuses is not in maintenance, unless it may obey all the same: that
/// one is told again.
pub(super) async fn carry_out(shared: &Shared, row: &OrderRow, attempt: Attempt) -> Result<bool, CallError> {
    match orders::give(shared, row).await {
        Ok(()) => {
            shared.orders.set(shared, row.number, OrderState::Standing, "in force").await?;
            Ok(true)
        }
        Err(AskError::NotTold { .. } | AskError::NoAnswer { .. } | AskError::Busy { .. }) => Ok(false),
        Err(error @ AskError::Refused { .. }) if error.may_be_done() => {
            let what = error.to_string();
            // It is told again and again, and says the same mostly.
            if what != row.detail {
                tracing::warn!(order = row.id(), "{what}");
                shared.orders.set(shared, row.number, OrderState::Asked, &what).await?;
            }
            Ok(false)
        }
        Err(error @ AskError::Refused { .. }) => {
            let what = error.to_string();
            let state = match attempt {
                Attempt::First => OrderState::Over,
                Attempt::Later => OrderState::Withdrawing,
            };
            shared.orders.set(shared, row.number, state, &what).await?;
            tell(shared, &row.node, false).await?;
            let node = NodeName(row.node.clone());
            note(shared, &row.given_by, "maintenance.on", &node, AuditOutcome::Refused, what.clone()).await?;
            Err(RequestError::Failed { what }.into())
        }
    }
}

/// The core hears of it.
pub(super) async fn tell(shared: &Shared, node: &str, on: bool) -> Result<(), CallError> {
    let input = Input::Maintenance { node: NodeName(node.to_owned()), on };
    Ok(shared.fleet.tell(input, shared.clock.now()).await?)
}

async fn known(shared: &Shared, node: &NodeName) -> Result<(), CallError> {
    match shared.store.node(&node.0).await? {
        Some(row) if !row.revoked() => Ok(()),
        Some(_) | None => Err(RequestError::NotFound { what: "node", name: node.0.clone() }.into()),
    }
}

/// The groups that this node can hold, and nobody else.
fn last_of(view: &FleetView, node: &NodeName, maintenance: &BTreeMap<NodeName, OrderRow>) -> Vec<String> {
    let can = |member: &MemberView| {
        member.fresh
            && !maintenance.contains_key(&member.node)
            && match member.report.state {
                VrrpState::Master | VrrpState::Backup => true,
                VrrpState::Init | VrrpState::Fault => false,
            }
    };
    let groups = view.groups.iter().filter(|group| {
        let mut able = group.members.iter().filter(|member| can(member)).map(|member| &member.node);
        able.next() == Some(node) && able.all(|other| other == node)
    });
    groups.map(|group| group.key.to_string()).collect()
}

/// The groups that this node holds: each with its instances there.
fn held_by(view: &FleetView, node: &NodeName) -> Vec<(String, Vec<String>)> {
    let held = view.groups.iter().filter(|group| group.holder.as_ref() == Some(node));
    let own = |group: &hafleet_fleet::view::GroupView| {
        let members = group.members.iter().filter(|member| member.node == *node);
        (group.key.to_string(), members.map(|member| member.report.instance.clone()).collect())
    };
    held.map(own).collect()
}

/// Waits until the node holds nothing of it any more, but not for ever.
async fn released(shared: &Shared, node: &str, held: Vec<(String, Vec<String>)>) -> Vec<String> {
    let node = NodeName(node.to_owned());
    let deadline = shared.clock.now() + RELEASE_WITHIN;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        look.tick().await;
        let free = |(_, instances): &&(String, Vec<String>)| {
            instances.iter().all(|instance| holds_nothing(shared, &node, instance))
        };
        let free: Vec<String> = held.iter().filter(free).map(|(group, _)| group.clone()).collect();
        if free.len() == held.len() || shared.clock.now() >= deadline {
            return free;
        }
    }
}

fn holds_nothing(shared: &Shared, node: &NodeName, instance: &str) -> bool {
    shared.roster.with(node, |entry| {
        let state = entry
            .last
            .as_ref()
            .and_then(|last| last.snapshot.instances.iter().find(|state| state.instance == instance));
        state.is_none_or(|state| state.state() != v1::VrrpState::Master && state.addresses_present.is_empty())
    })
}

async fn note(
    shared: &Shared,
    by: &str,
    action: &str,
    node: &NodeName,
    outcome: AuditOutcome,
    detail: String,
) -> Result<(), CallError> {
    let subject = format!("node/{node}");
    Ok(shared.audit.record(&shared.store, by, action, &subject, outcome, detail).await?)
}

async fn refuse<T>(shared: &Shared, by: &str, node: &NodeName, what: String) -> Result<T, CallError> {
    note(shared, by, "maintenance.on", node, AuditOutcome::Refused, what.clone()).await?;
    Err(RequestError::Conflict { what }.into())
}
