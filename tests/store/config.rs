//! Generations of the fleet's configuration, and how they were applied.

use ha_coordinator::{
    data_dir::DataDir,
    sealing::Sealing,
    store::{ApplyState, Begun, NewGeneration, StepRow, StepState, Store, StoreError},
};

use super::fixture::{Fixture, T0};

fn new(parent: u64, text: &str) -> NewGeneration {
    NewGeneration {
        parent,
        author: "user/admin".into(),
        message: "because".into(),
        text: text.into(),
        created_at_us: T0,
        confirm_within_us: 120_000_000,
        above: 0,
    }
}

fn nodes() -> Vec<String> {
    vec!["lb02".into(), "lb01".into()]
}

fn step(node: &str, state: StepState, detail: &str) -> StepRow {
    StepRow { node: node.into(), state, detail: detail.into(), updated_us: T0 + 1 }
}

pub async fn one_at_a_time(fixture: Fixture) {
    let store = &fixture.store;
    assert_eq!((store.config_head().await.unwrap(), store.open_config().await.unwrap()), (None, None));
    assert_eq!(store.begin_config(&new(3, "x"), &[]).await.unwrap(), Begun::Moved { head: 0 });
    assert_eq!(store.begin_config(&new(0, "one"), &nodes()).await.unwrap(), Begun::Generation(1));
    assert_eq!(store.begin_config(&new(0, "two"), &nodes()).await.unwrap(), Begun::Busy { generation: 1 });
    let open = store.open_config().await.unwrap().unwrap();
    assert_eq!((open.number, open.text.as_str(), open.state), (1, "one", ApplyState::Staging));
    assert_eq!(open.confirm_within_us, 120_000_000);
    store.save_config_apply(1, ApplyState::Committing, "", T0 + 5).await.unwrap();
    assert_eq!(store.begin_config(&new(0, "two"), &nodes()).await.unwrap(), Begun::Busy { generation: 1 });
    store.save_config_apply(1, ApplyState::Applied, "", T0 + 6).await.unwrap();
    assert_eq!(store.begin_config(&new(0, "two"), &nodes()).await.unwrap(), Begun::Moved { head: 1 });
    // What is over stays as it is.
    store.save_config_apply(1, ApplyState::RolledBack, "late", T0 + 7).await.unwrap();
    let head = store.config_head().await.unwrap().unwrap();
    assert_eq!(
        (head.number, head.state, head.updated_us, head.why.as_str()),
        (1, ApplyState::Applied, T0 + 6, "")
    );
}

pub async fn given_up_is_no_parent(fixture: Fixture) {
    let store = &fixture.store;
    store.begin_config(&new(0, "one"), &[]).await.unwrap();
    store.save_config_apply(1, ApplyState::Applied, "", T0).await.unwrap();
    for (number, state) in [(2, ApplyState::Refused), (3, ApplyState::RolledBack)] {
        assert_eq!(store.begin_config(&new(1, "bad"), &[]).await.unwrap(), Begun::Generation(number));
        store.save_config_apply(number, state, "a node refused", T0).await.unwrap();
    }
    assert_eq!(store.config_head().await.unwrap().unwrap().number, 1);
    assert_eq!(
        store.begin_config(&new(1, "good"), &[]).await.unwrap(),
        Begun::Generation(4),
        "no number twice"
    );
    let history = store.config_history(2).await.unwrap();
    let numbers: Vec<u64> = history.rows.iter().map(|row| row.number).collect();
    assert_eq!((numbers, history.truncated), (vec![4, 3], true));
    assert_eq!(history.rows[1].why, "a node refused");
    let found = store.config_generation(2).await.unwrap().unwrap();
    assert_eq!((found.parent, found.state), (1, ApplyState::Refused));
    assert_eq!(store.config_generation(9).await.unwrap(), None);
}

/// Given up since the last that was applied, and not known to be gone from every node.
pub async fn what_nodes_have_still_to_give_up(fixture: Fixture) {
    let store = &fixture.store;
    let owed = async || {
        let rows = store.owed_configs().await.unwrap();
        rows.into_iter().map(|row| (row.number, row.text)).collect::<Vec<_>>()
    };
    let ends = [
        (1, ApplyState::RolledBack, StepState::Failed),
        (2, ApplyState::Applied, StepState::Confirmed),
        (3, ApplyState::RolledBack, StepState::Failed),
        (4, ApplyState::RolledBack, StepState::RolledBack),
        (5, ApplyState::Refused, StepState::Failed),
    ];
    for (number, state, at_lb01) in ends {
        let parent = if number > 2 { 2 } else { 0 };
        let begun = store.begin_config(&new(parent, &format!("text {number}")), &nodes()).await.unwrap();
        assert_eq!(begun, Begun::Generation(number));
        store.save_config_step(number, &step("lb01", at_lb01, "")).await.unwrap();
        store.save_config_apply(number, state, "", T0).await.unwrap();
    }
    assert_eq!(owed().await, [(5, "text 5".to_owned()), (3, "text 3".to_owned())]);
    store.save_config_step(5, &step("lb01", StepState::RolledBack, "")).await.unwrap();
    // Under way is not given up.
    store.begin_config(&new(2, "text 6"), &nodes()).await.unwrap();
    store.save_config_step(6, &step("lb02", StepState::Failed, "")).await.unwrap();
    assert_eq!(owed().await, [(3, "text 3".to_owned())]);
}

