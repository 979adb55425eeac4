//! What is tracked, and by what weight. The values are those that keepalived 2.2.7 shows of the same files (`keepalived -d`).

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use super::{clean, instance, read_keepalived, warned};
use crate::{
    AgentConfig,
    tests::expect,
    track::{
        Check, CheckKind, FileCheck, FileInit, ParameterMatch, ProcessCheck, RunAs, ScriptCheck, Subject,
        Tracked,
    },
};

/// At the end of a text: scripts run as root, which everybody knows.
const AS_ROOT: &str = "global_defs {\nscript_user root\n}\n";

fn config(text: &str) -> AgentConfig {
    let text = &format!("{text}{AS_ROOT}");
    let loaded = read_keepalived(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert!(loaded.findings.is_empty(), "{text}\n{:?}", loaded.findings);
    loaded.config
}

fn named<'c>(config: &'c AgentConfig, name: &str) -> &'c CheckKind {
    let found: Vec<&Check> = config.checks.iter().filter(|check| check.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {:?}", config.checks);
    &found[0].kind
}

/// A script's definition and an instance that tracks it.
fn script(lines: &str) -> String {
    format!("vrrp_script s {{\n{lines}\n}}\n{}", instance("track_script {\ns\n}"))
}

#[test]
fn weights_come_from_the_track_or_from_the_definition() {
    let text = format!(
        "{}vrrp_script s1 {{\nscript /bin/true\nweight 5 reverse\n}}\nvrrp_script s2 {{\nscript /bin/true\nweight 5 reverse\n}}\n\
         vrrp_script s3 {{\nscript /bin/true\nweight 5 reverse\n}}\nvrrp_script s4 {{\nscript /bin/true\n}}\n\
         vrrp_track_process p1 {{\nprocess nginx\n}}\nvrrp_track_process p2 {{\nprocess nginx\nweight -254\n}}\n\
         track_file f1 {{\nfile /run/load\n}}\nvrrp_track_file f2 {{\nfile /run/load\nweight 3 reverse\n}}\n",
        instance(
            "track_script {\ns1\ns2 weight 10\ns3 weight 10 noreverse\n}\ntrack_script {\ns4\n}\n\
             track_process {\np1\np2\n}\ntrack_file {\nf1\nf2 weight 4\n}\n\
             track_interface {\neth1\neth2 weight -10 reverse\n}",
        )
    );
    let config = config(&text);
    let check =
        |name: &str, weight, reverse| Tracked { subject: Subject::Check(name.into()), weight, reverse };
    let interface =
        |name: &str, weight, reverse| Tracked { subject: Subject::Interface(name.into()), weight, reverse };
    let expected = [
        check("s1", 5, true),
        check("s2", 10, true),
        check("s3", 10, false),
        check("s4", 0, false),
        check("p1", 0, false),
        check("p2", -254, false),
        check("f1", 1, false),
        check("f2", 4, true),
        interface("eth1", 0, false),
        interface("eth2", -10, true),
    ];
    assert_eq!(config.instances[0].tracks, expected);
    assert_eq!(config.checks.len(), 8);
    assert_eq!(config.checks[0].defined_at.line, 27);
}

#[test]
fn a_script_is_read_with_keepalived_s_defaults() {
    let second = Duration::from_secs(1);
    let expected = ScriptCheck {
        command: vec!["/bin/true".into()],
        interval: second,
        timeout: second,
        rise: 1,
        fall: 1,
        init_fail: false,
        run_as: RunAs::User { uid: 0, gid: 0 },
    };
    let plain = config(&script("script \"/bin/true\""));
    assert_eq!(named(&plain, "s"), &CheckKind::Script(expected.clone()));
    let whole =
        config(&script("script \"/bin/true\"\ninterval 3\ntimeout 2\nrise 2\nfall 4\ninit_fail\nweight -20"));
    let expected = ScriptCheck {
        interval: 3 * second,
        timeout: 2 * second,
        rise: 2,
        fall: 4,
        init_fail: true,
        ..expected
    };
    assert_eq!(named(&whole, "s"), &CheckKind::Script(expected));
    assert_eq!(whole.instances[0].tracks[0].weight, -20);
    let long = config(&script("script \"/bin/true\"\ninterval 5"));
    assert!(matches!(named(&long, "s"), CheckKind::Script(script) if script.timeout == 5 * second));
}

