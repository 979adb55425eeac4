//! Everything in which the two engines differ, apart from `migrations/`.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{engine::Db, error::StoreError, url::DatabaseUrl};

/// How long a call waits for a connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long SQLite waits for another process that writes (a backup program, `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
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
    create_private(path, false).map_err(|source| StoreError::CreateFile { path: path.to_owned(), source })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Readers and the writer do not wait for each other.
        .journal_mode(SqliteJournalMode::Wal)
        // What is acknowledged to an agent must survive a power cut: every commit reaches the disk.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let open = |source| StoreError::Open { url: url.clone(), source };
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(open)?;
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
    let read = match db {
        Db::Sqlite { read, .. } => read,
        Db::Postgres(pool) => {
            let url = DatabaseUrl::Postgres(Box::new((*pool.connect_options()).clone()));
            return Err(StoreError::BackupNotSqlite { url: url.to_string() });
        }
    };
    let file = |source| StoreError::BackupFile { path: path.to_owned(), source };
    if path.try_exists().map_err(file)? {
        return Err(file(io::ErrorKind::AlreadyExists.into()));
    }
    // Made aside and then renamed, so that a half copy never bears the name.
    let part = part_of(path);
    create_private(&part, true).map_err(file)?;
    let copied = match part.to_str() {
        None => Err(file(io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"))),
        Some(part) => sqlx::query("VACUUM INTO $1")
            .bind(part)
            .execute(read)
            .await
            .map(|_| ())
            .map_err(|source| StoreError::Backup { path: path.to_owned(), source }),
    };
    let finished = copied.and_then(|()| {
        File::open(&part).and_then(|copy| copy.sync_all()).map_err(file)?;
        // `link` refuses to replace a file that came into being meanwhile; `rename` would not.
        fs::hard_link(&part, path).map_err(file)
    });
    let removed = fs::remove_file(&part).map_err(file);
    finished.and(removed)
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Makes an empty file that only its owner can read; SQLite gives its log and index the same mode.
fn create_private(path: &Path, must_be_new: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if must_be_new {
        // Left behind by a backup that was killed.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        options.create_new(true);
    } else {
        options.create(true).truncate(false);
    }
    options.open(path).map(|_| ())
}
