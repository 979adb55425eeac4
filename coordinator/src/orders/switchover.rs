//! A group is handed over by people: make before break, watched to its end, and undone if it does not come to that.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use hafleet_fleet::{
    Input, Instant, NodeName,
    view::{FleetView, GroupView, MemberView},
};
use hafleet_proto::v1;

use crate::{
    actuator::agent::AskError,
    api::{
        group,
        status::{CallError, RequestError},
    },
    clock::duration_us,
    orders::{self, Attempt, ready},
    shared::Shared,
    store::{AuditOutcome, OrderKind, OrderRow, OrderState},
};

/// How long it may take from the node's word until it holds the addresses and the one before does not.
const HOLD_WITHIN: Duration = Duration::from_secs(10);
/// How often what nodes say is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After a restart of the coordinator an order that is not older than this is seen through; an older one is taken back.
pub const RESUME_WITHIN: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// By whom, as the audit log says it.
    pub by: String,
    /// Which group, as people say it.
    pub group: String,
    /// Where, if there are several.
    pub site: String,
    /// To whom.
    pub node: NodeName,
    /// For how long; `None`: until it is undone.
    pub lasts: Option<Duration>,
    /// In their words.
    pub why: String,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    taken_us: u64,
    released_us: u64,
}

/// Hands a group over. The caller may go away meanwhile: the rest is done without.
///
/// # Errors
/// The node is not ready, another handover of the group is under way, the node did not do it; the database refuses.
pub async fn switch_over(shared: &Arc<Shared>, wish: Wish) -> Result<v1::SwitchOverResponse, CallError> {
    let turn = shared.orders.turn().await;
    let view = shared.fleet.view().await?;
    let group = group::find(&view, &wish.group, &wish.site)?;
    let subject = group.key.to_string();
    let held = held(shared);
    let question = ready::Question { group, target: &wish.node, findings: &view.findings, held: &held };
    let plan = match ready::judge(&question) {
        Ok(plan) => plan,
        Err(ready::NotReady::Holds(node)) => {
            let to = node.0.clone();
            return Ok(v1::SwitchOverResponse { group: subject, from: to.clone(), to, ..Default::default() });
        }
        Err(error) => return refuse(shared, &wish.by, &subject, error.to_string()).await,
    };
    let under_way = shared.orders.open().into_iter().find(|row| {
        row.kind == OrderKind::Switchover && row.subject == subject && row.state == OrderState::Asked
    });
    if let Some(row) = under_way {
        let what = format!("{subject} is being handed over to {} already ({})", row.node, row.id());
        return refuse(shared, &wish.by, &subject, what).await;
    }
    if !shared.orders.has_room() {
        return refuse(shared, &wish.by, &subject, "too many orders are open".into()).await;
    }
    let now_us = shared.clock.now_us();
    let lasts_us = wish.lasts.map(|lasts| i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX));
    let row = OrderRow {
        number: 0,
        kind: OrderKind::Switchover,
        node: wish.node.0.clone(),
        subject: subject.clone(),
        instances: serde_json::json!(plan.instances).to_string(),
        priority: Some(plan.priority),
        from_node: plan.from.as_ref().map(|node| node.0.clone()),
        until_us: lasts_us.map(|lasts_us| now_us.saturating_add(lasts_us)),
        given_by: wish.by.clone(),
        why: wish.why.clone(),
        state: OrderState::Asked,
        detail: String::new(),
        created_at_us: now_us,
        updated_us: now_us,
    };
    let detail = format!(
        "from {} to {} with priority {}{}",
        plan.from.as_ref().map_or("nobody", |node| node.0.as_str()),
        wish.node,
        plan.priority,
        if wish.why.is_empty() { String::new() } else { format!(": {}", wish.why) }
    );
    note(shared, &wish.by, "switchover", &subject, AuditOutcome::Done, detail).await?;
    // A task of its own: a caller who goes away leaves nothing half done.
    let task = tokio::spawn({
        let shared = Arc::clone(shared);
        async move {
            let at_once = "another handover of this group began at the same instant; try again";
            let (row, _claim) = shared.orders.begin(turn, &shared.store, row, at_once).await?;
            let moved = tokio::select! {
                moved = carry_out(&shared, &row, Attempt::First) => moved?,
                () = shared.closing() => return Err(CallError::Gone(crate::effects::FleetGone)),
            };
            Ok((row, moved))
        }
    });
    let (row, moved) = task.await.map_err(|_| CallError::Gone(crate::effects::FleetGone))??;
    Ok(v1::SwitchOverResponse {
        order_id: row.id(),
        group: subject,
        from: row.from_node.unwrap_or_default(),
        to: row.node,
        priority: row.priority.unwrap_or_default().into(),
        taken_us: moved.taken_us,
        released_us: moved.released_us,
        until_us: row.until_us.unwrap_or_default(),
    })
}

