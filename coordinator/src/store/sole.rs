//! One coordinator per database.
//!
//! Two that serve one database would each number findings, each tell people, and each believe its own picture of the
//! fleet. SQLite: a lock on a file beside the database, which ends with the process. PostgreSQL: an advisory lock,
//! which ends with its connection.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

use super::url::DatabaseUrl;

/// The advisory lock's number: "hafleet" in ASCII.
const ADVISORY_LOCK: i64 = 0x0068_6166_6c65_6574;
/// How often the connection that holds PostgreSQL's lock is tried.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long PostgreSQL may take to answer before the lock is taken for lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The right to serve a database; it ends when this is dropped.
#[derive(Debug)]
pub struct Sole {
    url: DatabaseUrl,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// Not read: the lock is the open file's.
    Sqlite(#[expect(dead_code, reason = "the lock ends when the file is closed")] File),
    Postgres(Box<PgConnection>),
}

/// Why this coordinator may not serve.
#[derive(Debug, thiserror::Error)]
pub enum SoleError {
    /// Another one does.
    #[error(
        "another ha-coordinator serves {url}: two would tell everybody everything twice. Stop the other one \
         (`systemctl status ha-coordinator`, `pgrep -a ha-coordinator`), or give this one a database of its own"
    )]
    Taken {
        /// Which database.
        url: DatabaseUrl,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}, by which one coordinator at a time serves its database", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// PostgreSQL says no.
    #[error("cannot ask {url} for the lock by which one coordinator at a time serves it")]
    Ask {
        /// Which database.
        url: DatabaseUrl,
        /// Why.
        source: sqlx::Error,
    },
}

impl Sole {
    /// Takes the right to serve, or says who has it. The directory of a SQLite file must exist.
    ///
    /// # Errors
    /// Another coordinator has it; the file or the server cannot be used.
    pub async fn take(url: &DatabaseUrl) -> Result<Self, SoleError> {
        let held = match url {
            DatabaseUrl::Sqlite(path) => Held::Sqlite(lock_file(url, path)?),
            DatabaseUrl::Postgres(options) => Held::Postgres(Box::new(lock_server(url, options).await?)),
        };
        Ok(Self { url: url.clone(), held })
    }

    /// Returns when the right is lost for good: PostgreSQL closed the connection that held it, and another coordinator
    /// was faster. It is dropped with this future.
    pub async fn lost(mut self) -> SoleError {
        loop {
            let options = match (&mut self.held, &self.url) {
                (Held::Sqlite(_), _) | (Held::Postgres(_), DatabaseUrl::Sqlite(_)) => {
                    std::future::pending::<()>().await;
                    continue;
                }
                (Held::Postgres(connection), DatabaseUrl::Postgres(options)) => {
                    sleep(LOOK_EVERY).await;
                    if matches!(timeout(ANSWER_MAX, connection.ping()).await, Ok(Ok(()))) {
                        continue;
                    }
                    options.clone()
                }
            };
            tracing::error!("the connection that holds the lock of {} is lost; taking it again", self.url);
            self.held = loop {
                match lock_server(&self.url, &options).await {
                    Ok(connection) => break Held::Postgres(Box::new(connection)),
                    Err(error @ SoleError::Taken { .. }) => return error,
                    // Without the database nobody serves; `ping` says so to operators.
                    Err(SoleError::File { .. } | SoleError::Ask { .. }) => sleep(LOOK_EVERY).await,
                }
            };
            tracing::info!("the lock of {} is held again", self.url);
        }
    }
}

/// The file lies beside the database: to close any descriptor of the database itself would take SQLite's own locks away.
fn lock_file(url: &DatabaseUrl, database: &Path) -> Result<File, SoleError> {
    // One file under two names is one database.
    let database = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let mut name = OsString::from(&database);
    name.push(".lock");
    let path = PathBuf::from(name);
    let error = |source| SoleError::File { path: path.clone(), source };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SoleError::Taken { url: url.clone() }),
        Err(TryLockError::Error(source)) => Err(error(source)),
    }
}

async fn lock_server(url: &DatabaseUrl, options: &PgConnectOptions) -> Result<PgConnection, SoleError> {
    let ask = |source| SoleError::Ask { url: url.clone(), source };
    let options = options.clone().application_name("ha-coordinator lock").options([
        // The lock of a host that died is free within half a minute.
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ]);
    let locked = async {
        let mut connection = options.connect().await?;
        let (locked,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(ADVISORY_LOCK)
            .fetch_one(&mut connection)
            .await?;
        Ok::<_, sqlx::Error>((connection, locked))
    };
    let (connection, locked) =
        timeout(ANSWER_MAX, locked).await.map_err(|_| ask(sqlx::Error::PoolTimedOut))?.map_err(ask)?;
    if locked { Ok(connection) } else { Err(SoleError::Taken { url: url.clone() }) }
}
