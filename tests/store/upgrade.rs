//! A database of an earlier release is brought to this one with everything in it.

use ha_coordinator::store::{EventBatch, EventRow, Happening, Store};
use sqlx::{
    PgPool, SqlSafeStr, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
};

use super::fixture::{Engine, Fixture, T0, transition};

const FIRST: (&str, &str) = (
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/postgres/0001_first.sql"),
);

/// What a coordinator of the first schema may have left: every kind of event, numbers with holes, gaps, a finding.
const ROWS: [&str; 6] = [
    "INSERT INTO nodes (name, site, first_seen_us, agent_version) VALUES ('lb01', 'dc1', 1, '0.1.0'), ('lb02', 'dc1', 2, '0.1.0')",
    "INSERT INTO journals (node, journal_id, acked_seq, last_received_us) VALUES ('lb01', 'j1', 6, 60), ('lb02', 'j2', 1, 70)",
    "INSERT INTO events (node, journal_id, seq, kind, instance, vrid, from_state, to_state, reason, detail, at_us, mono_us, received_us) VALUES \
     ('lb01', 'j1', 1, 'started', NULL, NULL, NULL, NULL, 'started', '0.1.0', 11, 1, 21), \
     ('lb01', 'j1', 2, 'transition', 'vi1', 51, 'init', 'backup', 'started', '', 12, 2, 22), \
     ('lb02', 'j2', 1, 'transition', 'vi1', 51, 'backup', 'master', 'master_down', 'no master heard', 13, 3, 23), \
     ('lb01', 'j1', 4, 'lost', NULL, NULL, NULL, NULL, 'queue', '2 events were lost', 14, 4, 24), \
     ('lb01', 'j1', 5, 'address', 'vi1', NULL, NULL, NULL, 'repaired', '10.0.0.100/24: removed', 15, 5, 25), \
     ('lb01', 'j1', 6, 'stopped', NULL, NULL, NULL, NULL, 'sigterm', '', 16, 6, 26)",
    "DELETE FROM events WHERE seq = 4",
    "INSERT INTO event_gaps (node, journal_id, first_seq, last_seq, recorded_us) VALUES ('lb01', 'j1', 3, 3, 99)",
    "INSERT INTO findings (id, kind, number, severity, subject, site, status, since_us, summary, cause_code, cause, action, evidence, updated_us) \
     VALUES ('agent_lost@node/lb01#1', 'agent_lost', 1, 'warning', 'node/lb01', 'dc1', 'firing', 5, 's', 'unknown', 'c', 'a', '[]', 6)",
];

/// Every row of the tables that events are about, as text.
const DUMP: &str = "\
    SELECT 'event ' || CAST(id AS TEXT) || ' ' || node || ' ' || journal_id || ' ' || CAST(seq AS TEXT) || ' ' || kind || ' ' \
        || COALESCE(instance, '-') || ' ' || COALESCE(CAST(vrid AS TEXT), '-') || ' ' || COALESCE(from_state, '-') || ' ' \
        || COALESCE(to_state, '-') || ' ' || reason || ' ' || detail || ' ' || CAST(at_us AS TEXT) || ' ' \
        || CAST(mono_us AS TEXT) || ' ' || CAST(received_us AS TEXT) AS line FROM events \
    UNION ALL SELECT 'journal ' || node || ' ' || journal_id || ' ' || CAST(acked_seq AS TEXT) FROM journals \
    UNION ALL SELECT 'gap ' || node || ' ' || CAST(first_seq AS TEXT) || ' ' || CAST(last_seq AS TEXT) FROM event_gaps \
    UNION ALL SELECT 'finding ' || id || ' ' || status FROM findings \
    UNION ALL SELECT 'node ' || name || ' ' || site FROM nodes ORDER BY 1";

