use std::time::Duration;

use super::*;
use crate::track::board::CheckId;

fn check(command: &str) -> ProcessCheck {
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

fn identity(command_line: &str) -> Identity {
    let words: Vec<_> = command_line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let path = words.first().cloned().unwrap_or_default();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    Identity { name: name.iter().copied().take(NAME_LEN).collect(), command_line: words }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What keepalived 2.2.7 matched (m) and did not (-) when these were started; `mysleep` is a copy of sleep(1).
#[test]
fn matches_as_keepalived() {
    let exact = |text| Some(ParameterMatch::Exact(words(text)));
    let partial = |text| Some(ParameterMatch::Partial(words(text)));
    let initial = |text| Some(ParameterMatch::Initial(words(text)));
    let started = ["./mysleep 100", "./mysleep 100 22", "./mysleep", "/tmp/tk/mysleep 33 4"];
    let table = [
        ("mysleep", None, false, "mmmm"),
        ("./mysleep", exact("100"), false, "m---"),
        ("/tmp/tk/mysleep", exact("33 4"), false, "---m"),
        ("mysleep", exact("100"), false, "----"),
        ("mysleep", None, true, "----"),
        ("./mysleep", None, true, "mmm-"),
        ("./mysleep", exact(""), false, "--m-"),
        ("./mysleep", partial(""), false, "mmm-"),
        ("./mysleep", initial(""), false, "mmm-"),
        ("./mysl", initial(""), false, "----"),
        ("./mysleep", partial("10"), false, "----"),
        ("./mysleep", initial("100 2"), false, "-m--"),
        ("/tmp/tk/mysleep", partial("33"), false, "---m"),
        ("/tmp/tk/mysleep", initial("3"), false, "---m"),
        ("/tmp/tk/mysleep", initial("33 4"), false, "---m"),
        ("/tmp/tk/mysleep", initial("3 4"), false, "----"),
        ("./mysleep", partial("100 22 1"), false, "----"),
    ];
    for (command, parameters, full_command, matches) in table {
        let check = ProcessCheck { parameters, full_command, ..check(command) };
        let found: String =
            started.iter().map(|one| if is_match(&check, &identity(one)) { 'm' } else { '-' }).collect();
        assert_eq!(found, matches, "{check:?}");
    }
}

/// Here keepalived never matches, whatever runs.
#[test]
fn a_path_and_a_long_name_are_what_their_writer_meant() {
    assert!(
        is_match(&check("/usr/sbin/nginx"), &identity("nginx: master"))
            == is_match(&check("nginx"), &identity("nginx: master"))
    );
    assert!(is_match(&check("/usr/sbin/nginx"), &identity("/usr/sbin/nginx -g x")));
    assert!(is_match(&check("averyveryverylongname"), &identity("./averyveryverylongname 1")));
    assert!(!is_match(&check("averyvery"), &identity("./averyveryverylongname 1")));
}

#[test]
fn events_are_counted() {
    let entries = board_entries(&[check("nginx"), check("sleep")]);
    let [nginx, sleep] = [entries[0].id, entries[1].id];
    let mut table = Table::default();
    assert!(table.set(&entries));
    assert!(!table.set(&entries));
    assert_eq!(table.verdicts().count(), 0, "nothing is known before the first scan");
    let now = Instant::from_micros(1);
    table.scanned(&[(1, identity("init")), (10, identity("nginx"))], now);
    let up = |table: &Table, id| table.verdicts().find(|(one, ..)| *one == id).map(|(_, is_up, _)| is_up);
    assert_eq!((up(&table, nginx), up(&table, sleep)), (Some(true), Some(false)));

    table.happened(&Happening::Forked { parent: 1, child: 20 }, now);
    table.happened(&Happening::Forked { parent: 10, child: 11 }, now);
    table.happened(&Happening::Forked { parent: 10, child: 11 }, now);
    assert_eq!(table.pids(), BTreeSet::from([10, 11]));
    table.happened(&Happening::Became(11, Some(identity("/bin/sleep 10"))), now);
    assert_eq!(up(&table, sleep), Some(true));
    table.happened(&Happening::Became(11, None), now);
    assert_eq!(up(&table, sleep), Some(false));
    table.happened(&Happening::Ended(99), now);
    assert_eq!(up(&table, nginx), Some(true));
    table.happened(&Happening::Ended(10), now);
    assert_eq!(up(&table, nginx), Some(false));
    assert!(table.pids().is_empty());

    // What is no longer tracked is forgotten, the rest stays.
    table.happened(&Happening::Became(30, Some(identity("nginx"))), now);
    table.set(&entries[..1]);
    assert_eq!((up(&table, nginx), up(&table, sleep)), (Some(true), None));
}

fn board_entries(checks: &[ProcessCheck]) -> Vec<ProcessEntry> {
    let entry = |(number, check): (usize, &ProcessCheck)| ProcessEntry {
        id: CheckId::of_test(number as u64),
        check: check.clone(),
    };
    checks.iter().enumerate().map(entry).collect()
}
