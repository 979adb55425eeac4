//! Switchovers and maintenance.

use ha_coordinator::store::{OrderKind, OrderRow, OrderState};

use super::fixture::{Fixture, T0};

fn switchover(subject: &str) -> OrderRow {
    OrderRow {
        number: 0,
        kind: OrderKind::Switchover,
        node: "lb02".into(),
        subject: subject.into(),
        instances: "[\"VI_1\"]".into(),
        priority: Some(151),
        from_node: Some("lb01".into()),
        until_us: Some(T0 + 3_600_000_000),
        given_by: "user/ann".into(),
        why: "patch\0day".into(),
        state: OrderState::Asked,
        detail: String::new(),
        created_at_us: T0,
        updated_us: T0,
    }
}

fn maintenance() -> OrderRow {
    OrderRow {
        kind: OrderKind::Maintenance,
        subject: "lb02".into(),
        instances: "[]".into(),
        priority: None,
        from_node: None,
        until_us: None,
        why: String::new(),
        ..switchover("")
    }
}

pub async fn through_its_life(fixture: Fixture) {
    fixture.enroll("lb02").await;
    let store = &fixture.store;
    let first = store.begin_order(&switchover("dc1/10.0.0.1")).await.unwrap();
    let second = store.begin_order(&maintenance()).await.unwrap();
    assert!(first >= 1 && second > first);
    let kept = OrderRow { number: first, why: "patch\u{FFFD}day".into(), ..switchover("dc1/10.0.0.1") };
    let other = OrderRow { number: second, ..maintenance() };
    assert_eq!(store.open_orders().await.unwrap(), [kept.clone(), other.clone()]);
    for &state in OrderState::ALL {
        let open = state != OrderState::Over;
        assert!(store.set_order(first, state, state.as_str(), T0 + 5).await.unwrap());
        let expected = OrderRow { state, detail: state.as_str().into(), updated_us: T0 + 5, ..kept.clone() };
        let rows = store.open_orders().await.unwrap();
        assert_eq!(rows, if open { vec![expected, other.clone()] } else { vec![other.clone()] });
    }
    assert!(!store.set_order(first, OrderState::Standing, "again", T0 + 6).await.unwrap(), "over is over");
    assert!(store.set_order(second, OrderState::Withdrawing, "", T0).await.unwrap());
    for back in [OrderState::Asked, OrderState::Standing] {
        assert!(
            !store.set_order(second, back, "late", T0 + 6).await.unwrap(),
            "withdrawn is not {back} again"
        );
    }
    let other = OrderRow { state: OrderState::Withdrawing, ..other };
    assert!(!store.set_order(999, OrderState::Over, "", T0).await.unwrap());
    assert_eq!(fixture.again().await.unwrap().open_orders().await.unwrap(), [other]);
}

pub async fn old_ones_that_are_over_are_deleted(fixture: Fixture) {
    fixture.enroll("lb02").await;
    let store = &fixture.store;
    let mut numbers = Vec::new();
    for (count, state) in [(3, OrderState::Over), (1, OrderState::Withdrawing), (4, OrderState::Over)] {
        for _ in 0..count {
            let number = store.begin_order(&switchover("dc1/10.0.0.1")).await.unwrap();
            store.set_order(number, state, "", T0).await.unwrap();
            numbers.push(i64::try_from(number).unwrap());
        }
    }
    let pruned = store.prune_orders(8).await.unwrap();
    assert_eq!((pruned.deleted, pruned.more), (0, false));
    assert_eq!(store.prune_orders(2).await.unwrap().deleted, 5);
    let left = fixture.numbers("SELECT number FROM orders ORDER BY number").await;
    assert_eq!(
        left,
        [numbers[3], numbers[6], numbers[7]],
        "the newest, and one that a node has still to forget"
    );
    assert_eq!(store.prune_orders(0).await.unwrap().deleted, 2);
    let next = store.begin_order(&switchover("dc1/10.0.0.1")).await.unwrap();
    assert_eq!(i64::try_from(next).unwrap(), numbers[7] + 1, "no number is given again");
}

pub async fn one_is_asked_at_a_time(fixture: Fixture) {
    fixture.enroll("lb02").await;
    let store = &fixture.store;
    assert_eq!(OrderKind::ALL.len(), 2);
    let first = store.begin_order(&switchover("dc1/10.0.0.1")).await.unwrap();
    assert!(store.begin_order(&switchover("dc1/10.0.0.1")).await.is_err(), "this group is under way");
    store.begin_order(&switchover("dc1/10.0.0.2")).await.unwrap();
    // The next one is made before the one before is taken back.
    store.set_order(first, OrderState::Standing, "", T0).await.unwrap();
    store.begin_order(&switchover("dc1/10.0.0.1")).await.unwrap();
    assert_eq!(store.open_orders().await.unwrap().len(), 3);
}

pub async fn what_can_be_no_order(fixture: Fixture) {
    fixture.enroll("lb02").await;
    let store = &fixture.store;
    let nobody = OrderRow { node: "lb09".into(), ..maintenance() };
    assert!(store.begin_order(&nobody).await.is_err(), "no such node");
    let aimless = OrderRow { priority: None, ..switchover("dc1/10.0.0.1") };
    assert!(store.begin_order(&aimless).await.is_err(), "a switchover has a priority");
    let owner = OrderRow { priority: Some(255), ..switchover("dc1/10.0.0.1") };
    assert!(store.begin_order(&owner).await.is_err(), "255 is the owner's");
    assert_eq!(store.open_orders().await.unwrap(), []);
}
