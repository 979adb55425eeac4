//! A file with a number in it.
//!
//! inotify watches the directory, not the file, so that a file that is replaced, removed or made anew is the same to it;
//! while the directory is missing, the nearest one that is there. Of a path with symbolic links, the directories of the path
//! and of what it resolves to.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hafleet_vrrp::TrackResult;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep},
};

use super::{
    board::{Board, CheckId},
    leave::Leave,
    number,
    waiting::{blocking, readable},
};
use crate::{
    clock,
    config::track::{FileCheck, FileInit},
};

/// A number has no more bytes.
const READ_AT_MOST: u64 = 64;
/// A writer that has not closed the file may have emptied it only to fill it: so long it is left alone.
const SETTLES_WITHIN: Duration = Duration::from_millis(20);
/// An empty file is looked at once more after so long: a writer empties it first, and may be slow to fill it.
const EMPTY_LASTS: Duration = Duration::from_millis(250);
/// How often a file is looked at that the kernel does not watch: no inotify left, no such thing in its file system.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Writes the file's first number if asked to, and then says what number it has until it shall leave.
pub(super) async fn watch(id: CheckId, file: FileCheck, board: Arc<Board>, mut leave: Leave) {
    let file = Arc::new(file);
    if let Some(first) = file.init {
        let path = file.path.clone();
        let written = blocking(move || write_first(&path, first)).await;
        if let Err(error) = written {
            tracing::warn!(%error, file = %file.path.display(), "cannot write the first number into it");
        }
    }
    let notices = Notices::open(&file.path);
    loop {
        let look = async {
            let look = look(&file, &notices).await;
            if !look.as_ref().is_ok_and(|look| look.is_empty) {
                return look;
            }
            // Most likely emptied to be filled.
            sleep(EMPTY_LASTS).await;
            self::look(&file, &notices).await
        };
        let look = tokio::select! {
            look = look => look,
            () = leave.asked() => return,
        };
        let resolves_elsewhere = look.as_ref().is_ok_and(|look| look.resolves_elsewhere);
        let is_watched = look.as_ref().is_ok_and(|look| look.is_watched);
        board.write(id, |status| {
            status.counts.looks = status.counts.looks.saturating_add(1);
            status.looked_at = Some(clock::now());
            match look {
                Ok(look) => {
                    status.result = Some(TrackResult::Value(look.value));
                    status.detail = look.detail;
                }
                // The result stays: nothing was seen.
                Err(error) => status.detail = format!("cannot be looked at: {error}"),
            }
        });
        tokio::select! {
            () = notices.next(resolves_elsewhere) => {}
            () = sleep(LOOK_EVERY), if !is_watched => {}
            () = leave.asked() => return,
        }
    }
}

async fn look(file: &Arc<FileCheck>, notices: &Notices) -> io::Result<Look> {
    let (file, inotify) = (Arc::clone(file), notices.inotify());
    blocking(move || Ok(Look::at(&file.path, inotify.as_deref()))).await
}

