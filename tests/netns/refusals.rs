//! Bad input: it is refused with its place or its reason, and nothing changes.

use std::{fs, time::Duration};

use hafleet_tests::lab::{
    AgentConfiguration, Coordinator, Host, Lab, agent_state_dir, program, start_agent, wait_for,
};

use crate::fleet::{Fleet, SOON, VIP, configuration};

/// Runs a program of ours to its end: exit code, and everything it printed.
fn outcome(host: &Host, name: &str, arguments: &[&str]) -> (i32, String) {
    let output = host.command(program(name).unwrap()).args(arguments).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_broken_configuration_names_its_place_and_changes_nothing() {
    let mut lab = Lab::new().unwrap();
    let host = lab.host("lb01", "192.168.178.130/24").unwrap();
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (
            "--keepalived-conf",
            "broken.conf",
            "! 中文注释\nvrrp_instance VI_1 {\n    interface ens33\n    virtual_router_id 300\n    \
             virtual_ipaddress {\n        192.168.178.3\n    }\n}\n",
            &["broken.conf:4:23", "300", "255"],
        ),
        (
            "--keepalived-conf",
            "unclosed.conf",
            "vrrp_instance VI_1 {\n    interface ens33\n    virtual_router_id 51\n",
            &["unclosed.conf:", "}"],
        ),
        (
            "--keepalived-conf",
            "typo.conf",
            "vrrp_instance VI_1 {\n    interface ens33\n    virtual_routerid 51\n    virtual_ipaddress {\n        \
             192.168.178.3\n    }\n}\n",
            &["typo.conf:3:5", "virtual_routerid", "virtual_router_id"],
        ),
        ("--config", "syntax.toml", "node = \"lb01\"\n[[instance]\nname = \"web\"\n", &["syntax.toml:2:"]),
        (
            "--config",
            "key.toml",
            "[[instance]]\nname = \"web\"\ninterface = \"ens33\"\nvrid = 51\npriorty = 150\nvips = [{ address = \"192.168.178.3/24\" }]\n",
            &["key.toml:5:1", "priorty", "priority"],
        ),
        (
            "--config",
            "range.toml",
            "[[instance]]\nname = \"web\"\ninterface = \"ens33\"\nvrid = 0\nvips = [{ address = \"192.168.178.3/24\" }]\n",
            &["range.toml:4:8", "vrid", "255"],
        ),
    ];
    let before = host.inet_lines("ens33").unwrap();
    for (flag, name, text, expected) in cases {
        let file = host.write(name, text).unwrap();
        let file = file.to_str().unwrap();
        let state_dir = agent_state_dir(&host);
        for command in
            [&["check", flag, file][..], &["run", flag, file, "--state-dir", state_dir.to_str().unwrap()]]
        {
            let (code, printed) = outcome(&host, "ha-agent", command);
            assert_eq!(code, 1, "{command:?}: {printed}");
            for words in *expected {
                assert!(printed.contains(words), "{command:?} does not say {words:?}:\n{printed}");
            }
        }
    }
    assert_eq!(host.inet_lines("ens33").unwrap(), before);
}

#[test]
fn wrong_used_and_foreign_tokens_are_refused_with_their_reason() {
    let mut lab = Lab::new().unwrap();
    let coordinator = Coordinator::start(&mut lab).unwrap();
    let host = lab.host("lb01", "192.168.178.130/24").unwrap();
    let token = coordinator.json(&["node", "token", "--node", "lb01"]).unwrap()["token"]
        .as_str()
        .unwrap()
        .to_string();
    let state_dir = agent_state_dir(&host);
    let join = |token: &str, name: &str| {
        let coordinator = coordinator.address();
        let arguments =
            ["join", "--coordinator", &coordinator, "--token", token, "--name", name, "--state-dir"];
        outcome(&host, "ha-agent", &[&arguments[..], &[state_dir.to_str().unwrap()]].concat())
    };

    let mut wrong_secret = token.clone();
    let last = wrong_secret.pop().unwrap();
    wrong_secret.push(if last == 'A' { 'B' } else { 'A' });
    let mut parts: Vec<_> = token.split('.').map(String::from).collect();
    parts[1] = "0".repeat(64);
    let foreign_ca = parts.join(".");
    for (token, name, reason) in [
        (wrong_secret.as_str(), "lb01", "secret"),
        (foreign_ca.as_str(), "lb01", "CA"),
        (token.as_str(), "lb02", "lb01"),
        ("hat1.nonsense", "lb01", "token"),
    ] {
        let (code, printed) = join(token, name);
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains(reason), "{token} as {name}: expected {reason:?} in\n{printed}");
        assert!(!state_dir.join("identity/cert.pem").exists(), "a refused join left an identity behind");
    }

    let (code, printed) = join(&token, "lb01");
    assert_eq!(code, 0, "{printed}");
    let (code, printed) = join(&token, "lb01");
    assert!(code == 1 && printed.contains("used"), "a token is good once: {printed}");

    let audit = coordinator.json(&["get", "audit", "--limit", "100"]).unwrap();
    let refused = audit.as_array().unwrap().iter().filter(|row| row["outcome"] == "refused").count();
    assert!(refused >= 3, "refusals are in the audit log: {audit:#}");
}

