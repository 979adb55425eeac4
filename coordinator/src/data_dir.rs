//! The coordinator's directory: CA, keys, the administrator's credential, the embedded database.
//!
//! The directory is 0700 and every file 0600; whoever can read `ca.key` can speak for any node.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use crate::store::DatabaseUrl;

/// The CA's certificate.
pub const CA_CERTIFICATE: &str = "ca.pem";
/// The CA's key.
pub const CA_KEY: &str = "ca.key";
/// The coordinator's own certificate.
pub const SERVER_CERTIFICATE: &str = "server.pem";
/// The coordinator's own key.
pub const SERVER_KEY: &str = "server.key";
/// The administrator's context file for `hactl`.
pub const ADMIN_CONTEXT: &str = "admin.toml";
/// What the secrets in the database and the configuration are sealed with.
pub const SECRETS_KEY: &str = "secrets.key";
/// The embedded database.
pub const DATABASE: &str = "coordinator.db";

/// Everything that `init` makes; SQLite may keep two more files beside its own.
const MADE_BY_INIT: &[&str] = &[
    CA_CERTIFICATE,
    CA_KEY,
    SERVER_CERTIFICATE,
    SERVER_KEY,
    ADMIN_CONTEXT,
    SECRETS_KEY,
    DATABASE,
    "coordinator.db-wal",
    "coordinator.db-shm",
    "coordinator.db.lock",
];

/// An existing data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// What went wrong with a file or directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct DataDirError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl DataDir {
    /// The directory, made if it does not exist, and closed to everybody else.
    pub fn create(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(error("make the directory", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(error("set the mode of", path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The directory as it is; files are looked for when they are read.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The embedded database.
    pub fn default_database(&self) -> DatabaseUrl {
        DatabaseUrl::Sqlite(self.join(DATABASE))
    }

    /// Those files of `init` that are there already.
    pub fn already_there(&self) -> Vec<&'static str> {
        MADE_BY_INIT.iter().copied().filter(|name| self.join(name).exists()).collect()
    }

    /// Moves what `init` once made into a new directory beside it and returns that directory.
    pub fn set_aside(&self, suffix: &str) -> Result<PathBuf, DataDirError> {
        let aside = self.path.join(format!("replaced-{suffix}"));
        DirBuilder::new().mode(0o700).create(&aside).map_err(error("make the directory", &aside))?;
        for name in self.already_there() {
            let from = self.join(name);
            fs::rename(&from, aside.join(name)).map_err(error("move", &from))?;
        }
        Ok(aside)
    }

    /// Reads a text file.
    pub fn read(&self, name: &str) -> Result<String, DataDirError> {
        let path = self.join(name);
        fs::read_to_string(&path).map_err(error("read", &path))
    }

    /// Writes a file, whole or not at all, mode 0600 and of the directory's owner, unless there is one of this name: false, and that
    /// one stays.
    pub fn write_new(&self, name: &str, text: &str) -> Result<bool, DataDirError> {
        let path = self.join(name);
        let new = self.join(&format!("{name}.{}.new", std::process::id()));
        let write = || -> io::Result<bool> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            // What root makes for a coordinator that runs as somebody else must be readable for that one.
            let owner = fs::metadata(&self.path)?;
            if owner.uid() != file.metadata()?.uid() {
                fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Unlike a rename, a link never replaces what came into being meanwhile.
            let linked = match fs::hard_link(&new, &path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            };
            let removed = fs::remove_file(&new);
            let linked = linked?;
            removed?;
            File::open(&self.path)?.sync_all()?;
            Ok(linked)
        };
        write().map_err(error("write", &path))
    }

    /// Writes a file so that after a crash there is either the old text or the new one, mode 0600.
    pub fn write(&self, name: &str, text: &str) -> Result<(), DataDirError> {
        let path = self.join(name);
        let new = self.join(&format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(error("write", &path))
    }
}

fn error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError { what, path, source }
}
