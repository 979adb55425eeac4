//! The status socket `<state dir>/agent.sock`: whoever connects gets one JSON document and the end of the stream.
//!
//! Mode 0600. Nothing is ever read from a client, so none can ask for anything.

mod document;

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

pub use document::{
    AgentPart, CheckPart, ConfigurationPart, Document, EnginePart, HeardPart, InstancePart, JournalPart,
    LogPart, OrderPart, OrdersPart, PathPart, PeerPart, PushedPart, ReferencePart, RejectedPart, TrackPart,
    UplinkPart, VipPart,
};

/// Clients served at once.
const CLIENTS_MAX: usize = 8;
/// A client that does not read is left.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// After `accept` failed, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where the socket of a state directory is.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("agent.sock")
}

/// Opens the socket in place of a dead agent's. Only for whoever holds the lock of the state directory.
///
/// # Errors
/// As the file system says; also when the path is longer than a socket's may be (107 bytes).
pub fn bind(state_dir: &Path) -> io::Result<UnixListener> {
    let path = socket_path(state_dir);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves documents for ever.
pub async fn serve<F>(listener: UnixListener, document: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = Document> + Send,
{
    let document = Arc::new(document);
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&clients).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let document = Arc::clone(&document);
                tokio::spawn(async move {
                    answer(stream, document().await).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept on the status socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, document: Document) {
    let text = match serde_json::to_vec_pretty(&document) {
        Ok(mut text) => {
            text.push(b'\n');
            text
        }
        Err(error) => {
            tracing::warn!(%error, "the status cannot be written as JSON");
            return;
        }
    };
    // A client that went away has no use for the rest.
    let _ = timeout(WRITE_TIMEOUT, stream.write_all(&text)).await;
    let _ = timeout(WRITE_TIMEOUT, stream.shutdown()).await;
}

#[cfg(test)]
pub(crate) mod tests;
