//! Every exit code, and what each failure says.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use tonic::Code;

use crate::{
    fake::{Coordinator, Script},
    pki::Ca,
    run::{Desk, Ran, reserve},
    sample::{split, well},
};

fn failed(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout, "", "a failure prints no half an answer");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not in: {}", ran.stderr);
    }
    assert!(ran.stderr.contains("next: "), "no next step: {}", ran.stderr);
}

#[test]
fn status_is_1_only_for_what_fires() {
    assert_eq!(Desk::new(well()).run(&["status"]).code, Some(0));
    assert_eq!(Desk::new(split()).run(&["status"]).code, Some(1));
    assert_eq!(Desk::new(split()).run(&["status", "-o", "json"]).code, Some(1));
    let mut pending = split();
    pending.fleet.findings.remove(0);
    let ran = Desk::new(pending).run(&["status"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.starts_with(
            "not known to be well: 1 of 3 nodes not heard, 1 of 2 groups without a settled holder"
        ),
        "{}",
        ran.stdout
    );
    let ran = Desk::new(Script::default()).run(&["status"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.starts_with("no node has joined yet\n"), "{}", ran.stdout);
}

#[test]
fn usage_is_2() {
    let desk = Desk::new(well());
    for arguments in [
        &["get", "grops"][..],
        &["get", "groups", "--limit", "5"],
        &["get", "transitions", "--limit", "0"],
        &["get", "transitions", "--since", "yesterday"],
        &["status", "--timeout", "0s"],
        &["status", "--coordinator", "host:99999"],
        &["node", "token", "--lifetime", "8d"],
        &["watch", "-o", "json"],
        &[],
    ] {
        let ran = desk.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
    let said = Desk::new(Script { refusal: Some((Code::InvalidArgument, "limit is too large")), ..well() });
    assert_eq!(said.run(&["get", "nodes"]).code, Some(2));
}

#[test]
fn not_found_is_3() {
    let desk = Desk::new(well());
    for (arguments, word) in [
        (&["get", "nodes", "lb09"][..], "no node is called lb09"),
        (&["get", "groups", "mail"], "no group is called mail"),
        (&["get", "groups", "dc2/web"], "no group is called dc2/web"),
        (&["get", "instances", "VI_9"], "no instance is called VI_9"),
        (&["get", "instances", "--group", "mail"], "no group is called mail"),
        (&["get", "findings", "x@y#1"], "no finding has the id x@y#1"),
        (&["get", "tokens", "t-9"], "no token has the id t-9"),
        (&["describe", "node", "lb09"], "no node is called lb09"),
        (&["describe", "group", "mail"], "no group is called mail"),
        (&["describe", "finding", "x@y#1"], "no finding has the id x@y#1"),
        (&["explain", "mail"], "cannot explain group mail"),
        (&["node", "revoke", "lb09", "--yes"], "cannot revoke node lb09"),
    ] {
        failed(&desk.run(arguments), 3, &[word]);
    }
}

#[test]
fn two_groups_of_one_name_are_asked_about() {
    let mut script = well();
    let mut twin = script.fleet.groups[0].clone();
    twin.site = "dc2".to_owned();
    script.fleet.groups.push(twin);
    let desk = Desk::new(script);
    failed(&desk.run(&["describe", "group", "web"]), 2, &["dc1/192.168.178.3, dc2/192.168.178.3"]);
    assert_eq!(desk.run(&["describe", "group", "dc2/web"]).code, Some(0));
}

#[test]
fn denied_is_4() {
    let viewer = Script { refusal: Some((Code::PermissionDenied, "user/eve is a viewer")), ..well() };
    let ran = Desk::new(viewer).run(&["node", "token"]);
    failed(&ran, 4, &["cannot make a join token", "user/eve is a viewer", "hactl context show"]);

    let desk = Desk::new(well());
    let address = desk.coordinator.address.to_string();
    let stranger = Ca::new("another CA").user("eve");
    let path = desk.write_context("eve.toml", &desk.ca.pem(), &stranger, &[&address]);
    let ran = desk.run(&["status", "--context", path.to_str().unwrap()]);
    failed(
        &ran,
        4,
        &[
            "cannot read the fleet",
            &address,
            "it refuses the certificate of this context: it is not from the coordinator's CA",
        ],
    );
    assert!(desk.coordinator.refused() <= 1, "one attempt is one handshake");

    let old = desk.ca.expired_user("admin");
    let path = desk.write_context("old.toml", &desk.ca.pem(), &old, &[&address]);
    let ran = desk.run(&["status", "--context", path.to_str().unwrap()]);
    failed(&ran, 4, &["it refuses the certificate of this context: it has expired", "new context file"]);
}

#[test]
fn conflict_is_5() {
    let desk = Desk::new(well());
    failed(&desk.run(&["node", "token", "--node", "lb01"]), 5, &["a node called lb01 has joined already"]);
}

#[test]
fn partly_failed_is_6() {
    let desk = Desk::new(well());
    let ran = desk.run(&["node", "revoke", "lb02", "lb09", "--yes"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert_eq!(ran.stdout, "node lb02 is revoked\n");
    assert!(ran.stderr.contains("1 of 2 nodes were not revoked: cannot revoke node lb09"), "{}", ran.stderr);
}

#[test]
fn unreachable_is_7() {
    let desk = Desk::new(well());
    // Bound and never accepted: the port is surely nobody else's, and surely silent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let (_reserved, refused) = reserve();
    let refused = refused.to_string();
    let ran = desk.run(&["status", "--coordinator", &refused]);
    failed(
        &ran,
        7,
        &["cannot read the fleet", &refused, "connection refused", "systemctl status ha-coordinator"],
    );
    let ran = desk.run(&["status", "--coordinator", &silent, "--timeout", "300ms"]);
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    let ran = desk.run(&["status", "--coordinator", "does-not-exist.invalid:7443"]);
    failed(&ran, 7, &["the name does-not-exist.invalid does not resolve"]);
    let hung = Desk::new(Script { hangs: true, ..well() });
    let ran = hung.run(&["status", "--timeout", "600ms"]);
    failed(&ran, 7, &["no answer within 0.6 s", "--timeout 30s"]);
    for code in [Code::Internal, Code::Unavailable, Code::Unimplemented, Code::ResourceExhausted] {
        let broken = Desk::new(Script { refusal: Some((code, "the store is full")), ..well() });
        failed(&broken.run(&["status"]), 7, &["the store is full"]);
    }
}

#[test]
fn a_coordinator_that_is_not_ours_is_7() {
    let desk = Desk::new(well());
    let user = desk.ca.user("admin");
    let stranger = Ca::new("another CA");
    let address = desk.coordinator.address.to_string();
    let path = desk.write_context("foreign.toml", &stranger.pem(), &user, &[&address]);
    let ran = desk.run(&["status", "--context", path.to_str().unwrap()]);
    failed(&ran, 7, &["from an unknown CA", "hactl context add FILE --yes"]);

    let expired = Coordinator::start(&desk.ca, &desk.ca.expired_server(), well());
    let ran = desk.run(&["status", "--coordinator", &expired.address.to_string()]);
    failed(&ran, 7, &["the certificate it presents has expired", "clock"]);

    let elsewhere = Coordinator::start(&desk.ca, &desk.ca.server_of("coord1"), well());
    let ran = desk.run(&["status", "--coordinator", &elsewhere.address.to_string()]);
    let next = format!("--coordinator coord1:{}", elsewhere.address.port());
    failed(&ran, 7, &["is not for 127.0.0.1", &next]);
}

#[test]
fn what_does_not_speak_tls_is_told_apart() {
    let desk = Desk::new(well());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ran = desk.run(&["status", "--coordinator", &address]);
    failed(&ran, 7, &["it does not speak TLS", "7443"]);
    server.join().unwrap();
}

#[test]
fn the_next_coordinator_is_asked() {
    let desk = Desk::new(well());
    let (_reserved, dead) = reserve();
    let hung = Coordinator::start(&desk.ca, &desk.server, Script { hangs: true, ..well() });
    let draining = Coordinator::start(
        &desk.ca,
        &desk.server,
        Script { refusal: Some((Code::Unavailable, "stopping")), ..well() },
    );
    let list = [
        dead.to_string(),
        draining.address.to_string(),
        hung.address.to_string(),
        desk.coordinator.address.to_string(),
    ]
    .join(",");
    let ran = desk.run(&["status", "--coordinator", &list, "--timeout", "2s"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(hung.asked().contains("GetFleet") && draining.asked().contains("GetFleet"));
}

#[test]
fn a_refusal_is_an_answer_and_nobody_else_is_asked() {
    let desk = Desk::new(well());
    let refusal = Script { refusal: Some((Code::PermissionDenied, "no")), ..well() };
    let first = Coordinator::start(&desk.ca, &desk.server, refusal);
    let list = format!("{},{}", first.address, desk.coordinator.address);
    assert_eq!(desk.run(&["status", "--coordinator", &list]).code, Some(4));
    assert_eq!(desk.coordinator.asked(), "");
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let desk = Desk::new(well());
    let path = desk.directory.path().join("admin.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = desk.run(&["get", "groups"]);
    assert!(ran.stderr.contains("others can read the private key"), "{}", ran.stderr);
    assert_eq!(desk.run(&["get", "groups", "-q"]).stderr, "");
}