/// Takes the orders of a group back: who was told, and who of them is not reached now.
///
/// # Errors
/// There is none; one is under way; the database refuses.
pub async fn undo(
    shared: &Arc<Shared>,
    by: &str,
    name: &str,
    site: &str,
) -> Result<v1::UndoSwitchOverResponse, CallError> {
    let view = shared.fleet.view().await?;
    let group = group::find(&view, name, site)?;
    let subject = group.key.to_string();
    let strays = strays(shared, group);
    let open = shared.orders.open().into_iter();
    let rows: Vec<OrderRow> =
        open.filter(|row| row.kind == OrderKind::Switchover && row.subject == subject).collect();
    if rows.iter().any(|row| row.state == OrderState::Asked) {
        let what = format!("{subject} is being handed over at this moment; try again when that is over");
        return refuse(shared, by, &subject, what).await;
    }
    if rows.is_empty() && strays.is_empty() {
        return Err(RequestError::NotFound { what: "switchover of", name: subject }.into());
    }
    let ids = rows.iter().map(OrderRow::id).chain(strays.iter().map(|(_, id)| id.clone()));
    let detail = ids.collect::<Vec<_>>().join(", ");
    note(shared, by, "switchover.undo", &subject, AuditOutcome::Done, detail).await?;
    tell_handover(shared, &view, &subject, HOLD_WITHIN).await?;
    let mut response = v1::UndoSwitchOverResponse { group: subject, ..Default::default() };
    for row in rows {
        response.nodes.push(row.node.clone());
        let Some(_claim) = shared.orders.claim(row.number) else {
            response.pending.push(row.node);
            continue;
        };
        shared.orders.set(shared, row.number, OrderState::Withdrawing, "undone").await?;
        match orders::withdraw(shared, &row).await {
            Ok(()) => shared.orders.set(shared, row.number, OrderState::Over, "undone").await?,
            Err(_) => response.pending.push(row.node),
        }
    }
    for (node, id) in strays {
        orders::forget(shared, &node, &id)
            .await
            .map_err(|error| RequestError::Failed { what: error.to_string() })?;
        response.nodes.push(node.0);
    }
    Ok(response)
}

/// What the members themselves say that they were told to take, and nobody here knows of.
fn strays(shared: &Shared, group: &GroupView) -> Vec<(NodeName, String)> {
    let of_member = |member: &MemberView| {
        let node = member.node.clone();
        let about = |order: &v1::Order| {
            matches!(order.order, Some(v1::order::Order::TakeOver(_)))
                && order.instances.contains(&member.report.instance)
        };
        let orders = orders::strays(shared, &node).into_iter().filter(about);
        orders.map(|order| (node.clone(), order.id)).collect::<Vec<_>>()
    };
    group.members.iter().flat_map(of_member).collect()
}

