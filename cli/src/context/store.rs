//! Where contexts are kept: `contexts/NAME.toml` (0600) and the name in `current`, below one directory.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{Context, ContextError};

/// The directory of contexts.
pub struct Store {
    directory: PathBuf,
}

/// What became of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// It took the place of another of the same name.
    Replaced,
    /// The very same was there.
    Same,
}

impl Store {
    /// `$HACTL_CONFIG_DIR`, else `$XDG_CONFIG_HOME/hafleet`, else `~/.config/hafleet`.
    pub fn open() -> Result<Self, ContextError> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = set("HACTL_CONFIG_DIR")
            .or_else(|| set("XDG_CONFIG_HOME").map(|config| config.join("hafleet")))
            .or_else(|| set("HOME").map(|home| home.join(".config/hafleet")));
        directory.map(|directory| Self { directory }).ok_or(ContextError::NoDirectory)
    }

    /// The names of all contexts, sorted.
    pub fn names(&self) -> Result<Vec<String>, ContextError> {
        let directory = self.directory.join("contexts");
        let failed = |source| ContextError::File { attempted: "read", path: directory.clone(), source };
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".toml")).map(ToOwned::to_owned));
        }
        names.retain(|name| check_name(name).is_ok());
        names.sort();
        Ok(names)
    }

    /// The one in use, if any.
    pub fn current(&self) -> Result<Option<String>, ContextError> {
        let path = self.directory.join("current");
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ContextError::File { attempted: "read", path, source }),
        }
    }

    /// The context of this name.
    pub fn load(&self, name: &str) -> Result<Context, ContextError> {
        let unknown =
            || Ok::<_, ContextError>(ContextError::Unknown { name: name.to_owned(), known: self.names()? });
        if check_name(name).is_err() {
            return Err(unknown()?);
        }
        match Context::read(&self.path(name)) {
            Err(ContextError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(unknown()?)
            }
            // It may have been added under another name than its own.
            result => result.map(|context| Context { name: name.to_owned(), ..context }),
        }
    }

    /// Use this one from now on.
    pub fn set_current(&self, name: &str) -> Result<(), ContextError> {
        self.load(name)?;
        self.write(&self.directory.join("current"), &format!("{name}\n"))
    }

    /// What adding `text` as `name` would do, given that `replace` is allowed.
    pub fn add(&self, name: &str, text: &str, replace: bool) -> Result<Added, ContextError> {
        check_name(name)?;
        let path = self.path(name);
        let added = match fs::read_to_string(&path) {
            Ok(there) if there == text => return Ok(Added::Same),
            Ok(_) if replace => Added::Replaced,
            Ok(_) => return Err(ContextError::Exists(name.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Added::New,
            Err(source) => return Err(ContextError::File { attempted: "read", path, source }),
        };
        self.write(&path, text)?;
        Ok(added)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join("contexts").join(format!("{name}.toml"))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), ContextError> {
        let failed = |source| ContextError::File { attempted: "write", path: path.to_owned(), source };
        let directory = path.parent().unwrap_or(&self.directory);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        write_private(path, text)
    }
}

/// Whole or not at all, and for the owner's eyes only.
pub fn write_private(path: &Path, text: &str) -> Result<(), ContextError> {
    let failed = |source| ContextError::File { attempted: "write", path: path.to_owned(), source };
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, path));
    written.map_err(|error| {
        // The draft may not exist; the error that matters is the first.
        let _ = fs::remove_file(&draft);
        failed(error)
    })
}

/// A name that is a file's name and needs no quotes in a shell.
fn check_name(name: &str) -> Result<(), ContextError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(good) {
        Ok(())
    } else {
        Err(ContextError::Name(name.to_owned()))
    }
}
