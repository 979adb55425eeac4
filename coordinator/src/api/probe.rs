//! Asking the nodes of a layer-2 world, for a person, who answers for the addresses of a group.
//!
//! The core asks when it has something to decide; this changes nothing of what it decides, but that each answer is the node's newest
//! word. An agent carries probes out one by one and drops what waits beyond eight: people get one place of these, once a second.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use hafleet_fleet::{
    NodeName,
    view::{FleetView, GroupView},
};
use hafleet_proto::v1;
use tokio::time::timeout;

use crate::{
    api::{
        group,
        status::{CallError, RequestError},
    },
    clock::duration_us,
    sessions::roster::Asked,
    shared::Shared,
};

/// Nodes asked, members first.
const NODES_MAX: usize = 16;
/// Addresses asked for: more an agent does not take.
const TARGETS_MAX: usize = 64;
/// How long an agent listens for answers of its neighbours.
const LISTEN: Duration = Duration::from_millis(250);
/// How long agents are waited for.
const WAIT: Duration = Duration::from_secs(2);

/// Asks, and waits for the answers.
///
/// # Errors
/// There is no such group, or somebody asked a moment ago.
pub async fn probe(
    shared: &Shared,
    request: v1::ProbeGroupRequest,
) -> Result<v1::ProbeGroupResponse, CallError> {
    let view = shared.fleet.view().await?;
    let group = group::find(&view, &request.group, &request.site)?;
    let subject = group.key.to_string();
    let nodes = nodes(&view, group);
    let Some(id) = shared.roster.peoples_probe(shared.clock.now()) else {
        let what =
            format!("{subject} is not probed: somebody had nodes asked a moment ago; try again in 1 s");
        return Err(RequestError::Conflict { what }.into());
    };
    // From now on no answer is missed.
    let mut answers = shared.roster.probes_answered();
    let question = v1::ProbeRequest {
        id,
        address: group.key.address.to_string(),
        arp_targets: targets(group).iter().map(ToString::to_string).collect(),
        timeout_us: duration_us(LISTEN),
    };
    let asked = Asked { wall_us: shared.clock.wall_us(), at: shared.clock.now() };
    let sent: Vec<NodeName> =
        nodes.iter().filter(|node| shared.roster.probe(node, question.clone(), asked)).cloned().collect();
    let awaited = |node: &NodeName| shared.roster.with(node, |entry| entry.awaits_probe(id));
    let all = async {
        while sent.iter().any(awaited) {
            if answers.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        // Who has not answered by then is told by their absence.
        _ = timeout(WAIT, all) => {}
        () = shared.closing() => {}
    }
    let answered = sent.iter().filter(|node| !awaited(node)).map(|node| node.0.clone()).collect();
    let asked = nodes.into_iter().map(|node| node.0).collect();
    Ok(v1::ProbeGroupResponse { group: subject, asked, answered })
}

/// Everybody who is there and could see the group's addresses: its members first.
fn nodes(view: &FleetView, group: &GroupView) -> Vec<NodeName> {
    let members: BTreeSet<&NodeName> = group.members.iter().map(|member| &member.node).collect();
    let mut nodes: Vec<NodeName> = view
        .nodes
        .iter()
        .filter(|node| node.connected && node.site == group.key.site)
        .map(|node| node.node.clone())
        .collect();
    nodes.sort_by_key(|node| !members.contains(node));
    nodes.truncate(NODES_MAX);
    nodes
}

/// The group's addresses, and its members' own: by them a MAC is known to be a member's.
fn targets(group: &GroupView) -> Vec<IpAddr> {
    let mut targets = vec![group.key.address];
    let sources = group.members.iter().filter_map(|member| member.report.source);
    for target in sources.chain(group.addresses.iter().map(|(address, _)| *address)) {
        if targets.len() < TARGETS_MAX && !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}
