//! `ha-agent status`: asks the running agent over its socket and shows the answer.

mod table;

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

pub use table::table;

use crate::local::{Document, socket_path};

/// An agent answers at once; an engine that is stuck costs it a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// No status is longer.
const ANSWER_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error(
        "no agent runs with the state directory {}; start one with `ha-agent run` or `systemctl start ha-agent`, or name \
         another directory with --state-dir",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// Not root, mostly.
    #[error("not allowed to ask the agent at {}; ask as root", .0.display())]
    Denied(PathBuf),
    /// Something else.
    #[error("cannot ask the agent at {}", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// An answer that is none.
    #[error(
        "the agent's answer is not understood; are `ha-agent` and the running agent of the same version?"
    )]
    Answer(#[source] serde_json::Error),
}

/// The document as text, exactly as the agent wrote it.
///
/// # Errors
/// When no agent answers.
pub fn ask(state_dir: &Path) -> Result<String, StatusError> {
    let path = socket_path(state_dir);
    let mut stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            StatusError::NotRunning(state_dir.to_owned())
        }
        io::ErrorKind::PermissionDenied => StatusError::Denied(path.clone()),
        _ => StatusError::Failed { path: path.clone(), source },
    })?;
    let mut text = String::new();
    stream
        .set_read_timeout(Some(ANSWER_WITHIN))
        .and_then(|()| Read::by_ref(&mut stream).take(ANSWER_LEN_MAX).read_to_string(&mut text))
        .map_err(|source| StatusError::Failed { path, source })?;
    Ok(text)
}

/// Reads a document.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<Document, StatusError> {
    serde_json::from_str(text).map_err(StatusError::Answer)
}

#[cfg(test)]
mod tests;
