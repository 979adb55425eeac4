//! Journals: every event once, in order, what is missing named.

use std::time::Duration;

use ha_coordinator::store::{
    AppendOutcome, EventBatch, EventRow, GapRow, Happening, PruneOutcome, StoreError, TransitionFilter,
};
use tokio::{task::JoinSet, time::timeout};

use super::fixture::{Engine, Fixture, T0, transition, transition_of, transitions};

fn outcome(acked_seq: u64, inserted: u64, duplicates: u64) -> AppendOutcome {
    AppendOutcome { acked_seq, inserted, duplicates, gap: None }
}

/// The sequences of one node that are in the history, in its order.
async fn seqs(fixture: &Fixture, node: &str) -> Vec<u64> {
    fixture.history().await.into_iter().filter(|row| row.node == node).map(|row| row.seq).collect()
}

pub async fn append_and_ack(fixture: Fixture) {
    fixture.enroll("lb01").await;
    assert_eq!(fixture.store.acked_seq("lb01", "j1").await.unwrap(), 0);
    assert_eq!(fixture.append("lb01", "j1", &[], T0).await, outcome(0, 0, 0));
    assert_eq!(fixture.append("lb01", "j1", &transitions(1, 3), T0).await, outcome(3, 3, 0));
    assert_eq!(fixture.append("lb01", "j1", &transitions(4, 4), T0).await, outcome(4, 1, 0));
    assert_eq!(fixture.store.acked_seq("lb01", "j1").await.unwrap(), 4);
    assert_eq!(fixture.store.acked_seq("lb01", "j2").await.unwrap(), 0);
    assert_eq!(fixture.store.acked_seq("lb02", "j1").await.unwrap(), 0);
    assert_eq!(seqs(&fixture, "lb01").await, [1, 2, 3, 4]);
}

pub async fn duplicates_are_left_alone(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.append("lb01", "j1", &transitions(1, 5), T0).await;
    assert_eq!(fixture.append("lb01", "j1", &transitions(1, 5), T0 + 1).await, outcome(5, 0, 5));
    assert_eq!(fixture.append("lb01", "j1", &transitions(2, 3), T0 + 1).await, outcome(5, 0, 2));
    assert_eq!(fixture.append("lb01", "j1", &transitions(4, 7), T0 + 2).await, outcome(7, 2, 2));
    assert_eq!(seqs(&fixture, "lb01").await, [1, 2, 3, 4, 5, 6, 7]);
    let received: Vec<_> = fixture.history().await.into_iter().map(|row| row.received_us - T0).collect();
    assert_eq!(received, [0, 0, 0, 0, 0, 2, 2]);
}

