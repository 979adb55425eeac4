//! Join tokens.

use ha_coordinator::store::{NewToken, NodeRow, Spend, StoreError, TokenRow};
use tokio::task::JoinSet;

use super::fixture::{Fixture, T0, node};

const HOUR_US: i64 = 3_600_000_000;

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn token(id: &str) -> NewToken {
    NewToken {
        id: id.into(),
        secret_hash: hash('a'),
        node: None,
        created_by: "user/admin".into(),
        created_at_us: T0,
        expires_at_us: T0 + HOUR_US,
    }
}

async fn spend(fixture: &Fixture, id: &str, secret: char, name: &str, now_us: i64) -> Spend {
    fixture.store.spend_token(id, &hash(secret), &node(name), now_us).await.unwrap()
}

pub async fn spent_once(fixture: Fixture) {
    fixture.store.create_token(&token("t1")).await.unwrap();
    assert_eq!(spend(&fixture, "t1", 'a', "lb01", T0 + 1).await, Spend::Spent);
    let used = Spend::AlreadyUsed { at_us: T0 + 1, by: "lb01".into() };
    assert_eq!(spend(&fixture, "t1", 'a', "lb01", T0 + 2).await, used);
    assert_eq!(
        spend(&fixture, "t1", 'a', "lb02", T0 + HOUR_US + 1).await,
        used,
        "used is told before expired"
    );
    assert_eq!(spend(&fixture, "t1", 'b', "lb02", T0 + 2).await, Spend::WrongSecret);
    let row = fixture.store.tokens().await.unwrap().rows.remove(0);
    assert_eq!((row.used_at_us, row.used_by.as_deref()), (Some(T0 + 1), Some("lb01")));
}

pub async fn refusals(fixture: Fixture) {
    fixture.store.create_token(&token("any")).await.unwrap();
    fixture.store.create_token(&NewToken { node: Some("lb01".into()), ..token("bound") }).await.unwrap();
    assert_eq!(spend(&fixture, "none", 'a', "lb01", T0).await, Spend::Unknown);
    assert_eq!(spend(&fixture, "any", 'b', "lb01", T0).await, Spend::WrongSecret);
    assert_eq!(fixture.store.spend_token("any", "", &node("lb01"), T0).await.unwrap(), Spend::WrongSecret);
    assert_eq!(
        fixture.store.spend_token("any", &hash('a')[..63], &node("lb01"), T0).await.unwrap(),
        Spend::WrongSecret
    );
    let late = Spend::Expired { at_us: T0 + HOUR_US };
    assert_eq!(spend(&fixture, "any", 'a', "lb01", T0 + HOUR_US).await, late);
    assert_eq!(spend(&fixture, "bound", 'a', "lb02", T0).await, Spend::OtherNode { bound_to: "lb01".into() });
    // None of these spent anything or added anybody.
    assert_eq!(fixture.store.nodes().await.unwrap(), []);
    assert!(fixture.store.tokens().await.unwrap().rows.iter().all(|row| row.used_at_us.is_none()));
    assert_eq!(spend(&fixture, "any", 'a', "lb02", T0 + HOUR_US - 1).await, Spend::Spent);
    assert_eq!(spend(&fixture, "bound", 'a', "lb01", T0).await, Spend::Spent);
}

/// Two coordinators, many callers each, one instant.
pub async fn of_many_spenders_one_wins(fixture: Fixture) {
    let other = fixture.again().await.unwrap();
    for round in 0..10 {
        let id = format!("t{round}");
        fixture.store.create_token(&token(&id)).await.unwrap();
        let mut spending = JoinSet::new();
        for number in 0..8 {
            let store = if number % 2 == 0 { fixture.store.clone() } else { other.clone() };
            let id = id.clone();
            spending.spawn(async move {
                let name = format!("lb{round}-{number:02}");
                let spend = store.spend_token(&id, &hash('a'), &node(&name), T0 + number).await.unwrap();
                (name, spend)
            });
        }
        let done = spending.join_all().await;
        let winners: Vec<_> =
            done.iter().filter(|(_, spend)| *spend == Spend::Spent).map(|(node, _)| node).collect();
        assert_eq!(winners.len(), 1, "{done:?}");
        let told = done.iter().all(|(_, spend)| match spend {
            Spend::AlreadyUsed { by, .. } => by == winners[0],
            other => *other == Spend::Spent,
        });
        assert!(told, "every loser is told who won: {done:?}");
    }
}