pub async fn from_the_first_schema(mut fixture: Fixture) {
    fixture.store.close().await;
    match fixture.engine {
        Engine::Sqlite => fixture.url = format!("{}.old?mode=rwc", fixture.url),
        Engine::Postgres => {
            fixture.execute("DROP SCHEMA public CASCADE").await.unwrap();
            fixture.execute("CREATE SCHEMA public").await.unwrap();
        }
    }
    first_schema(&fixture).await;
    for rows in ROWS {
        fixture.execute(rows).await.unwrap();
    }
    let before = dump(&fixture).await;
    assert_eq!(before.len(), 2 + 2 + 5 + 1 + 1, "{before:?}");
    let last_id = fixture.numbers("SELECT MAX(id) FROM events").await[0];
    fixture.url = fixture.url.replace("?mode=rwc", "");

    let store = fixture.again().await.unwrap();
    assert_eq!(dump(&fixture).await, before, "not a row, number or value is different");
    assert_eq!(fixture.numbers("SELECT version FROM _sqlx_migrations ORDER BY version").await, steps());
    assert_eq!(store.acked_seq("lb01", "j1").await.unwrap(), 6);

    // What the new schema is for, and what both hold to.
    let events = [
        EventRow {
            seq: 7,
            what: Happening::Configuration,
            reason: "refused".into(),
            detail: "agent.toml:1:1".into(),
            at_us: T0,
            mono_us: 1,
        },
        transition(8),
    ];
    append(&store, "lb01", "j1", &events).await;
    let ids = fixture.numbers("SELECT id FROM events WHERE seq > 6 ORDER BY id").await;
    assert!(ids.len() == 2 && ids[0] > last_id, "receipt goes on after {last_id}: {ids:?}");
    for wrong in [
        // A journal that is none, an event twice, a kind that is none, a transition without its instance.
        "INSERT INTO events (node, journal_id, seq, kind, reason, detail, at_us, mono_us, received_us) VALUES ('lb01', 'none', 1, 'started', '', '', 1, 1, 1)",
        "INSERT INTO events (node, journal_id, seq, kind, reason, detail, at_us, mono_us, received_us) VALUES ('lb01', 'j1', 5, 'started', '', '', 1, 1, 1)",
        "INSERT INTO events (node, journal_id, seq, kind, reason, detail, at_us, mono_us, received_us) VALUES ('lb01', 'j1', 9, 'nonsense', '', '', 1, 1, 1)",
        "INSERT INTO events (node, journal_id, seq, kind, reason, detail, at_us, mono_us, received_us) VALUES ('lb01', 'j1', 9, 'transition', '', '', 1, 1, 1)",
        "DELETE FROM journals WHERE node = 'lb02'",
    ] {
        assert!(fixture.execute(wrong).await.is_err(), "{wrong}");
    }
    append(&store, "lb02", "j2", &[transition(2)]).await;
    store.close().await;
    let store = fixture.again().await.unwrap();
    assert_eq!(store.acked_seq("lb02", "j2").await.unwrap(), 2);
}

/// The numbers of every step there is.
fn steps() -> Vec<i64> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<i64> = names.map(|name| name.split('_').next().unwrap().parse().unwrap()).collect();
    steps.sort_unstable();
    steps
}

async fn append(store: &Store, node: &str, journal_id: &str, events: &[EventRow]) {
    let batch = EventBatch { node, journal_id, first_seq: 1, events, received_us: T0 };
    store.append_events(batch).await.unwrap();
}

async fn first_schema(fixture: &Fixture) {
    let step = |sql: &'static str| {
        let step = Migration::new(1, "0001_first".into(), MigrationType::Simple, sql.into_sql_str(), false);
        Migrator::with_migrations(vec![step])
    };
    match fixture.engine {
        Engine::Sqlite => {
            let pool = SqlitePool::connect(&fixture.url).await.unwrap();
            step(FIRST.0).run(&pool).await.unwrap();
            pool.close().await;
        }
        Engine::Postgres => {
            let pool = PgPool::connect(&fixture.url).await.unwrap();
            step(FIRST.1).run(&pool).await.unwrap();
            pool.close().await;
        }
    }
}

async fn dump(fixture: &Fixture) -> Vec<String> {
    let rows: Vec<(String,)> = match fixture.engine {
        Engine::Sqlite => {
            let pool = SqlitePool::connect(&fixture.url).await.unwrap();
            let rows = sqlx::query_as(DUMP).fetch_all(&pool).await.unwrap();
            pool.close().await;
            rows
        }
        Engine::Postgres => {
            let pool = PgPool::connect(&fixture.url).await.unwrap();
            let rows = sqlx::query_as(DUMP).fetch_all(&pool).await.unwrap();
            pool.close().await;
            rows
        }
    };
    rows.into_iter().map(|(line,)| line).collect()
}
