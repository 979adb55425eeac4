//! One agent per state directory.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The right to use a state directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: Option<File>,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent uses it.
    #[error(
        "another ha-agent{} runs with the state directory {}; stop it first, or give this one another directory with \
         --state-dir",
        pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        path.display()
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// Its process id, if it could be read.
        pid: Option<String>,
    },
    /// The file system refuses.
    #[error("cannot use the state directory {}; run as root, or name another one with --state-dir", path.display())]
    Unusable {
        /// The directory or its lock file.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
}

impl StateLock {
    /// Takes the lock of `state_dir`, which is made if it does not exist. A disk that is full or failing is no reason not
    /// to keep addresses alive: then there is a warning instead of a lock.
    ///
    /// # Errors
    /// When another agent has it, or the directory can never work.
    pub fn take(state_dir: &Path) -> Result<Self, LockError> {
        let path = state_dir.join("lock");
        let opened = DirBuilder::new().recursive(true).mode(0o750).create(state_dir).and_then(|()| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
        });
        let mut file = match opened {
            Ok(file) => file,
            Err(source) if disk_is_to_blame(&source) => {
                tracing::warn!(
                    error = %source,
                    "no lock in {}: the disk refuses. Virtual addresses are served all the same",
                    state_dir.display()
                );
                return Ok(Self { _file: None });
            }
            Err(source) => return Err(LockError::Unusable { path: state_dir.to_owned(), source }),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // For the message of the next one; nothing depends on it.
                let _ =
                    file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
                Ok(Self { _file: Some(file) })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let read = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                let pid = read.ok().map(|_| pid.trim().to_owned()).filter(|pid| !pid.is_empty());
                Err(LockError::Held { path: state_dir.to_owned(), pid })
            }
            Err(errno) => Err(LockError::Unusable { path, source: errno.into() }),
        }
    }
}

fn disk_is_to_blame(error: &io::Error) -> bool {
    [rustix::io::Errno::NOSPC, rustix::io::Errno::IO, rustix::io::Errno::ROFS, rustix::io::Errno::DQUOT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
