//! Opening, closing, copying.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use ha_coordinator::store::{Sole, SoleError, Store, StoreError, UserRow};
use tokio::task::JoinSet;

use super::fixture::{Engine, Fixture, T0, node, transitions};

pub async fn again_keeps_everything(fixture: Fixture) {
    fixture.enroll("lb01").await;
    fixture.append("lb01", "j1", &transitions(1, 3), T0).await;
    fixture.store.close().await;

    let store = fixture.again().await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.acked_seq("lb01", "j1").await.unwrap(), 3);
    assert_eq!(store.url().to_string(), fixture.url);
}

pub async fn newer_schema_is_refused(fixture: Fixture) {
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               SELECT 9999, 'of a later release', success, checksum, execution_time FROM _sqlx_migrations \
               WHERE version = 1";
    assert_eq!(fixture.execute(sql).await.unwrap(), 1);
    let error = fixture.again().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
    assert!(error.to_string().contains("run the newer ha-coordinator"), "{error}");
}

pub async fn edited_schema_is_refused(fixture: Fixture) {
    let changed =
        fixture.execute("UPDATE _sqlx_migrations SET checksum = checksum || checksum").await.unwrap();
    assert!(changed >= 1);
    let error = fixture.again().await.unwrap_err();
    assert!(matches!(error, StoreError::Edited { version: 1, .. }), "{error:?}");
}

/// Two coordinators that start at once on an empty database both come up, with one schema.
pub async fn at_once_by_many(fixture: Fixture) {
    let url = match fixture.engine {
        Engine::Sqlite => format!("{}.fresh", fixture.url),
        Engine::Postgres => {
            fixture.store.close().await;
            fixture.execute("DROP SCHEMA public CASCADE").await.unwrap();
            fixture.execute("CREATE SCHEMA public").await.unwrap();
            fixture.url.clone()
        }
    };
    let url: ha_coordinator::store::DatabaseUrl = url.parse().unwrap();
    let mut opening = JoinSet::new();
    for number in 0..4 {
        let url = url.clone();
        opening.spawn(async move {
            let store = Store::open(&url).await.unwrap();
            store.save_node(&node(&format!("lb0{number}"))).await.unwrap();
            store
        });
    }
    let stores = opening.join_all().await;
    assert_eq!(stores[0].nodes().await.unwrap().len(), 4);
}

pub async fn nothing_answers_after_close(fixture: Fixture) {
    fixture.store.ping().await.unwrap();
    fixture.store.close().await;
    assert!(matches!(fixture.store.ping().await, Err(StoreError::Read { .. })));
    assert!(matches!(fixture.store.nodes().await, Err(StoreError::Read { .. })));
    assert!(matches!(fixture.store.save_node(&node("lb01")).await, Err(StoreError::Write { .. })));
}

/// The right to serve is one coordinator's, ends with it, and is not kept by one whose connection is gone.
pub async fn served_by_one(fixture: Fixture) {
    let url: ha_coordinator::store::DatabaseUrl = fixture.url.parse().unwrap();
    let take = async || {
        // PostgreSQL notices a moment later that a connection has gone.
        loop {
            match Sole::take(&url).await {
                Ok(sole) => return sole,
                Err(SoleError::Taken { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let first = take().await;
    let error = Sole::take(&url).await.unwrap_err();
    assert!(matches!(error, SoleError::Taken { .. }), "{error:?}");
    assert!(error.to_string().contains("another ha-coordinator serves"), "{error}");
    drop(first);
    let second = take().await;
    if fixture.engine == Engine::Sqlite {
        return;
    }
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'ha-coordinator lock'";
    fixture.execute(sql).await.unwrap();
    let third = take().await;
    assert!(matches!(second.lost().await, SoleError::Taken { .. }));
    drop(third);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn sqlite_file_is_readable_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coordinator.db");
    let store = Store::open(&format!("sqlite:{}", path.display()).parse().unwrap()).await.unwrap();
    store.save_node(&node("lb01")).await.unwrap();
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "the write-ahead log is beside the file: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn what_is_no_sqlite_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let missing = format!("sqlite:{}/none/coordinator.db", directory.path().display());
    let error = Store::open(&missing.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::CreateFile { .. }), "{error:?}");
    assert!(error.to_string().contains("its directory must exist"), "{error}");

    let path = directory.path().join("letter.txt");
    fs::write(&path, "Dear database, ".repeat(100)).unwrap();
    let error = Store::open(&format!("sqlite:{}", path.display()).parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "Dear database, ".repeat(100));
}

#[tokio::test]
async fn unreachable_postgres_is_named_without_its_password() {
    // Nothing listens in a directory that does not exist.
    let url = "postgres:///ha?host=/nonexistent/hafleet&user=fleet&password=hunter2";
    let error = Store::open(&url.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    let told = format!("{error} {error:?}");
    assert!(told.contains("/nonexistent/hafleet") && !told.contains("hunter2"), "{told}");
}

/// The copy is made while a writer writes, and holds a whole number of its transactions.
#[tokio::test(flavor = "multi_thread")]
async fn backup_is_a_database_of_whole_transactions() {
    let fixture = Fixture::new(Engine::Sqlite, None, "backup").await;
    fixture.enroll("lb01").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.db");
    let (store, target) = (fixture.store.clone(), path.clone());
    let copying = tokio::spawn(async move { store.backup(&target).await });
    let mut seq = 1;
    while !copying.is_finished() {
        fixture.append("lb01", "j1", &transitions(seq, seq + 9), T0).await;
        seq += 10;
    }
    copying.await.unwrap().unwrap();
    assert_eq!(mode(&path), 0o600);
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["copy.db"], "nothing is left beside the copy");

    let copy = Store::open(&format!("sqlite:{}", path.display()).parse().unwrap()).await.unwrap();
    let acked = copy.acked_seq("lb01", "j1").await.unwrap();
    assert_eq!(acked % 10, 0);
    assert!(copy.node("lb01").await.unwrap().is_some());

    let error = fixture.store.backup(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::BackupFile { .. }), "{error:?}");
    assert!(error.to_string().contains("must not exist"), "{error}");
    let error = fixture.store.backup(&directory.path().join("none/copy.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::BackupFile { .. }), "{error:?}");
}

pub async fn backup_is_for_sqlite(fixture: Fixture) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.db");
    let done = fixture.store.backup(&path).await;
    match fixture.engine {
        Engine::Sqlite => assert!(done.is_ok() && path.exists(), "{done:?}"),
        Engine::Postgres => {
            let error = done.unwrap_err();
            assert!(matches!(error, StoreError::BackupNotSqlite { .. }), "{error:?}");
            assert!(error.to_string().contains("pg_dump"), "{error}");
            assert!(!path.exists());
        }
    }
}

/// A reader's connection cannot write, so that no second writer can ever meet the first.
#[tokio::test]
async fn sqlite_writers_queue() {
    let fixture = Fixture::new(Engine::Sqlite, None, "queue").await;
    let mut writing = JoinSet::new();
    for number in 0..40 {
        let store = fixture.store.clone();
        writing.spawn(async move {
            let name = format!("user{number}");
            let role = ha_coordinator::store::Role::Viewer;
            store
                .save_user(&UserRow { name: name.clone(), role, created_at_us: T0, revoked: false })
                .await
                .unwrap();
            store.user(&name).await.unwrap().unwrap()
        });
    }
    assert_eq!(writing.join_all().await.len(), 40);
}
