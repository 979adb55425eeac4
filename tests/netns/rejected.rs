//! Adverts that are heard and not believed: on the host, in `/metrics`, and as a finding with both values.

use hafleet_tests::lab::{Daemon, Host, Instance, Kind, Segment, agent_state_dir, program, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{Fleet, SOON, VIP, configuration};

const PASSWORDS: [&str; 2] = ["s3cretA", "s3cretB"];

/// Version 2 with a password, and metrics.
fn with_password(host: &Host, priority: u8, password: &str) -> String {
    let text = configuration(host, priority).replacen('\n', "\nmetrics = \"127.0.0.1:9101\"\n", 1);
    format!("{text}version = 2\nauth = {{ type = \"pass\", secret = \"{password}\" }}\n")
}

fn reload(fleet: &Fleet, number: usize, text: &str) {
    fleet.hosts[number].write("agent.toml", text).unwrap();
    fleet.agents[number].signal(Signal::HUP);
}

fn status(host: &Host, format: &str) -> String {
    let directory = agent_state_dir(host);
    let arguments = ["status", "-o", format, "--state-dir", directory.to_str().unwrap()];
    host.run(program("ha-agent").unwrap(), &arguments).unwrap()
}

fn metrics(host: &Host) -> String {
    let scrape = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9101/metrics').read().decode())";
    host.run("/usr/bin/python3", &["-c", scrape]).unwrap()
}

fn firing(fleet: &Fleet, kind: &str) -> Value {
    let found = wait_for(kind, 2 * SOON, || {
        let finding = fleet.coordinator.finding(kind)?;
        Ok(finding.filter(|finding| finding["status"] == "firing"))
    });
    found.unwrap_or_else(|error| panic!("{error:#}: {:#?}", fleet.coordinator.findings()))
}

fn facts<'a>(finding: &'a Value, kind: &str) -> &'a Value {
    let evidence = finding["evidence"].as_array().unwrap();
    let found = evidence.iter().find(|evidence| evidence["kind"] == kind);
    &found.unwrap_or_else(|| panic!("no {kind}: {finding:#}"))["facts"]
}

#[test]
fn two_passwords_are_a_finding_and_none_of_them_is_ever_shown() {
    let fleet =
        Fleet::start_of(&[150, 100], None, |host, priority| with_password(host, priority, PASSWORDS[0]));
    let page = metrics(&fleet.hosts[0]);
    for line in [
        "hafleet_vrrp_state{vrrp_instance=\"web\",state=\"master\"} 1",
        "hafleet_vrrp_addresses_present{vrrp_instance=\"web\"} 1",
        "hafleet_agent_uplink_connected 1",
        "hafleet_agent_engine_up 1",
    ] {
        assert!(page.contains(line), "{line:?} is missing:\n{page}");
    }

    reload(&fleet, 1, &with_password(&fleet.hosts[1], 100, PASSWORDS[1]));
    let finding = firing(&fleet, "config_mismatch");
    assert_eq!(
        (finding["cause_code"].as_str(), finding["severity"].as_str()),
        (Some("auth_mismatch"), Some("warning"))
    );
    let rejects = facts(&finding, "rejects");
    assert_eq!(
        (rejects["heard"].as_str(), rejects["ours"].as_str()),
        (Some("pass"), Some("pass")),
        "{rejects:#}"
    );
    let detail = "authentication type is pass on both sides, but the password is not ours";
    assert_eq!(rejects["detail"], detail);
    // Both became MASTER by it, which is another finding, with the same reason.
    let split = firing(&fleet, "split_brain.confirmed");
    assert!(split["cause"].as_str().unwrap().contains("auth_mismatch"), "{split:#}");

    let id = finding["id"].as_str().unwrap();
    let described = fleet.coordinator.shown(&["describe", "finding", id]).unwrap();
    let explained = fleet.coordinator.shown(&["explain", VIP]).unwrap();
    for text in [&described, &explained] {
        assert!(text.contains("auth_mismatch") && text.contains("lb01") && text.contains("lb02"), "{text}");
    }
    let heard: Value = serde_json::from_str(&status(&fleet.hosts[1], "json")).unwrap();
    let rejected = &heard["heard"][0]["rejected"][0];
    assert_eq!((&rejected["reason"], &rejected["detail"]), (&"auth_mismatch".into(), &detail.into()));
    let table = status(&fleet.hosts[1], "table");
    assert!(table.contains("rejected: auth_mismatch"), "{table}");
    let page = metrics(&fleet.hosts[1]);
    let line = page.lines().find(|line| line.starts_with("hafleet_vrrp_heard_rejected_total{"));
    let line = line.unwrap_or_else(|| panic!("{page}"));
    assert!(line.contains("source=\"192.168.178.130\",reason=\"auth_mismatch\"}"), "{line}");

    let logs: String = fleet.agents.iter().map(|agent| agent.log()).collect();
    let shown =
        [finding.to_string(), split.to_string(), described, explained, table, page, heard.to_string(), logs];
    for (text, password) in shown.iter().flat_map(|text| PASSWORDS.map(|password| (text, password))) {
        assert!(!text.contains(password), "{password} is shown: {text}");
    }

    reload(&fleet, 1, &with_password(&fleet.hosts[1], 100, PASSWORDS[0]));
    wait_for("the end of it", 2 * SOON, || {
        Ok(fleet.coordinator.finding("config_mismatch")?.is_none().then_some(()))
    })
    .unwrap();
}

