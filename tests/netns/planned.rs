//! What people plan goes on over kill -9 of the agent and of the coordinator, at each step: in a multicast and in a unicast group.
//!
//! The steps of an order: it is written (`asked`), the node is told, it is on the node's disk, it is in force (`standing`), it is taken
//! back. A frozen agent is the handle: as long as it is frozen the order is written and nothing of it is done.

use std::{process::Output, thread, time::Duration};

use hafleet_tests::lab::{Host, Process, wait_for};
use serde_json::Value;

use crate::fleet::{Fleet, SOON, VIP, configuration, start};

/// A killed coordinator's silence must not be longer than this to be no loss; a node's, to be one.
const WINDOWS: &str = "[windows]\nagent_lost = \"5s\"\n";
const PRIORITIES: [u8; 2] = [150, 100];

/// The other router by its own address.
fn unicast(host: &Host, priority: u8) -> String {
    let peer = if host.name() == "lb01" { "192.168.178.131" } else { "192.168.178.130" };
    format!("{}paths = [{{ interface = \"ens33\", peers = [\"{peer}\"] }}]\n", configuration(host, priority))
}

/// The orders that a node has, or is to have, as the coordinator says: kind and state.
fn orders(fleet: &Fleet, node: &str) -> Vec<(String, String)> {
    let nodes = fleet.coordinator.json(&["get", "nodes"]).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mine = nodes.as_array().into_iter().flatten().filter(|one| one["node"] == node);
    let orders = mine.flat_map(|one| one["orders"].as_array().cloned().unwrap_or_default());
    orders.map(|order| (text(&order["kind"]), text(&order["state"]))).collect()
}

fn wait_for_orders(fleet: &Fleet, node: &str, expected: &[(&str, &str)]) {
    let what = format!("the orders of {node} to be {expected:?}");
    let so = || {
        let orders = orders(fleet, node);
        let orders: Vec<(&str, &str)> =
            orders.iter().map(|(kind, state)| (kind.as_str(), state.as_str())).collect();
        Ok((orders == expected).then_some(()))
    };
    wait_for(&what, SOON, so)
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", orders(fleet, node), logs(fleet)));
}

fn logs(fleet: &Fleet) -> String {
    let agents: Vec<String> = fleet.agents.iter().map(Process::log).collect();
    format!("coordinator:\n{}\nagents:\n{}", fleet.coordinator.log(), agents.join("\n----\n"))
}

/// hactl that must end well.
fn hactl(fleet: &Fleet, arguments: &[&str]) -> String {
    let (code, said) = ended(&fleet.coordinator.hactl(arguments).unwrap());
    assert_eq!(code, Some(0), "hactl {arguments:?}: {said}\n{}", logs(fleet));
    said
}