pub async fn holes_are_refused(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.append("lb01", "j1", &transitions(1, 2), T0).await;
    for (events, expected, got) in [
        (vec![transition(4)], 3, 4),
        (vec![transition(3), transition(5)], 4, 5),
        (vec![transition(3), transition(3)], 4, 3),
        (vec![transition(4), transition(3)], 5, 3),
        (vec![transition(0)], 1, 0),
    ] {
        let batch =
            EventBatch { node: "lb01", journal_id: "j1", first_seq: 1, events: &events, received_us: T0 };
        let error = fixture.store.append_events(batch).await.unwrap_err();
        match &error {
            StoreError::NotContiguous { node, journal_id, expected: wanted, got: came } => {
                assert_eq!(
                    (node.as_str(), journal_id.as_str(), *wanted, *came),
                    ("lb01", "j1", expected, got)
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seqs(&fixture, "lb01").await, [1, 2]);
    assert_eq!(fixture.store.acked_seq("lb01", "j1").await.unwrap(), 2);
    assert_eq!(fixture.store.gaps(0, 10).await.unwrap().rows, []);
}

pub async fn gap_is_recorded(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.append("lb01", "j1", &transitions(1, 2), T0).await;
    // The journal no longer holds 3 to 9: what follows must begin at 10.
    let events = transitions(11, 12);
    let batch =
        EventBatch { node: "lb01", journal_id: "j1", first_seq: 10, events: &events, received_us: T0 + 1 };
    let error = fixture.store.append_events(batch).await.unwrap_err();
    assert!(matches!(error, StoreError::NotContiguous { expected: 10, got: 11, .. }), "{error:?}");
    assert_eq!(fixture.store.gaps(0, 10).await.unwrap().rows, [], "a refused batch leaves no gap behind");

    let events = transitions(10, 12);
    let done = fixture.store.append_events(EventBatch { events: &events, ..batch }).await.unwrap();
    assert_eq!(done, AppendOutcome { acked_seq: 12, inserted: 3, duplicates: 0, gap: Some((3, 9)) });
    // Sent again, it is no second gap.
    let done = fixture.store.append_events(EventBatch { events: &events, ..batch }).await.unwrap();
    assert_eq!(done, outcome(12, 0, 3));
    // An event that is there is no part of a gap, whatever the journal said when the session began.
    let events = transitions(15, 16);
    let late = EventBatch { first_seq: 20, events: &events, received_us: T0 + 2, ..batch };
    let done = fixture.store.append_events(late).await.unwrap();
    assert_eq!(done, AppendOutcome { acked_seq: 16, inserted: 2, duplicates: 0, gap: Some((13, 14)) });

    assert_eq!(seqs(&fixture, "lb01").await, [1, 2, 10, 11, 12, 15, 16]);
    let gap = |first_seq, last_seq, recorded_us| GapRow {
        node: "lb01".into(),
        journal_id: "j1".into(),
        first_seq,
        last_seq,
        recorded_us,
    };
    let page = fixture.store.gaps(0, 10).await.unwrap();
    assert_eq!((page.rows, page.truncated), (vec![gap(13, 14, T0 + 2), gap(3, 9, T0 + 1)], false));
    let page = fixture.store.gaps(0, 1).await.unwrap();
    assert_eq!((page.rows, page.truncated), (vec![gap(13, 14, T0 + 2)], true));
    assert_eq!(fixture.store.gaps(T0 + 3, 10).await.unwrap().rows, []);
}

/// An agent whose journal is empty after a loss says so at the start of its session.
pub async fn gap_without_events(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let batch = EventBatch { node: "lb01", journal_id: "j1", first_seq: 6, events: &[], received_us: T0 };
    let done = fixture.store.append_events(batch).await.unwrap();
    assert_eq!(done, AppendOutcome { acked_seq: 5, inserted: 0, duplicates: 0, gap: Some((1, 5)) });
    assert_eq!(fixture.store.append_events(batch).await.unwrap(), outcome(5, 0, 0));
    assert_eq!(fixture.append("lb01", "j1", &transitions(6, 6), T0).await, outcome(6, 1, 0));
    assert_eq!(seqs(&fixture, "lb01").await, [6]);
}

pub async fn new_journal_counts_anew(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.enroll("lb02").await;
    fixture.append("lb01", "j1", &transitions(1, 3), T0).await;
    assert_eq!(fixture.append("lb01", "j2", &transitions(1, 2), T0 + 1).await, outcome(2, 2, 0));
    // The same journal id on another node is another journal.
    assert_eq!(fixture.append("lb02", "j1", &transitions(1, 1), T0 + 2).await, outcome(1, 1, 0));
    let all: Vec<_> = fixture
        .history()
        .await
        .into_iter()
        .map(|row| format!("{} {} {}", row.node, row.journal_id, row.seq))
        .collect();
    assert_eq!(all, ["lb01 j1 1", "lb01 j1 2", "lb01 j1 3", "lb01 j2 1", "lb01 j2 2", "lb02 j1 1"]);
}

pub async fn unknown_node(fixture: Fixture) {
    let events = transitions(1, 1);
    let batch =
        EventBatch { node: "ghost", journal_id: "j1", first_seq: 1, events: &events, received_us: T0 };
    let error = fixture.store.append_events(batch).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownNode { node } if node == "ghost"), "{error:?}");
    assert_eq!(fixture.numbers("SELECT COUNT(*) FROM journals").await, [0]);
}

/// What no database will ever take is told from a database that is away.
pub async fn refused_for_good(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.execute("CREATE UNIQUE INDEX one_detail ON events (detail)").await.unwrap();
    let twins = [transition(1), EventRow { seq: 2, ..transition(1) }];
    let batch = EventBatch { node: "lb01", journal_id: "j1", first_seq: 1, events: &twins, received_us: T0 };
    let error = fixture.store.append_events(batch).await.unwrap_err();
    assert!(error.is_for_good(), "{error:?}");
    // The longest name that the border lets through fits into the index, even where nothing of it can be compressed.
    let events = [transition_of(&noise(255), 1)];
    fixture.store.append_events(EventBatch { events: &events, ..batch }).await.unwrap();
    if fixture.engine == Engine::Postgres {
        let events = [transition_of(&noise(20_000), 2)];
        let error = fixture.store.append_events(EventBatch { events: &events, ..batch }).await.unwrap_err();
        assert!(error.is_for_good(), "{error:?}");
    }
    fixture.store.close().await;
    let events = [transition(2)];
    let error = fixture.store.append_events(EventBatch { events: &events, ..batch }).await.unwrap_err();
    assert!(!error.is_for_good(), "{error:?}");
}

/// Text that no compression makes shorter than a few thousand bytes (xorshift64).
fn noise(len: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 32) as u8 % 94)
    };
    (0..len).map(|_| next()).collect()
}