/// As keepalived 2.2.7 splits them, seen by a program that writes its arguments down.
#[test]
fn a_command_is_split_as_keepalived_does() {
    for (written, arguments) in [
        (r#"script "/bin/echo a b""#, ["a", "b"].as_slice()),
        (r#"script "/bin/echo 'a b' c""#, &["a b", "c"]),
        (r#"script '/bin/echo "a b" c'"#, &["a b", "c"]),
        (r#"script "/bin/echo \"a b\" c""#, &["a b", "c"]),
        (r#"script "'/bin/echo' a""#, &["a"]),
        (r#"script "/bin/echo a\\ b""#, &["a b"]),
        (r#"script "/bin/echo 'a\\'b' c""#, &["a'b", "c"]),
        (r#"script "/bin/echo a'b c'd""#, &["ab cd"]),
        (r#"script "/bin/echo '' c""#, &["", "c"]),
        (r#"script "/bin/echo  a\tb\nc""#, &["a", "b", "c"]),
        (r#"script "/bin/echo \\t""#, &["\t"]),
        (r#"script "/bin/echo 'a;b && c'""#, &["a;b && c"]),
        (r#"script "/bin/echo \"a 'b c' d\"""#, &["a 'b c' d"]),
        (r#"script "   /bin/echo x ""#, &["x"]),
        (r#"script "/bin/echo \\'a b\\' c""#, &["'a", "b'", "c"]),
        ("script /bin/echo", &[]),
    ] {
        let config = config(&script(written));
        let CheckKind::Script(script) = named(&config, "s") else { panic!("{:?}", config.checks) };
        assert_eq!(script.command[0], "/bin/echo", "{written}");
        assert_eq!(&script.command[1..], arguments, "{written}");
    }
    let found = config(&script("script \"sh -c 'exit 0'\""));
    let CheckKind::Script(found) = named(&found, "s") else { panic!("{found:?}") };
    assert!(found.command[0].ends_with("/sh") && found.command[0].starts_with('/'), "{:?}", found.command);
}

#[test]
fn what_keepalived_reads_surprisingly_is_read_as_meant() {
    for (lines, warning) in [
        (
            "script /bin/echo -0 nginx",
            "2:8: warning: keepalived would run `/bin/echo` without the words after it",
        ),
        (
            "script \"/bin/echo -0 nginx >/dev/null\"",
            "2:8: warning: `>/dev/null` is given to the program as it is, as in keepalived",
        ),
        (
            "script \"/bin/echo -0 nginx\"\ninterval 0.5",
            "3:10: warning: `interval 0.5` counts here; keepalived knows whole seconds only",
        ),
        (
            "script \"/bin/echo -0 nginx\" interval 2",
            "2:29: warning: `interval` stands on the line of `script`; keepalived would not read it",
        ),
        (
            "script \"/bin/echo -0 nginx\"\nweight 5 rise 2",
            "3:10: warning: `rise` stands on the line of `weight`; keepalived would not read it",
        ),
    ] {
        let text = script(lines) + AS_ROOT;
        warned(&text, &[warning]);
        let config = read_keepalived(&text).expect("only a warning").config;
        let CheckKind::Script(script) = named(&config, "s") else { panic!("{:?}", config.checks) };
        assert_eq!(script.command[..3], ["/bin/echo", "-0", "nginx"], "{lines}");
        assert!(script.interval == Duration::from_secs(1) || lines.contains("interval"), "{lines}");
    }
    warned(
        &format!("vrrp_script s {{\nscript /bin/true\n}}\n{}{AS_ROOT}", instance("")),
        &["1:13: warning: no instance tracks the script `s`, so nobody looks at it"],
    );
}

#[test]
fn a_script_runs_as_the_user_it_names_or_as_the_script_user() {
    let run_as = |global: &str, lines: &str| {
        let text = format!("global_defs {{\n{global}\n}}\n{}", script(&format!("script /bin/true\n{lines}")));
        let loaded = read_keepalived(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert!(loaded.findings.is_empty(), "{text}\n{:?}", loaded.findings);
        let CheckKind::Script(script) = named(&loaded.config, "s") else {
            panic!("{:?}", loaded.config.checks)
        };
        script.run_as.clone()
    };
    let user = |uid, gid| RunAs::User { uid, gid };
    let nobody = run_as("", "user nobody");
    let RunAs::User { uid, gid } = nobody else { panic!("{nobody:?}") };
    assert!(uid > 0 && gid > 0, "as /etc/passwd says");
    assert_eq!(run_as("script_user nobody", ""), user(uid, gid));
    assert_eq!(run_as("script_user nobody root", ""), user(uid, 0));
    assert_eq!(run_as("script_user root\nenable_script_security", ""), user(0, 0));
    assert_eq!(run_as("script_user nosuchuser", "user nobody root"), user(uid, 0), "nobody needs the other");

    for (global, lines, expected) in [
        ("", "user nosuchuser", "6:6: error: there is no user `nosuchuser` on this host"),
        ("", "user nobody nosuchgroup", "6:6: error: there is no group `nosuchgroup` on this host"),
        ("script_user nosuchuser", "", "2:13: error: there is no user `nosuchuser` on this host"),
    ] {
        let text = format!("global_defs {{\n{global}\n}}\n{}", script(&format!("script /bin/true\n{lines}")));
        expect(&read_keepalived(&text), &text, &[expected]);
    }
}

/// Whoever may write to a directory on the way decides what root runs.
#[test]
fn script_security_refuses_what_others_can_change() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("check.sh");
    fs::write(&path, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("changed");
    let text = |global: &str| {
        let script = script(&format!("script {}", path.display()));
        format!("global_defs {{\nscript_user root\n{global}\n}}\n{script}")
    };
    let loose = read_keepalived(text("")).expect("a warning");
    let [warning] = loose.findings.as_slice() else { panic!("{:?}", loose.findings) };
    assert!(warning.message.contains("it runs as root, but"), "{warning}");
    let strict = read_keepalived(text("enable_script_security")).expect_err("it is refused");
    let [error] = strict.findings.as_slice() else { panic!("{strict}") };
    assert!(error.message.contains("refused by `enable_script_security`"), "{error}");
    assert_eq!((error.place.line, error.place.column), (6, 8));
}

#[test]
fn a_process_is_read_with_what_keepalived_makes_of_it() {
    let read = |lines: &str| {
        let text = format!("vrrp_track_process p {{\n{lines}\n}}\n{}", instance("track_process {\np\n}"));
        let config = config(&text);
        let CheckKind::Process(process) = named(&config, "p") else { panic!("{:?}", config.checks) };
        process.clone()
    };
    let plain = ProcessCheck {
        command: "nginx".into(),
        parameters: None,
        full_command: false,
        quorum_least: 1,
        quorum_most: None,
        terminate_delay: Duration::ZERO,
        fork_delay: Duration::ZERO,
    };
    assert_eq!(read("process nginx"), plain);
    let none = ProcessCheck { quorum_least: 0, quorum_most: Some(0), ..plain.clone() };
    assert_eq!(read("process nginx\nquorum_max 0"), none);
    let seconds = Duration::from_secs;
    let delays = |fork_delay, terminate_delay| ProcessCheck { fork_delay, terminate_delay, ..plain.clone() };
    assert_eq!(read("process nginx\ndelay 2\nfork_delay 1"), delays(seconds(1), seconds(2)));
    assert_eq!(read("process nginx\nfork_delay 1\ndelay 2"), delays(seconds(2), seconds(2)));
    assert_eq!(
        read("process nginx\nterminate_delay 0.2"),
        delays(Duration::ZERO, Duration::from_millis(200))
    );
    let parameters = |command: &str, parameters| ProcessCheck {
        command: command.into(),
        parameters: Some(parameters),
        ..plain.clone()
    };
    let words = || vec!["-g".to_owned(), "daemon off;".to_owned()];
    for (line, expected) in [
        ("", ParameterMatch::Exact(words())),
        ("param_match", ParameterMatch::Exact(words())),
        ("param_match partial", ParameterMatch::Partial(words())),
        ("param_match initial", ParameterMatch::Initial(words())),
    ] {
        let found = read(&format!("process /usr/sbin/nginx -g \"daemon off;\"\n{line}"));
        assert_eq!(found, parameters("/usr/sbin/nginx", expected), "{line}");
    }
    assert_eq!(read("process nginx\nparam_match"), parameters("nginx", ParameterMatch::Exact(Vec::new())));
    assert_eq!(
        read("process \"/tmp/a b\" weight 2").command,
        "/tmp/a b",
        "every word of its line is a parameter"
    );
    let quorum = ProcessCheck { quorum_least: 2, quorum_most: Some(3), full_command: true, ..plain.clone() };
    assert_eq!(read("process nginx\nquorum 2\nquorum_max 3\nfull_command"), quorum);
}

#[test]
fn a_file_may_be_written_at_the_start() {
    for (line, init) in [
        ("", None),
        ("init_file", Some((0, false))),
        ("init_file -5", Some((-5, false))),
        ("init_file overwrite", Some((0, true))),
        ("init_file overwrite 7", Some((7, true))),
        ("init_file 7 overwrite", Some((7, true))),
    ] {
        let text =
            format!("track_file f {{\nfile \"/run/my load\"\n{line}\n}}\n{}", instance("track_file {\nf\n}"));
        let init = init.map(|(value, overwrite)| FileInit { value, overwrite });
        let expected = FileCheck { path: "/run/my load".into(), init };
        assert_eq!(named(&config(&text), "f"), &CheckKind::File(expected), "{line}");
    }
}

#[test]
fn one_name_may_be_a_script_s_and_a_process_s() {
    let text = format!(
        "vrrp_script nginx {{\nscript /bin/true\n}}\nvrrp_track_process nginx {{\nprocess nginx\n}}\n{}",
        instance("track_script {\nnginx\n}\ntrack_process {\nnginx weight 5\n}")
    );
    let config = config(&text);
    let names: Vec<&str> = config.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["nginx (script)", "nginx (process)"]);
    let tracked: Vec<&str> = config.instances[0].tracks.iter().map(|track| track.subject.name()).collect();
    assert_eq!(tracked, names);
}

#[test]
fn the_own_interface_is_tracked_anyway() {
    let found = warned(
        &instance("track_interface {\nens33\neth1\n}"),
        &["7:1: warning: `ens33` is the instance's own interface, which has its own rule"],
    );
    assert_eq!(found[0].tracks.len(), 1);
    assert!(clean(&instance("track_interface {\neth9\n}"))[0].track_service, "it need not exist yet");
}
