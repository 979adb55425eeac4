//! Agents that stop, die and freeze; a coordinator that is away.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hafleet_tests::lab::{Probe, wait_for};

use crate::fleet::{Fleet, SOON, VIP};

/// The default lease, and one renewal period for a machine that is busy.
const DOUBLE_HOLD: Duration = Duration::from_secs(3);

/// From the moment that `heir` also holds the address until it is the only one.
fn double_hold(fleet: &Fleet, heir: &str) -> Duration {
    wait_for("the heir to hold the address", SOON, || Ok(fleet.holders().contains(&heir).then_some(())))
        .unwrap();
    let takeover = Instant::now();
    wait_for("one holder", SOON, || Ok((fleet.holders() == [heir]).then_some(()))).unwrap();
    takeover.elapsed()
}

#[test]
fn a_stopped_master_hands_over_and_a_client_hardly_notices() {
    let mut fleet = Fleet::start(&[150, 100]);
    let echoes: Vec<_> = fleet.hosts.iter().map(|host| host.serve(VIP).unwrap()).collect();
    let probe = Probe::start(&fleet.client, VIP).unwrap();
    let status = fleet.agents[0].terminate(SOON).unwrap();
    assert!(status.success(), "SIGTERM ends with 0, not {status}");
    assert!(!fleet.hosts[0].holds(VIP).unwrap(), "addresses are released before the agent ends");
    probe.wait_for_server("lb02", SOON).unwrap();
    let outage = probe.finish().unwrap();
    // Nobody would have the address for the skew of priority 100, 609 ms (RFC 9568 section 6.1), if it were released at once.
    assert!(outage.longest_gap_ms < 200.0, "{outage:?}");
    fleet.wait_for_holder(Some("lb02"));
    drop(echoes);
}

#[test]
fn a_killed_master_holds_the_address_no_longer_than_its_lease() {
    let mut fleet = Fleet::start(&[150, 100]);
    fleet.agents[0].kill().unwrap();
    let overlap = double_hold(&fleet, "lb02");
    assert!(overlap <= DOUBLE_HOLD, "both held it for {overlap:?}");
    fleet.wait_for_holder(Some("lb02"));
    fleet.restart(0, 150);
    fleet.wait_for_holder(Some("lb01"));
    assert_eq!(fleet.holders(), ["lb01"]);
}

#[test]
fn a_frozen_master_holds_the_address_no_longer_than_its_lease() {
    let fleet = Fleet::start(&[150, 100]);
    fleet.agents[0].freeze();
    let overlap = double_hold(&fleet, "lb02");
    assert!(overlap <= DOUBLE_HOLD, "both held it for {overlap:?}");
    fleet.agents[0].thaw();
    // Thawed, it hears lb02, is better and takes the address back: one holder again.
    fleet.wait_for_holder(Some("lb01"));
    wait_for("one holder", SOON, || Ok((fleet.holders() == ["lb01"]).then_some(()))).unwrap();
}

/// Every transition of a node, in the order the coordinator lists them.
fn sequences(transitions: &[serde_json::Value]) -> BTreeMap<String, Vec<u64>> {
    let mut by_node: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for transition in transitions {
        let node = transition["node"].as_str().unwrap().to_string();
        by_node.entry(node).or_default().push(transition["seq"].as_u64().unwrap());
    }
    by_node
}

#[test]
fn a_coordinator_away_for_a_minute_moves_nothing_and_misses_nothing() {
    let mut fleet = Fleet::start(&[150, 100, 50]);
    let echoes: Vec<_> = fleet.hosts.iter().map(|host| host.serve(VIP).unwrap()).collect();
    let away = Instant::now();
    let probe = Probe::start(&fleet.client, VIP).unwrap();
    fleet.coordinator.stop().unwrap();

    // Failovers while nobody listens: lb01 leaves and returns, twice.
    for _ in 0..2 {
        assert!(fleet.agents[0].terminate(SOON).unwrap().success());
        wait_for("lb02 to take over", SOON, || Ok((fleet.holders() == ["lb02"]).then_some(()))).unwrap();
        fleet.restart(0, 150);
        wait_for("lb01 to return", SOON, || Ok((fleet.holders() == ["lb01"]).then_some(()))).unwrap();
    }
    // The rest of the minute in quiet: the loss of the coordinator itself must move nothing.
    wait_for("the minute to pass", Duration::from_secs(70), || {
        assert_eq!(fleet.holders(), ["lb01"], "an address moved while the coordinator was away");
        Ok((away.elapsed() >= Duration::from_secs(60)).then_some(()))
    })
    .unwrap();
    let outage = probe.finish().unwrap();
    assert_eq!(outage.served_by, ["lb01", "lb02", "lb01", "lb02", "lb01"]);
    drop(echoes);

    fleet.coordinator.serve().unwrap();
    fleet.wait_for_holder(Some("lb01"));
    // lb01: start, MASTER (the first life); stop, start, MASTER twice. lb02: start, two takeovers and two returns.
    let expected = BTreeMap::from([
        ("lb01".to_string(), 2 + 2 * 3),
        ("lb02".to_string(), 1 + 4),
        ("lb03".to_string(), 1),
    ]);
    let transitions = wait_for("every transition", SOON, || {
        let transitions = fleet.coordinator.transitions()?;
        let counts: BTreeMap<_, _> =
            sequences(&transitions).into_iter().map(|(node, seqs)| (node, seqs.len())).collect();
        Ok((counts == expected).then_some(transitions))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:#?}", fleet.coordinator.transitions().unwrap()));
    for (node, sequences) in sequences(&transitions) {
        assert!(
            sequences.is_sorted_by(|a, b| a < b),
            "{node}'s transitions are out of order or doubled: {sequences:?}"
        );
    }
    for node in ["lb01", "lb02", "lb03"] {
        let mut state = "INIT".to_string();
        for transition in transitions.iter().filter(|transition| transition["node"] == node) {
            assert_eq!(transition["from"], state.as_str(), "{node}'s story has a hole before {transition}");
            state = transition["to"].as_str().unwrap().to_string();
        }
    }
    let findings = fleet.coordinator.findings().unwrap();
    assert!(findings.iter().all(|finding| finding["severity"] != "critical"), "a false alarm: {findings:#?}");
}