pub async fn numbers_at_their_ends(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let most = i64::MAX as u64;
    let last = EventRow { mono_us: most, at_us: i64::MIN, ..transition(most) };
    let events = [last];
    let batch = EventBatch {
        node: "lb01",
        journal_id: "j1",
        first_seq: most,
        events: &events,
        received_us: i64::MAX,
    };
    let done = fixture.store.append_events(batch).await.unwrap();
    assert_eq!((done.acked_seq, done.gap), (most, Some((1, most - 1))));
    assert_eq!(fixture.store.append_events(batch).await.unwrap(), outcome(most, 0, 1));
    assert_eq!(fixture.history().await[0].at_us, i64::MIN);

    for (seq, mono_us, first_seq) in [(most + 1, 0, 1), (u64::MAX, 0, 1), (1, most + 1, 1), (1, 0, u64::MAX)]
    {
        let events = [EventRow { mono_us, ..transition(seq) }];
        let batch =
            EventBatch { node: "lb01", journal_id: "j2", first_seq, events: &events, received_us: T0 };
        let error = fixture.store.append_events(batch).await.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
    }
    assert_eq!(fixture.store.acked_seq("lb01", "j2").await.unwrap(), 0);
}

/// PostgreSQL has no NUL in text: an agent that sends one must not stop its own journal.
pub async fn nul_in_text(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let mut event = transition(1);
    event.reason = "a\0b".into();
    event.detail = "\0".into();
    event.what = Happening::Address { instance: "\0vi".into() };
    assert_eq!(fixture.append("lb01", "j1", &[event, transition(2)], T0).await, outcome(2, 2, 0));
    let kept = fixture
        .numbers("SELECT COUNT(*) FROM events WHERE reason = 'a\u{FFFD}b' AND detail = '\u{FFFD}' AND instance = '\u{FFFD}vi'");
    assert_eq!(kept.await, [1]);
}

pub async fn every_kind(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let address = Happening::Address { instance: "vi1".into() };
    let all = [
        Happening::Started,
        transition(2).what,
        address,
        Happening::Lost,
        Happening::Stopped,
        Happening::Configuration,
    ];
    let events: Vec<_> =
        all.into_iter().zip(1..).map(|(what, seq)| EventRow { what, ..transition(seq) }).collect();
    assert_eq!(fixture.append("lb01", "j1", &events, T0).await, outcome(6, 6, 0));
    assert_eq!(seqs(&fixture, "lb01").await, [2], "the others are no transitions");
    let kinds = fixture.numbers(
        "SELECT seq FROM events WHERE (seq = 1 AND kind = 'started') OR (seq = 2 AND kind = 'transition') \
         OR (seq = 3 AND kind = 'address' AND instance = 'vi1' AND vrid IS NULL) OR (seq = 4 AND kind = 'lost') \
         OR (seq = 5 AND kind = 'stopped') OR (seq = 6 AND kind = 'configuration') ORDER BY seq",
    );
    assert_eq!(kinds.await, [1, 2, 3, 4, 5, 6]);
}

/// More than one statement can bind; still one transaction.
pub async fn many_rows(fixture: Fixture) {
    fixture.enroll("lb01").await;
    assert_eq!(fixture.append("lb01", "j1", &transitions(1, 3_000), T0).await, outcome(3_000, 3_000, 0));
    assert_eq!(seqs(&fixture, "lb01").await, (1..=3_000).collect::<Vec<_>>());
}

