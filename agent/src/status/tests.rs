use std::collections::BTreeSet;

use super::*;
use crate::local::{AgentPart, EnginePart, LogPart, PathPart, UplinkPart, tests::document};

#[test]
fn a_table_for_people() {
    insta::assert_snapshot!(table(&document(), 150));
}

#[test]
fn a_narrow_terminal_wraps() {
    let text = table(&document(), 80);
    assert!(
        text.lines().take_while(|line| !line.starts_with("Uplink")).all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let mut document = document();
    document.agent = AgentPart { version: "0.1.0".to_owned(), pid: 1, ..AgentPart::default() };
    document.engine = EnginePart {
        error: Some("the engine did not answer within 1 s".to_owned()),
        reports_dropped: 5,
        ..EnginePart::default()
    };
    document.instances[0].effective_priority = 90;
    document.instances[0].priority_detail = Some("150 - 60 (nginx is down) = 90".to_owned());
    document.configuration.refused = 1;
    document.configuration.error = Some("agent.toml:1:1: error: `nod` is not a key of agent.toml".to_owned());
    document.configuration.error_at = Some("2026-11-23T16:01:00Z".to_owned());
    document.instances[0].carrier = false;
    document.instances[0].refusals = 2;
    document.instances[0].paths[0] = PathPart {
        failing: true,
        send_failures: 12,
        last_send_error: Some("Operation not permitted (os error 1)".to_owned()),
        ..document.instances[0].paths[0].clone()
    };
    let hb0 = PathPart {
        interface: "hb0".to_owned(),
        source: None,
        fault: Some("link_no_carrier".to_owned()),
        failing: false,
        send_failures: 0,
        last_send_error: None,
        ..document.instances[0].paths[0].clone()
    };
    document.instances[0].paths.push(hb0);
    document.heard[0].vrid_configured = false;
    document.uplink = UplinkPart {
        summary: "not connected; the next attempt comes within 5000 ms".to_owned(),
        renewal_error: Some("the coordinator does not renew the certificate: revoked".to_owned()),
        ..UplinkPart::default()
    };
    document.journal.error = Some("cannot write to /x: No space left on device (os error 28)".to_owned());
    document.journal.waiting = 17;
    document.journal.dropped = 9;
    document.log = LogPart { lines_dropped: 4 };
    insta::assert_snapshot!(table(&document, 150));
}

#[test]
fn an_election_that_waits_for_a_first_result_says_for_which() {
    let mut document = document();
    let waiting = &mut document.instances[1];
    waiting.awaits_tracks = true;
    waiting.tracks[1].reverse = true;
    waiting.tracks[3].result = "down".to_owned();
    waiting.tracks[3].fault = true;
    let text = table(&document, 150);
    let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_default().to_owned();
    assert!(
        line("check haproxy").contains("awaited: there is no result yet  the election waits for it"),
        "{text}"
    );
    assert!(line("check load").contains("1, reverse  0: 0 in /run/load"), "{text}");
    assert!(line("interface ens33").trim_end().ends_with("FAULT"), "{text}");
}

#[test]
fn a_flood_of_sources_leaves_the_important_ones_on_the_screen() {
    let mut document = document();
    let forged = document.heard[1].clone();
    for index in 0..1000 {
        let source = format!("10.1.{}.{}", index / 256, index % 256);
        document.heard.insert(0, crate::local::HeardPart { source, age_ms: 1, ..forged.clone() });
    }
    let text = table(&document, 150);
    assert!(text.contains("… and 970 more sources: ha-agent status -o json"), "{text}");
    assert!(text.contains("rejected: auth_mismatch"), "{text}");
    assert!(text.lines().count() < 80, "{text}");
}

#[test]
fn a_thousand_checks_leave_those_that_fail_on_the_screen() {
    let mut document = document();
    let up = document.checks.pop().unwrap();
    let failing = document.checks.len();
    let up = (0..1000).map(|index| crate::local::CheckPart { name: format!("up{index}"), ..up.clone() });
    document.checks.splice(0..0, up);
    let text = table(&document, 150);
    let more = 1000 + failing - 32;
    assert!(text.contains(&format!("… and {more} more checks: ha-agent status -o json")), "{text}");
    assert!(text.contains("down: exit code 1") && text.contains("runs now, process 4720"), "{text}");
}

/// Every field of the document: `instances[].paths[].source`.
fn fields(value: &serde_json::Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                fields(value, &if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, all);
            }
        }
        serde_json::Value::Array(array) if array.iter().any(serde_json::Value::is_object) => {
            array.iter().for_each(|value| fields(value, &format!("{at}[]"), all));
        }
        // What is in it stands elsewhere.
        serde_json::Value::Array(array) if array.is_empty() => {}
        _ => {
            all.insert(at.to_owned());
        }
    }
}

#[test]
fn every_json_field_is_documented() {
    let mut all = BTreeSet::new();
    fields(&serde_json::to_value(document()).unwrap(), "", &mut all);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent.md");
    let text = std::fs::read_to_string(path).expect("docs/agent.md");
    let (_, section) = text.split_once("\n## Status for scripts\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    // | `heard[].rejected[]` | `reason`, `count`, … | meaning |
    let mut documented = BTreeSet::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (part, rest) = row.split_once("` | ").expect(row);
        let (names, _) = rest.split_once(" | ").expect(row);
        let names = names.split(", ").map(|name| format!("{part}.{}", name.trim_matches('`')));
        for name in names {
            assert!(documented.insert(name.clone()), "{name} is documented twice");
        }
    }
    assert_eq!(documented, all);
}

#[test]
fn the_json_fields_are_a_contract() {
    insta::assert_json_snapshot!(document());
}

#[test]
fn no_agent_is_said_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let text = ask(dir.path()).unwrap_err().to_string();
    assert!(
        text.contains("no agent runs with the state directory") && text.contains("ha-agent run"),
        "{text}"
    );
    // A dead agent's socket.
    drop(std::os::unix::net::UnixListener::bind(socket_path(dir.path())).unwrap());
    assert!(matches!(ask(dir.path()), Err(StatusError::NotRunning(_))));
}
