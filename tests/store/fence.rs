//! Fence operations, their epoch, and what stands over them.

use std::time::Duration;

use ha_coordinator::store::{
    AuditFilter, AuditOutcome, AuditRow, FenceCommit, FenceEntry, FenceFilter, FenceRow, FenceStandingRow,
};
use hafleet_fleet::fence::FenceState;

use super::fixture::{Fixture, T0};

fn standing(revision: u64, epoch: u64) -> FenceStandingRow {
    FenceStandingRow { revision, epoch, body: format!("{{\"n\":{revision}}}"), updated_us: T0 }
}

fn operation(number: u64, target: &str, state: FenceState) -> FenceRow {
    FenceRow {
        number,
        revision: number,
        epoch: 1,
        target: target.into(),
        state,
        holds_order: false,
        proposed_at_us: T0,
        entered_at_us: T0 + i64::try_from(number).unwrap(),
        body: "{}".into(),
        updated_us: T0,
    }
}

fn write(standing: FenceStandingRow, operation: Option<&FenceRow>) -> FenceEntry {
    FenceEntry::Write(standing, operation.cloned())
}

fn all() -> FenceFilter {
    FenceFilter { limit: 100, ..FenceFilter::default() }
}

pub async fn an_epoch_shuts_out_the_one_before(fixture: Fixture) {
    let store = &fixture.store;
    let first = store.fence_standing().await.unwrap();
    assert_eq!((first.revision, first.epoch, first.body.as_str()), (0, 0, ""));
    assert_eq!(store.take_fence_epoch(T0).await.unwrap(), 1);
    assert_eq!(store.commit_fence(&[write(standing(1, 1), None)]).await.unwrap(), FenceCommit::Written);
    // Another one takes over; the first one does not know.
    let other = fixture.again().await.unwrap();
    assert_eq!(other.take_fence_epoch(T0 + 1).await.unwrap(), 2);
    assert_eq!(store.fence_epoch().await.unwrap(), 2);
    let stale = FenceCommit::Stale { epoch: 2, revision: 1 };
    assert_eq!(store.commit_fence(&[write(standing(2, 1), None)]).await.unwrap(), stale);
    assert_eq!(other.commit_fence(&[write(standing(2, 2), None)]).await.unwrap(), FenceCommit::Written);
    let kept = store.fence_standing().await.unwrap();
    assert_eq!(kept, standing(2, 2));
    // The same revision is no proof that it was our own write whose answer was lost.
    let stale = FenceCommit::Stale { epoch: 2, revision: 2 };
    assert_eq!(store.commit_fence(&[write(standing(2, 1), None)]).await.unwrap(), stale);
    assert_eq!(store.fence_standing().await.unwrap(), standing(2, 2));
}

/// The epoch is taken between the beginning of a write and its end.
pub async fn an_epoch_that_is_taken_meanwhile_counts(fixture: Fixture) {
    let store = &fixture.store;
    assert_eq!(store.take_fence_epoch(T0).await.unwrap(), 1);
    let entries = [write(standing(1, 1), None)];
    let half = fixture.begin_epoch().await;
    let other = async {
        // Long enough for the write to have looked.
        tokio::time::sleep(Duration::from_millis(500)).await;
        half.commit().await;
    };
    let (committed, ()) = tokio::join!(store.commit_fence(&entries), other);
    assert_eq!(committed.unwrap(), FenceCommit::Stale { epoch: 2, revision: 0 });
    let kept = store.fence_standing().await.unwrap();
    assert_eq!((kept.revision, kept.epoch), (0, 2));
}

pub async fn revisions_are_contiguous_and_a_lost_answer_is_no_loss(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let store = &fixture.store;
    store.take_fence_epoch(T0).await.unwrap();
    let row = operation(1, "lb01", FenceState::Proposed);
    assert_eq!(store.commit_fence(&[write(standing(1, 1), Some(&row))]).await.unwrap(), FenceCommit::Written);
    // The same again: its answer was lost.
    assert_eq!(store.commit_fence(&[write(standing(1, 1), Some(&row))]).await.unwrap(), FenceCommit::Written);
    for wrong in [0, 3] {
        let commit = store.commit_fence(&[write(standing(wrong, 1), Some(&row))]).await.unwrap();
        assert_eq!(commit, FenceCommit::Stale { epoch: 1, revision: 1 }, "{wrong}");
    }
    let moved = FenceRow {
        revision: 2,
        state: FenceState::Demoting,
        holds_order: true,
        entered_at_us: T0 + 9,
        body: "nul\0".into(),
        ..row
    };
    assert_eq!(
        store.commit_fence(&[write(standing(2, 1), Some(&moved))]).await.unwrap(),
        FenceCommit::Written
    );
    let kept = FenceRow { body: "nul\u{FFFD}".into(), ..moved };
    assert_eq!(store.fence(1).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.fence(2).await.unwrap(), None);
    assert_eq!(fixture.again().await.unwrap().standing_fences().await.unwrap().rows, [kept]);
}

