//! Bytes that are missing or changed: at every offset, and at random.

use std::{fs, path::PathBuf};

use proptest::prelude::*;

use super::*;

/// Many small segments, none of which is dropped.
const MANY: Limits = Limits { segment_bytes: 700, segments: 1000 };

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// Opens, appends one event, and says what the journal then tells: the numbers in order, and which sequences are lost.
fn reopened(dir: &Path, limits: Limits) -> (Vec<u64>, u64, Store) {
    let mut store = open(dir, limits);
    append(&mut store, [1000]);
    let mut lost = 0;
    let mut numbers = Vec::new();
    let mut seq = store.first_seq();
    while seq <= store.last_seq() {
        for event in store.read(seq, 5).unwrap() {
            let stamp = event.stamp.unwrap();
            assert_eq!(stamp.seq, seq);
            seq += 1;
            match event.event.unwrap() {
                Event::Transition(transition) => numbers.push(transition.detail.parse().unwrap()),
                Event::Lost(events) => lost += events.count,
                other => panic!("{other:?} was never written"),
            }
        }
    }
    (numbers, lost, store)
}

fn is_ascending(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

#[test]
fn a_tail_cut_at_any_byte_ends_at_the_last_whole_record() {
    let original = tempfile::tempdir().unwrap();
    append(&mut open(original.path(), SMALL), 1..=5);
    let [path] = &segments(original.path())[..] else { panic!("one segment was expected") };
    let len = fs::metadata(path).unwrap().len();
    for cut in 0..=len {
        let dir = copy(original.path());
        let copied = dir.path().join(path.file_name().unwrap());
        fs::File::options().write(true).open(&copied).unwrap().set_len(cut).unwrap();
        let (numbers, lost, _) = reopened(dir.path(), SMALL);
        let (last, kept) = numbers.split_last().unwrap();
        assert_eq!(*last, 1000, "cut at {cut}");
        assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
        // Nothing was shown to anybody, so nothing is missed by anybody.
        assert_eq!(lost, 0, "cut at {cut}");
        if cut == len {
            assert_eq!(kept.len(), 5);
        }
    }
}

#[test]
fn a_sequence_that_was_shown_is_never_given_out_again() {
    let original = tempfile::tempdir().unwrap();
    let mut store = open(original.path(), SMALL);
    append(&mut store, 1..=5);
    assert_eq!(store.read(1, 4).unwrap().len(), 4);
    drop(store);
    let [path] = &segments(original.path())[..] else { panic!("one segment was expected") };
    let len = fs::metadata(path).unwrap().len();
    for cut in 0..len {
        let dir = copy(original.path());
        let copied = dir.path().join(path.file_name().unwrap());
        fs::File::options().write(true).open(&copied).unwrap().set_len(cut).unwrap();
        let (numbers, lost, store) = reopened(dir.path(), SMALL);
        let kept = numbers.len() as u64 - 1;
        assert_eq!(lost, 4_u64.saturating_sub(kept), "cut at {cut}");
        // Sequences 1 to 4 were shown; the new event has a later one.
        assert!(store.last_seq() >= 5, "cut at {cut}");
    }
}

#[test]
fn damage_in_the_middle_is_counted_and_told_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=60);
    drop(store);
    let paths = segments(dir.path());
    assert!(paths.len() >= 3);
    // The second record of the second segment.
    let mut bytes = fs::read(&paths[1]).unwrap();
    let first = match super::super::segment::scan(&bytes) {
        Some(scan) => scan.header.first_seq,
        None => panic!("unreadable before it was damaged"),
    };
    let end = super::super::segment::scan(&bytes).unwrap().end_seq;
    let record_len = (bytes.len() - 40) / (end - first) as usize;
    bytes[40 + record_len + 30] ^= 0x10;
    fs::write(&paths[1], bytes).unwrap();

    let mut store = open(dir.path(), SMALL);
    assert_eq!(store.counters().damaged, 1);
    let expected: Vec<_> = (1..=60).map(|seq| (seq, (seq <= first || seq >= end).then_some(seq))).collect();
    assert_eq!(content(&mut store), expected);
}

