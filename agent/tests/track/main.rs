//! Scripts as the agent's own file starts them: for other users, without anything of the agent.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ha_agent::{
    config::{
        Place,
        track::{Check, CheckKind, RunAs, ScriptCheck},
    },
    track::{CheckReport, Tracker},
};
use hafleet_vrrp::TrackResult;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// More than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const SOMEBODY: RunAs = RunAs::User { uid: 12345, gid: 23456 };

/// Everybody may read and pass it, whatever the umask.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn program(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs it once and says what came of it.
async fn first_report(command: &[&str], run_as: RunAs, timeout: Duration) -> CheckReport {
    let kind = ScriptCheck {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        interval: Duration::from_secs(3600),
        timeout,
        rise: 1,
        fall: 1,
        init_fail: false,
        run_as,
    };
    let check = Check { name: "chk".to_owned(), kind: CheckKind::Script(kind), defined_at: Place::default() };
    let (tracker, mut reports) =
        Tracker::start(vec![check], Path::new(env!("CARGO_BIN_EXE_ha-agent"))).unwrap();
    let report = tokio::time::timeout(PATIENCE, reports.recv()).await.expect("a report comes").unwrap();
    tracker.stop().await;
    report
}

/// What such a program writes to a file that everybody may write to.
async fn written(run_as: &RunAs, command: &[&str]) -> String {
    let directory = directory();
    let output = directory.path().join("output");
    fs::write(&output, "").unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o666)).unwrap();
    let output = output.to_str().unwrap();
    let command: Vec<_> = command.iter().map(|word| if *word == "OUTPUT" { output } else { *word }).collect();
    let report = first_report(&command, run_as.clone(), PATIENCE).await;
    assert_eq!(report.result, TrackResult::Up, "{report:?}");
    fs::read_to_string(output).unwrap()
}

#[tokio::test]
async fn a_script_has_nothing_of_the_agent() {
    assert!(rustix::process::getuid().is_root(), "run the tests as root, as the agent runs");
    for (run_as, uid, gid) in
        [(RunAs::Agent, 0, 0), (RunAs::User { uid: 0, gid: 0 }, 0, 0), (SOMEBODY, 12345, 23456)]
    {
        let status = written(&run_as, &["/bin/cp", "/proc/self/status", "OUTPUT"]).await;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(field("Uid"), vec![uid.to_string(); 4]);
        assert_eq!(field("Gid"), vec![gid.to_string(); 4]);
        assert_eq!(field("SigBlk"), ["0000000000000000"]);
        // The C library keeps two signals of its own ignored.
        assert_eq!(u64::from_str_radix(&field("SigIgn")[0], 16).unwrap() & 0x7fff_ffff, 0, "{status}");
        if run_as == SOMEBODY {
            assert_eq!(field("Groups"), [gid.to_string()]);
            assert_eq!(field("CapEff"), ["0000000000000000"]);
        }

        let stat = written(&run_as, &["/bin/cp", "/proc/self/stat", "OUTPUT"]).await;
        let stat: Vec<_> = stat.split(' ').collect();
        assert_eq!(stat[0], stat[4], "it leads a process group");

        // find(1) opens directories and what it writes to.
        let find = ["/usr/bin/find", "/proc/self/fd/", "-type", "l", "-fprintf", "OUTPUT", "%f %l\n"];
        let descriptors = written(&run_as, &find).await;
        for descriptor in descriptors.lines() {
            let (number, target) = descriptor.split_once(' ').unwrap();
            // What the starter of this test left open is everybody's.
            if fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|own| own == Path::new(target)) {
                continue;
            }
            let is_standard = ["0", "1", "2"].contains(&number);
            let is_its_own =
                target.ends_with("/output") || target.starts_with("/proc/") || Path::new(target).is_dir();
            assert!(
                if is_standard { target == "/dev/null" } else { is_its_own },
                "{run_as:?}\n{descriptors}"
            );
        }
        assert!(descriptors.lines().count() >= 3, "{descriptors}");
    }
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let directory = directory();
    let show = program(directory.path(), "show", "#!/bin/sh\nprintf '[%s]' \"$@\" >\"$1\"\n");
    for run_as in [RunAs::Agent, SOMEBODY] {
        let seen = written(&run_as, &[show.to_str().unwrap(), "OUTPUT", "a b", "", "$HOME *", "-x"]).await;
        assert!(seen.ends_with("/output][a b][][$HOME *][-x]"), "{seen}");
    }
}

#[tokio::test]
async fn why_another_user_cannot_run_it_is_said() {
    let directory = directory();
    let locked = program(directory.path(), "locked", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    let plain = program(directory.path(), "plain", "exit 7\n");
    let cases: [(&[&str], &str); 6] = [
        (&[locked.to_str().unwrap()], "cannot be run: Permission denied (os error 13)"),
        (&["/no/such/program"], "cannot be run: No such file or directory (os error 2)"),
        (&[plain.to_str().unwrap()], "exit code 7"),
        (&["/bin/sh", "-c", "exit 126"], "exit code 126"),
        (&["/bin/sh", "-c", "kill -9 $$"], "killed by signal 9"),
        (&["/bin/sh", "-c", "test $(id -u) = 12345"], "exit code 0"),
    ];
    for (command, detail) in cases {
        assert_eq!(first_report(command, SOMEBODY, PATIENCE).await.detail, detail, "{command:?}");
    }
}

#[tokio::test]
async fn another_user_s_script_is_ended_with_its_group() {
    let directory = directory();
    let output = directory.path().join("output");
    fs::write(&output, "").unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o666)).unwrap();
    let command = format!("sleep 1000 & echo $! $$ >{}; wait", output.display());
    let report = first_report(&["/bin/sh", "-c", &command], SOMEBODY, Duration::from_secs(2)).await;
    assert_eq!((report.result, report.detail.as_str()), (TrackResult::Down, "no end within 2s"));
    // The tracker was stopped: whatever is left of it ended before.
    let pids = fs::read_to_string(&output).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2);
    for pid in pids.split_whitespace() {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        // Gone and reaped, or on its way: it was killed.
        let Ok(ending) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let ended = poll(&mut [PollFd::new(&ending, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(ended, 1, "{pid:?} goes on");
    }
}

#[test]
fn stepping_down_needs_the_right_to() {
    let output = Command::new("setpriv")
        .args(["--reuid=12345", "--regid=23456", "--clear-groups", "--"])
        .args([env!("CARGO_BIN_EXE_ha-agent"), "run-as", "0", "0", "/bin/sh", "-c", "echo was root"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
}
