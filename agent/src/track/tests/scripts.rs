use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use rustix::process::{Signal, getuid, kill_process};

use super::*;

fn program(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn how_it_ends_is_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let no_interpreter = program(directory.path(), "plain", "exit 7\n");
    let not_executable = directory.path().join("data");
    fs::write(&not_executable, "exit 0\n").unwrap();
    let cases: [(&[&str], TrackResult, &str); 8] = [
        (&["/bin/true"], TrackResult::Up, "exit code 0"),
        (&["/bin/false"], TrackResult::Down, "exit code 1"),
        (&["/bin/sh", "-c", "exit 42"], TrackResult::Down, "exit code 42"),
        (&["/bin/sh", "-c", "kill -9 $$"], TrackResult::Down, "killed by signal 9"),
        (&["/no/such/program"], TrackResult::Down, "cannot be run: No such file or directory (os error 2)"),
        (
            &[not_executable.to_str().unwrap()],
            TrackResult::Down,
            "cannot be run: Permission denied (os error 13)",
        ),
        (&["/tmp"], TrackResult::Down, "cannot be run: Permission denied (os error 13)"),
        (&[&no_interpreter], TrackResult::Down, "exit code 7"),
    ];
    for (command, result, detail) in cases {
        let (tracker, mut reports) = Tracker::start(vec![script("chk", command)]).unwrap();
        assert_eq!(next_of(&mut reports, "chk").await, (result, detail.to_owned()), "{command:?}");
        let status = status_of(&tracker, "chk");
        assert_eq!((status.result, status.counts.looks, status.pid), (Some(result), 1, None));
        tracker.stop().await;
        assert_eq!(reports.recv().await, None);
    }
}

#[tokio::test]
async fn a_script_has_nothing_of_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Lines::new(directory.path());
    let show = format!(
        "echo $(ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /\\1:/p' | grep -v /proc/) >{0}\n\
         echo $$ $(cut -d' ' -f5 /proc/$$/stat) $(id -u) $(id -g) >{0}\n\
         echo groups $(id -G) >{0}\n",
        lines.path.display()
    );
    let show = program(directory.path(), "show", &format!("#!/bin/sh\n{show}"));
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = getuid().as_raw();
    assert_eq!(own, 0, "run the tests as root, as the agent runs");
    for run_as in [RunAs::Agent, RunAs::User { uid: 12345, gid: 23456 }] {
        let mut check = script("chk", &[&show]);
        let CheckKind::Script(kind) = &mut check.kind else { panic!("it is a script") };
        kind.run_as = run_as.clone();
        let (tracker, mut reports) = Tracker::start(vec![check]).unwrap();
        // The pipe is the script's own redirection.
        let descriptors = lines.next().await;
        assert!(descriptors.starts_with("0:/dev/null"), "{descriptors}");
        assert!(!descriptors.contains("socket") && !descriptors.contains("anon_inode"), "{descriptors}");
        let numbers = lines.next_words().await;
        assert_eq!(numbers[0], numbers[1], "it leads a process group");
        let groups = lines.next().await;
        if let RunAs::User { uid, gid } = run_as {
            assert_eq!(numbers[2..], [uid, gid]);
            assert_eq!(groups, format!("groups {gid}"));
        } else {
            assert_eq!(numbers[2..], [0, 0]);
        }
        assert_eq!(next_of(&mut reports, "chk").await.0, TrackResult::Up);
        tracker.stop().await;
    }
}

#[tokio::test]
async fn a_time_out_ends_the_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Lines::new(directory.path());
    let limit = Duration::from_millis(300);
    let pipe = lines.path.display();
    // A child and its child; what ignores SIGTERM is killed two seconds later.
    let obeys = format!("sh -c 'sleep 1000 & echo $! $$ >{pipe}; wait' & wait");
    let ignores = format!("trap '' TERM; sh -c 'sleep 1000 & echo $! $$ >{pipe}; wait' & wait; sleep 1000");
    for (command, at_least, at_most) in [(obeys, 0, 2000), (ignores, 2000, 60_000)] {
        let hour = Duration::from_secs(3600);
        let checks = vec![timed_script("chk", &["/bin/sh", "-c", &command], hour, limit)];
        let (tracker, mut reports) = Tracker::start(checks).unwrap();
        let pids = lines.next_words().await;
        let report = next_of(&mut reports, "chk").await;
        assert_eq!(report, (TrackResult::Down, "no end within 300ms".to_owned()));
        #[allow(clippy::disallowed_methods, reason = "what is measured is how long it takes")]
        let told_at = Instant::now();
        for pid in pids {
            ended(pid).await;
        }
        let took = told_at.elapsed().as_millis();
        assert!((at_least..at_most).contains(&(took + 50)), "{command}: {took} ms");
        let status = status_of(&tracker, "chk");
        assert_eq!((status.counts.timeouts, status.counts.failures), (1, 1));
        tracker.stop().await;
    }
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_its_own_affair() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Lines::new(directory.path());
    let command = format!("sleep 1000 & echo $! >{}; exit 0", lines.path.display());
    let (tracker, mut reports) = Tracker::start(vec![timed_script(
        "chk",
        &["/bin/sh", "-c", &command],
        Duration::from_secs(3600),
        PATIENCE,
    )])
    .unwrap();
    let pid = lines.next_words().await[0];
    assert_eq!(next_of(&mut reports, "chk").await.0, TrackResult::Up);
    tracker.stop().await;
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).expect("it is still there");
}

