use std::{
    io::Write,
    process::{Child, ChildStdin, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::config::track::ParameterMatch;

/// Set for the run of these tests in a network namespace, where the kernel tells nothing of processes.
const IN_NAMESPACE: &str = "HAFLEET_TEST_NO_PROCESS_EVENTS";

fn process(name: &str, command: &str) -> ProcessCheck {
    assert!(name.len() <= 15);
    ProcessCheck {
        command: command.to_owned(),
        parameters: None,
        full_command: false,
        quorum_least: 1,
        quorum_most: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    }
}

/// A shell under another name, told what to do line by line.
struct Shell {
    child: Child,
    input: ChildStdin,
}

impl Shell {
    fn start(path: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(path).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, input }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A copy of the shell that no other test has.
fn shell(directory: &Path) -> (String, PathBuf) {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = format!("sh{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let path = directory.join(&name);
    std::fs::copy("/bin/sh", &path).unwrap();
    (name, path)
}

#[tokio::test]
async fn a_process_starts_forks_and_ends() {
    starts_forks_and_ends(false).await;
}

/// The fallback: ends are seen at once, starts by looking.
#[test]
fn the_same_where_the_kernel_tells_nothing() {
    let output = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "track::tests::processes::child_without_process_events"])
        .env(IN_NAMESPACE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("all of it was checked"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn child_without_process_events() {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        starts_forks_and_ends(true).await;
        println!("all of it was checked");
    }
}

async fn starts_forks_and_ends(looks: bool) {
    let directory = tempfile::tempdir().unwrap();
    let (name, path) = shell(directory.path());
    let path_text = path.to_str().unwrap();
    let one = process(&name, &name);
    let two = ProcessCheck { quorum_least: 2, ..one.clone() };
    let none = ProcessCheck { quorum_least: 0, quorum_most: Some(0), ..one.clone() };
    let exact = ProcessCheck {
        parameters: Some(ParameterMatch::Exact(vec!["-e".to_owned()])),
        ..process(&name, path_text)
    };
    let checks = [("1 one", one), ("2 two", two), ("3 none", none), ("4 exact", exact)];
    let (tracker, mut reports) =
        start(checks.map(|(name, kind)| check(name, CheckKind::Process(kind))).to_vec()).unwrap();
    let (up, down) = (TrackResult::Up, TrackResult::Down);
    let mut expect = async |expected: &[(&str, TrackResult)]| {
        let mut came = Vec::new();
        while came.len() < expected.len() {
            let report = next(&mut reports).await;
            assert_eq!(report.detail.contains("looked for every second"), looks, "{report:?}");
            came.push((report.check, report.result));
        }
        came.sort_by(|one, other| one.0.cmp(&other.0));
        let came: Vec<_> = came.iter().map(|(check, result)| (check.as_str(), *result)).collect();
        assert_eq!(came, expected);
    };
    expect(&[("1 one", down), ("2 two", down), ("3 none", up), ("4 exact", down)]).await;

    let mut first = Shell::start(&path, &[]);
    expect(&[("1 one", up), ("3 none", down)]).await;
    // A fork without an exec: two of that name.
    first.tell("exec 3<&0; (read x <&3) & wait");
    expect(&[("2 two", up)]).await;
    let second = Shell::start(&path, &["-e"]);
    expect(&[("4 exact", up)]).await;
    second.kill();
    expect(&[("4 exact", down)]).await;
    // Its child reads until the end of what it is told.
    drop(first.input);
    first.child.wait().unwrap();
    expect(&[("1 one", down), ("2 two", down), ("3 none", up)]).await;

    // Becoming another program, and taking a name.
    let mut third = Shell::start(&path, &[]);
    expect(&[("1 one", up), ("3 none", down)]).await;
    third.tell("exec cat");
    expect(&[("1 one", down), ("3 none", up)]).await;
    third.kill();
    let mut named = Shell::start(Path::new("/bin/sh"), &[]);
    named.tell(&format!("printf {name} >/proc/$$/comm; read x"));
    expect(&[("1 one", up), ("3 none", down)]).await;
    named.kill();
    expect(&[("1 one", down), ("3 none", up)]).await;
    tracker.stop().await;
}

#[tokio::test]
async fn delays_bridge_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (name, path) = shell(directory.path());
    let delay = Duration::from_millis(700);
    let patient = ProcessCheck { terminate_delay: delay, ..process(&name, &name) };
    let quick = process(&name, &name);
    let checks = [("patient", patient), ("quick", quick)];
    let (tracker, mut reports) =
        start(checks.map(|(name, kind)| check(name, CheckKind::Process(kind))).to_vec()).unwrap();
    let first = Shell::start(&path, &[]);
    let mut quick_is = None;
    let mut patient_is = None;
    while (patient_is, quick_is) != (Some(TrackResult::Up), Some(TrackResult::Up)) {
        let report = next(&mut reports).await;
        *(if report.check == "quick" { &mut quick_is } else { &mut patient_is }) = Some(report.result);
    }
    first.kill();
    assert_eq!(next_of(&mut reports, "quick").await.0, TrackResult::Down);
    let second = Shell::start(&path, &[]);
    assert_eq!(next_of(&mut reports, "quick").await.0, TrackResult::Up);
    second.kill();
    assert_eq!(next_of(&mut reports, "quick").await.0, TrackResult::Down);
    let down_at = status_of(&tracker, "quick").changed_at.unwrap();
    assert_eq!(next_of(&mut reports, "patient").await.0, TrackResult::Down);
    let took = status_of(&tracker, "patient").changed_at.unwrap().since(down_at);
    assert!(took + Duration::from_millis(20) >= delay, "{took:?}");
    tracker.stop().await;
}
