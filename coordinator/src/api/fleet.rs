//! The fleet on the wire: the core's view joined with what the shell knows of streams and clocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use hafleet_fleet::{
    NodeName, VrrpState,
    view::{FleetView, GroupView, MemberView, NodeView},
};
use hafleet_proto::v1::{self, order::Order};

use crate::{
    api::status::CallError,
    clock::{duration_us, micros},
    finding::Record,
    sessions::{roster::Entry, witness::Seen},
    shared::Shared,
    store::{OrderRow, TransitionRow},
};

/// The whole fleet as it is now.
pub async fn fleet(shared: &Shared) -> Result<v1::Fleet, CallError> {
    let view = shared.fleet.view().await?;
    Ok(v1::Fleet {
        at_us: shared.clock.now_us(),
        coordinator_version: env!("CARGO_PKG_VERSION").into(),
        nodes: nodes(shared, &view),
        groups: view.groups.iter().map(group).collect(),
        findings: view.findings.iter().map(|finding| Record::from(finding).into()).collect(),
        up_us: shared.clock.up_us(),
        references: own_references(shared),
    })
}

/// One group.
pub fn group(group: &GroupView) -> v1::Group {
    v1::Group {
        site: group.key.site.0.clone(),
        address: group.key.address.to_string(),
        group: group.name.clone(),
        addresses: group.addresses.iter().map(|(address, length)| format!("{address}/{length}")).collect(),
        holder: group.holder.as_ref().map(|node| node.0.clone()).unwrap_or_default(),
        since_us: group.since.map(micros).unwrap_or_default(),
        state: group.state.as_str().into(),
        members: group.members.iter().map(member).collect(),
    }
}

/// One stored transition.
pub fn transition(row: TransitionRow) -> v1::TransitionRecord {
    v1::TransitionRecord {
        node: row.node,
        instance: row.instance,
        vrid: u32::from(row.vrid),
        from: state(row.from_state).into(),
        to: state(row.to_state).into(),
        reason: row.reason,
        detail: row.detail,
        at_us: row.at_us,
        received_at_us: row.received_us,
        seq: row.seq,
        journal_id: row.journal_id,
    }
}

fn nodes(shared: &Shared, view: &FleetView) -> Vec<v1::Node> {
    let now = shared.clock.now();
    let wall_us = shared.clock.wall_us();
    let seen: BTreeMap<&NodeName, &NodeView> = view.nodes.iter().map(|node| (&node.node, node)).collect();
    let mut orders: BTreeMap<String, Vec<OrderRow>> = BTreeMap::new();
    for row in shared.orders.open() {
        orders.entry(row.node.clone()).or_default().push(row);
    }
    shared.roster.map(|name, entry| {
        let orders = node_orders(orders.remove(&name.0).unwrap_or_default(), entry, wall_us);
        v1::Node { orders, ..node(name, entry, seen.get(name).copied(), now, wall_us) }
    })
}

/// What the coordinator itself reaches.
fn own_references(shared: &Shared) -> Vec<v1::Reference> {
    let Some((answers, asked)) = shared.references.last() else { return Vec::new() };
    let age_us = duration_us(shared.clock.now().since(asked));
    let reference = |(address, reachable): (SocketAddr, bool)| v1::Reference {
        address: address.to_string(),
        interface: String::new(),
        reachable,
        age_us,
    };
    answers.into_iter().map(reference).collect()
}

/// What a node reaches: as old as it said, and as its words are.
fn references(entry: &Entry, age_us: u64) -> Vec<v1::Reference> {
    let told = entry.last.iter().flat_map(|last| &last.snapshot.references);
    let older = |reference: &v1::Reference| v1::Reference {
        age_us: reference.age_us.saturating_add(age_us),
        ..reference.clone()
    };
    told.map(older).collect()
}

/// What its neighbours answered when it asked.
fn witnessed(entry: &Entry, now: hafleet_fleet::Instant) -> Vec<v1::Witnessed> {
    let told = |seen: &Seen| v1::Witnessed {
        address: seen.answer.target.to_string(),
        interface: seen.answer.interface.clone(),
        macs: seen.answer.macs.clone(),
        error: seen.answer.error.clone(),
        age_us: duration_us(now.since(seen.asked)),
    };
    entry.witness.seen().map(told).collect()
}