#[test]
fn a_keepalived_that_nobody_knows_is_a_conflict_with_both_values() {
    let mut fleet = Fleet::start_of(&[150, 100], None, |host, priority| {
        configuration(host, priority).replace("\"1s\"", "\"2s\"") + "version = 2\n"
    });
    let stranger = fleet.add_host("stranger", 140);
    let instance = Instance {
        version: 2,
        priority: 90,
        interval: std::time::Duration::from_secs(1),
        vips: vec!["192.168.178.4/24".into()],
        pass: Some("1111".into()),
        ..Instance::default()
    };
    // keepalived puts its own adverts off at every packet for its VRID, also at one that it rejects: it becomes master where it hears
    // none, and is heard because it advertises more often than the others.
    stranger.isolate(Segment::Service).unwrap();
    let keepalived = Daemon::start(Kind::Keepalived, &stranger, &[instance]).unwrap();
    wait_for("the stranger to be master", SOON, || Ok(stranger.holds("192.168.178.4")?.then_some(())))
        .unwrap();
    stranger.rejoin(Segment::Service).unwrap();
    let finding = firing(&fleet, "vrid_conflict");
    assert_eq!(
        (finding["cause_code"].as_str(), finding["severity"].as_str()),
        (Some("auth_mismatch"), Some("critical")),
        "{finding:#}"
    );
    let summary = finding["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("192.168.178.140, which no node of the inventory has, uses VRID 51"),
        "{summary}"
    );
    assert!(finding["cause"].as_str().unwrap().contains("192.168.178.4"), "{finding:#}");
    let rejects = facts(&finding, "rejects");
    assert_eq!(
        (rejects["heard"].as_str(), rejects["ours"].as_str()),
        (Some("pass"), Some("none")),
        "{rejects:#}"
    );
    assert_eq!(rejects["detail"], "authentication type is pass, ours is none");
    // It changes nothing for those who agree.
    assert_eq!(fleet.holders(), ["lb01"]);
    assert!(fleet.coordinator.finding("config_mismatch").unwrap().is_none());

    keepalived.stop().unwrap();
    wait_for("the end of it", 2 * SOON, || {
        Ok(fleet.coordinator.finding("vrid_conflict")?.is_none().then_some(()))
    })
    .unwrap();
}

#[test]
fn a_reload_that_is_refused_is_a_finding_until_one_is_taken() {
    let fleet = Fleet::start(&[150]);
    let good = configuration(&fleet.hosts[0], 150);
    reload(&fleet, 0, &good.replace("priority", "priorty"));
    let finding = firing(&fleet, "config_refused");
    assert_eq!(
        (finding["subject"].as_str(), finding["cause_code"].as_str()),
        (Some("node/lb01"), Some("config_invalid"))
    );
    let cause = finding["cause"].as_str().unwrap();
    assert!(cause.contains("agent.toml:8:1: error: `priorty` is not a key of [[instance]]"), "{cause}");
    let described = fleet.coordinator.shown(&["describe", "node", "lb01"]).unwrap();
    assert!(described.contains("config_refused"), "{described}");
    reload(&fleet, 0, &good);
    wait_for("the end of it", SOON, || {
        Ok(fleet.coordinator.finding("config_refused")?.is_none().then_some(()))
    })
    .unwrap();
    assert_eq!(fleet.holders(), ["lb01"]);
}
