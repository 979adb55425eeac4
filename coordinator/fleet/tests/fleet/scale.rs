//! What one heartbeat costs must not depend on how large the fleet is.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hafleet_fleet::{Fleet, Heard, Input, Snapshot, VrrpState, Windows};

use crate::{
    network::report,
    world::{at, node, site},
};

fn address(base: u32, index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(base + index))
}

fn vip(index: u32, groups: u32, group: u32) -> IpAddr {
    address(0x0b00_0000, (index / 2) * groups + group)
}

fn vrid(group: u32) -> u8 {
    (group % 255 + 1) as u8
}

/// Nodes stand in pairs, each pair with `groups` groups of its own; the second of each hears the first.
fn snapshot(index: u32, groups: u32, seq: u64) -> Snapshot {
    let master = index.is_multiple_of(2);
    let instances = (0..groups).map(|group| {
        let mut it =
            report(&format!("VI_{group}"), address(0x0a00_0000, index), if master { 150 } else { 100 });
        it.addresses = vec![(vip(index, groups, group), 32)];
        it.vrid = vrid(group);
        if master {
            it.state = VrrpState::Master;
            it.addresses_present = vec![vip(index, groups, group)];
        }
        it
    });
    let heard = (0..if master { 0 } else { groups }).map(|group| Heard {
        interface: "eth0".to_owned(),
        vrid: vrid(group),
        source: address(0x0a00_0000, index - 1),
        version: 3,
        priority: 150,
        interval: Duration::from_secs(1),
        addresses: vec![vip(index, groups, group)],
        auth: "none".to_owned(),
        age: Duration::from_millis(300),
        accepted: seq,
        rejected: Vec::new(),
        vrid_configured: true,
    });
    let (instances, heard) = (instances.collect(), heard.collect());
    Snapshot { seq, journal_id: "journal".to_owned(), instances, heard, ..Snapshot::default() }
}

/// Members and heard lines looked at, for one heartbeat of every node, after all have settled.
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
    let before = fleet.counters().visits;
    beat(&mut fleet, 1_002_000_000, 2, false);
    let visits = fleet.counters().visits - before;
    assert_eq!(fleet.view(at(1_002_100_000)).groups.len() as u32, nodes / 2 * groups);
    assert!(fleet.next_output().is_none(), "a healthy fleet");
    visits
}

#[test]
fn a_heartbeat_touches_its_own_groups_only() {
    let (small, large) = (visits(20, 10), visits(200, 10));
    assert!(small <= 20 * 10 * 6, "each of its groups once, with both members and the line heard: {small}");
    assert_eq!(large, small * 10, "ten times the nodes, ten times the work of all, the same for each");
    assert_eq!(visits(20, 50), small * 5, "and in proportion to a node's own groups");
}