/// From the order to its end, whichever that is. What was not done is taken back.
pub(super) async fn resume(shared: &Shared, row: &OrderRow) -> Result<(), CallError> {
    match carry_out(shared, row, Attempt::Later).await {
        // Said in the audit log already.
        Ok(_) | Err(CallError::Request(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn carry_out(shared: &Shared, row: &OrderRow, attempt: Attempt) -> Result<Moved, CallError> {
    let view = shared.fleet.view().await?;
    tell_handover(shared, &view, &row.subject, orders::ASK_WITHIN + HOLD_WITHIN).await?;
    let given = shared.clock.now();
    let done = match orders::give(shared, row).await {
        Ok(()) => watch(shared, &view, row, given).await,
        Err(error) => Err(Failed::of(&error, attempt)),
    };
    match &done {
        Ok(moved) => {
            let detail = format!(
                "{} holds it after {} ms; released after {} ms",
                row.node,
                moved.taken_us / 1000,
                moved.released_us / 1000
            );
            shared.orders.set(shared, row.number, OrderState::Standing, &detail).await?;
            note(shared, &row.given_by, "switchover.end", &row.subject, AuditOutcome::Done, detail).await?;
            supersede(shared, row).await?;
        }
        Err(failed) => {
            let (state, what) = match failed {
                Failed::NothingDone(what) => (OrderState::Over, what.clone()),
                Failed::TakeBack(what) => {
                    (OrderState::Withdrawing, format!("{what}; the order is taken back"))
                }
            };
            shared.orders.set(shared, row.number, state, &what).await?;
            note(shared, &row.given_by, "switchover.end", &row.subject, AuditOutcome::Refused, what).await?;
            if state == OrderState::Withdrawing && orders::withdraw(shared, row).await.is_ok() {
                shared.orders.set(shared, row.number, OrderState::Over, "taken back").await?;
            }
        }
    }
    tell_handover(shared, &view, &row.subject, Duration::ZERO).await?;
    done.map_err(|failed| failed.into())
}

/// Why it did not come to it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failed {
    /// The node did nothing.
    NothingDone(String),
    /// It may have, or it did and that was not enough.
    TakeBack(String),
}

impl Failed {
    fn of(error: &AskError, attempt: Attempt) -> Self {
        match attempt {
            Attempt::First if !error.may_be_done() => Self::NothingDone(error.to_string()),
            Attempt::First | Attempt::Later => Self::TakeBack(error.to_string()),
        }
    }
}

impl From<Failed> for CallError {
    fn from(failed: Failed) -> Self {
        let what = match failed {
            Failed::NothingDone(what) => format!("nothing was handed over: {what}"),
            Failed::TakeBack(what) => format!("the handover was given up and its order taken back: {what}"),
        };
        RequestError::Failed { what }.into()
    }
}

/// Waits until the target holds every address and nobody else holds one.
async fn watch(shared: &Shared, view: &FleetView, row: &OrderRow, given: Instant) -> Result<Moved, Failed> {
    let Some(group) = group_of(view, &row.subject) else {
        return Err(Failed::TakeBack(format!("{} is no group any more", row.subject)));
    };
    let target = NodeName(row.node.clone());
    let own = orders::instances(row);
    let addresses: Vec<IpAddr> = group.addresses.iter().map(|(address, _)| *address).collect();
    let others = group.members.iter().filter(|member| member.node != target);
    let others: Vec<(NodeName, String)> =
        others.map(|member| (member.node.clone(), member.report.instance.clone())).collect();
    let holder = row.from_node.as_ref().map(|node| NodeName(node.clone())).filter(|node| *node != target);
    let deadline = shared.clock.now() + HOLD_WITHIN;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        look.tick().await;
        let taken = own.iter().map(|name| held_since(shared, &target, name)).collect::<Option<Vec<_>>>();
        let claims: Vec<&NodeName> = others
            .iter()
            .filter(|(node, name)| still_holds(shared, node, name, &addresses))
            .map(|(node, _)| node)
            .collect();
        if let (Some(taken), true) = (&taken, claims.is_empty()) {
            let at = taken.iter().max().copied().unwrap_or(given);
            let left = holder.as_ref().and_then(|holder| {
                let (_, name) = others.iter().find(|(node, _)| node == holder)?;
                left_at(shared, holder, name)
            });
            return Ok(Moved {
                taken_us: duration_us(at.since(given)),
                released_us: left.map(|left| duration_us(left.since(given))).unwrap_or_default(),
            });
        }
        if shared.clock.now() >= deadline {
            let seconds = HOLD_WITHIN.as_secs();
            return Err(Failed::TakeBack(match (taken, claims.first()) {
                (None, _) => format!("{target} did not hold {} within {seconds} s", row.subject),
                (Some(_), Some(other)) => {
                    format!(
                        "{target} holds {}, but {other} did not release it within {seconds} s",
                        row.subject
                    )
                }
                (Some(_), None) => format!("{} did not settle within {seconds} s", row.subject),
            }));
        }
    }
}

/// Since when an instance is MASTER with all its addresses in the kernel.
fn held_since(shared: &Shared, node: &NodeName, instance: &str) -> Option<Instant> {
    read(shared, node, instance, |state, at| {
        let master = state.state() == v1::VrrpState::Master;
        let present = state.addresses.iter().all(|address| state.addresses_present.contains(address));
        (master && present && !state.addresses.is_empty()).then_some(at)
    })?
}

/// What is last known of it says that it holds one of the addresses. One that is not connected can be asked nothing: that it
/// does not answer is told by other means.
fn still_holds(shared: &Shared, node: &NodeName, instance: &str, addresses: &[IpAddr]) -> bool {
    let holds = read(shared, node, instance, |state, _| {
        let host = |text: &String| text.split('/').next().and_then(|host| host.parse::<IpAddr>().ok());
        let has = |address| addresses.contains(&address);
        state.state() == v1::VrrpState::Master || state.addresses_present.iter().filter_map(host).any(has)
    });
    holds.unwrap_or(false)
}

/// When it ceased to be MASTER.
fn left_at(shared: &Shared, node: &NodeName, instance: &str) -> Option<Instant> {
    read(shared, node, instance, |state, at| (state.state() != v1::VrrpState::Master).then_some(at))?
}

/// What a connected node last said of an instance, and when that entered its state.
fn read<T>(
    shared: &Shared,
    node: &NodeName,
    instance: &str,
    look: impl FnOnce(&v1::InstanceState, Instant) -> T,
) -> Option<T> {
    shared.roster.with(node, |entry| {
        entry.live.as_ref()?;
        let last = entry.last.as_ref()?;
        let state = last.snapshot.instances.iter().find(|state| state.instance == instance)?;
        let entered = last.received? - Duration::from_micros(state.in_state_us);
        Some(look(state, entered))
    })
}

/// The group stands elsewhere by now: earlier orders are not needed any more.
async fn supersede(shared: &Shared, row: &OrderRow) -> Result<(), CallError> {
    let earlier = shared.orders.open().into_iter().filter(|other| {
        other.kind == OrderKind::Switchover
            && other.subject == row.subject
            && other.number < row.number
            && other.state == OrderState::Standing
    });
    for other in earlier {
        let detail = format!("superseded by {}", row.id());
        shared.orders.set(shared, other.number, OrderState::Withdrawing, &detail).await?;
    }
    shared.orders.wake();
    Ok(())
}

async fn tell_handover(
    shared: &Shared,
    view: &FleetView,
    subject: &str,
    lasts: Duration,
) -> Result<(), CallError> {
    if let Some(group) = group_of(view, subject) {
        let now = shared.clock.now();
        let input = Input::Handover { group: group.key.clone(), until: now + lasts };
        shared.fleet.tell(input, now).await?;
    }
    Ok(())
}

fn group_of<'a>(view: &'a FleetView, subject: &str) -> Option<&'a GroupView> {
    view.groups.iter().find(|group| group.key.to_string() == subject)
}

