//! What one heartbeat costs must not depend on how large the fleet is.

use hafleet_fleet::{Fleet, Input, Snapshot, VrrpState, Windows};

use crate::{
    network::report,
    world::{at, node, site},
};

use std::net::{IpAddr, Ipv4Addr};

/// `pairs` pairs of nodes, each pair with `groups` groups of its own.
fn snapshot(index: u32, groups: u32, seq: u64) -> Snapshot {
    let source = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + index));
    let instances = (0..groups).map(|group| {
        let mut it = report(&format!("VI_{group}"), source, if index.is_multiple_of(2) { 150 } else { 100 });
        let vip = IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + (index / 2) * groups + group));
        it.addresses = vec![(vip, 32)];
        it.vrid = (group % 255 + 1) as u8;
        if index.is_multiple_of(2) {
            it.state = VrrpState::Master;
            it.addresses_present = vec![vip];
        }
        it
    });
    Snapshot { seq, journal_id: "journal".to_owned(), instances: instances.collect(), heard: Vec::new() }
}

/// Members looked at, for one heartbeat of every node, after all have settled.
fn visits(nodes: u32, groups: u32) -> u64 {
    let mut fleet = Fleet::new(Windows::default());
    let beat = |fleet: &mut Fleet, us: u64, seq: u64, connect: bool| {
        for index in 0..nodes {
            let name = node(&format!("n{index:05}"));
            if connect {
                fleet.handle(Input::NodeConnected { node: name.clone(), site: site() }, at(us));
            }
            fleet.handle(
                Input::Snapshot { node: name, snapshot: snapshot(index, groups, seq) },
                at(us + u64::from(index)),
            );
        }
    };
    beat(&mut fleet, 1_000_000_000, 1, true);
    beat(&mut fleet, 1_001_000_000, 1, false);
    let before = fleet.counters().members_visited;
    beat(&mut fleet, 1_002_000_000, 2, false);
    let visits = fleet.counters().members_visited - before;
    assert_eq!(fleet.view(at(1_002_100_000)).groups.len() as u32, nodes / 2 * groups);
    assert!(fleet.next_output().is_none(), "a healthy fleet");
    visits
}

#[test]
fn a_heartbeat_touches_its_own_groups_only() {
    let (small, large) = (visits(20, 10), visits(200, 10));
    assert_eq!(small, 20 * 10 * 2, "each of its groups once, with both members");
    assert_eq!(large, small * 10, "ten times the nodes, ten times the work of all, the same for each");
    assert_eq!(visits(20, 50), small * 5);
}
