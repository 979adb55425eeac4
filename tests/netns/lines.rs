//! Heartbeats on more than one line: one that is cut is a warning, and no outage; the management network is the second one.

use std::{thread, time::Duration};

use hafleet_tests::lab::{Direction, Host, Segment, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{Fleet, SOON, VIP, configuration, status};

const PRIORITIES: [u8; 2] = [150, 100];
/// Of lb02 at 1 s adverts: three intervals and its skew.
const MASTER_DOWN: Duration = Duration::from_millis(3610);

/// By multicast on both.
fn multicast(host: &Host, priority: u8) -> String {
    format!("{}paths = [{{ interface = \"mgmt0\" }}]\n", configuration(host, priority))
}

/// By unicast on the second; the coordinator is the lab's first host.
fn unicast(host: &Host, priority: u8) -> String {
    let peer = if host.name() == "lb01" { "10.99.0.3" } else { "10.99.0.2" };
    let paths = format!(
        "paths = [{{ interface = \"ens33\" }}, {{ interface = \"mgmt0\", peers = [{{ address = \"{peer}\", min_ttl = 255 }}] }}]"
    );
    format!("{}{paths}\n", configuration(host, priority))
}

/// Adverts so far apart that waiting for silence is told from being told.
fn slow(host: &Host, priority: u8) -> String {
    multicast(host, priority).replace("\"1s\"", "\"3s\"")
}

fn instance(host: &Host) -> Value {
    status(host)["instances"][0].clone()
}

/// How long ago something was accepted on each line.
fn heard(host: &Host) -> Vec<(String, Option<Duration>)> {
    let paths = instance(host)["paths"].as_array().cloned().unwrap_or_default();
    let age = |path: &Value| path["last_accepted_age_ms"].as_u64().map(Duration::from_millis);
    paths.iter().map(|path| (path["interface"].as_str().unwrap_or_default().to_owned(), age(path))).collect()
}

fn wait_until_heard(host: &Host, expected: &[(&str, bool)]) {
    let so = || {
        let is_heard = |age: &Option<Duration>| age.is_some_and(|age| age < MASTER_DOWN);
        let heard = heard(host);
        let heard: Vec<(&str, bool)> =
            heard.iter().map(|(interface, age)| (interface.as_str(), is_heard(age))).collect();
        Ok((heard == expected).then_some(()))
    };
    wait_for(&format!("{} to hear {expected:?}", host.name()), SOON, so)
        .unwrap_or_else(|error| panic!("{error}: {:#}", status(host)));
}

fn holds_alone(fleet: &Fleet, node: &str) {
    fleet.wait_for_holder(Some(node));
    wait_for("one holder", SOON, || Ok((fleet.holders() == [node]).then_some(()))).unwrap();
}

/// What people see who do not ask for JSON.
fn shown(host: &Host) -> String {
    let state_dir = hafleet_tests::lab::agent_state_dir(host);
    let program = hafleet_tests::lab::program("ha-agent").unwrap();
    host.run(program, &["status", "--state-dir", state_dir.to_str().unwrap()]).unwrap()
}

/// For several times Master_Down nothing changes while one of two lines is cut; when both are, the other one takes over.
fn one_is_enough(configuration: fn(&Host, u8) -> String) {
    let fleet = Fleet::start_of(&PRIORITIES, None, configuration);
    let (one, two) = (&fleet.hosts[0], &fleet.hosts[1]);
    wait_until_heard(two, &[("ens33", true), ("mgmt0", true)]);
    let before = [instance(one)["transitions"].clone(), instance(two)["transitions"].clone()];

    for (cut, left) in [("ens33", "mgmt0"), ("mgmt0", "ens33")] {
        two.drop_vrrp_on(cut).unwrap();
        wait_until_heard(two, &[("ens33", cut != "ens33"), ("mgmt0", cut != "mgmt0")]);
        for _ in 0..20 {
            assert_eq!(fleet.holders(), ["lb01"], "{cut} is cut, {left} is not");
            thread::sleep(MASTER_DOWN / 10);
        }
        let shown = shown(two);
        let warning = format!("web: no advert is heard on {cut}");
        assert!(shown.contains(&warning), "{warning:?} is not in {shown}");
        two.pass_vrrp().unwrap();
        wait_until_heard(two, &[("ens33", true), ("mgmt0", true)]);
    }
    let after = [instance(one)["transitions"].clone(), instance(two)["transitions"].clone()];
    assert_eq!(before, after);
    let findings = fleet.coordinator.findings().unwrap();
    assert!(findings.is_empty(), "{findings:#?}");

    two.drop_vrrp(Direction::Both).unwrap();
    wait_for("lb02 to take over", SOON, || Ok(two.holds(VIP)?.then_some(()))).unwrap();
    assert_eq!(instance(two)["reason"], "master_down");
    // Either line ends it: here the one that clients do not use.
    two.drop_vrrp_on("ens33").unwrap();
    holds_alone(&fleet, "lb01");
}

#[test]
fn one_of_two_multicast_lines_is_enough() {
    one_is_enough(multicast);
}

#[test]
fn one_of_two_lines_is_enough_when_the_second_is_unicast() {
    one_is_enough(unicast);
}

#[test]
fn who_loses_the_service_line_says_so_on_the_other() {
    let fleet = Fleet::start_of(&PRIORITIES, None, slow);
    let (one, two) = (&fleet.hosts[0], &fleet.hosts[1]);
    wait_for("lb02 to hear both", SOON, || Ok(heard(two).iter().all(|(_, age)| age.is_some()).then_some(())))
        .unwrap();
    // Silence alone would be believed no sooner than two intervals and the skew later.
    let soonest_by_silence = Duration::from_secs(2 * 3);
    let before = std::time::Instant::now();
    one.unplug(Segment::Service).unwrap();
    wait_for("lb02 to take over", SOON, || Ok(two.holds(VIP)?.then_some(()))).unwrap();
    let took = before.elapsed();
    assert_eq!(instance(two)["reason"], "master_resigned", "{:#}", instance(two));
    assert!(took < soonest_by_silence, "{took:?}");
    // It hears the new master on the second line, and nothing makes it one itself.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(instance(one)["state"], "FAULT");
    assert!(!one.holds(VIP).unwrap());
    // The new master loses the second line's peer as well: who cannot serve stays where it is.
    two.drop_vrrp(Direction::Both).unwrap();
    thread::sleep(Duration::from_secs(12));
    assert_eq!(instance(one)["state"], "FAULT");
    assert_eq!(fleet.holders(), ["lb02"]);
}

#[test]
fn plans_work_in_a_group_with_two_lines() {
    let fleet = Fleet::start_of(&PRIORITIES, None, multicast);
    let hactl = |arguments: &[&str]| {
        let output = fleet.coordinator.hactl(arguments).unwrap();
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "hactl {arguments:?}: {said}");
    };
    // Also while the service segment carries no adverts between them: they agree by the other line.
    for cut in [false, true] {
        if cut {
            fleet.hosts[1].drop_vrrp_on("ens33").unwrap();
            wait_until_heard(&fleet.hosts[1], &[("ens33", false), ("mgmt0", true)]);
        }
        hactl(&["switchover", "web", "--to", "lb02"]);
        holds_alone(&fleet, "lb02");
        assert_eq!(instance(&fleet.hosts[0])["state"], "BACKUP");
        hactl(&["switchover", "web", "--undo"]);
        holds_alone(&fleet, "lb01");
        hactl(&["maintenance", "on", "lb01", "--reason", "new memory"]);
        holds_alone(&fleet, "lb02");
        hactl(&["maintenance", "off", "lb01"]);
        holds_alone(&fleet, "lb01");
    }
    let findings = fleet.coordinator.findings().unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn lines_are_added_and_removed_under_a_master_that_stays() {
    let fleet = Fleet::start_of(&PRIORITIES, None, configuration);
    let transitions =
        || -> Vec<Value> { fleet.hosts.iter().map(|host| instance(host)["transitions"].clone()).collect() };
    let before = transitions();
    let reload = |configuration: fn(&Host, u8) -> String| {
        for ((host, agent), priority) in fleet.hosts.iter().zip(&fleet.agents).zip(PRIORITIES) {
            host.write("agent.toml", &configuration(host, priority)).unwrap();
            agent.signal(Signal::HUP);
        }
    };
    assert_eq!(heard(&fleet.hosts[1]).len(), 1);
    reload(multicast);
    wait_until_heard(&fleet.hosts[1], &[("ens33", true), ("mgmt0", true)]);
    reload(unicast);
    thread::sleep(MASTER_DOWN + Duration::from_secs(1));
    wait_until_heard(&fleet.hosts[1], &[("ens33", true), ("mgmt0", true)]);
    // Another one stands where the second was, and was never heard on: nothing of the second's is taken for its own.
    for (host, agent) in fleet.hosts.iter().zip(&fleet.agents) {
        host.run("ip", &["link", "add", "hb0", "type", "veth", "peer", "name", "nobody"]).unwrap();
        host.run("ip", &["addr", "add", "10.98.0.1/24", "dev", "hb0"]).unwrap();
        for end in ["hb0", "nobody"] {
            host.run("ip", &["link", "set", end, "up"]).unwrap();
        }
        let priority = if host.name() == "lb01" { 150 } else { 100 };
        let toml = multicast(host, priority)
            .replace("{ interface = \"mgmt0\" }", "{ interface = \"hb0\" }, { interface = \"mgmt0\" }");
        host.write("agent.toml", &toml).unwrap();
        agent.signal(Signal::HUP);
    }
    wait_until_heard(&fleet.hosts[1], &[("ens33", true), ("hb0", false), ("mgmt0", true)]);
    assert_eq!(heard(&fleet.hosts[1])[1], ("hb0".to_owned(), None));
    reload(configuration);
    wait_until_heard(&fleet.hosts[1], &[("ens33", true)]);
    // The socket on it is gone: nothing of what still comes there counts.
    assert_eq!(transitions(), before);
    assert_eq!(fleet.holders(), ["lb01"]);
}
