//! What a watcher knows, and how old it is.

use hafleet_proto::v1::{Fleet, Group, Node};
use tokio::time::Instant;

/// The last whole fleet and when it came.
#[derive(Default)]
pub struct Picture {
    known: Option<(Fleet, Instant)>,
}

/// What one fleet has that the one before had not.
#[derive(Default)]
pub struct Changes {
    /// Groups that changed holder or state.
    pub groups: Vec<Group>,
    /// Nodes that are heard again or no longer.
    pub nodes: Vec<Node>,
}

impl Picture {
    /// Take the newest fleet; says what changed. The first one changes everything that is not well.
    pub fn take(&mut self, fleet: Fleet) -> Changes {
        let before = self.known.take().map(|(fleet, _)| fleet);
        let changes = match &before {
            None => Changes {
                groups: fleet.groups.clone(),
                nodes: fleet.nodes.iter().filter(|node| !node.fresh).cloned().collect(),
            },
            Some(before) => Changes {
                groups: fleet.groups.iter().filter(|group| group_changed(before, group)).cloned().collect(),
                nodes: fleet.nodes.iter().filter(|node| node_changed(before, node)).cloned().collect(),
            },
        };
        self.known = Some((fleet, Instant::now()));
        changes
    }

    /// Is this the first fleet?
    pub fn is_empty(&self) -> bool {
        self.known.is_none()
    }

    /// The coordinator's clock now, as far as it is known; 0 when it is not.
    pub fn now_us(&self) -> i64 {
        self.known.as_ref().map_or(0, |(fleet, at)| {
            fleet.at_us.saturating_add(i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX))
        })
    }

    /// When the fleet was read, by the coordinator's clock; 0 when it never was.
    pub fn read_at_us(&self) -> i64 {
        self.known.as_ref().map_or(0, |(fleet, _)| fleet.at_us)
    }

    /// The fleet as it may be shown now: what is not heard through a lost coordinator is stale, all of it.
    pub fn shown(&self, connected: bool) -> Option<Fleet> {
        let (fleet, at) = self.known.as_ref()?;
        let mut fleet = fleet.clone();
        let aged_us = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Once for all: an instant before now, told as an age, must not wander by a rounding.
        fleet.at_us = fleet.at_us.saturating_add_unsigned(aged_us);
        fleet.up_us = fleet.up_us.saturating_add(aged_us);
        for node in &mut fleet.nodes {
            node.age_us = node.age_us.saturating_add(aged_us);
            node.fresh &= connected;
        }
        for group in &mut fleet.groups {
            for member in &mut group.members {
                member.age_us = member.age_us.saturating_add(aged_us);
                member.fresh &= connected;
            }
            if !connected {
                group.holder.clear();
                "unknown".clone_into(&mut group.state);
            }
        }
        Some(fleet)
    }
}

fn group_changed(before: &Fleet, now: &Group) -> bool {
    let same = |group: &&Group| group.site == now.site && group.address == now.address;
    before.groups.iter().find(same).is_none_or(|before| {
        before.holder != now.holder || before.state != now.state || before.addresses != now.addresses
    })
}

fn node_changed(before: &Fleet, now: &Node) -> bool {
    before.nodes.iter().find(|node| node.name == now.name).is_none_or(|before| {
        before.fresh != now.fresh || before.revoked != now.revoked || before.ever_heard != now.ever_heard
    })
}