pub async fn one_is_open_for_a_target(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.enroll("lb02").await;
    let store = &fixture.store;
    store.take_fence_epoch(T0).await.unwrap();
    let mut revision = 0;
    let mut commit = async |row: FenceRow| {
        let written = store.commit_fence(&[write(standing(revision + 1, 1), Some(&row))]).await;
        written.map(|commit| {
            assert_eq!(commit, FenceCommit::Written);
            revision += 1;
        })
    };
    commit(operation(1, "lb01", FenceState::Quarantined)).await.unwrap();
    let second = commit(operation(2, "lb01", FenceState::Proposed)).await.unwrap_err();
    assert!(second.is_for_good(), "{second}");
    // Neither half of it was kept.
    assert_eq!(store.fence_standing().await.unwrap().revision, 1);
    assert!(
        commit(operation(2, "lb09", FenceState::Proposed)).await.unwrap_err().is_for_good(),
        "no such node"
    );
    commit(operation(2, "lb02", FenceState::Denied)).await.unwrap();
    commit(operation(3, "lb02", FenceState::Failed)).await.unwrap();
    commit(FenceRow { holds_order: true, ..operation(1, "lb01", FenceState::Released) }).await.unwrap();
    commit(operation(4, "lb01", FenceState::Proposed)).await.unwrap();
    let numbers = |rows: Vec<FenceRow>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.standing_fences().await.unwrap().rows), [1, 3, 4]);
    assert_eq!(numbers(store.fences(&all()).await.unwrap().rows), [4, 3, 2, 1]);
    let open = FenceFilter { open: true, ..all() };
    assert_eq!(numbers(store.fences(&open).await.unwrap().rows), [4, 3]);
    let page = store.fences(&FenceFilter { target: Some("lb01".into()), limit: 1, ..all() }).await.unwrap();
    assert_eq!((numbers(page.rows), page.truncated), (vec![4], true));
    let late = FenceFilter { since_us: T0 + 3, ..all() };
    assert_eq!(numbers(store.fences(&late).await.unwrap().rows), [4, 3]);
}

pub async fn old_ones_that_are_closed_are_deleted(fixture: Fixture) {
    let store = &fixture.store;
    store.take_fence_epoch(T0).await.unwrap();
    let mut number = 0;
    for holds_order in [false, true] {
        for state in FenceState::ALL {
            number += 1;
            let node = format!("lb{number}");
            fixture.enroll(&node).await;
            let row = FenceRow { holds_order, ..operation(number, &node, state) };
            let written = store.commit_fence(&[write(standing(number, 1), Some(&row))]).await.unwrap();
            assert_eq!(written, FenceCommit::Written);
        }
    }
    assert_eq!(store.prune_fences(number).await.unwrap().deleted, 0, "they are the newest");
    let pruned = store.prune_fences(2).await.unwrap();
    assert_eq!((pruned.deleted, pruned.more), (2, false));
    for (number, state) in (1..).zip(FenceState::ALL) {
        let kept = store.fence(number).await.unwrap();
        let closed = matches!(state, FenceState::Denied | FenceState::Released);
        assert_eq!(kept.is_none(), closed, "{state:?}");
    }
    assert_eq!(store.prune_fences(0).await.unwrap().deleted, 0, "an order of it may be on a disk");
}

pub async fn every_state(fixture: Fixture) {
    let store = &fixture.store;
    store.take_fence_epoch(T0).await.unwrap();
    for (number, state) in (1..).zip(FenceState::ALL) {
        let node = format!("lb{number}");
        fixture.enroll(&node).await;
        let row = operation(number, &node, state);
        assert_eq!(
            store.commit_fence(&[write(standing(number, 1), Some(&row))]).await.unwrap(),
            FenceCommit::Written
        );
        assert_eq!(store.fence(number).await.unwrap(), Some(row));
    }
    for wrong in [
        "UPDATE fence_operations SET state = 'shot'",
        "INSERT INTO fence_standing (id, revision, epoch, body, updated_us) VALUES (2, 0, 0, '', 0)",
        "UPDATE fence_standing SET body = ''",
        "UPDATE fence_standing SET epoch = -1",
    ] {
        assert!(fixture.execute(wrong).await.is_err(), "{wrong}");
    }
}

