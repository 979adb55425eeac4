mod crash;
mod damage;
mod full;
mod thread;

use std::path::Path;

use hafleet_proto::v1::event::Event;
use hafleet_proto::v1::{self, VrrpState};

use super::{Happening, Limits, store::Store};

const SMALL: Limits = Limits { segment_bytes: 2048, segments: 4 };

/// The event of one number, so that a reader can tell what it got.
fn happening(number: u64) -> Happening {
    let transition = v1::Transition {
        instance: "VI_1".to_owned(),
        vrid: 51,
        from: VrrpState::Backup.into(),
        to: VrrpState::Master.into(),
        reason: "master_down".to_owned(),
        detail: number.to_string(),
    };
    Happening { event: Event::Transition(transition), at_us: 1_700_000_000_000_000, mono_us: number }
}

fn open(dir: &Path, limits: Limits) -> Store {
    Store::open(dir, limits, 42).unwrap()
}

fn append(store: &mut Store, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        store.append(&[happening(number)]).unwrap();
    }
}

/// Everything that can be read, as (sequence, number); a loss has no number. Fails when it is not contiguous.
fn content(store: &mut Store) -> Vec<(u64, Option<u64>)> {
    let mut seq = store.first_seq();
    let mut content = Vec::new();
    loop {
        let events = store.read(seq, 7).unwrap();
        if events.is_empty() {
            assert_eq!(seq, store.last_seq() + 1, "the journal ends early");
            return content;
        }
        for event in events {
            let stamp = event.stamp.unwrap();
            assert_eq!(stamp.seq, seq, "the sequence has a gap");
            assert_eq!(stamp.journal_id, store.journal_id().to_string());
            let number = match event.event.unwrap() {
                Event::Transition(transition) => Some(transition.detail.parse().unwrap()),
                Event::Lost(_) => None,
                other => panic!("{other:?} was never written"),
            };
            content.push((seq, number));
            seq += 1;
        }
    }
}

fn whole(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, Option<u64>)> {
    numbers.into_iter().map(|number| (number, Some(number))).collect()
}

#[test]
fn what_is_written_is_read_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    assert_eq!((store.first_seq(), store.last_seq()), (1, 0));
    append(&mut store, 1..=10);
    let id = store.journal_id();
    drop(store);

    let mut store = open(dir.path(), SMALL);
    append(&mut store, 11..=12);
    assert_eq!(store.journal_id(), id);
    assert_eq!(content(&mut store), whole(1..=12));
}

#[test]
fn a_batch_shares_one_place_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Limits::default());
    let batch: Vec<_> = (1..=300).map(happening).collect();
    store.append(&batch).unwrap();
    assert_eq!(content(&mut store), whole(1..=300));
    assert_eq!(store.read(7, 256).unwrap().len(), 256);
    assert_eq!(store.read(301, 256).unwrap(), []);
}

#[test]
fn acknowledged_segments_are_freed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=60);
    let segments = store.segment_count();
    assert!(segments > 2, "the test needs several segments, not {segments}");
    store.acked(1).unwrap();
    assert_eq!(store.segment_count(), segments);
    store.acked(59).unwrap();
    assert_eq!(store.segment_count(), 1);
    assert!(store.first_seq() <= 60);
    assert_eq!(content(&mut store).last(), Some(&(60, Some(60))));

    drop(store);
    let mut store = open(dir.path(), SMALL);
    assert_eq!((store.acked_seq(), store.last_seq()), (59, 60));
    assert!(!store.has_untold_losses());
    // What is acknowledged beyond the end does not exist.
    store.acked(u64::MAX).unwrap();
    assert_eq!(store.acked_seq(), 60);
}

#[test]
fn at_its_bound_the_oldest_goes_and_the_loss_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=200);
    assert!(store.bytes() <= SMALL.total_bytes());
    assert!(store.segment_count() <= SMALL.segments);
    let dropped = store.counters().events_dropped;
    assert!(dropped > 0);
    let mut told = 0;
    let mut events = Vec::new();
    let mut seq = store.first_seq();
    while seq <= store.last_seq() {
        let batch = store.read(seq, 256).unwrap();
        seq += batch.len() as u64;
        events.extend(batch);
    }
    for event in &events {
        if let Some(Event::Lost(lost)) = &event.event {
            assert_eq!(lost.at, "journal");
            told += lost.count;
        }
    }
    // Some of what tells the losses has itself been dropped, but never is more told than was lost.
    assert!(told > 0 && told <= dropped, "{told} of {dropped}");
    let last = events.last().unwrap().event.clone().unwrap();
    assert_eq!(last, happening(200).event);
    drop(store);
    assert!(!open(dir.path(), SMALL).has_untold_losses(), "told twice");
}

#[test]
fn a_new_life_has_a_new_id_and_tells_what_it_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), SMALL);
    append(&mut store, 1..=10);
    store.acked(4).unwrap();
    let id = store.journal_id();
    store.begin_anew().unwrap();
    assert_ne!(store.journal_id(), id);
    append(&mut store, [99]);
    let events = store.read(1, 10).unwrap();
    let Some(Event::Lost(lost)) = &events[0].event else { panic!("{events:?}") };
    assert_eq!(lost.count, 6);
    assert_eq!(events.len(), 2);
    drop(store);
    let mut store = open(dir.path(), SMALL);
    assert_eq!(store.read(1, 10).unwrap(), events);
}

#[test]
fn a_directory_that_vanishes_is_an_error_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let mut store = open(&journal, SMALL);
    append(&mut store, 1..=3);
    let away = dir.path().join("away");
    std::fs::rename(&journal, &away).unwrap();
    // Fills the open segment; then a new one cannot be made.
    let mut failed = None;
    for number in 4..100 {
        if store.append(&[happening(number)]).is_err() {
            failed = Some(number);
            break;
        }
    }
    let failed = failed.expect("no append failed");
    assert!(store.append(&[happening(failed)]).is_err());
    std::fs::rename(&away, &journal).unwrap();
    append(&mut store, failed..=failed + 3);
    assert_eq!(content(&mut store), whole(1..=failed + 3));
}
