//! The audit log.

use ha_coordinator::store::{AuditFilter, AuditOutcome, AuditRow};

use super::fixture::{Fixture, T0};

fn line(n: i64, outcome: AuditOutcome) -> AuditRow {
    AuditRow {
        at_us: T0 + n,
        actor: "user/admin".into(),
        action: "token.create".into(),
        subject: format!("token/{n}"),
        outcome,
        detail: "for lb01".into(),
    }
}

fn since(since_us: i64, limit: u32) -> AuditFilter {
    AuditFilter { since_us, limit, ..AuditFilter::default() }
}

pub async fn newest_first(fixture: Fixture) {
    let (done, refused) = (AuditOutcome::Done, AuditOutcome::Refused);
    let lines = [line(1, done), line(2, refused), line(3, done)];
    for line in &lines {
        fixture.store.append_audit(line).await.unwrap();
    }
    let newest_first: Vec<_> = lines.iter().rev().cloned().collect();
    let page = fixture.store.audit(&since(0, 10)).await.unwrap();
    assert_eq!((page.rows, page.truncated), (newest_first.clone(), false));
    let page = fixture.store.audit(&since(T0 + 2, 1)).await.unwrap();
    assert_eq!((page.rows, page.truncated), (newest_first[..1].to_vec(), true));
    assert_eq!(fixture.store.audit(&since(T0 + 4, 10)).await.unwrap().rows, []);

    // A peer that proved nothing chooses the bytes of its own name.
    let hostile = AuditRow { actor: "\0".into(), detail: "x\0y".into(), ..line(9, refused) };
    fixture.store.append_audit(&hostile).await.unwrap();
    let kept = fixture.store.audit(&since(T0 + 9, 1)).await.unwrap().rows.remove(0);
    assert_eq!((kept.actor.as_str(), kept.detail.as_str()), ("\u{FFFD}", "x\u{FFFD}y"));
}

pub async fn only_ever_added(fixture: Fixture) {
    fixture.store.append_audit(&line(1, AuditOutcome::Refused)).await.unwrap();
    for sql in ["UPDATE audit SET outcome = 'done'", "DELETE FROM audit"] {
        let error = fixture.execute(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    assert_eq!(fixture.store.audit(&since(0, 10)).await.unwrap().rows, [line(1, AuditOutcome::Refused)]);
}

pub async fn filters(fixture: Fixture) {
    let (done, refused) = (AuditOutcome::Done, AuditOutcome::Refused);
    let other = |n: i64, action: &str| AuditRow {
        action: action.into(),
        actor: "user/ann".into(),
        ..line(n, refused)
    };
    let lines = [line(1, done), other(2, "token"), other(3, "tokens.create"), other(4, "token%create")];
    for line in &lines {
        fixture.store.append_audit(line).await.unwrap();
    }
    let found = async |filter: AuditFilter| -> Vec<i64> {
        let page = fixture.store.audit(&AuditFilter { limit: 10, ..filter }).await.unwrap();
        page.rows.iter().map(|row| row.at_us - T0).collect()
    };
    let of = |action: &str| AuditFilter { action: Some(action.into()), ..AuditFilter::default() };
    let named = |name: &str| AuditFilter { name: Some(name.into()), ..AuditFilter::default() };
    assert_eq!(found(AuditFilter::default()).await, [4, 3, 2, 1]);
    assert_eq!(found(of("token")).await, [2, 1], "a family is a whole word");
    assert_eq!(found(of("token.create")).await, [1]);
    assert_eq!(found(of("token%")).await, [] as [i64; 0], "nothing is a pattern");
    assert_eq!(found(named("user/ann")).await, [4, 3, 2]);
    assert_eq!(found(named("token/3")).await, [3], "what it is about counts too");
    assert_eq!(found(AuditFilter { outcome: Some(done), ..AuditFilter::default() }).await, [1]);
    assert_eq!(found(AuditFilter { outcome: Some(refused), ..of("token") }).await, [2]);
}
