//! Findings and the messages written with them.

use ha_coordinator::store::{FindingFilter, FindingNumberRow, FindingRow, NewOutbox, StoreError};
use hafleet_fleet::{FindingStatus, Severity};

use super::fixture::{Fixture, T0};

/// Finding `n` of one kind and subject, firing since `T0 + n`.
pub fn finding(n: i64) -> FindingRow {
    FindingRow {
        id: format!("split_brain.confirmed@dc1/192.168.178.3#{n}"),
        kind: "split_brain.confirmed".into(),
        severity: Severity::Critical,
        subject: "dc1/192.168.178.3".into(),
        site: "dc1".into(),
        status: FindingStatus::Firing,
        since_us: T0 + n,
        resolved_at_us: None,
        summary: "lb01 and lb02 both hold 192.168.178.3".into(),
        cause_code: "vrrp_filtered".into(),
        cause: "something filters VRRP".into(),
        action: String::new(),
        evidence: r#"[{"kind":"asserts_master","node":"lb01"}]"#.into(),
        updated_us: T0 + n,
    }
}

fn resolved(n: i64, at_us: i64) -> FindingRow {
    FindingRow {
        status: FindingStatus::Resolved,
        resolved_at_us: Some(at_us),
        updated_us: at_us,
        ..finding(n)
    }
}

/// A message that is due at once.
pub fn message(receiver: &str, due_us: i64) -> NewOutbox {
    NewOutbox { receiver: receiver.into(), body: "{}".into(), created_us: T0, next_attempt_us: due_us }
}

pub async fn upsert(fixture: Fixture) {
    let pending = FindingRow { status: FindingStatus::Pending, severity: Severity::Warning, ..finding(1) };
    fixture.store.save_finding(&pending, &[]).await.unwrap();
    assert_eq!(fixture.store.open_findings().await.unwrap(), [pending]);
    fixture.store.save_finding(&finding(1), &[]).await.unwrap();
    assert_eq!(fixture.store.open_findings().await.unwrap(), [finding(1)]);
    fixture.store.save_finding(&finding(2), &[]).await.unwrap();
    fixture.store.save_finding(&resolved(1, T0 + 9), &[]).await.unwrap();
    assert_eq!(fixture.store.open_findings().await.unwrap(), [finding(2)]);
    let everything = FindingFilter { include_resolved: true, limit: 10, ..FindingFilter::default() };
    assert_eq!(fixture.store.findings(&everything).await.unwrap().rows, [finding(2), resolved(1, T0 + 9)]);
}

pub async fn messages_or_nothing(fixture: Fixture) {
    fixture.store.save_finding(&finding(1), &[message("ops", T0), message("log", T0)]).await.unwrap();
    assert_eq!(fixture.store.due_outbox(T0, 10).await.unwrap().len(), 2);
    // The second statement of the transaction fails: the first must not stay.
    fixture.execute("ALTER TABLE outbox RENAME TO outbox_away").await.unwrap();
    let error = fixture.store.save_finding(&finding(2), &[message("ops", T0)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error:?}");
    assert_eq!(fixture.store.open_findings().await.unwrap(), [finding(1)]);
    fixture.execute("ALTER TABLE outbox_away RENAME TO outbox").await.unwrap();
    // A finding that contradicts itself takes its messages with it.
    let contradiction = FindingRow { resolved_at_us: Some(T0), ..finding(3) };
    let error = fixture.store.save_finding(&contradiction, &[message("ops", T0)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error:?}");
    assert_eq!(fixture.store.due_outbox(T0, 10).await.unwrap().len(), 2);
}

pub async fn wrong_id(fixture: Fixture) {
    for id in [
        "",
        "x",
        "no_master@dc1/192.168.178.3#1",
        "split_brain.confirmed@dc1/192.168.178.3",
        "split_brain.confirmed@dc1/192.168.178.3#0",
        "split_brain.confirmed@dc1/192.168.178.3#-1",
    ] {
        let error =
            fixture.store.save_finding(&FindingRow { id: id.into(), ..finding(1) }, &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::FindingId { .. }), "{id}: {error:?}");
    }
    assert_eq!(fixture.store.open_findings().await.unwrap(), []);
}

pub async fn filters(fixture: Fixture) {
    fixture.store.save_finding(&resolved(1, T0 + 100), &[]).await.unwrap();
    fixture.store.save_finding(&resolved(2, T0 + 3), &[]).await.unwrap();
    for n in 3..=5 {
        fixture.store.save_finding(&finding(n), &[]).await.unwrap();
    }
    let store = &fixture.store;
    let ask = |filter: FindingFilter| async move {
        let page = store.findings(&filter).await.unwrap();
        (page.rows.into_iter().map(|row| row.since_us - T0).collect::<Vec<_>>(), page.truncated)
    };
    let open = FindingFilter { limit: 10, ..FindingFilter::default() };
    let whole = FindingFilter { include_resolved: true, ..open.clone() };
    assert_eq!(ask(open.clone()).await, (vec![5, 4, 3], false));
    assert_eq!(ask(FindingFilter { limit: 2, ..open.clone() }).await, (vec![5, 4], true));
    assert_eq!(ask(whole.clone()).await, (vec![5, 4, 3, 2, 1], false));
    // Began or was resolved since then.
    assert_eq!(ask(FindingFilter { since_us: T0 + 5, ..whole.clone() }).await, (vec![5, 1], false));
    assert_eq!(ask(FindingFilter { since_us: T0 + 5, ..open.clone() }).await, (vec![5], false));
    let one = |n| FindingFilter { id: Some(finding(n).id), ..open.clone() };
    assert_eq!(ask(one(4)).await, (vec![4], false));
    assert_eq!(ask(one(1)).await, (vec![1], false), "asked for by name, a resolved one is found too");
    assert_eq!(ask(one(6)).await, (vec![], false));
}

pub async fn numbers(fixture: Fixture) {
    let (kind, subject) = (finding(1).kind, finding(1).subject);
    assert_eq!(fixture.store.finding_numbers().await.unwrap(), []);
    for n in [1, 2, 10] {
        fixture.store.save_finding(&resolved(n, T0 + 50), &[]).await.unwrap();
    }

    let other = FindingRow {
        id: "no_master@node/a#7".into(),
        kind: "no_master".into(),
        subject: "node/a".into(),
        ..finding(20)
    };
    fixture.store.save_finding(&other, &[]).await.unwrap();
    let row = |kind: &str, subject: &str, last| FindingNumberRow {
        kind: kind.into(),
        subject: subject.into(),
        last,
    };
    let numbers = fixture.store.finding_numbers().await.unwrap();
    assert_eq!(numbers, [row(&kind, &subject, 10), row("no_master", "node/a", 7)]);
}

pub async fn every_word(fixture: Fixture) {
    let mut sent = Vec::new();
    for &severity in Severity::ALL {
        for &status in FindingStatus::ALL {
            let n = i64::try_from(sent.len()).unwrap() + 1;
            let resolved_at_us = (status == FindingStatus::Resolved).then_some(T0 + 99);
            sent.push(FindingRow {
                severity,
                status,
                resolved_at_us,
                summary: "小心\0'\"".into(),
                ..finding(n)
            });
        }
    }
    for row in &sent {
        fixture.store.save_finding(row, &[]).await.unwrap();
    }
    let everything = FindingFilter { include_resolved: true, limit: 100, ..FindingFilter::default() };
    let mut kept = fixture.store.findings(&everything).await.unwrap().rows;
    kept.reverse();
    for row in &mut sent {
        row.summary = "小心\u{FFFD}'\"".into();
    }
    assert_eq!(kept, sent);
}
