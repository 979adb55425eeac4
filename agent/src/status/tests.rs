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
