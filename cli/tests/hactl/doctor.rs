//! What doctor looks at, and how it ends.

use hafleet_proto::v1::NodeDrift;
use serde_json::Value;

use crate::{
    run::{Desk, reserve},
    sample::{split, well},
};

/// What is not as it should be: check, subject, state. The fake coordinator's clock stands still, and is told of.
fn wrong(text: &str) -> Vec<(String, String, String)> {
    let checks: Vec<Value> = serde_json::from_str(text).unwrap();
    let word = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let wrong = checks.iter().filter(|check| check["state"] != "ok");
    for check in wrong.clone() {
        assert!(check["next"].is_string(), "nothing to do about {check}");
    }
    let of = |check: &Value| (word(check, "check"), word(check, "subject"), word(check, "state"));
    wrong.map(of).filter(|(check, _, _)| check != "clock").collect()
}

fn row(check: &str, subject: &str, state: &str) -> (String, String, String) {
    (check.to_owned(), subject.to_owned(), state.to_owned())
}

#[test]
fn a_fleet_that_is_well_has_nothing_but_its_clock() {
    let mut script = well();
    script.fleet.references.clear();
    let desk = Desk::new(script);
    let ran = desk.run(&["doctor", "-o", "json"]);
    assert_eq!(wrong(&ran.stdout), [], "{}", ran.stdout);
    let checks: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    for check in ["context", "credential", "coordinator", "findings", "fencing"] {
        assert!(
            checks.iter().any(|one| one["check"] == check && one["state"] == "ok"),
            "{check}: {}",
            ran.stdout
        );
    }
    // Of another time than this host's.
    assert!(checks.iter().any(|one| one["check"] == "clock" && one["state"] == "warning"), "{}", ran.stdout);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
}

#[test]
fn everything_that_is_wrong_is_told_with_what_to_do() {
    let mut script = split();
    script.fleet.nodes[0].agent_version = "0.0.9".to_owned();
    script.fleet.nodes[0].clock_offset_us = -7_000_000;
    script.fleet.nodes[0].orders[0].state = "withdrawing".to_owned();
    script.fleet.nodes[1].certificate_not_after_us = script.fleet.at_us - 1;
    let desk = Desk::new(script);
    let ran = desk.run(&["doctor", "-o", "json"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        wrong(&ran.stdout),
        [
            row("findings", "fleet", "bad"),
            row("node", "lb03", "warning"),
            row("version", "lb01", "warning"),
            row("order", "lb01", "warning"),
            row("certificate", "lb02", "bad"),
            row("reference", "10.0.0.2:22", "warning"),
            row("fencing", "fleet", "warning"),
            row("fence path", "lb02", "warning"),
        ]
    );
    assert!(ran.stdout.contains("it is at least 6s from the coordinator's"), "{}", ran.stdout);
    assert!(ran.stdout.contains("hactl fence test lb02 --level power"), "{}", ran.stdout);
    let text = desk.run_at(100, &["doctor"]).stdout;
    assert!(text.starts_with("STATE "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// What is not known is no agreement.
#[test]
fn nodes_that_do_not_say_what_they_run_are_counted() {
    let words_of = |unknown: &[&str]| {
        let mut script = well();
        script.configs.diff.generation = 7;
        let drift = |node: &str, state: &str| NodeDrift {
            node: node.into(),
            state: state.into(),
            ..NodeDrift::default()
        };
        script.configs.drift = vec![drift("lb01", "in_step")];
        script.configs.drift.extend(unknown.iter().map(|node| drift(node, "unknown")));
        let ran = Desk::new(script).run(&["doctor", "-o", "json"]);
        let checks: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
        let check = checks.iter().find(|check| check["check"] == "configuration").unwrap().clone();
        check.to_string()
    };
    assert!(words_of(&[]).contains("generation 7 was applied last, and nobody runs another"));
    let words = words_of(&["lb02"]);
    assert!(words.contains("generation 7 was applied last; what 1 of 2 nodes run is not known"), "{words}");
}

/// The rest is told all the same.
#[test]
fn a_question_that_the_coordinator_cannot_answer_is_a_row() {
    let mut script = well();
    script.fleet.references.clear();
    let words = "generation 7, which was applied last, cannot be read";
    script.configs.no_drift = Some(words);
    let desk = Desk::new(script);
    let ran = desk.run(&["doctor", "-o", "json"]);
    assert_eq!(wrong(&ran.stdout), [row("configuration", "fleet", "bad")], "{}", ran.stdout);
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
}

/// Not only the first that answers is asked.
#[test]
fn each_coordinator_is_asked() {
    let mut script = well();
    script.fleet.references.clear();
    let desk = Desk::new(script);
    let (_kept, dead) = reserve();
    let coordinators = format!("{},{dead}", desk.coordinator.address);
    let ran = desk.run(&["doctor", "-o", "json", "--coordinator", &coordinators]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(wrong(&ran.stdout), [row("coordinator", &dead.to_string(), "bad")]);
    assert!(ran.stdout.contains("connection refused"), "{}", ran.stdout);

    let ran = desk.run(&["doctor", "--coordinator", &dead.to_string()]);
    assert_eq!(ran.code, Some(7), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("connection refused"), "what is wrong is shown: {}", ran.stdout);
    assert_eq!(desk.run(&["doctor", "--context", "nowhere"]).code, Some(3));
}