/// Nodes that take nothing: by our orders, and by those that they report.
fn held(shared: &Shared) -> BTreeMap<NodeName, String> {
    let mut held: BTreeMap<NodeName, String> = BTreeMap::new();
    for (node, order) in shared
        .roster
        .map(|node, entry| (node.clone(), holding(entry.last.as_ref().map(|last| &last.snapshot))))
    {
        if let Some(order) = order {
            held.insert(node, order);
        }
    }
    for (node, row) in shared.orders.in_maintenance() {
        held.insert(node, row.id());
    }
    held
}

fn holding(snapshot: Option<&v1::Snapshot>) -> Option<String> {
    use v1::order::Order;
    let holds = |order: &&v1::Order| match order.order {
        Some(Order::Demote(_) | Order::Maintenance(_)) => true,
        Some(Order::TakeOver(_)) | None => false,
    };
    snapshot?.orders.iter().find(holds).map(|order| order.id.clone())
}

async fn note(
    shared: &Shared,
    by: &str,
    action: &str,
    subject: &str,
    outcome: AuditOutcome,
    detail: String,
) -> Result<(), CallError> {
    Ok(shared.audit.record(&shared.store, by, action, subject, outcome, detail).await?)
}

async fn refuse<T>(shared: &Shared, by: &str, subject: &str, what: String) -> Result<T, CallError> {
    note(shared, by, "switchover", subject, AuditOutcome::Refused, what.clone()).await?;
    Err(RequestError::Conflict { what }.into())
}
