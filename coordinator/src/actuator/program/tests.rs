#![allow(clippy::unwrap_used, clippy::panic)]
use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::TempDir;
use tokio::time::Instant;

use super::*;

const DUMMY: &str = "/usr/sbin/fence_dummy";
const SOON: Duration = Duration::from_secs(20);

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::Plain((*value).to_owned()))).collect()
}

/// A program of our own, for what a good one does not do.
fn script(dir: &TempDir, body: &str) -> PathBuf {
    let path = dir.path().join("fence_test");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn knows(names: &[&str]) -> Metadata {
    let parameter = |name: &&str| {
        let is_secret = name.contains("passw");
        ((*name).to_owned(), Parameter { is_secret, ..Parameter::default() })
    };
    Metadata {
        parameters: names.iter().map(parameter).collect(),
        actions: ["off", "status"].map(str::to_owned).into(),
        ..Metadata::default()
    }
}

async fn report(body: &str, action: Action, within: Duration) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let path = script(&dir, body);
    let program = FenceProgram::new(
        &path,
        &knows(&["plug", "passwd"]),
        given(&[("plug", "lb01"), ("passwd", "hunter2")]),
    );
    program.unwrap().act(action, within).await
}

#[tokio::test]
async fn debian_s_fence_dummy_is_asked_told_and_believed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("status");
    fs::write(&file, "on").unwrap();
    let metadata = FenceProgram::metadata(Path::new(DUMMY)).await.unwrap();
    assert_eq!(metadata.name, "fence_dummy");
    let parameters = given(&[("type", "file"), ("status_file", file.to_str().unwrap())]);
    let program = FenceProgram::new(Path::new(DUMMY), &metadata, parameters).unwrap();

    let status = program.act(Action::Status, SOON).await;
    assert_eq!(status.power(), Power::On, "{status:?}");
    let off = program.act(Action::Off, SOON).await;
    assert!(off.is_done(), "{off:?}");
    // It says that it did; whether it is so is another question.
    assert_eq!(off.power(), Power::Unknown);
    let status = program.act(Action::Status, SOON).await;
    assert_eq!(status.power(), Power::Off, "{status:?}");
    // Once more is no failure.
    assert!(program.act(Action::Off, SOON).await.is_done());
    assert!(program.act(Action::On, SOON).await.is_done());
    assert_eq!(program.act(Action::Status, SOON).await.power(), Power::On);
}

/// A parameter of the package that sounds so is a secret, unless a person has looked at it: see the next.
const SOUNDS_SECRET: [&str; 8] = ["pass", "key", "kg", "secret", "token", "community", "cred", "cert"];
/// Where secrets are or come from, certificates, and what is known to everybody.
const NOT_SECRET: [&str; 10] = [
    "passwd_script",
    "password_script",
    "snmp_priv_passwd_script",
    "token_file",
    "tlskey",
    "tlscert",
    "tlscacert",
    "cacert",
    // Of SCSI reservations.
    "key",
    "key_value",
];

/// Every program of the package describes itself so that it is understood.
#[tokio::test]
async fn every_fence_agent_of_debian_is_understood() {
    let programs: Vec<PathBuf> = fs::read_dir("/usr/sbin")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("fence_")))
        .collect();
    let mut understood = 0;
    for path in &programs {
        match FenceProgram::metadata(path).await {
            Ok(metadata) => {
                understood += 1;
                assert!(!metadata.parameters.is_empty(), "{}", path.display());
                for (name, parameter) in &metadata.parameters {
                    let sounds = SOUNDS_SECRET.iter().any(|word| name.to_lowercase().contains(word));
                    let expected = sounds && !NOT_SECRET.contains(&name.as_str());
                    assert_eq!(parameter.is_secret, expected, "{}: {name}", path.display());
                }
            }
            // One whose libraries are not installed says so.
            Err(error) => assert!(matches!(error, ProgramError::NoMetadata { .. }), "{error}"),
        }
    }
    assert!(understood > programs.len() / 2, "{understood} of {}", programs.len());
}

