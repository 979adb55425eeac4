//! What is tracked.

use std::time::Duration;

use super::{clean, instance};
use crate::config::track::{
    CheckKind, FileCheck, FileInit, ParameterMatch, ProcessCheck, RunAs, ScriptCheck, Subject, Tracked,
};

#[test]
fn everything_that_can_be_tracked() {
    let text = instance(
        "track = [{ interface = \"ens33\" }, { interface = \"eth1\", weight = -10 }, { script = \"web\" }, { process = \"web\", weight = 0, reverse = true }, { file = \"load\" }]",
    ) + r#"
[[script]]
name = "web"
command = ["sh", "-c", "exit 0"]
interval = "500ms"
timeout = "2s"
rise = 2
fall = 3
init_fail = true
weight = -60
[[process]]
name = "web"
command = "/usr/sbin/nginx"
parameters = ["-g"]
param_match = "partial"
full_command = true
quorum = 2
quorum_max = 4
fork_delay = "1s"
terminate_delay = "100ms"
weight = 5
[[file]]
name = "load"
path = "/run/load"
init = -3
overwrite = true
reverse = true
"#;
    let config = clean(&text);
    let check =
        |name: &str, weight, reverse| Tracked { subject: Subject::Check(name.into()), weight, reverse };
    let expected = [
        Tracked { subject: Subject::Interface("eth1".into()), weight: -10, reverse: false },
        check("web (script)", -60, false),
        check("web (process)", 0, true),
        check("load", 1, true),
    ];
    assert_eq!(config.instances[0].tracks, expected);
    let [script, process, file] = config.checks.as_slice() else { panic!("{:?}", config.checks) };
    let CheckKind::Script(found) = &script.kind else { panic!("{script:?}") };
    assert!(found.command[0].starts_with('/') && found.command[0].ends_with("/sh"), "{found:?}");
    let expected = ScriptCheck {
        command: vec![found.command[0].clone(), "-c".into(), "exit 0".into()],
        interval: Duration::from_millis(500),
        timeout: Duration::from_secs(2),
        rise: 2,
        fall: 3,
        init_fail: true,
        run_as: RunAs::Agent,
    };
    assert_eq!(script.kind, CheckKind::Script(expected));
    let expected = ProcessCheck {
        command: "/usr/sbin/nginx".into(),
        parameters: Some(ParameterMatch::Partial(vec!["-g".into()])),
        full_command: true,
        quorum_least: 2,
        quorum_most: Some(4),
        terminate_delay: Duration::from_millis(100),
        fork_delay: Duration::from_secs(1),
    };
    assert_eq!(process.kind, CheckKind::Process(expected));
    let init = Some(FileInit { value: -3, overwrite: true });
    assert_eq!(file.kind, CheckKind::File(FileCheck { path: "/run/load".into(), init }));
}
