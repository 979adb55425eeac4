//! A disk that is full: nothing is told wrongly, and what a coordinator has makes room.

use std::process::Command;

use super::super::{Journal, position::PositionFile};
use super::*;

const FULL_DIR: &str = "HA_AGENT_TEST_FULL_DIR";

/// A position file that takes nothing.
fn full() -> PositionFile {
    PositionFile::open(Path::new("/dev/full")).unwrap().0
}

#[test]
fn nothing_is_freed_before_its_acknowledgement_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=60);
    let segments = store.segment_count();
    assert!(segments > 2);
    let works = std::mem::replace(&mut store.position_file, full());
    assert!(store.acked(59).is_err());
    assert_eq!((store.segment_count(), store.acked_seq()), (segments, 0));
    // As after a kill: nothing is lost, because nothing is gone.
    assert!(!open(dir.path(), SMALL).has_untold_losses());
    store.position_file = works;
    store.acked(59).unwrap();
    assert_eq!((store.segment_count(), store.acked_seq()), (1, 59));
}

#[test]
fn a_loss_is_settled_only_when_it_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    let mut number = 0;
    while !store.has_untold_losses() {
        number += 1;
        append(&mut store, [number]);
    }
    let lost = store.counters().events_dropped;
    // Shown to a coordinator in between: its position is written, and must not say that the loss is told.
    let first = store.first_seq();
    store.read(first, 3).unwrap();
    drop(store);
    let mut store = open(dir.path(), SMALL);
    assert_eq!((store.has_untold_losses(), store.counters().events_dropped), (true, lost));
    append(&mut store, [number + 1]);
    assert!(!store.has_untold_losses());
    // As after a kill, with no orderly end: it is told, and not once more.
    drop(store);
    assert!(!open(dir.path(), SMALL).has_untold_losses());
}

/// What the next test does on a disk of 256 KiB; nothing when it is run as an ordinary test.
#[test]
fn child_on_a_full_disk() {
    let Some(dir) = std::env::var_os(FULL_DIR) else { return };
    let dir = Path::new(&dir);
    acked_events_make_room(dir);
    a_full_disk_is_told_once(dir);
    println!("all of it was checked");
}

/// Fills what is left, but for less than a block.
fn fill(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("ballast");
    let error = std::fs::write(&path, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    path
}

fn acked_events_make_room(dir: &Path) {
    let journal = dir.join("one");
    let mut store = open(&journal, Limits::default());
    append(&mut store, 1..=200);
    let ballast = fill(dir);
    let mut number = 200;
    let refused = loop {
        number += 1;
        match store.append(&[happening(number)]) {
            Ok(()) => assert!(number < 1000, "the disk is never full"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
    // The same words at every attempt: a retry is nothing new.
    let again = [1, 2].map(|_| store.append(&[happening(number)]).unwrap_err().to_string());
    assert_eq!(again[0], again[1]);
    // All that is on the disk is acknowledged, in its only segment: it makes room.
    store.acked(number - 1).unwrap();
    append(&mut store, [number]);
    assert_eq!((store.first_seq(), store.last_seq(), store.acked_seq()), (number, number, number - 1));
    drop(store);
    let mut store = open(&journal, Limits::default());
    assert!(!store.has_untold_losses());
    assert_eq!(content(&mut store), whole([number]));
    std::fs::remove_file(ballast).unwrap();
}

fn a_full_disk_is_told_once(dir: &Path) {
    let journal_dir = dir.join("two");
    append(&mut open(&journal_dir, Limits::default()), 1..=3);
    let ballast = fill(dir);
    let (journal, thread) = Journal::start(&journal_dir, Limits::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut waiting = 0;
        while waiting == 0 {
            journal.append(happening(4));
            waiting = journal.flush().await.unwrap();
        }
        // An acknowledgement is written in the place of the one before and works; the events wait all the same.
        journal.acked(1);
        let mut status = journal.status();
        let acked = status.wait_for(|status| status.acked_seq == 1).await.unwrap().clone();
        assert!(acked.failure.is_some(), "{acked:?}");
        journal.close();
        let ended = tokio::task::spawn_blocking(|| thread.join());
        ended.await.unwrap().unwrap();
        let end = status.borrow().clone();
        assert!(end.failure.is_some_and(|failure| failure.contains("No space left")));
        assert!(end.waiting > 0);
    });
    std::fs::remove_file(ballast).unwrap();
}

/// Needs root for its mount, like the agent for its addresses.
#[test]
fn a_full_disk_is_told_as_it_is_and_acknowledged_events_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" && exec \"$0\" --exact --nocapture \"$2\"";
    let output = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(dir.path())
        .arg("journal::tests::full::child_on_a_full_disk")
        .env(FULL_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("all of it was checked"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