#[tokio::test]
async fn a_program_sees_its_parameters_on_its_input_and_nowhere_else() {
    let report = report("cat; echo \"args: $#\"; env | sort", Action::Off, SOON).await;
    let expected = "action=off\npasswd=***\nplug=lb01\nargs: 0\n";
    assert!(report.output.starts_with(expected), "{}", report.output);
    let names: Vec<&str> =
        report.output.lines().skip(4).map(|line| line.split('=').next().unwrap()).collect();
    assert!(
        names.iter().all(|name| ["LC_ALL", "PATH", "PWD", "_", "SHLVL", "OLDPWD"].contains(name)),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_is_shown_and_kept_has_no_secret() {
    let program = FenceProgram::new(
        Path::new("/usr/sbin/fence_x"),
        &knows(&["plug", "passwd"]),
        given(&[("plug", "lb01"), ("passwd", "hunter2")]),
    )
    .unwrap();
    assert_eq!(program.command(Action::Off), "/usr/sbin/fence_x action=off passwd=*** plug=lb01");
    assert!(!format!("{program:?}").contains("hunter2"));
    // The program does not call it secret, whoever configured it does.
    let secret = BTreeMap::from([("plug".to_owned(), Value::Secret("port7".to_owned()))]);
    let program = FenceProgram::new(Path::new("/usr/sbin/fence_x"), &knows(&["plug"]), secret).unwrap();
    assert_eq!(program.command(Action::Off), "/usr/sbin/fence_x action=off plug=***");
    let report = report("echo cannot log in with hunter2 >&2; exit 1", Action::Off, SOON).await;
    assert_eq!((report.exit, report.output.as_str()), (Exit::Code(1), "cannot log in with ***\n"));
}

/// The names are those of Debian's programs.
#[test]
fn what_is_secret_is_known_by_its_name() {
    let secrets = [
        "password",
        "passwd",
        "snmp_priv_passwd",
        "passphrase",
        "community",
        "secret_key",
        "token",
        "api_key",
    ];
    let others = ["ip", "plug", "username", "password_script", "identity_file", "login_timeout"];
    let parameters: String =
        secrets.iter().chain(&others).map(|name| format!("<parameter name=\"{name}\"/>")).collect();
    let text = format!("<resource-agent name=\"x\"><parameters>{parameters}</parameters></resource-agent>");
    let metadata = Metadata::parse(&text).unwrap();
    for (names, is_secret) in [(&secrets[..], true), (&others[..], false)] {
        assert!(names.iter().all(|name| metadata.parameters[*name].is_secret == is_secret), "{metadata:?}");
    }
}

/// What is kept begins in the middle of one; one is a part of another, or begins in it.
#[tokio::test]
async fn no_part_of_a_secret_is_kept() {
    let body = "printf hunter2; head -c 2044 /dev/zero | tr '\\0' x";
    let kept = report(body, Action::Off, SOON).await.output;
    assert!(kept.starts_with("***x") && kept.len() == 2047, "{kept}");
    let dir = tempfile::tempdir().unwrap();
    let path = script(&dir, "echo hunter2 is not hunter, and hunter2go is neither; echo hunter hunter");
    let secrets = given(&[("passwd", "hunter"), ("passwd_port", "hunter2"), ("passwd_snmp", "r2go")]);
    let program = FenceProgram::new(&path, &knows(&["passwd", "passwd_port", "passwd_snmp"]), secrets);
    let report = program.unwrap().act(Action::Off, SOON).await;
    assert_eq!(report.output, "*** is not ***, and *** is neither\n*** ***\n");
}

#[tokio::test]
async fn a_secret_within_another_leaves_no_rest_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = script(&dir, "cat");
    let secret = |text: &str| Value::Secret(text.to_owned());
    let both = BTreeMap::from([
        ("passwd".to_owned(), secret("hunter2")),
        ("passwd_of_root".to_owned(), secret("hunter2-and-more")),
    ]);
    let program = FenceProgram::new(&path, &knows(&["passwd", "passwd_of_root"]), both).unwrap();
    let report = program.act(Action::Off, SOON).await;
    assert_eq!(report.output, "action=off\npasswd=***\npasswd_of_root=***\n");
}

#[test]
fn secrets_in_plain_sight_are_named() {
    let mut parameters = given(&[("plug", "lb01"), ("passwd", "hunter2")]);
    let metadata = knows(&["plug", "passwd", "passwd_of_root"]);
    parameters.insert("passwd_of_root".to_owned(), Value::Secret("hunter3".to_owned()));
    assert_eq!(exposed(&metadata, &parameters), ["passwd"]);
}

#[tokio::test]
async fn a_status_that_does_not_prove_itself_is_unknown() {
    for (body, power) in [
        ("echo Status: ON", Power::On),
        ("exit 0", Power::On),
        ("echo Status: OFF; exit 2", Power::Off),
        // Of bad arguments it is 2 as well.
        ("echo Failed: bad arguments >&2; exit 2", Power::Unknown),
        ("echo Status: OFF; exit 0", Power::Unknown),
        ("echo Status: ON; echo Status: OFF; exit 2", Power::Unknown),
        ("echo Status: OFF; exit 1", Power::Unknown),
        ("kill -9 $$", Power::Unknown),
    ] {
        let report = report(body, Action::Status, SOON).await;
        assert_eq!(report.power(), power, "{body}: {report:?}");
    }
    assert_eq!(report("echo Status: OFF; exit 2", Action::Off, SOON).await.power(), Power::Unknown);
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_everything_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let body = format!("trap '' TERM; sleep 600 & echo $! $$ >{}; sleep 600", pids.display());
    let began = Instant::now();
    let report = report(&body, Action::Off, Duration::from_millis(500)).await;
    assert_eq!(report.exit, Exit::TimedOut);
    assert!(!report.is_done() && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
        // It was sent the signal that cannot be refused; the kernel takes its time.
        let gone = async {
            loop {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if stat.is_empty() || stat.contains(") Z ") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(SOON, gone).await.is_ok(), "{pid} is still there");
    }
}

#[tokio::test]
async fn one_that_leaves_a_child_with_its_output_open_does_not_hold_up() {
    let began = Instant::now();
    let report = report("sleep 600 & echo done", Action::Off, SOON).await;
    assert!(report.is_done(), "{report:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn of_endless_output_the_end_is_kept() {
    let report = report("head -c 3000000 /dev/zero | tr '\\0' x; echo the end", Action::Off, SOON).await;
    assert!(report.is_done() && report.output.len() <= OUTPUT_MAX);
    assert!(report.output.ends_with("the end\n"));
}

#[tokio::test]
async fn one_that_is_not_there_is_named() {
    let program = FenceProgram::new(Path::new("/nonexistent/fence_x"), &knows(&[]), given(&[])).unwrap();
    let report = program.act(Action::Status, SOON).await;
    assert!(matches!(&report.exit, Exit::Failed(why) if why.contains("/nonexistent/fence_x")), "{report:?}");
    assert_eq!(report.power(), Power::Unknown);
    let error = FenceProgram::metadata(Path::new("/bin/true")).await.unwrap_err();
    assert!(matches!(error, ProgramError::Metadata { .. }), "{error}");
}

#[test]
fn wrong_parameters_are_told_before_anything_runs() {
    let mut metadata = knows(&["ipaddr", "ip", "passwd", "plug"]);
    for name in ["ipaddr", "ip"] {
        metadata.parameters.get_mut(name).unwrap().is_required = true;
    }
    metadata.parameters.get_mut("ip").unwrap().aliases.push("ipaddr".into());
    metadata.parameters.get_mut("ipaddr").unwrap().aliases.push("ip".into());
    let says = |pairs: &[(&str, &str)]| {
        let path = Path::new("/usr/sbin/fence_x");
        FenceProgram::new(path, &metadata, given(pairs)).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(says(&[("ip", "10.0.0.9")]), Ok(()));
    assert_eq!(says(&[("ipaddr", "10.0.0.9")]), Ok(()));
    for (pairs, expected) in [
        (&[("ip", "a"), ("pluk", "1")][..], "there is no parameter `pluk`; did you mean `plug`?"),
        (&[("plug", "1")], "the parameter `ip` is required"),
        (&[("ip", "a"), ("action", "reboot")], "`action` is chosen with each run and cannot be configured"),
        (
            &[("ip", "a\naction=on")],
            "the value of `ip` has a line break or a NUL: a program reads one line for each parameter",
        ),
        (&[("ip", " a")], "the value of `ip` begins or ends with a blank, which a program would not see"),
    ] {
        assert_eq!(says(pairs), Err(format!("/usr/sbin/fence_x: {expected}")));
    }
    let no_off = Metadata { actions: ["status".to_owned()].into(), ..metadata.clone() };
    let error = FenceProgram::new(Path::new("/x"), &no_off, given(&[])).unwrap_err();
    assert_eq!(error.to_string(), "/x: it has no action `off`");
}