/// An old stream and its successor both send: every event is there once, in order, whoever was first.
pub async fn two_streams_of_one_journal(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let other = fixture.again().await.unwrap();
    let mut sending = JoinSet::new();
    for (store, width) in [(fixture.store.clone(), 7), (other, 5)] {
        sending.spawn(async move {
            let mut inserted = 0;
            let mut next = 1;
            while next <= 210 {
                let events = transitions(next, next + width - 1);
                let batch = EventBatch {
                    node: "lb01",
                    journal_id: "j1",
                    first_seq: 1,
                    events: &events,
                    received_us: T0,
                };
                let done = store.append_events(batch).await.unwrap();
                inserted += done.inserted;
                next += width;
            }
            inserted
        });
    }
    let inserted: u64 = sending.join_all().await.into_iter().sum();
    assert_eq!(inserted, 210);
    assert_eq!(seqs(&fixture, "lb01").await, (1..=210).collect::<Vec<_>>());
    assert_eq!(fixture.store.acked_seq("lb01", "j1").await.unwrap(), 210);
}

/// A caller that stops waiting in the middle leaves all of its batch or nothing, and the next one is not disturbed.
pub async fn cancelled_append_leaves_nothing(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let (mut cancelled, mut acked) = (0, 0);
    for round in 0..60_u64 {
        let events = transitions(acked + 1, acked + 100);
        let batch =
            EventBatch { node: "lb01", journal_id: "j1", first_seq: 1, events: &events, received_us: T0 };
        let patience = Duration::from_micros(100 * round);
        if timeout(patience, fixture.store.append_events(batch)).await.is_err() {
            cancelled += 1;
        }
        // Only here, after the cancelled transaction has ended one way or the other, is the truth known.
        let done = fixture.append("lb01", "j1", &[], T0).await;
        assert!(
            done.acked_seq == acked || done.acked_seq == acked + 100,
            "{acked} became {}",
            done.acked_seq
        );
        acked = done.acked_seq;
    }
    assert!(cancelled > 0, "nothing was cancelled: the case proves nothing");
    assert_eq!(seqs(&fixture, "lb01").await, (1..=acked).collect::<Vec<_>>());
}

pub async fn prune(fixture: Fixture) {
    fixture.enroll("lb01").await;
    for seq in 1..=10 {
        fixture.append("lb01", "j1", &[transition(seq)], T0 + i64::try_from(seq).unwrap()).await;
    }
    let gone = |deleted| PruneOutcome { deleted, more: false };
    assert_eq!(fixture.store.prune_events(T0, 0).await.unwrap(), gone(0));
    assert_eq!(fixture.store.prune_events(T0 + 4, 0).await.unwrap(), gone(3));
    assert_eq!(seqs(&fixture, "lb01").await, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(fixture.store.prune_events(i64::MAX, 2).await.unwrap(), gone(5));
    assert_eq!(fixture.store.prune_events(i64::MAX, 2).await.unwrap(), gone(0));
    assert_eq!(seqs(&fixture, "lb01").await, [9, 10]);
    // What was deleted does not come back.
    assert_eq!(fixture.append("lb01", "j1", &transitions(1, 11), T0).await, outcome(11, 1, 10));
    assert_eq!(fixture.store.prune_events(i64::MAX, 0).await.unwrap(), gone(3));
    assert_eq!(fixture.append("lb01", "j1", &transitions(12, 12), T0).await, outcome(12, 1, 0));
    assert_eq!(seqs(&fixture, "lb01").await, [12]);
}

pub async fn prune_in_steps(fixture: Fixture) {
    fixture.enroll("lb01").await;
    for batch in 0..7 {
        fixture.append("lb01", "j1", &transitions(batch * 3_000 + 1, (batch + 1) * 3_000), T0).await;
    }
    let first = fixture.store.prune_events(T0 + 1, 500).await.unwrap();
    assert_eq!(first, PruneOutcome { deleted: 20_000, more: true });
    let second = fixture.store.prune_events(T0 + 1, 500).await.unwrap();
    assert_eq!(second, PruneOutcome { deleted: 500, more: false });
    let page = fixture
        .store
        .transitions(&TransitionFilter { limit: 1, ..TransitionFilter::default() })
        .await
        .unwrap();
    assert_eq!((page.rows[0].seq, page.truncated), (21_000, true));
}