/// A token for nobody in particular makes a new node and takes over none.
pub async fn taken_name_costs_nothing(fixture: Fixture) {
    let known = NodeRow {
        last_seen_us: Some(T0 + 1),
        agent_version: "0.1.0".into(),
        certificate_serial: Some("0a".into()),
        ..node("lb01")
    };
    fixture.store.save_node(&known).await.unwrap();
    fixture.store.create_token(&token("any")).await.unwrap();
    fixture.store.create_token(&NewToken { node: Some("lb01".into()), ..token("bound") }).await.unwrap();
    fixture.store.create_token(&NewToken { node: Some("lb01".into()), ..token("late") }).await.unwrap();
    assert_eq!(spend(&fixture, "any", 'a', "lb01", T0).await, Spend::NameTaken);
    assert_eq!(fixture.store.node("lb01").await.unwrap(), Some(known.clone()));
    // For that very node it may; what is known of it and not said anew stays.
    let again = NodeRow {
        site: "dc2".into(),
        certificate_serial: Some("0b".into()),
        certificate_not_after_us: Some(T0 + 9),
        first_seen_us: T0 + 5,
        ..node("lb01")
    };
    let spent = fixture.store.spend_token("bound", &hash('a'), &again, T0 + 5).await.unwrap();
    assert_eq!(spent, Spend::Spent);
    let row = fixture.store.node("lb01").await.unwrap().unwrap();
    let expected = NodeRow {
        first_seen_us: T0,
        last_seen_us: known.last_seen_us,
        agent_version: known.agent_version,
        ..again
    };
    assert_eq!(row, expected);

    fixture.store.revoke_node("lb01", T0 + 6).await.unwrap();
    for id in ["any", "late"] {
        let refused = spend(&fixture, id, 'a', "lb01", T0 + 7).await;
        assert_eq!(refused, Spend::Revoked { at_us: T0 + 6 }, "{id}");
    }
    assert_eq!(fixture.store.node("lb01").await.unwrap().unwrap().certificate_serial.as_deref(), Some("0b"));
    // Neither refusal spent the token.
    assert_eq!(spend(&fixture, "any", 'a', "lb02", T0 + 8).await, Spend::Spent);
}

/// Two coordinators, many hosts with a token each, all want one name.
pub async fn of_many_tokens_one_gets_the_name(fixture: Fixture) {
    let other = fixture.again().await.unwrap();
    for round in 0..10 {
        let mut spending = JoinSet::new();
        for number in 0..8 {
            let id = format!("t{round}-{number}");
            fixture.store.create_token(&token(&id)).await.unwrap();
            let store = if number % 2 == 0 { fixture.store.clone() } else { other.clone() };
            spending.spawn(async move {
                let row = NodeRow { certificate_serial: Some(id.clone()), ..node(&format!("lb{round}")) };
                (id.clone(), store.spend_token(&id, &hash('a'), &row, T0).await.unwrap())
            });
        }
        let done = spending.join_all().await;
        let winners: Vec<_> =
            done.iter().filter(|(_, spend)| *spend == Spend::Spent).map(|(id, _)| id.clone()).collect();
        assert_eq!(winners.len(), 1, "{done:?}");
        assert!(done.iter().all(|(_, spend)| matches!(spend, Spend::Spent | Spend::NameTaken)), "{done:?}");
        let row = fixture.store.node(&format!("lb{round}")).await.unwrap().unwrap();
        assert_eq!(row.certificate_serial.as_ref(), winners.first());
    }
    let tokens = fixture.store.tokens().await.unwrap().rows;
    assert_eq!(tokens.iter().filter(|row| row.used_by.is_some()).count(), 10);
}

pub async fn bad_rows(fixture: Fixture) {
    fixture.store.create_token(&token("t1")).await.unwrap();
    let twice = fixture.store.create_token(&NewToken { secret_hash: hash('b'), ..token("t1") }).await;
    assert!(matches!(twice, Err(StoreError::Write { .. })), "{twice:?}");
    let short = fixture.store.create_token(&NewToken { secret_hash: "secret".into(), ..token("t2") }).await;
    assert!(matches!(short, Err(StoreError::Write { .. })), "{short:?}");
    assert_eq!(spend(&fixture, "t1", 'a', "lb01", T0).await, Spend::Spent, "the first one is still the one");
    assert!(!format!("{:?}", token("t1")).contains(&hash('a')), "a log does not show what proves a token");
}

pub async fn listed_newest_first(fixture: Fixture) {
    fixture.store.create_token(&token("old")).await.unwrap();
    fixture
        .store
        .create_token(&NewToken { created_at_us: T0 + 1, node: Some("lb01".into()), ..token("new") })
        .await
        .unwrap();
    let page = fixture.store.tokens().await.unwrap();
    let row = |id: &str, node: Option<&str>, created_at_us| TokenRow {
        id: id.into(),
        node: node.map(str::to_owned),
        created_by: "user/admin".into(),
        created_at_us,
        expires_at_us: T0 + HOUR_US,
        used_at_us: None,
        used_by: None,
    };
    assert_eq!(
        (page.rows, page.truncated),
        (vec![row("new", Some("lb01"), T0 + 1), row("old", None, T0)], false)
    );
}
