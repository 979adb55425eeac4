//! The fleet is acted upon: an address is handed over, a node is put out of service, a configuration is pushed, a split brain is ended.

use std::{fs, time::Duration};

use hafleet_tests::lab::{Direction, Host, Probe, agent_state_dir, now, program, wait_for};
use rustix::process::Signal;
use serde_json::json;

use crate::fleet::{Fleet, SOON, VIP, status};

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

/// The successor waits its skew of 0.6 s, and is not missed meanwhile.
#[test]
fn a_client_hardly_notices_maintenance() {
    let fleet = Fleet::start(&[150, 100]);
    let echoes: Vec<_> = fleet.hosts.iter().map(|host| host.serve(VIP).unwrap()).collect();
    let probe = Probe::start(&fleet.client, VIP).unwrap();
    hactl(&fleet, &["maintenance", "on", "lb01", "--reason", "new memory"]);
    probe.wait_for_server("lb02", SOON).unwrap();
    fleet.wait_for_holder(Some("lb02"));
    assert_eq!(fleet.holders(), ["lb02"]);
    hactl(&fleet, &["maintenance", "off", "lb01"]);
    probe.wait_for_server("lb01", SOON).unwrap();
    fleet.wait_for_holder(Some("lb01"));
    let outage = probe.finish().unwrap();
    println!("maintenance there and back: {outage:?}");
    assert!(outage.longest_gap_ms < 200.0, "{outage:?}");
    assert_calm(&fleet);
    // The agent's own word says by whom and why.
    let log = fleet.agents[0].log();
    let held = log.lines().find(|line| line.contains("held back by instruction: ")).unwrap();
    assert!(held.contains("(maintenance)") && held.contains("new memory"), "{held}");
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
    // Every member judges it on its own host, and nothing comes of that.
    let said = hactl(&fleet, &["config", "validate", &file]);
    assert!(said.contains("lb01: valid\n") && said.contains("lb02: valid\n"), "{said}");
    let wrong = fs::read_to_string(&file).unwrap().replace("ens33", "ens99");
    let wrong = fleet.coordinator.host().write("wrong.toml", &wrong).unwrap().display().to_string();
    let output = fleet.coordinator.hactl(&["config", "validate", &wrong]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for node in ["lb01", "lb02"] {
        let place =
            said.lines().find(|line| line.starts_with(&format!("{node}: ")) && line.contains("agent.toml:"));
        assert!(place.is_some_and(|line| line.contains("needs the interface `ens99`")), "{said}");
    }
    assert_eq!(
        fleet.coordinator.hactl(&["config", "validate", "--offline", &wrong]).unwrap().status.code(),
        Some(0)
    );
    let nothing = fleet.coordinator.json(&["config", "history"]).unwrap();
    assert_eq!(nothing.as_array().map(Vec::len), Some(0), "{nothing:#}");
    let said = hactl(&fleet, &["config", "apply", &file, "--yes", "--message", "mail"]);
    assert!(said.contains("generation 1 is applied"), "{said}");
    wait_for("lb02 to hold the pushed address", SOON, || {
        Ok((fleet.hosts[1].holds("192.168.178.4")? && !fleet.hosts[0].holds("192.168.178.4")?).then_some(()))
    })
    .unwrap();
    // What is local goes on.
    assert_eq!(fleet.holders(), ["lb01"]);
    assert_eq!(fleet.coordinator.hactl(&["config", "drift"]).unwrap().status.code(), Some(0));
    let drift = fleet.coordinator.json(&["config", "drift"]).unwrap();
    for node in drift.as_array().unwrap() {
        let from = |name: &str| {
            let instances = node["instances"].as_array().unwrap();
            let found = instances.iter().find(|instance| instance["instance"] == name).unwrap();
            (found["origin"].as_str().unwrap().to_owned(), found["generation"].as_u64())
        };
        assert_eq!(from("web"), ("local".to_owned(), None), "{drift:#}");
        assert_eq!(from("mail"), ("pushed".to_owned(), Some(1)), "{drift:#}");
    }
    let instances = fleet.coordinator.json(&["get", "instances", "mail"]).unwrap();
    assert_eq!(instances[0]["origin"], "pushed", "{instances:#}");
    assert_calm(&fleet);
    for file in [file, wrong] {
        fs::remove_file(file).unwrap();
    }
}

/// The heartbeat is cut and management is alive: the explained victim lets go.
#[test]
fn a_split_brain_is_ended_by_demoting_the_explained_victim() {
    let fencing = "[fencing]\nmode = \"auto\"\n[fencing.windows]\ngrace = \"1s\"\n";
    let fleet = Fleet::start_with(&[150, 100, 50], Some(fencing));
    let capture = fleet.lab.capture().unwrap();
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
    let released = now();
    let fences = || fleet.coordinator.json(&["get", "fences"]);
    let done = wait_for("the aftercare to be over", SOON, || {
        let fences = fences()?;
        assert_ne!(fences[0]["aftercare"], "escalated", "{fences:#}");
        Ok((fences[0]["aftercare"] == "done").then_some(fences))
    });
    let fences = done.unwrap_or_else(|error| panic!("{error}\n{}", fleet.coordinator.log()));
    assert_eq!(fences.as_array().unwrap().len(), 1, "{fences:#}");
    let fence = &fences[0];
    assert_eq!((&fence["target"], &fence["state"]), (&json!("lb02"), &json!("resolved")), "{fence:#}");
    // Nothing was switched off.
    assert_eq!(fence["taken"], "demote", "{fence:#}");
    let told = hactl(&fleet, &["describe", "fence", fence["id"].as_str().unwrap()]);
    assert!(told.lines().any(|line| line.contains("aftercare") && line.contains("done")), "{told}");
    // The neighbours have heard whose the address is, after the victim's last word about it.
    let mac = |host: &Host| host.mac("ens33").unwrap();
    let announced = |host: &Host, from| capture.announcements(from, VIP.parse().unwrap(), mac(host));
    let survivor = announced(&fleet.hosts[0], Duration::ZERO);
    let victim = announced(&fleet.hosts[1], Duration::ZERO);
    assert!(!victim.is_empty() && victim.last() < survivor.last(), "{victim:?} {survivor:?}");
    // Five at once, from when it was asked: it lost nothing to take over.
    let again = announced(&fleet.hosts[0], released.saturating_sub(took));
    assert!(again.len() >= 5, "{again:?}");
    assert!(announced(&fleet.hosts[2], Duration::ZERO).is_empty());
    fleet.hosts[1].pass_vrrp().unwrap();
}

/// Whatever dies and comes back: who was demoted serves when a person has released it, and not before.
#[test]
fn a_demoted_node_stays_down_over_every_restart_until_it_is_released() {
    let fencing = "[fencing]\nmode = \"approve\"\n[fencing.windows]\ngrace = \"1s\"\n";
    let mut fleet = Fleet::start_with(&[150, 100, 50], Some(fencing));
    let eve = fleet.coordinator.host().directory().join("eve.toml");
    hactl(&fleet, &["user", "add", "eve", "--role", "fence-approver", "--out", eve.to_str().unwrap()]);
    let as_eve = |fleet: &Fleet, arguments: &[&str]| {
        let mut command = fleet.coordinator.host().command(program("hactl").unwrap());
        let output = command.arg("--context").arg(&eve).args(arguments).output().unwrap();
        (output.status.success(), format!("{output:?}\n{}", fleet.coordinator.log()))
    };
    let fence = |fleet: &Fleet, state: &str| {
        let found = wait_for(&format!("a fence that is {state}"), SOON, || {
            let fences = fleet.coordinator.json(&["get", "fences"])?;
            Ok(fences.as_array().into_iter().flatten().find(|fence| fence["state"] == state).cloned())
        });
        found.unwrap_or_else(|error| panic!("{error}\n{}", fleet.coordinator.log()))
    };
    wait_for("lb02 to be demoted", SOON, || {
        let (is_done, said) = as_eve(&fleet, &["fence", "run", "lb02", "--level", "demote", "--yes"]);
        // The grace after the coordinator's start.
        assert!(is_done || said.contains("grace"), "{said}");
        Ok(is_done.then_some(()))
    })
    .unwrap();
    assert_eq!(fence(&fleet, "resolved")["target"], "lb02");

    fleet.agents[1].kill().unwrap();
    fleet.restart(1, 100);
    fleet.wait_for_fresh(3);
    fleet.coordinator.kill().unwrap();
    fleet.coordinator.serve().unwrap();
    fleet.wait_for_fresh(3);
    fleet.agents[1].kill().unwrap();
    fleet.coordinator.kill().unwrap();
    fleet.restart(1, 100);
    // With no coordinator there the better one would serve: it is held by its own disk.
    fleet.agents[0].terminate(SOON).unwrap();
    wait_for("lb03 to serve", SOON, || Ok((fleet.holders() == ["lb03"]).then_some(()))).unwrap();
    fleet.coordinator.serve().unwrap();
    fleet.wait_for_holder(Some("lb03"));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(fleet.holders(), ["lb03"]);
    assert_eq!(fence(&fleet, "resolved")["holds_order"], true);

    let (is_done, said) = as_eve(&fleet, &["fence", "release", "lb02", "--yes"]);
    assert!(is_done, "{said}");
    fleet.wait_for_holder(Some("lb02"));
    assert_eq!(fleet.holders(), ["lb02"]);
    fence(&fleet, "released");
}

/// A damaged file may have held a fence: nothing is served, and everybody is told.
#[test]
fn a_node_that_cannot_read_its_orders_serves_nothing_and_says_so() {
    let mut fleet = Fleet::start(&[150, 100]);
    hactl(&fleet, &["maintenance", "on", "lb01"]);
    fleet.wait_for_holder(Some("lb02"));
    fleet.agents[0].kill().unwrap();
    let file = agent_state_dir(&fleet.hosts[0]).join("orders.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    fleet.restart(0, 150);
    let finding = || fleet.coordinator.finding("orders_unreadable");
    let finding = wait_for("orders_unreadable", SOON, finding).unwrap();
    assert_eq!(finding["subject"], "node/lb01", "{finding:#}");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(fleet.holders(), ["lb02"]);
    assert!(status(&fleet.hosts[0])["orders"]["error"].as_str().unwrap().contains("cannot be read"));

    fs::remove_file(&file).unwrap();
    fleet.agents[0].signal(Signal::HUP);
    wait_for("the finding to be over", SOON, || {
        let open = fleet.coordinator.finding("orders_unreadable")?;
        Ok(open.is_none_or(|finding| finding["status"] == "resolved").then_some(()))
    })
    .unwrap();
    hactl(&fleet, &["maintenance", "off", "lb01"]);
    fleet.wait_for_holder(Some("lb01"));
}
