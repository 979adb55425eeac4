//! An empty database for one case, and the runner of all cases.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use ha_coordinator::{
    data_dir::DataDir,
    sealing::Sealing,
    store::{
        AppendOutcome, EventBatch, EventRow, Happening, NodeRow, Store, StoreError, TransitionFilter,
        TransitionRow,
    },
};
use hafleet_fleet::VrrpState;
use hafleet_tests::postgres::Postgres;
use sqlx::{PgPool, Sqlite, SqlitePool, Transaction};
use tempfile::TempDir;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// One case: gets its database, panics when something is wrong.
pub type Case = fn(Fixture) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Cases at a time.
const BESIDE: usize = 4;
/// No case waits for anything but the database; a minute means that it hangs.
const CASE_TIMEOUT: Duration = Duration::from_secs(60);

/// An instant in 2026, microseconds since the epoch. Cases count on from it.
pub const T0: i64 = 1_795_000_000_000_000;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The database of one case.
pub struct Fixture {
    pub engine: Engine,
    pub store: Store,
    pub url: String,
    /// What it seals with.
    pub sealing: Sealing,
    // What must outlive the case: the server and the file's directory.
    _server: Option<Arc<Postgres>>,
    _directory: TempDir,
}

impl Fixture {
    pub async fn new(engine: Engine, server: Option<Arc<Postgres>>, name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match &server {
            Some(server) => server.database(name).await.unwrap(),
            None => format!("sqlite:{}", directory.path().join("coordinator.db").display()),
        };
        let sealing = Sealing::make(&DataDir::at(directory.path())).unwrap();
        let store = open(&url).await.unwrap().sealed_by(sealing.clone());
        Self { engine, store, url, sealing, _server: server, _directory: directory }
    }

    /// What another program sees of the same database.
    pub async fn again(&self) -> Result<Store, StoreError> {
        Ok(open(&self.url).await?.sealed_by(self.sealing.clone()))
    }

    /// A statement past the store, as somebody with a database shell could give it; says how many rows it changed.
    pub async fn execute(&self, sql: &'static str) -> sqlx::Result<u64> {
        match self.engine {
            Engine::Sqlite => {
                let pool = SqlitePool::connect(&self.url).await?;
                let done = sqlx::query(sql).execute(&pool).await;
                pool.close().await;
                done.map(|done| done.rows_affected())
            }
            Engine::Postgres => {
                let pool = PgPool::connect(&self.url).await?;
                let done = sqlx::query(sql).execute(&pool).await;
                pool.close().await;
                done.map(|done| done.rows_affected())
            }
        }
    }

    /// Another program takes an epoch of fencing, and has not come to the end of it.
    pub async fn begin_epoch(&self) -> HalfAnEpoch {
        const TAKE: &str = "UPDATE fence_standing SET epoch = epoch + 1 WHERE id = 1";
        match self.engine {
            Engine::Sqlite => {
                let pool = SqlitePool::connect(&self.url).await.unwrap();
                let mut held = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                sqlx::query(TAKE).execute(&mut *held).await.unwrap();
                HalfAnEpoch::Sqlite(held)
            }
            Engine::Postgres => {
                let mut held = PgPool::connect(&self.url).await.unwrap().begin().await.unwrap();
                sqlx::query(TAKE).execute(&mut *held).await.unwrap();
                HalfAnEpoch::Postgres(held)
            }
        }
    }

    /// Reads numbers past the store.
    pub async fn numbers(&self, sql: &'static str) -> Vec<i64> {
        let rows: Vec<(i64,)> = match self.engine {
            Engine::Sqlite => {
                let pool = SqlitePool::connect(&self.url).await.unwrap();
                let rows = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
                pool.close().await;
                rows
            }
            Engine::Postgres => {
                let pool = PgPool::connect(&self.url).await.unwrap();
                let rows = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
                pool.close().await;
                rows
            }
        };
        rows.into_iter().map(|(number,)| number).collect()
    }

    /// Adds a node of which nothing is known but its name.
    pub async fn enroll(&self, name: &str) {
        self.store.save_node(&node(name)).await.unwrap();
    }

    /// Appends events that are known to be fine.
    pub async fn append(
        &self,
        node: &str,
        journal_id: &str,
        events: &[EventRow],
        received_us: i64,
    ) -> AppendOutcome {
        let batch = EventBatch { node, journal_id, first_seq: 1, events, received_us };
        self.store.append_events(batch).await.unwrap()
    }

    /// Everything that is in the history.
    pub async fn history(&self) -> Vec<TransitionRow> {
        let page =
            self.store.transitions(&TransitionFilter { limit: 10_000, ..TransitionFilter::default() }).await;
        page.unwrap().rows
    }
}

/// An epoch that is taken when this is committed.
pub enum HalfAnEpoch {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, sqlx::Postgres>),
}

impl HalfAnEpoch {
    pub async fn commit(self) {
        match self {
            Self::Sqlite(held) => held.commit().await.unwrap(),
            Self::Postgres(held) => held.commit().await.unwrap(),
        }
    }
}

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(&url.parse().unwrap()).await
}

/// A node of which nothing is known but its name.
pub fn node(name: &str) -> NodeRow {
    NodeRow {
        name: name.into(),
        site: "dc1".into(),
        first_seen_us: T0,
        last_seen_us: None,
        agent_version: String::new(),
        certificate_serial: None,
        certificate_not_after_us: None,
        revoked_at_us: None,
    }
}

/// A transition of instance `vi1` to MASTER.
pub fn transition(seq: u64) -> EventRow {
    transition_of("vi1", seq)
}

/// A transition of some instance to MASTER.
pub fn transition_of(instance: &str, seq: u64) -> EventRow {
    EventRow {
        seq,
        what: Happening::Transition {
            instance: instance.into(),
            vrid: 51,
            from: VrrpState::Backup,
            to: VrrpState::Master,
        },
        reason: "master_down".into(),
        detail: format!("event {seq}"),
        at_us: T0,
        mono_us: 1_000_000,
    }
}

/// Transitions `first` to `last`.
pub fn transitions(first: u64, last: u64) -> Vec<EventRow> {
    (first..=last).map(transition).collect()
}

/// Runs every case on one engine, some at a time, and fails with the names of those that failed.
pub fn run(engine: Engine, cases: Vec<(&'static str, Case)>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(Arc::new(Postgres::start().unwrap())),
    };
    let failed = runtime.block_on(async {
        let places = Arc::new(Semaphore::new(BESIDE));
        let mut running = JoinSet::new();
        for (name, case) in cases {
            let (places, server) = (places.clone(), server.clone());
            running.spawn(async move {
                let _place = places.acquire_owned().await.unwrap();
                let whole = async move { case(Fixture::new(engine, server, name).await).await };
                // A task of its own, so that a panic is this case's alone.
                (name, tokio::spawn(timeout(CASE_TIMEOUT, whole)).await)
            });
        }
        let mut failed = Vec::new();
        while let Some(done) = running.join_next().await {
            let (name, result) = done.unwrap();
            match result {
                Ok(Ok(())) => println!("{engine:?} {name}: ok"),
                Ok(Err(_)) => failed.push(format!("{name} (no end within {CASE_TIMEOUT:?})")),
                Err(_) => failed.push(name.to_owned()),
            }
        }
        failed
    });
    assert!(failed.is_empty(), "on {engine:?} failed: {}", failed.join(", "));
}
