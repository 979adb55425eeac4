use std::{fs, os::unix::fs::PermissionsExt};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

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
        let (tracker, mut reports) = start(vec![script("chk", command)]).unwrap();
        assert_eq!(next_of(&mut reports, "chk").await, (result, detail.to_owned()), "{command:?}");
        let status = status_of(&tracker, "chk");
        assert_eq!((status.result, status.counts.looks, status.pid), (Some(result), 1, None));
        tracker.stop().await;
        assert_eq!(reports.recv().await, None);
    }
}

#[tokio::test]
async fn a_time_out_ends_the_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Lines::new(directory.path());
    // Time enough to start it on a busy machine.
    let limit = Duration::from_secs(2);
    let pipe = lines.path.display();
    // A child and its child; what ignores SIGTERM is killed two seconds later.
    let obeys = format!("sh -c 'sleep 1000 & echo $! $$ >{pipe}; wait' & wait");
    let ignores = format!("trap '' TERM; sh -c 'sleep 1000 & echo $! $$ >{pipe}; wait' & wait; sleep 1000");
    for (command, at_least, at_most) in [(obeys, 0, 2000), (ignores, 2000, 60_000)] {
        let hour = Duration::from_secs(3600);
        let checks = vec![timed_script("chk", &["/bin/sh", "-c", &command], hour, limit)];
        let (tracker, mut reports) = start(checks).unwrap();
        let pids = lines.next_words().await;
        let report = next_of(&mut reports, "chk").await;
        assert_eq!(report, (TrackResult::Down, "no end within 2s".to_owned()));
        for pid in pids {
            ended(pid).await;
        }
        let status = status_of(&tracker, "chk");
        let took = crate::clock::now().since(status.changed_at.unwrap()).as_millis();
        assert!((at_least..at_most).contains(&took), "{command}: {took} ms");
        assert_eq!((status.counts.timeouts, status.counts.failures), (1, 1));
        tracker.stop().await;
    }
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_its_own_affair() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Lines::new(directory.path());
    let command = format!("sleep 1000 & echo $! >{}; exit 0", lines.path.display());
    let (tracker, mut reports) =
        start(vec![timed_script("chk", &["/bin/sh", "-c", &command], Duration::from_secs(3600), PATIENCE)])
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
    let (tracker, mut reports) = start(vec![check]).unwrap();
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
        let command = format!("echo {name} $$ >{}; exec sleep {seconds}", lines.path.display());
        timed_script(name, &["/bin/sh", "-c", &command], Duration::from_secs(3600), Duration::from_secs(3600))
    };
    let (stays, goes, changes) = (hangs("stays", "1001"), hangs("goes", "1002"), hangs("changes", "1003"));
    let changed = hangs("changes", "1004");
    let (tracker, mut reports) = start(vec![stays.clone(), goes, changes]).unwrap();
    let mut pids = BTreeMap::new();
    let started = |line: String| {
        let (name, pid) = line.split_once(' ').unwrap();
        (name.to_owned(), pid.parse::<u32>().unwrap())
    };
    for _ in 0..3 {
        pids.extend([started(lines.next().await)]);
    }
    let mut moved = stays;
    moved.defined_at.line = 7;
    tracker.replace(vec![changed, moved, script("new", &["/bin/true"])]);
    ended(pids["goes"]).await;
    ended(pids["changes"]).await;
    assert_eq!(next_of(&mut reports, "new").await.0, TrackResult::Up);
    let (name, pid) = started(lines.next().await);
    assert_eq!(name, "changes");
    let stays = Pid::from_raw(i32::try_from(pids["stays"]).unwrap()).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", stays.as_raw_nonzero())).unwrap();
    assert!(!state.contains(") Z "), "{state}");
    let status = tracker.status();
    let names: Vec<_> = status.iter().map(|status| status.check.as_str()).collect();
    assert_eq!(names, ["changes", "stays", "new"]);
    assert_eq!(status[1].pid, Some(pids["stays"]));
    tracker.stop().await;
    ended(pids["stays"]).await;
    ended(pid).await;
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
    let (tracker, mut reports) = start(checks).unwrap();
    let mut most = 0;
    let mut down = std::collections::BTreeSet::new();
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
        }
    }
    assert!(most <= MANY, "{most} processes");
    let healthy = status_of(&tracker, "healthy");
    assert_eq!((healthy.result, healthy.counts.failures), (Some(TrackResult::Up), 0), "{healthy:?}");
    tracker.stop().await;
    assert_eq!(running(), 0);
}

/// Descriptors are for the engine and the uplink too: with half of them in use, ends are asked for instead.
#[tokio::test]
async fn more_scripts_than_descriptors() {
    const LIMIT: u64 = 128;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), ..before }).unwrap();
    let hour = Duration::from_secs(3600);
    let hangs = |number| timed_script(&format!("hangs{number}"), &["/bin/sleep", "1000"], hour, hour);
    let mut checks: Vec<_> = (0..LIMIT + 50).map(hangs).collect();
    checks.push(script("true", &["/bin/true"]));
    checks.push(timed_script("hangs", &["/bin/sleep", "1000"], hour, Duration::from_secs(1)));
    let (tracker, mut reports) = start(checks).unwrap();
    let mut expected = BTreeMap::from([
        ("true".to_owned(), (TrackResult::Up, "exit code 0".to_owned())),
        ("hangs".to_owned(), (TrackResult::Down, "no end within 1s".to_owned())),
    ]);
    while !expected.is_empty() {
        let report = next(&mut reports).await;
        assert_eq!(expected.remove(&report.check), Some((report.result, report.detail)), "{}", report.check);
    }
    let running: Vec<_> = tracker.status().into_iter().filter_map(|status| status.pid).collect();
    assert!(running.len() as u64 >= LIMIT + 50);
    let own = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    assert!(own < LIMIT, "{own}");
    tracker.stop().await;
    for pid in running {
        ended(pid).await;
    }
}
