//! Switchovers and maintenance.

use serde_json::{Value, json};

use crate::{run::Desk, sample::well};

fn json_of(desk: &Desk, arguments: &[&str]) -> Value {
    let ran = desk.run(&[arguments, &["-o", "json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_switchover_says_how_long_it_took() {
    let desk = Desk::new(well());
    let ran = desk.run(&["switchover", "web", "--to", "lb02", "--for", "1h", "--reason", "kernel"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("switchover", desk.stable(&ran.stdout));
    let asked = desk.coordinator.asked();
    assert!(asked.contains("for_s: 3600") && asked.contains("why: \"kernel\""), "{asked}");
    let made = json_of(&desk, &["switchover", "192.168.178.3", "--to", "lb02"]);
    assert_eq!(
        made,
        json!({
            "group": "dc1/192.168.178.3", "from": "lb01", "to": "lb02",
            "order": "switchover/dc1/192.168.178.3/7", "priority": 151,
            "taken_ms": 12, "released_ms": 15, "until": null
        })
    );
    let made = json_of(&desk, &["switchover", "web", "--to", "lb01"]);
    assert_eq!(
        (&made["order"], &made["taken_ms"], &made["to"]),
        (&Value::Null, &Value::Null, &json!("lb01"))
    );
}

#[test]
fn a_refusal_is_a_conflict_and_what_makes_no_sense_is_usage() {
    let desk = Desk::new(well());
    let ran = desk.run(&["switchover", "web", "--to", "lb09"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert!(ran.stderr.contains("lb09 is no member"), "{}", ran.stderr);
    assert_eq!(desk.run(&["switchover", "nothing", "--to", "lb02"]).code, Some(3));
    for arguments in [
        &["switchover", "web"][..],
        &["switchover", "web", "--undo", "--to", "lb02"],
        &["switchover", "web", "--undo", "--for", "1h"],
        &["switchover", "web", "--to", "lb02", "--for", "59s"],
        &["switchover", "web", "--to", "lb02", "--for", "31d"],
        &["maintenance", "on"],
        &["maintenance", "off", "lb01", "--for", "1h"],
    ] {
        assert_eq!(desk.run(arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn what_is_undone_may_still_have_to_be_told() {
    let desk = Desk::new(well());
    let undone = json_of(&desk, &["switchover", "web", "--undo"]);
    assert_eq!(undone, json!({"group": "dc1/web", "nodes": ["lb02"], "pending": []}));
    desk.coordinator.script.lock().unwrap().away = true;
    let ran = desk.run(&["switchover", "web", "--undo"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stderr.contains("lb02 is not reached now"), "{}", ran.stderr);
    let ran = desk.run(&["maintenance", "on", "lb02", "-o", "json"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stdout.contains("\"pending\": true"), "{}", ran.stdout);
    // It is neither in maintenance nor out of it yet, and nothing says so.
    for way in ["on", "off"] {
        let ran = desk.run(&["maintenance", way, "lb02"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(6), ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("lb02 is not reached now"), "{}", ran.stderr);
    }
}

#[test]
fn the_last_member_goes_only_when_it_is_meant() {
    let desk = Desk::new(well());
    let ran = desk.run(&["maintenance", "on", "lb01"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert!(ran.stderr.contains("last member") && ran.stderr.contains("--yes"), "{}", ran.stderr);
    let ran = desk.run(&["maintenance", "on", "lb01", "--yes", "--for", "2h"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("maintenance_on", desk.stable(&ran.stdout));
    let off = json_of(&desk, &["maintenance", "off", "lb01"]);
    assert_eq!(
        off,
        json!({
            "node": "lb01", "maintenance": false, "order": "maintenance/lb01/8", "until": null,
            "pending": false, "released": []
        })
    );
}
