//! Tokens and revocation.

use std::{io::Write as _, process::Stdio};

use crate::{
    run::{Desk, Ran},
    sample::well,
};

#[test]
fn a_token_comes_with_the_command_that_uses_it() {
    let desk = Desk::new(well());
    let ran = desk.run(&["node", "token", "--node", "lb04", "--lifetime", "90m"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("node_token", desk.stable(&ran.stdout));
    assert!(desk.coordinator.asked().contains("lifetime_s: 5400"), "{}", desk.coordinator.asked());
    let ran = desk.run(&["node", "token", "-q"]);
    assert_eq!(ran.stdout, "hat1.5e2c5f4f4b0f1c.t-0003.secret\n");
    let ran = desk.run(&["node", "token", "-o", "json"]);
    insta::assert_snapshot!("node_token_json", desk.stable(&ran.stdout));
}

#[test]
fn every_coordinator_is_in_the_join_command() {
    let desk = Desk::new(well());
    let list = format!("{},coord2:7000", desk.coordinator.address);
    let ran = desk.run(&["node", "token", "--coordinator", &list]);
    assert!(ran.stdout.contains(&format!("--coordinator {list} --token hat1.")), "{}", ran.stdout);
}

#[test]
fn revocation_without_a_terminal_needs_yes() {
    let desk = Desk::new(well());
    let mut child = desk
        .command(&["node", "revoke", "lb02"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // An answer that was meant for something else must not count; hactl may be gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(b"yes\n");
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("not done") && ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert_eq!(desk.coordinator.asked(), "");

    let ran = desk.run(&["node", "revoke", "lb02", "--yes", "-o", "jsonl"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("{\"node\":\"lb02\",\"revoked\":true}\n", Some(0)));
    assert!(desk.coordinator.script.lock().unwrap().fleet.nodes[1].revoked);
}
