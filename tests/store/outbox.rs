//! Messages to receivers.

use ha_coordinator::store::{OutboxStatus, OutboxSummary, StoreError};

use super::{
    alert::{finding, message},
    fixture::{Fixture, T0},
};

pub async fn due_in_order(fixture: Fixture) {
    let messages = [message("later", T0 + 20), message("first", T0 + 10), message("same", T0 + 10)];
    fixture.store.save_finding(&finding(1), &messages).await.unwrap();
    let due = |now_us, limit| {
        let store = fixture.store.clone();
        async move {
            let rows = store.due_outbox(now_us, limit).await.unwrap();
            rows.into_iter().map(|row| row.receiver).collect::<Vec<_>>()
        }
    };
    assert_eq!(due(T0 + 9, 10).await, [""; 0]);
    assert_eq!(due(T0 + 10, 10).await, ["first", "same"]);
    assert_eq!(due(T0 + 99, 10).await, ["first", "same", "later"]);
    assert_eq!(due(T0 + 99, 1).await, ["first"]);

    let row = fixture.store.due_outbox(T0 + 10, 1).await.unwrap().remove(0);
    assert_eq!((row.finding_id, row.body, row.created_us), (finding(1).id, "{}".into(), T0));
    assert_eq!((row.status, row.attempts, row.next_attempt_us), (OutboxStatus::Pending, 0, T0 + 10));
    assert_eq!((row.last_error, row.finished_us), (None, None));
}

/// What waits for one receiver does not hide what waits for another.
pub async fn of_one_receiver(fixture: Fixture) {
    let mut messages: Vec<_> = (0..5).map(|n| message("away", T0 + n)).collect();
    messages.push(message("ops", T0 + 9));
    messages.push(message("ops", T0 + 8));
    fixture.store.save_finding(&finding(1), &messages).await.unwrap();
    let waiting = async |receiver, limit| {
        let rows = fixture.store.waiting_outbox(receiver, limit).await.unwrap();
        assert!(rows.iter().all(|row| row.receiver == receiver));
        rows.into_iter().map(|row| row.next_attempt_us - T0).collect::<Vec<_>>()
    };
    // Oldest first, not the longest due.
    assert_eq!(waiting("ops", 2).await, [9, 8]);
    assert_eq!(waiting("ops", 1).await, [9]);
    assert_eq!(waiting("nobody", 10).await, [0; 0]);
    assert_eq!(fixture.store.waiting_receivers().await.unwrap(), ["away", "ops"]);
    assert_eq!(fixture.store.give_up_all("away", "not configured", T0 + 10).await.unwrap(), 5);
    assert_eq!(fixture.store.waiting_receivers().await.unwrap(), ["ops"]);
    let summary = fixture.store.outbox_summary().await.unwrap();
    assert_eq!(summary, OutboxSummary { pending: 2, delivered: 0, given_up: 5 });
}

pub async fn delivered_once(fixture: Fixture) {
    fixture.store.save_finding(&finding(1), &[message("ops", T0), message("log", T0)]).await.unwrap();
    let ids: Vec<_> = fixture.store.due_outbox(T0, 10).await.unwrap().into_iter().map(|row| row.id).collect();
    fixture.store.delivered(ids[0], T0 + 1).await.unwrap();
    let error = fixture.store.delivered(ids[0], T0 + 2).await.unwrap_err();
    assert!(matches!(error, StoreError::NotPending { id } if id == ids[0]), "{error:?}");
    assert!(matches!(fixture.store.delivered(-1, T0).await, Err(StoreError::NotPending { id: -1 })));
    assert!(matches!(fixture.store.give_up(ids[0], "late", T0).await, Err(StoreError::NotPending { .. })));
    let left: Vec<_> =
        fixture.store.due_outbox(T0, 10).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(left, ids[1..]);
    assert_eq!(fixture.numbers("SELECT finished_us FROM outbox WHERE status = 'delivered'").await, [T0 + 1]);
}

pub async fn failed_then_given_up(fixture: Fixture) {
    fixture.store.save_finding(&finding(1), &[message("ops", T0)]).await.unwrap();
    let id = fixture.store.due_outbox(T0, 1).await.unwrap()[0].id;
    fixture.store.delivery_failed(id, "HTTP 503\0", 1, T0 + 30).await.unwrap();
    assert_eq!(fixture.store.due_outbox(T0 + 29, 10).await.unwrap(), []);
    let row = fixture.store.due_outbox(T0 + 30, 10).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.last_error.as_deref()), (1, Some("HTTP 503\u{FFFD}")));
    fixture.store.give_up(id, "HTTP 410", T0 + 31).await.unwrap();
    assert_eq!(fixture.store.due_outbox(i64::MAX, 10).await.unwrap(), []);
    let late = fixture.store.delivery_failed(id, "again", 3, T0 + 60).await;
    assert!(matches!(late, Err(StoreError::NotPending { .. })), "{late:?}");
    assert_eq!(fixture.numbers("SELECT attempts FROM outbox WHERE last_error = 'HTTP 410'").await, [2]);
}

pub async fn prune(fixture: Fixture) {
    let summary = || async { fixture.store.outbox_summary().await.unwrap() };
    assert_eq!(summary().await, OutboxSummary::default());
    let messages: Vec<_> = (0..4).map(|n| message("ops", T0 + n)).collect();
    fixture.store.save_finding(&finding(1), &messages).await.unwrap();
    let ids: Vec<_> =
        fixture.store.due_outbox(i64::MAX, 10).await.unwrap().into_iter().map(|row| row.id).collect();
    fixture.store.delivered(ids[0], T0 + 10).await.unwrap();
    fixture.store.give_up(ids[1], "gone", T0 + 20).await.unwrap();
    fixture.store.delivered(ids[2], T0 + 30).await.unwrap();
    assert_eq!(summary().await, OutboxSummary { pending: 1, delivered: 2, given_up: 1 });
    assert_eq!(fixture.store.prune_outbox(T0 + 30).await.unwrap(), 2);
    assert_eq!(summary().await, OutboxSummary { pending: 1, delivered: 1, given_up: 0 });
    assert_eq!(fixture.store.prune_outbox(i64::MAX).await.unwrap(), 1);
    assert_eq!(summary().await, OutboxSummary { pending: 1, delivered: 0, given_up: 0 });
}