#[tokio::test]
async fn rise_and_fall_count_real_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (results, state) = (directory.path().join("results"), directory.path().join("n"));
    // keepalived's answer to the same: up at the first, down at the third failure in a row, up at the second success.
    fs::write(&results, "0 1 1 0 1 1 1 0 1 0 0 0 0 0 0 0 0 0").unwrap();
    let command = format!(
        "n=$(cat {0} 2>/dev/null || echo 1); echo $((n+1)) >{0}; exit $(cut -d' ' -f$n {1})",
        state.display(),
        results.display()
    );
    let mut check = timed_script("chk", &["/bin/sh", "-c", &command], Duration::from_millis(50), PATIENCE);
    let CheckKind::Script(kind) = &mut check.kind else { panic!("it is a script") };
    (kind.rise, kind.fall) = (2, 3);
    let (tracker, mut reports) = Tracker::start(vec![check]).unwrap();
    for (result, looks) in [(TrackResult::Up, 1), (TrackResult::Down, 7), (TrackResult::Up, 11)] {
        assert_eq!(next_of(&mut reports, "chk").await.0, result);
        let status = status_of(&tracker, "chk");
        // It may have run once more since.
        assert!((looks..looks + 2).contains(&status.counts.looks), "{status:?}");
    }
    tracker.stop().await;
}

#[tokio::test]
async fn a_new_set_leaves_alone_what_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Lines::new(directory.path());
    let hangs = |name: &str, seconds: &str| {
        let command = format!("echo $$ >{}; exec sleep {seconds}", lines.path.display());
        timed_script(name, &["/bin/sh", "-c", &command], Duration::from_secs(3600), Duration::from_secs(3600))
    };
    let (stays, goes, changes) = (hangs("stays", "1001"), hangs("goes", "1002"), hangs("changes", "1003"));
    let changed = hangs("changes", "1004");
    let (tracker, mut reports) = Tracker::start(vec![stays.clone(), goes, changes]).unwrap();
    for _ in 0..3 {
        lines.next().await;
    }
    let before = ["stays", "goes", "changes"].map(|name| status_of(&tracker, name).pid.unwrap());
    let mut moved = stays;
    moved.defined_at.line = 7;
    tracker.replace(vec![changed, moved, script("new", &["/bin/true"])]);
    ended(before[1]).await;
    ended(before[2]).await;
    assert_eq!(next_of(&mut reports, "new").await.0, TrackResult::Up);
    let now = lines.next_words().await;
    assert_eq!(status_of(&tracker, "stays").pid, Some(before[0]));
    assert_eq!(status_of(&tracker, "changes").pid, Some(now[0]));
    let names: Vec<_> = tracker.status().into_iter().map(|status| status.check).collect();
    assert_eq!(names, ["changes", "stays", "new"]);
    tracker.stop().await;
    ended(before[0]).await;
    ended(now[0]).await;
}

/// They hang for good, at an interval of a second: never more processes than checks, all told within their time-outs, and
/// none left at the end.
#[tokio::test]
async fn a_thousand_hanging_scripts() {
    const MANY: usize = 1000;
    let directory = tempfile::tempdir().unwrap();
    let sleep = directory.path().join("hangs");
    std::os::unix::fs::symlink("/bin/sleep", &sleep).unwrap();
    let name = sleep.to_str().unwrap();
    let mut checks: Vec<_> = (0..MANY)
        .map(|number| {
            let second = Duration::from_secs(1);
            timed_script(&format!("hangs{number}"), &[name, "1000"], second, second)
        })
        .collect();
    checks.push(timed_script("healthy", &["/bin/true"], Duration::from_millis(100), Duration::from_secs(30)));
    let is_one = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|words| words.starts_with(name.as_bytes()))
    };
    let running = || fs::read_dir("/proc").unwrap().flatten().filter(is_one).count();
    let (tracker, mut reports) = Tracker::start(checks).unwrap();
    let mut most = 0;
    let mut down = std::collections::BTreeSet::new();
    let t0 = crate::clock::now();
    while down.len() < MANY {
        let report = next(&mut reports).await;
        if report.check == "healthy" {
            assert_eq!(report.result, TrackResult::Up);
            continue;
        }
        assert_eq!((report.result, report.detail.as_str()), (TrackResult::Down, "no end within 1s"));
        assert!(down.insert(report.check));
        if down.len() % 100 == 0 {
            most = most.max(running());
            eprintln!("{} {:?} {}", down.len(), crate::clock::now().since(t0), most);
        }
    }
    assert!(most <= MANY, "{most} processes");
    let healthy = status_of(&tracker, "healthy");
    assert_eq!((healthy.result, healthy.counts.failures), (Some(TrackResult::Up), 0), "{healthy:?}");
    tracker.stop().await;
    assert_eq!(running(), 0);
}