pub async fn steps(fixture: Fixture) {
    let store = &fixture.store;
    store.begin_config(&new(0, "one"), &nodes()).await.unwrap();
    let states = async || {
        let steps = store.config_steps(1).await.unwrap();
        steps.into_iter().map(|step| (step.node, step.state)).collect::<Vec<_>>()
    };
    let waiting = StepState::Waiting;
    assert_eq!(states().await, [("lb01".to_owned(), waiting), ("lb02".to_owned(), waiting)]);
    for &state in StepState::ALL {
        let row = step("lb01", state, "its\0words");
        store.save_config_step(1, &row).await.unwrap();
        let found = store.config_steps(1).await.unwrap().remove(0);
        assert_eq!(found, StepRow { detail: "its\u{FFFD}words".into(), ..row });
    }
    assert_eq!(states().await[1], ("lb02".to_owned(), waiting));
    assert!(store.config_steps(2).await.unwrap().is_empty());
}

/// Generations from 1 to `last`, each given up but those in `applied`.
async fn generations(fixture: &Fixture, last: u64, applied: &[u64]) {
    let store = &fixture.store;
    let mut head = 0;
    for number in 1..=last {
        assert_eq!(store.begin_config(&new(head, "x"), &nodes()).await.unwrap(), Begun::Generation(number));
        let state = if applied.contains(&number) { ApplyState::Applied } else { ApplyState::RolledBack };
        store.save_config_apply(number, state, "", T0).await.unwrap();
        head = if applied.contains(&number) { number } else { head };
    }
}

pub async fn old_generations_end(fixture: Fixture) {
    let store = &fixture.store;
    generations(&fixture, 230, &[3, 5, 7, 40]).await;
    let all = async || fixture.numbers("SELECT number FROM config_generations ORDER BY number").await;
    let prune = async |keep, in_use: &[u64]| {
        let done = store.prune_configs(keep, &in_use.iter().copied().collect()).await.unwrap();
        (done.deleted, done.more)
    };
    assert_eq!(prune(1000, &[]).await, (0, false));
    assert_eq!(prune(230, &[]).await, (0, false));
    // The 40th was applied last, and a node that is away still runs the third.
    assert_eq!(prune(228, &[3]).await, (2, false));
    assert_eq!(prune(200, &[3]).await, (27, false));
    assert_eq!(all().await[..3], [3, 31, 32]);
    assert_eq!(prune(110, &[3]).await, (89, false));
    assert_eq!(all().await[..3], [3, 40, 121]);
    assert_eq!(store.config_head().await.unwrap().unwrap().number, 40);
    assert_eq!(store.config_steps(40).await.unwrap().len(), 2);
    assert!(store.config_steps(39).await.unwrap().is_empty());
    assert_eq!(prune(110, &[]).await, (1, false), "it runs another one now");
    assert_eq!(store.begin_config(&new(40, "x"), &[]).await.unwrap(), Begun::Generation(231));
    assert_eq!(prune(100, &[]).await, (11, false), "its parent counts");
    store.save_config_apply(231, ApplyState::Applied, "", T0).await.unwrap();
    assert_eq!(prune(100, &[]).await, (1, false));
    assert_eq!((all().await.len(), all().await[0]), (100, 132));
    assert_eq!(
        store.begin_config(&new(231, "x"), &[]).await.unwrap(),
        Begun::Generation(232),
        "no number twice"
    );
    // The schema keeps a hundred, whoever asks.
    assert!(store.prune_configs(10, &Default::default()).await.is_err());
    assert_eq!(all().await.len(), 101);
    for sql in [
        "DELETE FROM config_applies WHERE generation = 231",
        "DELETE FROM config_applies WHERE generation = 232",
        "DELETE FROM config_generations WHERE number = 132",
    ] {
        assert!(fixture.execute(sql).await.is_err(), "{sql}");
    }
}