/// What the agent's log and the audit log say of a stream that was refused.
fn refused_stream(fleet: &Fleet, host: &Host, expected: &[&str]) {
    let mut agent = start_agent(host, AgentConfiguration::Native(&configuration(host, 50)), &[]).unwrap();
    for words in expected {
        agent.wait_for_log(words, SOON).unwrap();
    }
    wait_for("the refusal in the audit log", SOON, || {
        let audit = fleet.coordinator.json(&["get", "audit", "--limit", "100"])?;
        let told = |row: &serde_json::Value| row["outcome"] == "refused" && row["action"] != "enroll";
        Ok(audit.as_array().into_iter().flatten().any(told).then_some(()))
    })
    .unwrap();
    assert_eq!(fleet.holders(), ["lb01"], "a refused agent must not disturb the fleet");
}

#[test]
fn a_node_that_speaks_for_another_is_refused() {
    let mut lab_fleet = Fleet::start(&[150]);
    let host = lab_fleet.add_host("lb02", 131);
    lab_fleet.coordinator.join(&host).unwrap();
    let identity = agent_state_dir(&host).join("identity/identity.toml");
    let text = fs::read_to_string(&identity).unwrap();
    fs::write(&identity, text.replace("lb02", "lb01")).unwrap();
    let toml = configuration(&host, 50).replace("node = \"lb02\"", "node = \"lb01\"");
    let mut agent = start_agent(&host, AgentConfiguration::Native(&toml), &[]).unwrap();
    agent.wait_for_log("identity_mismatch", SOON).unwrap();
    wait_for("the refusal in the audit log", SOON, || {
        let audit = lab_fleet.coordinator.json(&["get", "audit", "--limit", "100"])?;
        let told = |row: &serde_json::Value| row["outcome"] == "refused" && row.to_string().contains("lb02");
        Ok(audit.as_array().into_iter().flatten().any(told).then_some(()))
    })
    .unwrap();
    let nodes = lab_fleet.coordinator.json(&["get", "nodes"]).unwrap();
    let lb01 = nodes.as_array().unwrap().iter().find(|node| node["node"] == "lb01").unwrap();
    assert_eq!(lb01["fresh"], true, "the true lb01 is not thrown out by the false one: {nodes:#}");
}

#[test]
fn an_identity_of_a_foreign_ca_is_refused() {
    let mut fleet = Fleet::start(&[150]);
    let host = fleet.add_host("lb02", 131);
    fleet.coordinator.join(&host).unwrap();
    // Another fleet's coordinator signs another identity for the same name.
    let mut other_lab = Lab::new().unwrap();
    let other = Coordinator::start(&mut other_lab).unwrap();
    let stranger = other_lab.host("lb02", "192.168.178.131/24").unwrap();
    other.join(&stranger).unwrap();
    for file in ["key.pem", "cert.pem"] {
        let from = agent_state_dir(&stranger).join("identity").join(file);
        fs::copy(from, agent_state_dir(&host).join("identity").join(file)).unwrap();
    }
    refused_stream(&fleet, &host, &["certificate"]);
}

#[test]
fn junk_on_the_wire_is_counted_and_moves_nothing() {
    let mut fleet = Fleet::start(&[150, 100]);
    let transitions = fleet.coordinator.transitions().unwrap().len();
    for (seed, vrid) in [("1", "51"), ("2", "52"), ("3", "51")] {
        fleet.client.run(program("lab").unwrap(), &["junk", "192.168.178.10", vrid, "1000", seed]).unwrap();
    }
    assert_eq!(fleet.holders(), ["lb01"]);
    assert!(fleet.agents.iter_mut().all(hafleet_tests::lab::Process::running), "an agent died of junk");
    let described = wait_for("the rejections in the coordinator's eyes", Duration::from_secs(10), || {
        let described = fleet.coordinator.shown(&["describe", "node", "lb02", "-o", "json"])?;
        Ok((described.contains("192.168.178.10") && described.contains("checksum")).then_some(described))
    })
    .unwrap();
    assert!(described.contains("ttl"), "{described}");
    assert_eq!(fleet.coordinator.transitions().unwrap().len(), transitions, "junk caused a transition");
    assert_eq!(fleet.coordinator.group(VIP).unwrap().unwrap()["holder"], "lb01");
}