pub async fn many_entries_are_one_commit(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let store = &fixture.store;
    store.take_fence_epoch(T0).await.unwrap();
    let line = |detail: &str| AuditRow {
        at_us: T0,
        actor: "hafleet".into(),
        action: "fence".into(),
        subject: "lb01".into(),
        outcome: AuditOutcome::Done,
        detail: detail.into(),
    };
    let (first, second) =
        (operation(1, "lb01", FenceState::Proposed), operation(1, "lb01", FenceState::Approved));
    let entries = [
        FenceEntry::Audit(line("proposed")),
        write(standing(1, 1), Some(&first)),
        FenceEntry::Audit(line("proposed -> approved")),
        write(standing(2, 1), Some(&second)),
    ];
    let audited = async || {
        let rows = store.audit(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap().rows;
        rows.into_iter().map(|row| row.detail).collect::<Vec<_>>()
    };
    assert_eq!(store.commit_fence(&entries).await.unwrap(), FenceCommit::Written);
    // Its answer was lost: nothing is written twice.
    assert_eq!(store.commit_fence(&entries).await.unwrap(), FenceCommit::Written);
    assert_eq!(audited().await, ["proposed -> approved", "proposed"]);
    assert_eq!(store.fence(1).await.unwrap().unwrap().state, FenceState::Approved);
    // One that does not follow, or that is refused, takes all of them with it.
    let hole = [write(standing(3, 1), None), FenceEntry::Audit(line("hole")), write(standing(5, 1), None)];
    assert_eq!(store.commit_fence(&hole).await.unwrap(), FenceCommit::Stale { epoch: 1, revision: 2 });
    let stranger = operation(2, "lb09", FenceState::Proposed);
    let wrong = [FenceEntry::Audit(line("wrong")), write(standing(3, 1), Some(&stranger))];
    assert!(store.commit_fence(&wrong).await.unwrap_err().is_for_good());
    assert_eq!(audited().await.len(), 2);
    assert_eq!(store.fence_standing().await.unwrap().revision, 2);
    // Lines alone need no epoch.
    assert_eq!(store.commit_fence(&[FenceEntry::Audit(line("alone"))]).await.unwrap(), FenceCommit::Written);
    assert_eq!(audited().await[0], "alone");
}

pub async fn an_order_has_one_id_for_good(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let store = &fixture.store;
    store.take_fence_epoch(T0).await.unwrap();
    assert_eq!(store.fence_order_id(17).await.unwrap(), None);
    let row = operation(17, "lb01", FenceState::Proposed);
    let commit = async |revision: u64, row: &FenceRow| {
        let entries = [write(standing(revision, 1), Some(row))];
        assert_eq!(store.commit_fence(&entries).await.unwrap(), FenceCommit::Written);
    };
    commit(1, &row).await;
    let id = store.fence_order_id(17).await.unwrap().unwrap();
    let chance = id.strip_prefix("fence/17.").unwrap();
    assert!(chance.len() == 16 && chance.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    // Written again, also by the same commit whose answer was lost, and seen by another coordinator.
    commit(1, &row).await;
    commit(2, &FenceRow { state: FenceState::Demoting, holds_order: true, ..row.clone() }).await;
    assert_eq!(fixture.again().await.unwrap().fence_order_id(17).await.unwrap(), Some(id.clone()));
    // A backup from before the operation is restored, and its number is given once more.
    fixture.execute("DELETE FROM fence_operations").await.unwrap();
    commit(3, &FenceRow { revision: 3, ..row }).await;
    let again = store.fence_order_id(17).await.unwrap().unwrap();
    assert!(again.starts_with("fence/17.") && again != id, "{again}");
}

pub async fn orders_of_before_keep_their_ids(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture
        .execute(
            "INSERT INTO fence_operations (number, revision, epoch, target, state, holds_order, proposed_at_us, entered_at_us, \
             body, updated_us) VALUES (17, 1, 1, 'lb01', 'quarantined', CAST(0 AS BOOLEAN), 1, 1, '{}', 1)",
        )
        .await
        .unwrap();
    assert_eq!(fixture.store.fence_order_id(17).await.unwrap().as_deref(), Some("fence/17"));
}