pub async fn many_old_generations_end_in_steps(fixture: Fixture) {
    generations(&fixture, 331, &[331]).await;
    let prune = async || {
        let done = fixture.store.prune_configs(100, &[1, 2].into()).await.unwrap();
        (done.deleted, done.more)
    };
    assert_eq!(prune().await, (100, true));
    assert_eq!(prune().await, (100, true));
    assert_eq!(prune().await, (29, false));
    assert_eq!(prune().await, (0, false));
}

pub async fn a_generation_is_never_changed(fixture: Fixture) {
    fixture.store.begin_config(&new(0, "one"), &[]).await.unwrap();
    for sql in [
        "UPDATE config_generations SET text = 'other'",
        "DELETE FROM config_generations",
        "INSERT INTO config_applies (generation, state, why, confirm_within_us, updated_us, is_open) VALUES (1, 'staging', '', 1, 1, 1)",
        "UPDATE config_applies SET state = 'applied'",
        "UPDATE config_applies SET is_open = NULL",
    ] {
        assert!(fixture.execute(sql).await.is_err(), "{sql}");
    }
    assert_eq!(fixture.store.config_generation(1).await.unwrap().unwrap().text, "one");
}

/// What another program reads of a generation's row.
async fn column(fixture: &Fixture, expression: &'static str) -> i64 {
    fixture.numbers(expression).await[0]
}

pub async fn texts_are_sealed_at_rest(fixture: Fixture) {
    let store = &fixture.store;
    assert!(!store.has_sealed_texts().await.unwrap());
    let secret = "auth = { type = \"pass\", secret = \"hunter2\" }";
    store.begin_config(&new(0, secret), &nodes()).await.unwrap();
    assert!(store.has_sealed_texts().await.unwrap());
    let readable = "SELECT CAST(COUNT(*) AS BIGINT) FROM config_generations WHERE text LIKE '%hunter2%'";
    assert_eq!(column(&fixture, readable).await, 0);
    let sealed = "SELECT CAST(COUNT(*) AS BIGINT) FROM config_generations WHERE text LIKE 'sealed:v1:%'";
    assert_eq!(column(&fixture, sealed).await, 1);
    assert_eq!(store.open_config().await.unwrap().unwrap().text, secret);
    assert_eq!(fixture.again().await.unwrap().config_generation(1).await.unwrap().unwrap().text, secret);

    // Nobody without the key, nor with another one, reads it or writes one of their own.
    let elsewhere = tempfile::tempdir().unwrap();
    let dir = DataDir::at(elsewhere.path());
    let without = fixture.again().await.unwrap().sealed_by(Sealing::load(&dir).unwrap());
    let other = fixture.again().await.unwrap().sealed_by(Sealing::make(&dir).unwrap());
    for (store, words) in
        [(&without, "secrets.key is missing: put it back"), (&other, "it is sealed with the key ")]
    {
        let error = store.config_generation(1).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot open the text of generation 1");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(words), "{source}");
        // A coordinator starts without the key, too, and spares the nodes of what is under way.
        assert!(store.open_config().await.is_err());
        assert_eq!(store.open_config_number().await.unwrap(), Some(1));
        assert_eq!(ha_coordinator::push::left_open(store).await.unwrap().len(), 2);
        let row = store.config_history(10).await.unwrap().rows.remove(0);
        assert_eq!((row.number, row.text.as_str()), (1, ""), "that there was one is told");
    }
    store.save_config_apply(1, ApplyState::Applied, "", T0).await.unwrap();
    assert!(without.begin_config(&new(1, secret), &[]).await.is_err());
    let bare = Store::open(&fixture.url.parse().unwrap()).await.unwrap();
    assert!(matches!(bare.begin_config(&new(1, secret), &[]).await, Err(StoreError::NoSealing { .. })));
    assert_eq!(column(&fixture, "SELECT CAST(COUNT(*) AS BIGINT) FROM config_generations").await, 1);
}

pub async fn texts_of_before_are_read(fixture: Fixture) {
    for sql in [
        "INSERT INTO config_generations (number, parent, author, message, text, hash, created_at_us) VALUES (1, 0, 'user/admin', '', \
         'in clear', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1)",
        "INSERT INTO config_applies (generation, state, why, confirm_within_us, updated_us) VALUES (1, 'applied', '', 1, 1)",
    ] {
        fixture.execute(sql).await.unwrap();
    }
    let store = &fixture.store;
    assert!(!store.has_sealed_texts().await.unwrap());
    assert_eq!(store.config_head().await.unwrap().unwrap().text, "in clear");
    store.begin_config(&new(1, "sealed"), &[]).await.unwrap();
    let texts: Vec<_> = store.config_history(5).await.unwrap().rows.into_iter().map(|row| row.text).collect();
    assert_eq!(texts, ["sealed", "in clear"]);
}