fn ended(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Freezes an agent, begins `hactl`, waits until its order is written and not carried out, does `then`, and says how hactl ended.
fn while_asked(
    fleet: &mut Fleet,
    frozen: usize,
    arguments: &[&str],
    kind: &str,
    then: impl FnOnce(&mut Fleet),
) -> (Option<i32>, String) {
    fleet.agents[frozen].freeze();
    let node = fleet.hosts[frozen].name().to_owned();
    let mut command = fleet.coordinator.hactl_command(arguments).unwrap();
    let waiting = thread::spawn(move || command.output().unwrap());
    wait_for_orders(fleet, &node, &[(kind, "asked")]);
    assert_eq!(fleet.holders(), ["lb01"], "nothing is done while the agent is frozen");
    then(fleet);
    ended(&waiting.join().unwrap())
}

fn restart_coordinator(fleet: &mut Fleet) {
    fleet.coordinator.kill().unwrap();
    fleet.coordinator.serve().unwrap();
}

fn assert_calm(fleet: &Fleet) {
    let findings = fleet.coordinator.findings().unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

fn holds_alone(fleet: &Fleet, node: &str) {
    fleet.wait_for_holder(Some(node));
    wait_for("one holder", SOON, || Ok((fleet.holders() == [node]).then_some(()))).unwrap();
}

/// One after the other in one fleet, which is as it was after each.
fn walk(configuration: fn(&Host, u8) -> String) {
    let mut fleet = Fleet::start_of(&PRIORITIES, Some(WINDOWS), configuration);
    let again = |fleet: &mut Fleet, number: usize| {
        fleet.agents[number] =
            start(&fleet.hosts[number], &configuration(&fleet.hosts[number], PRIORITIES[number]));
    };
    let switchover = ["switchover", "web", "--to", "lb02"];

    println!("a switchover is asked, and the coordinator dies before the node has done anything");
    let (code, said) = while_asked(&mut fleet, 1, &switchover, "switchover", |fleet| {
        fleet.coordinator.kill().unwrap();
        fleet.agents[1].thaw();
        fleet.coordinator.serve().unwrap();
    });
    assert_eq!(code, Some(7), "{said}");
    holds_alone(&fleet, "lb02");
    wait_for_orders(&fleet, "lb02", &[("switchover", "standing")]);

    println!("it stands, and the coordinator dies");
    restart_coordinator(&mut fleet);
    fleet.wait_for_fresh(2);
    wait_for_orders(&fleet, "lb02", &[("switchover", "standing")]);
    holds_alone(&fleet, "lb02");

    println!(
        "it stands, and the node dies: the address is taken, and given back when the node is there again"
    );
    fleet.agents[1].kill().unwrap();
    holds_alone(&fleet, "lb01");
    again(&mut fleet, 1);
    holds_alone(&fleet, "lb02");
    wait_for_orders(&fleet, "lb02", &[("switchover", "standing")]);

    println!("it is taken back while the node is away, and the coordinator dies before it could tell it");
    fleet.agents[1].kill().unwrap();
    holds_alone(&fleet, "lb01");
    let (code, said) = ended(&fleet.coordinator.hactl(&["switchover", "web", "--undo"]).unwrap());
    assert_eq!(code, Some(6), "what could not be told yet is no success: {said}");
    assert!(said.contains("lb02 is not reached now, and is told when it is"), "{said}");
    restart_coordinator(&mut fleet);
    wait_for_orders(&fleet, "lb02", &[("switchover", "withdrawing")]);
    again(&mut fleet, 1);
    wait_for_orders(&fleet, "lb02", &[]);
    holds_alone(&fleet, "lb01");

    println!("a switchover is asked, and the node dies before it has done anything");
    let (code, said) = while_asked(&mut fleet, 1, &switchover, "switchover", |fleet| {
        fleet.agents[1].kill().unwrap();
    });
    assert_eq!(code, Some(5), "{said}");
    again(&mut fleet, 1);
    fleet.wait_for_fresh(2);
    wait_for_orders(&fleet, "lb02", &[]);
    holds_alone(&fleet, "lb01");

    println!("the holder is frozen when it is to give way, and dies");
    fleet.agents[0].freeze();
    let mut command = fleet.coordinator.hactl_command(&switchover).unwrap();
    let waiting = thread::spawn(move || command.output().unwrap());
    wait_for("lb02 to hold it", SOON, || Ok(fleet.hosts[1].holds(VIP)?.then_some(()))).unwrap();
    fleet.agents[0].kill().unwrap();
    let (code, said) = ended(&waiting.join().unwrap());
    assert_eq!(code, Some(0), "{said}\n{}", logs(&fleet));
    again(&mut fleet, 0);
    fleet.wait_for_fresh(2);
    holds_alone(&fleet, "lb02");
    hactl(&fleet, &["switchover", "web", "--undo"]);
    holds_alone(&fleet, "lb01");

    println!("maintenance is asked, and the coordinator dies before the node has done anything");
    let maintenance = ["maintenance", "on", "lb02", "--reason", "new memory"];
    let (code, said) = while_asked(&mut fleet, 1, &maintenance, "maintenance", |fleet| {
        fleet.coordinator.kill().unwrap();
        fleet.agents[1].thaw();
        fleet.coordinator.serve().unwrap();
    });
    assert_eq!(code, Some(7), "{said}");
    wait_for_orders(&fleet, "lb02", &[("maintenance", "standing")]);

    println!("it stands: the host is rebooted, the coordinator dies too, and nobody is alarmed");
    let before = fleet.coordinator.findings().unwrap().len();
    fleet.agents[1].kill().unwrap();
    restart_coordinator(&mut fleet);
    // The coordinator's grace of 15 s, and a node is lost after 5 s.
    thread::sleep(Duration::from_secs(25));
    let findings = fleet.coordinator.findings().unwrap();
    assert_eq!(findings.len(), before, "{findings:#?}");
    assert_eq!(fleet.holders(), ["lb01"]);
    again(&mut fleet, 1);
    wait_for_orders(&fleet, "lb02", &[("maintenance", "standing")]);

    println!("the node that is left dies: who is in maintenance takes nothing");
    fleet.agents[0].kill().unwrap();
    thread::sleep(Duration::from_secs(6));
    assert!(!fleet.hosts[1].holds(VIP).unwrap());
    again(&mut fleet, 0);
    holds_alone(&fleet, "lb01");

    println!("it is ended while the node is away, and the coordinator dies before it could tell it");
    fleet.agents[1].kill().unwrap();
    let (code, said) = ended(&fleet.coordinator.hactl(&["maintenance", "off", "lb02"]).unwrap());
    assert_eq!(code, Some(6), "{said}");
    restart_coordinator(&mut fleet);
    again(&mut fleet, 1);
    wait_for_orders(&fleet, "lb02", &[]);
    fleet.agents[0].kill().unwrap();
    holds_alone(&fleet, "lb02");

    println!("who is not in maintenance is missed");
    wait_for("agent_lost", Duration::from_secs(40), || fleet.coordinator.finding("agent_lost")).unwrap();
}

#[test]
fn plans_survive_kill_9_at_each_step_in_a_multicast_group() {
    walk(configuration);
}

#[test]
fn plans_survive_kill_9_at_each_step_in_a_unicast_group() {
    walk(unicast);
}

/// The agent's own clock ends what was to last for a time.
#[test]
fn what_is_to_last_for_a_time_ends_while_the_coordinator_is_down() {
    let mut fleet = Fleet::start_of(&PRIORITIES, Some(WINDOWS), configuration);
    // Of both kinds: lb02 holds because it must, then lb01 may not.
    hactl(&fleet, &["maintenance", "on", "lb01", "--for", "1m"]);
    holds_alone(&fleet, "lb02");
    let began = std::time::Instant::now();
    fleet.coordinator.kill().unwrap();
    // Also over a restart of the agent, which reads from its disk until when.
    fleet.agents[0].kill().unwrap();
    fleet.restart(0, 150);
    while began.elapsed() < Duration::from_secs(50) {
        assert_eq!(fleet.holders(), ["lb02"], "after {:?}", began.elapsed());
        thread::sleep(Duration::from_millis(500));
    }
    wait_for("lb01 to hold it again", SOON, || Ok((fleet.holders() == ["lb01"]).then_some(()))).unwrap();
    let took = began.elapsed();
    assert!(took > Duration::from_secs(57), "{took:?}: too early");
    fleet.coordinator.serve().unwrap();
    fleet.wait_for_fresh(2);
    wait_for_orders(&fleet, "lb01", &[]);
    holds_alone(&fleet, "lb01");

    hactl(&fleet, &["switchover", "web", "--to", "lb02", "--for", "1m"]);
    fleet.coordinator.kill().unwrap();
    wait_for("lb01 to hold it again", Duration::from_secs(90), || {
        Ok((fleet.holders() == ["lb01"]).then_some(()))
    })
    .unwrap();
    fleet.coordinator.serve().unwrap();
    fleet.wait_for_fresh(2);
    wait_for_orders(&fleet, "lb02", &[]);
    assert_calm(&fleet);
}

/// Each reason, its words, and exit code 5; nothing is ordered.
#[test]
fn a_node_that_is_not_ready_is_not_handed_anything() {
    // lb03's check fails once a file is there; lb05 owns an address of its own group.
    let with_check = |host: &Host, priority: u8| {
        let mut toml = configuration(host, priority);
        if host.name() == "lb03" {
            let failing = host.directory().join("failing").display().to_string();
            toml = toml.replacen(
                "[[instance]]\n",
                &format!(
                    "script_user = \"root\"\n\n[[script]]\nname = \"check\"\ncommand = [\"/usr/bin/test\", \"!\", \"-e\", \"{failing}\"]\n\
                     interval = \"200ms\"\n\n[[instance]]\ntrack = [{{ script = \"check\", weight = -40 }}]\n"
                ),
                1,
            );
        }
        if host.name() == "lb01" || host.name() == "lb02" {
            let priority = if host.name() == "lb01" { 255 } else { 100 };
            toml.push_str(&format!(
                "\n[[instance]]\nname = \"owned\"\ninterface = \"ens33\"\nvrid = 52\npriority = {priority}\n\
                 advert_interval = \"1s\"\nvips = [{{ address = \"192.168.178.4/24\" }}]\n"
            ));
        }
        toml
    };
    let mut fleet = Fleet::start_of(&[150, 100, 90, 80], Some(WINDOWS), with_check);
    let refused = |fleet: &Fleet, group: &str, node: &str, words: &str| {
        let output = fleet.coordinator.hactl(&["switchover", group, "--to", node]).unwrap();
        let (code, text) = ended(&output);
        assert_eq!(code, Some(5), "{node}: {text}");
        assert!(text.contains(words), "{node}: {words:?} is not in {text}");
        assert_eq!(orders(fleet, node).iter().filter(|(kind, _)| kind == "switchover").count(), 0, "{node}");
        assert_eq!(fleet.holders(), ["lb01"]);
    };
    let until = |fleet: &Fleet, node: &str, what: &str, so: fn(&Value) -> bool| {
        wait_for(what, SOON, || {
            let group = fleet.coordinator.group(VIP)?.unwrap_or_default();
            let members = group["members"].as_array().cloned().unwrap_or_default();
            Ok(members.iter().any(|member| member["node"] == node && so(member)).then_some(()))
        })
        .unwrap();
    };

    refused(&fleet, "web", "lb09", "lb09 is no member of dc1/192.168.178.3");
    refused(&fleet, "owned", "lb02", "lb01 owns the address (priority 255)");

    fleet.hosts[2].write("failing", "").unwrap();
    until(&fleet, "lb03", "lb03's check to fail", |member| member["effective_priority"] == 50);
    refused(&fleet, "web", "lb03", "something that lb03 tracks is down: its priority is 50 of 90");

    hactl(&fleet, &["maintenance", "on", "lb02"]);
    refused(&fleet, "web", "lb02", "lb02 is held back by maintenance/");
    hactl(&fleet, &["maintenance", "off", "lb02"]);

    fleet.hosts[1].unplug(hafleet_tests::lab::Segment::Service).unwrap();
    until(&fleet, "lb02", "lb02 to be in FAULT", |member| member["state"] == "FAULT");
    refused(&fleet, "web", "lb02", "ens33 of lb02 has no carrier");

    fleet.agents[3].kill().unwrap();
    until(&fleet, "lb04", "lb04 to be stale", |member| member["fresh"] == false);
    refused(&fleet, "web", "lb04", "lb04 is not heard");

    // Each of them is in the audit log, with its reason.
    let audit =
        fleet.coordinator.json(&["get", "audit", "--action", "switchover", "--outcome", "refused"]).unwrap();
    let lines = audit.as_array().unwrap();
    assert_eq!(lines.len(), 6, "{audit:#}");
    assert!(lines.iter().all(|line| line["outcome"] == "refused" && line["detail"].is_string()), "{audit:#}");
}
