//! `hactl config`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use hafleet_config::{Language, load_elsewhere};
use hafleet_proto::v1::{
    ConfigChange, ConfigProblem, ConfigProgress, ConfigStep, DiffConfigResponse, DriftInstance, Generation,
    NodeCheck, NodeDrift,
};

use tokio::sync::Semaphore;

use crate::{
    fake::Script,
    run::{Desk, Ran, bare},
    sample::well,
};

fn tutorial(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tutorial").join(file).display().to_string()
}

fn import(arguments: &[&str]) -> Ran {
    let arguments = [&["config", "import"], arguments].concat();
    bare(Path::new("/nonexistent"), &arguments).output().unwrap().into()
}

/// A fleet whose last apply changed one priority.
pub fn applied() -> Script {
    let mut script = well();
    let at_us = script.fleet.at_us - 60_000_000;
    let step = |node: &str, state: &str, seconds: i64| ConfigStep {
        node: node.into(),
        state: state.into(),
        detail: if state == "unchanged" { "it runs this already".into() } else { String::new() },
        at_us: at_us + seconds * 1_000_000,
    };
    let progress = |state: &str, steps: Vec<ConfigStep>| ConfigProgress {
        generation: 8,
        state: state.into(),
        steps,
        at_us,
        ..Default::default()
    };
    let change = ConfigChange {
        subject: "group dc1/web".into(),
        node: "lb02".into(),
        what: "changed".into(),
        key: "priority".into(),
        from: "100".into(),
        to: "90".into(),
        text: "~ group dc1/web, member lb02: priority 100 -> 90".into(),
    };
    script.configs.diff = DiffConfigResponse { generation: 7, changes: vec![change], problems: Vec::new() };
    script.configs.progress = vec![
        progress("staging", vec![step("lb01", "waiting", 0), step("lb02", "waiting", 0)]),
        progress("staging", vec![step("lb01", "unchanged", 1), step("lb02", "staged", 1)]),
        progress("committing", vec![step("lb02", "committed", 2)]),
        progress("committing", vec![step("lb02", "confirmed", 6)]),
        progress("applied", Vec::new()),
    ];
    let generation = |number: u64, state: &str, message: &str, why: &str| Generation {
        number,
        parent: number - 1,
        author: "user/admin".into(),
        message: message.into(),
        created_at_us: at_us,
        state: state.into(),
        why: why.into(),
        hash: "5e2c".repeat(16),
        updated_at_us: at_us,
    };
    script.configs.generations = vec![
        generation(7, "applied", "db moves", ""),
        generation(6, "refused", "a typo", "lb02 refuses it: agent.toml:3:13: error: no interface `ens34`"),
        generation(1, "applied", "", ""),
    ];
    script.configs.text = "# the fleet\n[[group]]\n\tname = \"web\"\n".into();
    let from = |instance: &str, origin: &str, generation: u64| DriftInstance {
        instance: instance.into(),
        origin: origin.into(),
        generation,
    };
    let drift = |node: &str, state: &str, runs: u64, detail: &str| NodeDrift {
        node: node.into(),
        state: state.into(),
        runs_generation: runs,
        detail: detail.into(),
        instances: vec![from("web", "pushed", runs), from("VI_2", "local", 0), from("VI_3", "", 0)],
    };
    script.configs.drift =
        vec![drift("lb01", "in_step", 7, ""), drift("lb02", "differs", 1, "it runs generation 1")];
    script
}

fn desk(script: Script) -> (Desk, String) {
    let desk = Desk::new(script);
    let path = desk.directory.path().join("fleet.toml");
    fs::write(&path, "[[group]]\n").unwrap();
    let path = path.display().to_string();
    (desk, path)
}