/// What was ordered here, then what only the node itself knows of.
fn node_orders(ordered: Vec<OrderRow>, entry: &Entry, wall_us: i64) -> Vec<v1::NodeOrder> {
    let ids: BTreeSet<String> = ordered.iter().map(OrderRow::id).collect();
    let here = ordered.into_iter().map(|row| v1::NodeOrder {
        id: row.id(),
        kind: row.kind.as_str().into(),
        subject: row.subject,
        state: row.state.as_str().into(),
        until_us: row.until_us.unwrap_or_default(),
        by: row.given_by,
        why: row.why,
        since_us: row.created_at_us,
    });
    let offset_us = entry.offset.estimate(wall_us).map(|clock| clock.offset_us).unwrap_or_default();
    let reported = entry.last.iter().flat_map(|last| &last.snapshot.orders);
    let there = reported.filter(|order| !ids.contains(&order.id)).map(|order| v1::NodeOrder {
        id: order.id.clone(),
        kind: match order.order {
            Some(Order::Demote(_)) => "demote".into(),
            Some(Order::Maintenance(_)) => "maintenance".into(),
            Some(Order::TakeOver(_)) => "switchover".into(),
            None => String::new(),
        },
        subject: String::new(),
        state: "reported".into(),
        // By the node's clock, brought to ours.
        until_us: if order.until_us == 0 { 0 } else { order.until_us.saturating_sub(offset_us) },
        by: order.by.clone(),
        why: order.why.clone(),
        since_us: 0,
    });
    here.chain(there).collect()
}

fn node(
    name: &NodeName,
    entry: &Entry,
    seen: Option<&NodeView>,
    now: hafleet_fleet::Instant,
    wall_us: i64,
) -> v1::Node {
    let clock = entry.offset.estimate(wall_us);
    let received = entry.last.as_ref().and_then(|last| last.received);
    let age_us = received.map(|at| duration_us(now.since(at))).unwrap_or_default();
    v1::Node {
        name: name.0.clone(),
        site: entry.site.clone(),
        connected: seen.is_some_and(|seen| seen.connected),
        fresh: seen.is_some_and(|seen| seen.fresh),
        age_us,
        ever_heard: received.is_some(),
        agent_version: entry.agent_version.clone(),
        clock_offset_us: clock.map(|clock| clock.offset_us).unwrap_or_default(),
        clock_uncertainty_us: clock.map_or(u64::MAX, |clock| clock.uncertainty_us),
        instances: entry.last.as_ref().map(|last| last.snapshot.instances.clone()).unwrap_or_default(),
        heard: entry.last.as_ref().map(|last| last.snapshot.heard.clone()).unwrap_or_default(),
        journal_id: entry.journal_id.clone(),
        acked_seq: entry.acked_seq,
        pending_events: entry.pending_events,
        revoked: entry.revoked,
        certificate_not_after_us: entry.certificate_not_after_us,
        peer: entry.live.as_ref().map(|live| live.peer.clone()).unwrap_or_default(),
        orders: Vec::new(),
        clock_age_us: clock.map(|clock| clock.age_us).unwrap_or_default(),
        references: references(entry, age_us),
        witnessed: witnessed(entry, now),
    }
}

fn member(member: &MemberView) -> v1::Member {
    let report = &member.report;
    v1::Member {
        node: member.node.0.clone(),
        instance: report.instance.clone(),
        vrid: u32::from(report.vrid),
        state: state(report.state).into(),
        priority: u32::from(report.priority),
        effective_priority: u32::from(report.effective_priority),
        fresh: member.fresh,
        age_us: member.age.map(duration_us).unwrap_or_default(),
        ever_heard: member.age.is_some(),
        since_us: micros(member.since),
        reason: report.reason.clone(),
        reason_detail: report.reason_detail.clone(),
        address_present: member.address_present,
        interface: report.interface.clone(),
        source_address: report.source.map(|source| source.to_string()).unwrap_or_default(),
    }
}

fn state(state: VrrpState) -> v1::VrrpState {
    match state {
        VrrpState::Init => v1::VrrpState::Init,
        VrrpState::Backup => v1::VrrpState::Backup,
        VrrpState::Master => v1::VrrpState::Master,
        VrrpState::Fault => v1::VrrpState::Fault,
    }
}
