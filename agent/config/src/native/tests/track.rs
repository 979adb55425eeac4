//! What is tracked.

use std::time::Duration;

use super::{clean, instance};
use crate::tests::{expect, read_native};
use crate::track::{
    CheckKind, FileCheck, FileInit, ParameterMatch, ProcessCheck, RunAs, ScriptCheck, Subject, Tracked,
};

#[test]
fn everything_that_can_be_tracked() {
    let text = "script_user = \"root\"\nscript_security = true\n".to_owned()
        + &instance(
            "track = [{ interface = \"ens33\" }, { interface = \"eth1\", weight = -10 }, { script = \"web\" }, { process = \"web\", weight = 0, reverse = true }, { file = \"load\" }]",
        )
        + r#"
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
        run_as: RunAs::User { uid: 0, gid: 0 },
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

#[test]
fn a_script_runs_as_the_user_it_names() {
    let text = |before: &str, lines: &str| {
        format!(
            "{before}\n{}[[script]]\nname = \"s\"\ncommand = [\"true\"]\n{lines}\n",
            instance("track = [{ script = \"s\" }]")
        )
    };
    let run_as = |before: &str, lines: &str| {
        let config = clean(&text(before, lines));
        let CheckKind::Script(script) = &config.checks[0].kind else { panic!("{:?}", config.checks) };
        script.run_as.clone()
    };
    let nobody = run_as("", "user = \"nobody\"");
    let RunAs::User { uid, gid } = nobody else { panic!("{nobody:?}") };
    assert!(uid > 0 && gid > 0, "as /etc/passwd says");
    let in_root = RunAs::User { uid, gid: 0 };
    assert_eq!(run_as("script_user = \"root\"", "user = \"nobody\"\ngroup = \"root\""), in_root);
    assert_eq!(run_as("script_user = \"nobody\"\nscript_group = \"root\"", ""), in_root);
    for (before, lines, expected) in [
        ("", "user = \"nosuchuser\"", "11:8: error: there is no user `nosuchuser` on this host"),
        ("script_user = \"nosuchuser\"", "", "1:15: error: there is no user `nosuchuser` on this host"),
        (
            "script_user = \"root\"",
            "group = \"root\"",
            "11:9: error: a group without a user: there is no `user`",
        ),
        (
            "script_group = \"root\"",
            "user = \"root\"",
            "1:16: error: a group without a user: there is no `script_user`",
        ),
    ] {
        let text = text(before, lines);
        expect(&read_native(&text), &text, &[expected]);
    }
}