#[test]
fn the_tutorials_files_become_one() {
    let (one, two) = (tutorial("dual-lb01.conf"), tutorial("dual-lb02.conf"));
    let ran = import(&[&format!("lb01={one}"), &format!("lb02={two}"), "--site", "dc1"]);
    // They do disagree: one of the tutorial's files has a prefix length that the other has not.
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("`addresses` of VI_2 is 192.168.178.4/32 label \"ens33:4\" on lb01"),
        "{}",
        ran.stderr
    );
    insta::assert_snapshot!("import_dual", ran.stdout);
    let file = hafleet_fleetfile::parse(&ran.stdout).unwrap();
    assert_eq!(file.groups.len(), 2);
    assert!(file.groups.iter().all(|group| group.members.len() == 2));
}

#[test]
fn scripts_of_other_hosts_need_not_be_here() {
    let path = "../agent/config/src/keepalived/tests/corpus/nginx_check.conf";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string();
    let ran = import(&[&format!("lb01={file}"), &format!("lb02={file}")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("both have priority"), "{}", ran.stderr);
    insta::assert_snapshot!("import_nginx", ran.stdout);
}

/// What runs by the new file is what ran by the old one.
#[test]
fn nothing_gets_lost_on_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for folder in ["tests/tutorial", "agent/config/src/keepalived/tests/corpus"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(old) = load_elsewhere(Language::KeepalivedConf, &path) else { continue };
            let ran = import(&[&format!("lb01={}", path.display())]);
            let file = hafleet_fleetfile::parse(&ran.stdout)
                .unwrap_or_else(|problems| panic!("{}: {problems:#?}", path.display()));
            let pushed = directory.path().join("agent.toml");
            fs::write(&pushed, file.compile("lb01")).unwrap();
            let new = load_elsewhere(Language::AgentToml, &pushed)
                .unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), file.compile("lb01")));
            let told = |config: &hafleet_config::AgentConfig| {
                let mut instances = config.instances.clone();
                for instance in &mut instances {
                    instance.defined_at = Default::default();
                    instance.tracks.sort_by(|one, other| one.subject.cmp(&other.subject));
                    let interface = instance.interface.clone();
                    for vip in &mut instance.vips {
                        vip.dev = vip.dev.take().filter(|dev| *dev != interface);
                    }
                }
                let mut checks: Vec<_> =
                    config.checks.iter().map(|check| (check.name.clone(), check.kind.clone())).collect();
                checks.sort_by(|one, other| one.0.cmp(&other.0));
                (instances, checks)
            };
            assert_eq!(told(&new.config), told(&old.config), "{}", path.display());
            seen += usize::from(!old.config.instances.is_empty());
        }
    }
    assert!(seen >= 10, "only {seen} files");
}

