//! Everything in which the two engines differ, apart from `migrations/`.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection,
    postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{engine::Db, error::StoreError, url::DatabaseUrl};

/// How long a call waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long SQLite waits for another process that writes (a backup program, `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the step to the write-ahead log is tried, and the pause between.
const BUSY_ATTEMPTS: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Readers beside SQLite's one writer.
const SQLITE_READERS: u32 = 4;
/// Connections of one coordinator to PostgreSQL, whose default allows 100 in all.
const POSTGRES_CONNECTIONS: u32 = 10;

/// Connects, with the settings of each engine.
pub(super) async fn connect(url: &DatabaseUrl) -> Result<Db, StoreError> {
    match url {
        DatabaseUrl::Sqlite(path) => connect_sqlite(url, path).await,
        DatabaseUrl::Postgres(options) => connect_postgres(url, options).await,
    }
}

async fn connect_sqlite(url: &DatabaseUrl, path: &Path) -> Result<Db, StoreError> {
    create(path).map_err(|source| StoreError::CreateFile { path: path.to_owned(), source })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Readers and the writer do not wait for each other.
        .journal_mode(SqliteJournalMode::Wal)
        // What is acknowledged to an agent must survive a power cut: every commit reaches the disk.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let open = |source| StoreError::Open { url: url.clone(), source };
    let write = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
    let mut attempts = 1;
    let write = loop {
        match write.clone().connect_with(options.clone()).await {
            // Another program makes the same new file at this moment. The step to the write-ahead log is the one that
            // SQLite does not wait for by itself.
            Err(error) if is_busy(&error) && attempts < BUSY_ATTEMPTS => {
                attempts += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            connected => break connected.map_err(open)?,
        }
    };
    let read = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(open)?;
    Ok(Db::Sqlite { write, read })
}

async fn connect_postgres(url: &DatabaseUrl, options: &PgConnectOptions) -> Result<Db, StoreError> {
    let options = options.clone().application_name("ha-coordinator").options([
        // A statement that hangs on a lock or a lost plan must not hold up ingest for ever.
        ("lock_timeout", "10s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| StoreError::Open { url: url.clone(), source })?;
    Ok(Db::Postgres(pool))
}

/// Copies a SQLite database into a new file.
pub(super) async fn backup(db: &Db, path: &Path) -> Result<(), StoreError> {
    let options = match db {
        Db::Sqlite { write, .. } => write.connect_options(),
        Db::Postgres(pool) => {
            let url = DatabaseUrl::Postgres(Box::new((*pool.connect_options()).clone()));
            return Err(StoreError::BackupNotSqlite { url: url.to_string() });
        }
    };
    let file = |source| StoreError::BackupFile { path: path.to_owned(), source };
    if path.try_exists().map_err(file)? {
        return Err(file(io::ErrorKind::AlreadyExists.into()));
    }
    // Made aside, so that a half copy never bears the name.
    let part = create_aside(path).map_err(file)?;
    let copied = match part.to_str() {
        None => Err(file(io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"))),
        Some(part) => copy_sqlite(&options, part)
            .await
            .map_err(|source| StoreError::Backup { path: path.to_owned(), source }),
    };
    let finished = copied.and_then(|()| {
        File::open(&part).and_then(|copy| copy.sync_all()).map_err(file)?;
        // Unlike a rename, a link never replaces a file that came into being meanwhile.
        fs::hard_link(&part, path).map_err(file)
    });
    let removed = fs::remove_file(&part).map_err(file);
    finished.and(removed)
}

/// By a connection of its own: it only reads, and neither the writer nor a reader waits for it.
async fn copy_sqlite(options: &SqliteConnectOptions, target: &str) -> sqlx::Result<()> {
    let mut connection = options.connect().await?;
    sqlx::query("VACUUM INTO $1").bind(target).execute(&mut connection).await?;
    connection.close().await
}

fn is_busy(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, plain or with its extended code in the upper bits.
    let code =
        error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// The database understood the statement and will never take these values.
pub(super) fn refuses_the_data(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let Some(code) = error.code() else { return false };
    match error.try_downcast_ref::<PgDatabaseError>() {
        // SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded (a row or a key that
        // is too long).
        Some(_) => ["22", "23", "54"].iter().any(|class| code.starts_with(class)),
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH, plain or with extended codes in the upper bits.
        None => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18..=20)),
    }
}

/// Makes the database file, empty, if it is missing.
///
/// It is made under another name and then linked: to close a descriptor of a file that SQLite has open elsewhere in this
/// process would take SQLite's locks away.
fn create(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let aside = create_aside(path)?;
    let linked = match fs::hard_link(&aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    linked.and(fs::remove_file(&aside))
}

/// Makes an empty file beside `path` that only its owner can read; SQLite gives its log and index the same mode.
fn create_aside(path: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{}.part", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let name = PathBuf::from(name);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name)?;
    Ok(name)
}
