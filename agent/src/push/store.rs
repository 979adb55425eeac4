//! `<state dir>/pushed`: a directory for each generation, and the pointer `state.json`.

use std::{
    fmt::Write,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Generation, Pointer, TEXT_LEN_MAX};
use crate::{
    config::PushedText,
    disk::{self, DiskError, refused},
    log,
};

/// The version of the pointer's format that this agent writes, and the only one it reads.
const VERSION: u32 = 1;
/// The pointer is never longer.
const POINTER_LEN_MAX: usize = 64 * 1024;
/// Entries looked at when old generations are removed; there are never more than a handful.
const ENTRIES_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    pointer: Pointer,
}

impl Store {
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("pushed") }
    }

    pub fn directory(&self) -> &Path {
        &self.dir
    }

    pub fn pointer_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// Where a generation's text lies.
    pub fn path(&self, generation: u64) -> PathBuf {
        self.dir.join(generation.to_string()).join("agent.toml")
    }

    /// The pointer; an empty one when nothing was ever pushed.
    pub fn read(&self) -> Result<Pointer, String> {
        let bytes = disk::read(&self.pointer_path(), POINTER_LEN_MAX).map_err(|error| log::chain(&error))?;
        let Some(bytes) = bytes else { return Ok(Pointer::default()) };
        let text: Text = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        if text.version != VERSION {
            return Err(format!("it is of version {}, this agent reads version {VERSION}", text.version));
        }
        Ok(text.pointer)
    }

    /// Replaces the pointer.
    pub fn write(&self, pointer: &Pointer) -> Result<(), DiskError> {
        self.make()?;
        let path = self.pointer_path();
        let text = Text { version: VERSION, pointer: pointer.clone() };
        let bytes = serde_json::to_vec_pretty(&text)
            .map_err(|error| refused("write", &path)(io::Error::other(error)))?;
        disk::replace(&path, &bytes)
    }

    /// Keeps a text, whole or not at all. One that no pointer names is replaced.
    pub fn put(&self, generation: &Generation, text: &str) -> Result<(), DiskError> {
        self.make()?;
        let dir = self.dir.join(generation.number.to_string());
        let new = self.dir.join(format!("{}.new", generation.number));
        for old in [&new, &dir] {
            match fs::remove_dir_all(old) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(refused("remove", old)(error)),
            }
        }
        make(&new)?;
        disk::write_new(&new.join("agent.toml"), text.as_bytes())?;
        disk::sync_directory(&new)?;
        fs::rename(&new, &dir).map_err(refused("put in place", &dir))?;
        disk::sync_directory(&self.dir)
    }

    /// A generation's text.
    pub fn text(&self, generation: &Generation) -> Result<PushedText, String> {
        let path = self.path(generation.number);
        let bytes = disk::read(&path, TEXT_LEN_MAX).map_err(|error| log::chain(&error))?;
        let bytes = bytes.ok_or_else(|| format!("{} is not there", path.display()))?;
        if hash_of(&bytes) != generation.hash {
            return Err(format!("{} is not what was pushed: its SHA-256 is another one", path.display()));
        }
        let text = String::from_utf8(bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(PushedText { path, text })
    }

    /// Removes what no pointer names any more. What cannot be removed now is tried again the next time.
    pub fn prune(&self, pointer: &Pointer) {
        let kept: Vec<String> = pointer.kept().map(|number| number.to_string()).collect();
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.take(ENTRIES_MAX).flatten() {
            let is_kept = entry.file_name().to_str().is_some_and(|name| kept.iter().any(|one| one == name));
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_directory && !is_kept {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn make(&self) -> Result<(), DiskError> {
        make(&self.dir)?;
        disk::sync_directory(self.dir.parent().unwrap_or(Path::new("/")))
    }
}

fn make(path: &Path) -> Result<(), DiskError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(refused("create", path))
}

/// SHA-256, lower-case hex.
pub(super) fn hash_of(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
