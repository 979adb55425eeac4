//! The fleet is acted upon: an address is handed over, a node is put out of service, a configuration is pushed, a split brain is ended.

use std::{fs, time::Duration};

use hafleet_tests::lab::{Direction, Probe, wait_for};

use crate::fleet::{Fleet, SOON, VIP};

/// hactl, and what it said when it failed.
fn hactl(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.coordinator.hactl(arguments).unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "hactl {arguments:?}: {:?}\n{said}\ncoordinator:\n{}\nagents:\n{}",
        output.status,
        fleet.coordinator.log(),
        fleet.agents.iter().map(hafleet_tests::lab::Process::log).collect::<Vec<_>>().join("\n----\n")
    );
    said
}

/// Nothing that the coordinator does on purpose is a finding.
fn assert_calm(fleet: &Fleet) {
    let findings = fleet.coordinator.findings().unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_client_hardly_notices_a_switchover_there_and_back() {
    let fleet = Fleet::start(&[150, 100]);
    let echoes: Vec<_> = fleet.hosts.iter().map(|host| host.serve(VIP).unwrap()).collect();
    let probe = Probe::start(&fleet.client, VIP).unwrap();
    let said = hactl(&fleet, &["switchover", "web", "--to", "lb02"]);
    assert!(said.contains("lb02"), "{said}");
    probe.wait_for_server("lb02", SOON).unwrap();
    fleet.wait_for_holder(Some("lb02"));
    assert_eq!(fleet.holders(), ["lb02"]);
    hactl(&fleet, &["switchover", "web", "--undo"]);
    probe.wait_for_server("lb01", SOON).unwrap();
    fleet.wait_for_holder(Some("lb01"));
    let outage = probe.finish().unwrap();
    println!("a switchover there and back: {outage:?}");
    assert!(outage.longest_gap_ms < 200.0, "{outage:?}");
    assert_calm(&fleet);
    drop(echoes);
}

#[test]
fn a_node_in_maintenance_holds_nothing_also_after_a_restart() {
    let mut fleet = Fleet::start(&[150, 100]);
    hactl(&fleet, &["maintenance", "on", "lb01", "--reason", "new memory"]);
    fleet.wait_for_holder(Some("lb02"));
    fleet.agents[0].kill().unwrap();
    fleet.restart(0, 150);
    fleet.wait_for_fresh(2);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(fleet.holders(), ["lb02"]);
    assert_calm(&fleet);
    hactl(&fleet, &["maintenance", "off", "lb01"]);
    fleet.wait_for_holder(Some("lb01"));
}

#[test]
fn a_pushed_configuration_runs_on_every_member() {
    let fleet = Fleet::start(&[150, 100]);
    let file = fleet.coordinator.host().write(
        "fleet.toml",
        "[[group]]\nname = \"mail\"\nsite = \"dc1\"\nvrid = 52\nversion = 3\nadvert_interval = \"1s\"\n\
         addresses = [\"192.168.178.4/24\"]\n\
         [[group.member]]\nnode = \"lb01\"\ninterface = \"ens33\"\npriority = 100\n\
         [[group.member]]\nnode = \"lb02\"\ninterface = \"ens33\"\npriority = 150\n",
    );
    let file = file.unwrap().display().to_string();
    let said = hactl(&fleet, &["config", "apply", &file, "--yes", "--message", "mail"]);
    assert!(said.contains("generation 1 is applied"), "{said}");
    wait_for("lb02 to hold the pushed address", SOON, || {
        Ok((fleet.hosts[1].holds("192.168.178.4")? && !fleet.hosts[0].holds("192.168.178.4")?).then_some(()))
    })
    .unwrap();
    // What is local goes on.
    assert_eq!(fleet.holders(), ["lb01"]);
    assert_eq!(fleet.coordinator.hactl(&["config", "drift"]).unwrap().status.code(), Some(0));
    assert_calm(&fleet);
    fs::remove_file(file).unwrap();
}

/// The heartbeat is cut and management is alive: the explained victim lets go.
#[test]
fn a_split_brain_is_ended_by_demoting_the_explained_victim() {
    let fencing = "[fencing]\nmode = \"auto\"\n[fencing.windows]\ngrace = \"1s\"\n";
    let fleet = Fleet::start_with(&[150, 100, 50], Some(fencing));
    fleet.hosts[1].drop_vrrp(Direction::Both).unwrap();
    wait_for("two holders", SOON, || Ok((fleet.holders() == ["lb01", "lb02"]).then_some(()))).unwrap();
    let finding = || fleet.coordinator.finding("split_brain.confirmed");
    wait_for("split_brain.confirmed", SOON, finding).unwrap();
    let confirmed = std::time::Instant::now();
    wait_for("one holder", SOON, || Ok((fleet.holders() == ["lb01"]).then_some(()))).unwrap_or_else(
        |error| panic!("{error}\n{}\n{}", fleet.coordinator.log(), hactl(&fleet, &["get", "fences"])),
    );
    let took = confirmed.elapsed();
    println!("one holder {took:?} after the confirmation");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let fences = fleet.coordinator.json(&["get", "fences"]).unwrap();
    assert_eq!(fences[0]["target"], "lb02", "{fences:#}");
    fleet.hosts[1].pass_vrrp().unwrap();
}