fn write_first(path: &Path, first: FileInit) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    let opened = if first.overwrite {
        options.create(true).truncate(true).open(path)
    } else {
        options.create_new(true).open(path)
    };
    match opened {
        Ok(mut file) => writeln!(file, "{}", first.value),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What one look at a file saw.
#[derive(Debug)]
struct Look {
    value: i16,
    detail: String,
    /// The path has a symbolic link, and any change of its directories may change what it leads to.
    resolves_elsewhere: bool,
    /// The kernel will tell of a change.
    is_watched: bool,
    /// It is there, and there is nothing in it.
    is_empty: bool,
}

impl Look {
    /// First watches, then reads, so that nothing that happens from now on is missed.
    fn at(path: &Path, inotify: Option<&AsyncFd<OwnedFd>>) -> Self {
        let resolved = path.canonicalize().ok();
        let resolves_elsewhere = resolved.as_deref().is_some_and(|resolved| resolved != path);
        let is_watched = inotify.is_some_and(|inotify| {
            let mut is_watched = watch_directory(inotify.get_ref(), path);
            if let Some(resolved) = resolved.as_deref().filter(|_| resolves_elsewhere) {
                is_watched &= watch_directory(inotify.get_ref(), resolved);
            }
            is_watched
        });
        let content = read(path);
        let is_empty = content.as_ref().is_ok_and(Vec::is_empty);
        let (value, mut detail) = match content {
            Ok(content) => said(&content),
            Err(error) => (0, format!("cannot be read, so that it counts as 0: {error}")),
        };
        if !is_watched {
            detail.push_str("; looked at every second, the kernel does not watch it");
        }
        Self { value, detail, resolves_elsewhere, is_watched, is_empty }
    }
}

/// Watches the file's directory, or the nearest above it that is there.
fn watch_directory(inotify: &OwnedFd, path: &Path) -> bool {
    let what = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    for directory in path.ancestors().skip(1) {
        match inotify::add_watch(inotify, directory, what) {
            Ok(_) => return true,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(_) => return false,
        }
    }
    false
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Not blocked by a pipe without a writer.
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(READ_AT_MOST).read_to_end(&mut content)?;
    Ok(content)
}

fn said(content: &[u8]) -> (i16, String) {
    match number::parse(content) {
        Some(value) => (value, format!("it says {value}")),
        None if content.is_empty() => (0, "it is empty, which counts as 0".to_owned()),
        None => {
            let content = String::from_utf8_lossy(content);
            (0, format!("there is no number in it, which counts as 0: {:?}", content.trim()))
        }
    }
}

/// What inotify tells of one file.
struct Notices {
    /// `None` when there is none left; then nothing is told.
    inotify: Option<Arc<AsyncFd<OwnedFd>>>,
    name: PathBuf,
}

impl Notices {
    fn open(path: &Path) -> Self {
        let opened = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(io::Error::from)
            .and_then(readable);
        let inotify = opened
            .inspect_err(|error| {
                tracing::warn!(%error, file = %path.display(), "no inotify for it; it is looked at every second");
            })
            .ok();
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        Self { inotify: inotify.map(Arc::new), name }
    }

    fn inotify(&self) -> Option<Arc<AsyncFd<OwnedFd>>> {
        self.inotify.clone()
    }

    /// Returns when the file may have changed; `any`: by whatever happens in a directory.
    async fn next(&self, any: bool) {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        // A first sign may be followed by a better one, but it is not waited for again and again.
        let settled = sleep(SETTLES_WITHIN);
        tokio::pin!(settled);
        let mut is_unsettled = false;
        loop {
            tokio::select! {
                guard = inotify.readable() => {
                    let Ok(mut guard) = guard else { return std::future::pending().await };
                    match self.drain(inotify.get_ref(), any) {
                        Sign::Nothing => {}
                        Sign::Settled => return,
                        Sign::Unsettled if is_unsettled => {}
                        Sign::Unsettled => {
                            is_unsettled = true;
                            settled.as_mut().reset(Instant::now() + SETTLES_WITHIN);
                        }
                    }
                    // Drained: what came since makes it readable again.
                    guard.clear_ready();
                }
                () = &mut settled, if is_unsettled => return,
            }
        }
    }

    /// Reads everything that was told so far.
    fn drain(&self, inotify: &OwnedFd, any: bool) -> Sign {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut sign = Sign::Nothing;
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let is_ours = event
                .file_name()
                .is_none_or(|name| name.to_bytes() == self.name.as_os_str().as_encoded_bytes());
            let is_lost = flags.contains(ReadFlags::QUEUE_OVERFLOW);
            // Where the directory is missing, any directory may be its beginning.
            let is_directory = flags.contains(ReadFlags::ISDIR);
            let may_be_filled = flags.intersects(ReadFlags::MODIFY | ReadFlags::CREATE);
            sign = sign.max(match (is_ours, is_directory || any) {
                _ if is_lost => Sign::Settled,
                (true, false) if may_be_filled => Sign::Unsettled,
                (true, _) => Sign::Settled,
                // Somebody else's directory may be busy.
                (false, true) => Sign::Unsettled,
                (false, false) => Sign::Nothing,
            });
        }
        sign
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Nothing,
    Unsettled,
    Settled,
}
