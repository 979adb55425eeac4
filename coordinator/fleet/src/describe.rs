//! The fleet put into words and tables for people.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{cmp::Reverse, net::IpAddr};

use crate::{
    detect::no_master,
    effect::FindingKind,
    fleet::{Fleet, Unit},
    model::GroupKey,
    scene::{Member, Scene},
    time::Instant,
    view::{FleetView, GroupState, GroupView, MemberView, NodeView},
};

pub(crate) fn fleet(fleet: &Fleet, now: Instant) -> FleetView {
    let nodes = fleet.nodes.iter().map(|(name, node)| NodeView {
        node: name.clone(),
        site: node.site.clone(),
        connected: node.connected,
        fresh: node.is_fresh(now, fleet.windows.fresh),
        age: node.heard_at.map(|at| now.since(at)),
        instances: node.instances.values().map(|instance| instance.report.clone()).collect(),
        heard: node.heard.clone(),
    });
    let groups = fleet.units.iter().filter_map(|(key, unit)| group(fleet, key, unit, now));
    FleetView { nodes: nodes.collect(), groups: groups.collect(), findings: fleet.ledger.open() }
}

fn group(fleet: &Fleet, key: &GroupKey, unit: &Unit, now: Instant) -> Option<GroupView> {
    let scene = fleet.scene(key, now)?;
    let claims = scene.claims();
    let holder = match claims.as_slice() {
        [only] => Some(only),
        [] | [_, _, ..] => None,
    };
    let firing = |kind| fleet.ledger.firing(&unit.subject, kind).is_some();
    let state = if firing(FindingKind::SplitBrainConfirmed) {
        GroupState::SplitBrain
    } else if holder.is_some() {
        GroupState::Ok
    } else if claims.len() > 1 {
        GroupState::Changing
    } else if !scene.all_fresh() {
        GroupState::Unknown
    } else if firing(FindingKind::NoMaster) || nobody_for_long(&scene) {
        GroupState::NoMaster
    } else {
        GroupState::Changing
    };
    Some(GroupView {
        key: key.clone(),
        name: scene.name(),
        addresses: addresses(&scene),
        holder: holder.map(|member| member.name().clone()),
        since: holder.map(|member| member.instance.entered),
        state,
        members: members(&scene),
    })
}

/// By effective priority, highest first; then by name.
fn members(scene: &Scene<'_>) -> Vec<MemberView> {
    let mut members: Vec<&Member<'_>> = scene.members.iter().collect();
    members.sort_by_key(|member| (Reverse(member.report().effective_priority), member.key));
    let view = |member: &Member<'_>| MemberView {
        node: member.name().clone(),
        report: member.report().clone(),
        fresh: member.fresh,
        age: scene.age(member),
        since: member.instance.entered,
        address_present: member.has(scene.key.address),
    };
    members.into_iter().map(view).collect()
}

/// With the prefix length that the first member by name gives each.
fn addresses(scene: &Scene<'_>) -> Vec<(IpAddr, u8)> {
    let mut lengths: BTreeMap<IpAddr, u8> = BTreeMap::new();
    for member in &scene.members {
        for (address, length) in &member.report().addresses {
            lengths.entry(*address).or_insert(*length);
        }
    }
    scene
        .shape
        .addresses
        .iter()
        .filter_map(|address| lengths.get(address).map(|length| (*address, *length)))
        .collect()
}

/// Every member left MASTER, or never was it, longer than the window ago.
fn nobody_for_long(scene: &Scene<'_>) -> bool {
    let window = no_master::window(scene);
    scene.members.iter().all(|member| scene.now.since(member.steady()) > window)
}
