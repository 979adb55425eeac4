//! The inventory and the snapshots.

use ha_coordinator::store::{NodeRow, SnapshotRow, StoreError};

use super::fixture::{Fixture, T0, node};

pub async fn upsert(fixture: Fixture) {
    let first = NodeRow {
        last_seen_us: Some(T0 + 1),
        agent_version: "0.1.0".into(),
        certificate_serial: Some("0a1b".into()),
        certificate_not_after_us: Some(T0 + 1_000),
        ..node("lb01")
    };
    fixture.store.save_node(&first).await.unwrap();
    assert_eq!(fixture.store.node("lb01").await.unwrap(), Some(first.clone()));

    // A session that knows nothing of the certificate, a later first sight, another site and version.
    let second = NodeRow {
        first_seen_us: T0 + 500,
        site: "dc2".into(),
        agent_version: "0.2.0".into(),
        ..node("lb01")
    };
    fixture.store.save_node(&second).await.unwrap();
    let expected = NodeRow { site: "dc2".into(), agent_version: "0.2.0".into(), ..first };
    assert_eq!(fixture.store.nodes().await.unwrap(), std::slice::from_ref(&expected));

    let renewed =
        NodeRow { certificate_serial: Some("0c".into()), certificate_not_after_us: Some(T0 + 9), ..expected };
    fixture.store.save_node(&renewed).await.unwrap();
    assert_eq!(fixture.store.node("lb01").await.unwrap(), Some(renewed));
}

pub async fn unknown(fixture: Fixture) {
    assert_eq!(fixture.store.node("lb01").await.unwrap(), None);
    assert_eq!(fixture.store.nodes().await.unwrap(), []);
    let error = fixture.store.revoke_node("lb01", T0).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownNode { node } if node == "lb01"), "{error:?}");
}

pub async fn revocation_stays(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.enroll("lb02").await;
    fixture.store.revoke_node("lb01", T0 + 5).await.unwrap();
    fixture.store.revoke_node("lb01", T0 + 9).await.unwrap();
    // A session that began before the revocation writes what it still believes.
    fixture.enroll("lb01").await;
    let row = fixture.store.node("lb01").await.unwrap().unwrap();
    assert_eq!((row.revoked_at_us, row.revoked()), (Some(T0 + 5), true));
    assert!(!fixture.store.node("lb02").await.unwrap().unwrap().revoked());
}

pub async fn listed_by_bytes(fixture: Fixture) {
    for name in ["lb2", "lb-1", "LB3", "lb10", "a", "B", "ä"] {
        fixture.enroll(name).await;
        fixture.store.save_snapshot(name, T0, "{}").await.unwrap();
    }
    let by_bytes = ["B", "LB3", "a", "lb-1", "lb10", "lb2", "ä"];
    let names: Vec<_> = fixture.store.nodes().await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, by_bytes);
    let names: Vec<_> = fixture.store.snapshots().await.unwrap().into_iter().map(|row| row.node).collect();
    assert_eq!(names, by_bytes);
}

pub async fn snapshot_is_the_latest(fixture: Fixture) {
    fixture.enroll("lb01").await;
    assert_eq!(fixture.store.snapshots().await.unwrap(), []);
    fixture.store.save_snapshot("lb01", T0 + 1, r#"{"seq":1}"#).await.unwrap();
    fixture.store.save_snapshot("lb01", T0 + 2, "{\"seq\":2,\"detail\":\"\0\"}").await.unwrap();
    let expected = SnapshotRow {
        node: "lb01".into(),
        received_us: T0 + 2,
        body: "{\"seq\":2,\"detail\":\"\u{FFFD}\"}".into(),
    };
    assert_eq!(fixture.store.snapshots().await.unwrap(), [expected]);
    assert_eq!(fixture.store.node("lb01").await.unwrap().unwrap().last_seen_us, Some(T0 + 2));
}

pub async fn snapshot_of_nobody(fixture: Fixture) {
    let error = fixture.store.save_snapshot("lb01", T0, "{}").await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownNode { node } if node == "lb01"), "{error:?}");
    assert_eq!(fixture.store.snapshots().await.unwrap(), []);
}