#[test]
fn damage_at_the_very_end_is_told_and_not_reused() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut open(dir.path(), SMALL), 1..=5);
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, [6]);
    let expected = [(1, Some(1)), (2, Some(2)), (3, Some(3)), (4, Some(4)), (5, None), (6, Some(6))];
    assert_eq!(content(&mut store), expected);
    drop(store);
    assert_eq!(content(&mut open(dir.path(), SMALL)), expected, "a second restart tells another story");
}

#[test]
fn damage_found_while_reading_is_a_loss_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=4);
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = 40 + (bytes.len() - 40) / 2 + 20;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    append(&mut store, [5]);
    assert_eq!(content(&mut store), [(1, Some(1)), (2, Some(2)), (3, None), (4, None), (5, None)]);
    append(&mut store, [6]);
    assert_eq!(content(&mut store).last(), Some(&(6, Some(6))));
}

#[test]
fn a_lost_position_with_a_damaged_tail_begins_a_new_life() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=5);
    let id = store.journal_id();
    drop(store);
    fs::remove_file(dir.path().join("position")).unwrap();
    assert_eq!(open(dir.path(), SMALL).journal_id(), id, "the segments alone still tell the life");

    fs::remove_file(dir.path().join("position")).unwrap();
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut store = open(dir.path(), SMALL);
    assert_ne!(store.journal_id(), id);
    append(&mut store, [7]);
    let events = store.read(1, 9).unwrap();
    assert!(matches!(&events[0].event, Some(Event::Lost(lost)) if lost.count >= 5), "{events:?}");
}

#[test]
fn a_torn_position_leaves_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=5);
    store.read(1, 2).unwrap();
    store.read(1, 5).unwrap();
    drop(store);
    let path = dir.path().join("position");
    let position = fs::read(&path).unwrap();
    for at in 0..position.len() {
        let mut damaged = position.clone();
        damaged[at] ^= 0x80;
        fs::write(&path, damaged).unwrap();
        assert_eq!(content(&mut open(dir.path(), SMALL)), whole(1..=5), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a disk does to any byte: no panic, no event that was never written, order kept, every sequence accounted.
    #[test]
    fn flipped_bits_never_tell_a_wrong_story(
        events in 1_u64..60,
        shown in 0_u64..60,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..8), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), MANY);
        append(&mut store, 1..=events);
        let shown = shown.min(events);
        let mut seq = 1;
        while seq <= shown {
            seq += store.read(seq, (shown + 1 - seq) as usize).unwrap().len() as u64;
        }
        let id = store.journal_id();
        drop(store);
        let paths = segments(dir.path());
        for (file, at, bit) in flips {
            let path = &paths[file.index(paths.len())];
            let mut bytes = fs::read(path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
        }
        if let Some(cut) = cut {
            let path = paths.last().unwrap();
            let len = fs::metadata(path).unwrap().len();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(cut.index(len as usize) as u64).unwrap();
        }
        let (numbers, lost, mut store) = reopened(dir.path(), MANY);
        prop_assert!(is_ascending(&numbers), "{numbers:?}");
        prop_assert_eq!(store.journal_id(), id);
        // The new event is no sequence that was shown before.
        prop_assert!(store.last_seq() > shown);
        let kept = numbers.len() as u64 - 1;
        prop_assert!(kept + lost >= shown, "{kept} kept, {lost} lost, {shown} shown");
        prop_assert!(numbers[..numbers.len() - 1].iter().all(|number| *number <= events));
        let told = content(&mut store);
        drop(store);
        let mut store = open(dir.path(), MANY);
        prop_assert_eq!(content(&mut store), told, "a second restart tells another story");
    }

    /// Random bytes as a segment are no segment.
    #[test]
    fn junk_is_no_record(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let dir = tempfile::tempdir().unwrap();
        append(&mut open(dir.path(), SMALL), 1..=2);
        fs::write(dir.path().join("0000000009.seg"), bytes).unwrap();
        let (numbers, _, _) = reopened(dir.path(), SMALL);
        prop_assert_eq!(numbers, [1, 2, 1000]);
    }
}