#[test]
fn where_hosts_disagree_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(tutorial("single-lb02.conf")).unwrap();
    let text = text.replace("virtual_router_id 51", "virtual_router_id 52").replace("1111", "2222");
    let other = directory.path().join("lb02.conf");
    fs::write(&other, text).unwrap();
    let (one, two) = (tutorial("single-lb01.conf"), other.display().to_string());
    let ran = import(&[&format!("lb01={one}"), &format!("lb02={two}")]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("VI_1"), "{}", ran.stderr);
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        told.iter()
            .any(|line| line.contains("lb02.conf:") && line.contains("`vrid` of VI_1 is 51 on lb01 (")),
        "{told:#?}"
    );
    assert!(
        told.iter().any(|line| line.contains("`auth` of VI_1 is a password on lb01")
            && line.ends_with("but another password on lb02")),
        "{told:#?}"
    );
    assert!(!ran.stderr.contains("2222"), "a password is never told");
    assert!(ran.stdout.contains("vrid = 51\n"), "the first one's word stands: {}", ran.stdout);

    let ran = import(&["lb01=/nonexistent.conf"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    let ran = import(&[&format!("lb01={one}"), &format!("lb01={one}")]);
    assert!(ran.code == Some(2) && ran.stderr.contains("lb01 is named twice"), "{}", ran.stderr);
    assert_eq!(import(&["lb01"]).code, Some(2));
}

#[test]
fn an_apply_is_told_step_by_step() {
    let (desk, file) = desk(applied());
    let ran = desk.run(&["config", "apply", &file, "--yes", "--message", "less of lb02", "--confirm", "30s"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr, "~ group dc1/web, member lb02: priority 100 -> 90\n");
    insta::assert_snapshot!("apply", ran.stdout);
    let asked = desk.coordinator.asked();
    for words in ["parent: 7", "message: \"less of lb02\"", "confirm_within_us: 30000000"] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    insta::assert_snapshot!(
        "apply_json",
        desk.run(&["config", "apply", &file, "--yes", "-o", "json"]).stdout
    );
    insta::assert_snapshot!(
        "apply_jsonl",
        desk.run(&["config", "apply", &file, "--yes", "-o", "jsonl"]).stdout
    );
    let ran = desk.run(&["config", "rollback", "1", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(desk.coordinator.asked().contains("RollbackConfigRequest { generation: 1, parent: 7"));
}

/// Each message is shown before the next has come: it is not kept for the end.
#[test]
fn an_apply_is_told_live_in_a_pipe() {
    for (format, lines) in [
        ("table", ["unchanged", "staged", "committed", "confirmed", "is applied"]),
        ("jsonl", ["\"waiting\"", "\"staged\"", "\"committed\"", "\"confirmed\"", "\"applied\""]),
    ] {
        let mut script = applied();
        let pace = Arc::new(Semaphore::new(0));
        script.configs.pace = Some(Arc::clone(&pace));
        let (desk, file) = desk(script);
        let mut command = desk.command(&["config", "apply", &file, "--yes", "-o", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        // In words, that nodes wait is worth no line, and the second message two.
        let first = usize::from(format == "table");
        pace.add_permits(1 + first);
        let mut said = Vec::new();
        for words in lines {
            said.push(told.next().unwrap().unwrap());
            assert!(said.last().unwrap().contains(words), "{words}: {said:#?}");
            if words != "unchanged" {
                pace.add_permits(1);
            }
        }
        assert!(told.next().is_none());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn an_apply_asks_first() {
    let (desk, file) = desk(applied());
    let ran: Ran = desk.command(&["config", "apply", &file]).stdin(Stdio::null()).output().unwrap().into();
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("Apply 1 changes to the fleet?") && ran.stderr.contains("--yes"),
        "{}",
        ran.stderr
    );
    assert!(!desk.coordinator.asked().contains("ApplyConfigRequest"));
}

#[test]
fn each_end_of_an_apply_has_its_exit_code() {
    let end = |state: &str, why: &str| {
        let mut script = applied();
        let last = script.configs.progress.last_mut().unwrap();
        (last.state, last.why) = (state.into(), why.into());
        let (desk, file) = desk(script);
        desk.run(&["config", "apply", &file, "--yes"])
    };
    let ran = end("rolled_back", "no_master: nobody holds it");
    assert_eq!(ran.code, Some(6));
    assert!(
        ran.stdout
            .ends_with("generation 8 is given up, and every node went back: no_master: nobody holds it\n"),
        "{}",
        ran.stdout
    );
    let (mut script, why) = (applied(), "lb02 went back by itself: late");
    for (index, (node, state)) in [(2, ("lb02", "rolled_back")), (3, ("lb01", "failed"))] {
        let progress = &mut script.configs.progress[index];
        progress.state = "rolling_back".into();
        let detail = if state == "failed" { "lb01 is not connected".to_owned() } else { String::new() };
        let at_us = progress.at_us;
        progress.steps = vec![ConfigStep { node: node.into(), state: state.into(), detail, at_us }];
    }
    let last = script.configs.progress.last_mut().unwrap();
    (last.state, last.why) = ("rolled_back".into(), why.into());
    let (partly, file) = desk(script);
    let ran = partly.run(&["config", "apply", &file, "--yes"]);
    assert_eq!(ran.code, Some(6));
    insta::assert_snapshot!("apply_partly_failed", ran.stdout);
    let ran = partly.run(&["config", "apply", &file, "--yes", "-o", "json"]);
    assert_eq!(ran.code, Some(6));
    insta::assert_snapshot!("apply_partly_failed_json", ran.stdout);
    let ran = end("refused", "lb02 refuses it");
    assert_eq!(ran.code, Some(6));
    assert!(ran.stdout.contains("nothing runs differently: lb02 refuses it"), "{}", ran.stdout);
    let mut lost = applied();
    lost.configs.progress.pop();
    let (lost, file) = desk(lost);
    let ran = lost.run(&["config", "apply", &file, "--yes"]);
    assert_eq!(ran.code, Some(7));
    assert!(
        ran.stderr.contains("it goes on") || ran.stderr.contains("It goes on without hactl"),
        "{}",
        ran.stderr
    );
    let ran = lost.run(&["config", "apply", &file, "--yes", "--parent", "3"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("made from generation 3, but generation 7 was applied since"),
        "{}",
        ran.stderr
    );
}

#[test]
fn differences_and_drift_are_1_and_errors_2() {
    let (desk, file) = desk(applied());
    let ran = desk.run(&["config", "diff", &file]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(1), "~ group dc1/web, member lb02: priority 100 -> 90\n")
    );
    let ran = desk.run(&["config", "drift"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!("drift", ran.stdout);
    insta::assert_snapshot!("drift_json", desk.run(&["config", "drift", "-o", "json"]).stdout);
    let problem = |severity: &str| ConfigProblem {
        severity: severity.into(),
        line: 5,
        column: 8,
        message: "`vrid` is a whole number from 1 to 255, here is 510".into(),
        help: "choose another".into(),
    };
    desk.coordinator.script.lock().unwrap().configs.problems = vec![problem("warning")];
    let ran = desk.run(&["config", "validate", &file]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut script = applied();
    script.configs.problems = vec![problem("error")];
    script.configs.diff.problems = vec![problem("error")];
    script.configs.diff.changes.clear();
    let (wrong, file) = self::desk(script);
    let ran = wrong.run(&["config", "validate", &file]);
    assert_eq!(ran.code, Some(2));
    let line =
        format!("{file}:5:8: error: `vrid` is a whole number from 1 to 255, here is 510 (choose another)\n");
    assert_eq!(ran.stdout, line);
    for verb in ["diff", "apply"] {
        let ran = wrong.run(&["config", verb, &file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{verb}");
        assert!(ran.stderr.contains(line.trim()), "{verb}: {}", ran.stderr);
    }
    assert!(!wrong.coordinator.asked().contains("ApplyConfigRequest"));
    let ran = wrong.run(&["config", "validate", "/nonexistent/fleet.toml"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("cannot read /nonexistent/fleet.toml"),
        "{}",
        ran.stderr
    );

    let mut same = applied();
    same.configs.diff.changes.clear();
    same.configs.drift.pop();
    let (same, file) = self::desk(same);
    for arguments in [&["config", "diff", &file][..], &["config", "apply", &file], &["config", "drift"]] {
        let ran = same.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    }
    assert!(!same.coordinator.asked().contains("ApplyConfigRequest"), "there is nothing to apply");
    let ran = same.run(&["config", "apply", &file, "--again", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn history_and_show_in_every_format() {
    let (desk, _) = desk(applied());
    for format in ["table", "wide", "json", "jsonl"] {
        insta::assert_snapshot!(
            format!("history_{format}"),
            desk.run(&["config", "history", "-o", format]).stdout
        );
    }
    assert_eq!(desk.run(&["get", "configs"]).stdout, desk.run(&["config", "history"]).stdout);
    let one = desk.run(&["get", "configs", "6", "-o", "json"]).stdout;
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!((one.as_array().unwrap().len(), &one[0]["state"]), (1, &serde_json::json!("refused")));
    assert_eq!(desk.run(&["get", "configs", "9"]).code, Some(3));
    // All of them were applied a minute ago.
    let since = |ago: &str| desk.run(&["get", "configs", "--since", ago, "-q"]).stdout.lines().count();
    assert!(since("2m") >= 3, "{}", desk.run(&["get", "configs", "--since", "2m"]).stdout);
    assert_eq!(since("30s"), 0);
    let ran = desk.run(&["config", "show"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "# the fleet\n[[group]]\n\tname = \"web\"\n"));
    insta::assert_snapshot!("show_json", desk.run(&["config", "show", "7", "-o", "json"]).stdout);
    let ran = desk.run(&["config", "show", "9"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("there is no generation `9`"), "{}", ran.stderr);
    let ran = desk.run(&["config", "history", "--limit", "1"]);
    assert!(ran.stderr.contains("Only the newest 1 are shown"), "{}", ran.stderr);
}

#[test]
fn validate_asks_the_members_unless_it_is_told_not_to() {
    let check = |node: &str, state: &str, detail: &str| NodeCheck {
        node: node.into(),
        state: state.into(),
        detail: detail.into(),
    };
    let mut script = applied();
    script.configs.checks = vec![
        check("lb01", "valid", ""),
        check("lb02", "valid", "/s/pushed/0/agent.toml:4:1: warning: `x` is old: error: none"),
        check(
            "lb04",
            "not_connected",
            "it is not connected: its interfaces and its own files were not looked at",
        ),
        check("lb05", "unknown", "lb05 did not answer within 8 s"),
    ];
    let (desk, file) = desk(script);
    let ran = desk.run(&["config", "validate", &file]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "none of it is an error");
    let told = ran.stdout.replace(&file, "fleet.toml");
    insta::assert_snapshot!("validate_warnings", told);

    let wrong = check(
        "lb03",
        "invalid",
        "/s/pushed/0/agent.toml:3:13: error: `VI_1` needs the interface `ens34`\n/s/pushed/0/agent.toml:9:1: error: and more",
    );
    desk.coordinator.script.lock().unwrap().configs.checks.push(wrong);
    let ran = desk.run(&["config", "validate", &file]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stdout
            .contains("lb03: /s/pushed/0/agent.toml:3:13: error: `VI_1` needs the interface `ens34`\nlb03: "),
        "{}",
        ran.stdout
    );
    let ran = desk.run(&["config", "validate", &file, "-o", "json"]);
    insta::assert_snapshot!("validate_json", ran.stdout);

    let ran = desk.run(&["config", "validate", &file, "--offline"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout, format!("{file}: nothing is wrong with it\n"));
    let asked = desk.coordinator.asked();
    assert_eq!(asked.matches("CheckConfigRequest").count(), 3, "{asked}");
    assert_eq!(asked.matches("ValidateConfigRequest").count(), 1, "{asked}");
}

/// A label belongs to an interface: two hosts may have the same address under two labels.
#[test]
fn labels_that_differ_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(tutorial("single-lb01.conf")).unwrap();
    let labelled = |name: &str, label: &str| {
        let path = directory.path().join(name);
        let text = text.replace("ens33:3\n", &format!("{label}\n"));
        assert!(text.contains(label), "{text}");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let one = labelled("lb01.conf", "ens33:1");
    let two = labelled("lb02.conf", "ens33:2");
    let ran = import(&[&format!("lb01={one}"), &format!("lb02={two}")]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("`addresses` of VI_1 is 192.168.178.3/24 label \"ens33:1\" on lb01")
            && ran.stderr.contains("label \"ens33:2\" on lb02"),
        "{}",
        ran.stderr
    );
    let ran = import(&[&format!("lb01={one}"), &format!("lb02={one}")]);
    assert!(!ran.stderr.contains("label"), "{}", ran.stderr);
}
