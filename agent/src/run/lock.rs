//! One agent per state directory, and one per network namespace.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{DirBuilderExt, OpenOptionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The right to use a state directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: Option<File>,
    /// Addresses belong to a network namespace: two agents in one would fight over them, whatever their directories. The
    /// name of an abstract socket (unix(7)) belongs to the namespace too, needs no disk, and goes with its process.
    _network: Option<UnixListener>,
}

/// An abstract socket; `ss -xlp` shows it as `@hafleet-agent`.
const NETWORK_LOCK: &[u8] = b"hafleet-agent";

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
    /// Another agent serves addresses of this host.
    #[error(
        "another ha-agent runs in this network namespace with another state directory; both would serve addresses of the \
         same interfaces. Find it with `ss -xlp | grep @hafleet-agent` and stop it first, or run this one in a network \
         namespace of its own"
    )]
    HeldInNetwork,
    /// Whether another agent runs cannot be known.
    #[error(
        "no lock can be had, neither in {} nor of the network namespace, so another ha-agent may be running; make the \
         state directory writable, or name another one with --state-dir",
        path.display()
    )]
    None {
        /// The directory.
        path: PathBuf,
        /// The kernel's words about the network namespace's.
        #[source]
        source: io::Error,
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
    /// Takes the lock of `state_dir`, which is made if it does not exist, and that of the network namespace. A disk that
    /// is full, failing or read-only is no reason not to keep addresses alive: then the second is enough.
    ///
    /// # Errors
    /// When another agent has either, when the directory can never work, or when neither lock can be had.
    pub fn take(state_dir: &Path) -> Result<Self, LockError> {
        Self::take_named(state_dir, NETWORK_LOCK)
    }

    fn take_named(state_dir: &Path, network_lock: &[u8]) -> Result<Self, LockError> {
        let file = lock_directory(state_dir)?;
        let address = SocketAddr::from_abstract_name(network_lock);
        let network = match address.and_then(|address| UnixListener::bind_addr(&address)) {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(LockError::HeldInNetwork),
            Err(source) if file.is_none() => {
                return Err(LockError::None { path: state_dir.to_owned(), source });
            }
            Err(error) => {
                tracing::warn!(%error, "no lock of the network namespace; only that of the state directory is held");
                None
            }
        };
        Ok(Self { _file: file, _network: network })
    }
}

/// `None`, after a warning, when the disk is to blame.
fn lock_directory(state_dir: &Path) -> Result<Option<File>, LockError> {
    let path = state_dir.join("lock");
    let unusable = |source| LockError::Unusable { path: state_dir.to_owned(), source };
    let made = DirBuilder::new().recursive(true).mode(0o750).create(state_dir);
    let mut file = match made.and_then(|()| open(&path)) {
        Ok(file) => file,
        Err(source) if disk_is_to_blame(&source) => {
            tracing::warn!(
                error = %source,
                "no lock in {}: the disk refuses. Virtual addresses are served all the same",
                state_dir.display()
            );
            return Ok(None);
        }
        Err(source) => return Err(unusable(source)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // For the message of the next one; nothing depends on it, and a read-only disk does not take it.
            let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
            Ok(Some(file))
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

/// A lock needs no write access: an agent that was started while the disk could be written has locked the same file.
fn open(path: &Path) -> io::Result<File> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    match opened {
        Err(refused) if is_read_only(&refused) => File::open(path).map_err(|_| refused),
        opened => opened,
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn disk_is_to_blame(error: &io::Error) -> bool {
    [rustix::io::Errno::NOSPC, rustix::io::Errno::IO, rustix::io::Errno::ROFS, rustix::io::Errno::DQUOT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests;
