//! A real process that writes in a loop and is killed with SIGKILL, and one whose disk is full.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::*;

const DIR: &str = "HA_AGENT_TEST_JOURNAL_DIR";

/// What the child does: appends for ever and prints the highest sequence that is on the disk. Does nothing when it is
/// run as an ordinary test.
#[test]
fn child_writes_for_ever() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut store = open(Path::new(&dir), Limits { segment_bytes: 20_000, segments: 1_000_000 });
    let mut out = std::io::stdout();
    loop {
        let next = store.last_seq() + 1;
        // Batches of changing size, so that kills fall into long writes too.
        let batch: Vec<_> = (next..next + 1 + next % 40).map(happening).collect();
        match store.append(&batch) {
            Ok(()) => writeln!(out, "durable {}", store.last_seq()).unwrap(),
            Err(error) => {
                writeln!(out, "refused {}", crate::log::chain(&error)).unwrap();
                return;
            }
        }
    }
}

fn child(dir: &Path, shell: &str) -> std::process::Child {
    Command::new("/bin/sh")
        .args(["-c", &format!("{shell} exec \"$0\" --exact --nocapture \"$1\"")])
        .arg(std::env::current_exe().unwrap())
        .arg("journal::tests::crash::child_writes_for_ever")
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_durable_before_kill_9_is_there_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 0..15 {
        let mut child = child(dir.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Each round dies after another number of writes.
        let mut left = 3 + round * 7;
        while left > 0 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(seq) = line.strip_prefix("durable ") {
                durable = seq.parse().unwrap();
                left -= 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(seq) = line.strip_prefix("durable ").and_then(|seq| seq.parse().ok()) {
                durable = seq;
            }
        }
        let mut store = open(dir.path(), Limits { segment_bytes: 20_000, segments: 1_000_000 });
        assert!(store.last_seq() >= durable, "{} of {durable} survived", store.last_seq());
        assert_eq!(store.counters().damaged, 0);
        let last = store.last_seq();
        assert_eq!(content(&mut store), whole(1..=last));
    }
}

#[test]
fn a_write_that_the_disk_takes_only_in_part_leaves_whole_records() {
    let dir = tempfile::tempdir().unwrap();
    // A file may not grow over 8 blocks of 512 bytes: the kernel takes a part of a batch and refuses the rest.
    let mut child = child(dir.path(), "trap '' XFSZ; ulimit -f 8;");
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    child.wait().unwrap();
    let refused = lines.iter().find(|line| line.starts_with("refused ")).expect("nothing was refused");
    assert!(refused.contains("cannot write to") && refused.contains("File too large"), "{refused}");
    let durable: Vec<u64> =
        lines.iter().filter_map(|line| line.strip_prefix("durable ")?.parse().ok()).collect();
    let durable = durable.last().copied().unwrap();
    let mut store = open(dir.path(), SMALL);
    assert_eq!(store.counters().torn_bytes, 0, "the writer cuts off what it could not finish");
    assert_eq!(content(&mut store), whole(1..=durable));
    append(&mut store, durable + 1..=durable + 30);
    assert_eq!(content(&mut store), whole(1..=durable + 30));
}
