//! What can go wrong, with what was attempted.

use std::{io, path::PathBuf};

use super::{dialect::refuses_the_data, url::DatabaseUrl};
use crate::sealing::SealError;

/// An operation on the store failed. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The SQLite file could not be made.
    #[error("cannot make the database file {}; its directory must exist and be writable", path.display())]
    CreateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot open the database {url}")]
    Open {
        /// Which.
        url: DatabaseUrl,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot bring the schema of {url} up to date")]
    Migrate {
        /// Which database.
        url: DatabaseUrl,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// The database belongs to a newer program.
    #[error(
        "{url} has schema {found:04}, but this ha-coordinator knows schemas up to {known:04}: run the newer \
         ha-coordinator that wrote it, or restore a backup from before"
    )]
    Newer {
        /// Which database.
        url: DatabaseUrl,
        /// Its schema.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// A schema step was made by another text than this program's.
    #[error(
        "schema step {version:04} of {url} was made by another text than this ha-coordinator's: run the release that \
         made it, or restore a backup"
    )]
    Edited {
        /// Which database.
        url: DatabaseUrl,
        /// The step.
        version: i64,
    },
    /// Only SQLite is copied by us.
    #[error("{url} is not a SQLite file: back it up with pg_dump or your PostgreSQL's own backups")]
    BackupNotSqlite {
        /// Which database.
        url: String,
    },
    /// The backup's file could not be made or put into its place.
    #[error("cannot make the backup file {}; it must not exist, and its directory must", path.display())]
    BackupFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database could not be copied.
    #[error("cannot copy the database to {}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A query failed.
    #[error("cannot read {what} from the database")]
    Read {
        /// What was asked for.
        what: String,
        /// Why.
        source: sqlx::Error,
    },
    /// A change failed.
    #[error("cannot write {what} to the database")]
    Write {
        /// What was to be written.
        what: String,
        /// Why.
        source: sqlx::Error,
    },
    /// What is sealed in the database cannot be opened, or a secret not be sealed: the key is not the right one.
    #[error("cannot {verb} {what}")]
    Sealed {
        /// `open` or `seal`.
        verb: &'static str,
        /// Which text.
        what: String,
        /// Why.
        source: SealError,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for {what}")]
    Random {
        /// For what.
        what: &'static str,
        /// Why.
        source: getrandom::Error,
    },
    /// The program opened the store without a key.
    #[error("the store was opened without the key for {what}")]
    NoSealing {
        /// Which text.
        what: String,
    },
    /// The inventory has no such node.
    #[error("no node {node} in the inventory; it enrolls with `ha-agent join`")]
    UnknownNode {
        /// The name.
        node: String,
    },
    /// Events must be in order without holes.
    #[error("events of {node}, journal {journal_id}: expected sequence {expected}, got {got}")]
    NotContiguous {
        /// Whose.
        node: String,
        /// Which journal.
        journal_id: String,
        /// The sequence that had to come.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// SQL has no unsigned 64-bit integers.
    #[error("{what} {value} is beyond 2^63 - 1")]
    TooLarge {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A finding's id is `<kind>@<subject>#<n>`.
    #[error("finding id {id:?} is not {kind}@{subject}#n with n from 1")]
    FindingId {
        /// The id.
        id: String,
        /// The finding's kind.
        kind: String,
        /// The finding's subject.
        subject: String,
    },
    /// A message is finished once.
    #[error("message {id} of the outbox is not pending")]
    NotPending {
        /// Its number.
        id: i64,
    },
}

impl StoreError {
    /// To try the same again is in vain: what was to be written is at fault, not the database's health.
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::Write { source, .. } => refuses_the_data(source),
            Self::Sealed { .. }
            | Self::NoSealing { .. }
            | Self::UnknownNode { .. }
            | Self::NotContiguous { .. }
            | Self::TooLarge { .. }
            | Self::FindingId { .. }
            | Self::NotPending { .. } => true,
            Self::CreateFile { .. }
            | Self::Open { .. }
            | Self::Migrate { .. }
            | Self::Newer { .. }
            | Self::Edited { .. }
            | Self::BackupNotSqlite { .. }
            | Self::Random { .. }
            | Self::BackupFile { .. }
            | Self::Backup { .. }
            | Self::Read { .. } => false,
        }
    }
}

/// A `u64` as the databases keep it.
pub(super) fn signed(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what, value })
}
