//! Processes that must run.
//!
//! The kernel tells of every process that forks, becomes another program, takes another name or ends; `/proc` is read
//! once at the start, and again only when events were lost. Where the kernel tells nothing (in a network namespace or a
//! container), a descriptor of each matching process tells of its end at once, and `/proc` is read every second for new
//! ones.

mod connector;
mod events;
mod identity;
mod quorum;
mod table;

use std::{collections::BTreeSet, future::pending, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hafleet_vrrp::TrackResult;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::{
    io::unix::AsyncFd,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{
    connector::{Connector, Told},
    events::Event,
    identity::{Identity, everybody},
    table::{Happening, Table},
};
use super::{
    board::{Board, CheckId},
    waiting::{blocking, readable},
};
use crate::{clock, config::track::ProcessCheck};

/// How often `/proc` is read where the kernel tells nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two readings of `/proc` after losses, at least.
const SCAN_PAUSE: Duration = Duration::from_millis(100);
/// So many processes have a descriptor that tells of their end; others are found ended by the next look.
const DESCRIPTORS_AT_MOST: usize = 128;

/// A process check that is wanted.
#[derive(Clone, Debug)]
pub(super) struct ProcessEntry {
    pub(super) id: CheckId,
    pub(super) check: ProcessCheck,
}

/// Watches these processes: starts the one watcher of all process checks, tells it of others, or ends it.
pub(super) fn keep(
    watcher: &mut Option<watch::Sender<Vec<ProcessEntry>>>,
    entries: Vec<ProcessEntry>,
    board: &Arc<Board>,
    tasks: &mut JoinSet<()>,
) {
    match watcher {
        _ if entries.is_empty() => *watcher = None,
        Some(watcher) => drop(watcher.send_replace(entries)),
        None => {
            let (sender, wanted) = watch::channel(entries);
            let board = Arc::clone(board);
            // Opened before the first look, so that what happens meanwhile waits in the socket.
            tasks.spawn(async { watch(Source::open().await, wanted, board).await });
            *watcher = Some(sender);
        }
    }
}

async fn watch(source: Source, mut wanted: watch::Receiver<Vec<ProcessEntry>>, board: Arc<Board>) {
    let mut watcher = Watcher { source, table: Table::default(), board, looks_at: None };
    let mut has_changed = true;
    loop {
        if std::mem::take(&mut has_changed) && watcher.table.set(&wanted.borrow_and_update()) {
            watcher.looks_at = Some(Instant::now());
        }
        let deadline = watcher.table.deadline();
        tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => has_changed = true,
                Err(_) => return,
            },
            () = until(watcher.looks_at) => watcher.look().await,
            news = watcher.source.next() => watcher.take(news).await,
            () = until(deadline.map(|at| Instant::now() + at.since(clock::now()))) => {
                watcher.table.pass(clock::now());
                watcher.publish(0);
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

struct Watcher {
    source: Source,
    table: Table,
    board: Arc<Board>,
    /// When `/proc` is to be read.
    looks_at: Option<Instant>,
}

impl Watcher {
    /// Reads all of `/proc`.
    async fn look(&mut self) {
        let with_command_line = self.table.wants_command_lines();
        let looked = blocking(move || everybody(with_command_line)).await;
        self.looks_at = match (&self.source, &looked) {
            (Source::Kernel(_), Ok(_)) => None,
            (Source::Looks(_), _) | (_, Err(_)) => Some(Instant::now() + LOOK_EVERY),
        };
        match looked {
            Ok(everybody) => self.table.scanned(&everybody, clock::now()),
            Err(error) => return tracing::warn!(%error, "cannot read /proc; process checks stay as they are"),
        }
        if let Source::Looks(looks) = &mut self.source {
            looks.watch(self.table.pids());
        }
        self.publish(1);
    }

    async fn take(&mut self, news: io::Result<News>) {
        let happenings = match news {
            Ok(News::Events(events)) => Self::read(events, self.table.wants_command_lines()).await,
            Ok(News::Ended(pid)) => vec![Happening::Ended(pid)],
            Ok(News::Lost) => {
                let at = Instant::now() + SCAN_PAUSE;
                self.looks_at = Some(self.looks_at.map_or(at, |before| before.min(at)));
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the kernel's process events broke off; opening them anew");
                self.source = Source::open().await;
                self.looks_at = Some(Instant::now() + SCAN_PAUSE);
                return;
            }
        };
        let now = clock::now();
        let mut changed = false;
        for happening in &happenings {
            changed |= self.table.happened(happening, now);
        }
        if changed {
            self.publish(0);
        }
    }

    /// What the processes of these events are by now.
    async fn read(events: Vec<Event>, with_command_line: bool) -> Vec<Happening> {
        let read = move || {
            let happening = |event| match event {
                Event::Fork { parent, child } => Some(Happening::Forked { parent, child }),
                Event::Exec(pid) | Event::Name(pid) => {
                    Some(Happening::Became(pid, Identity::of(pid, with_command_line)))
                }
                Event::Exit(pid) => Some(Happening::Ended(pid)),
                Event::Answer(_) | Event::Other => None,
            };
            Ok(events.into_iter().filter_map(happening).collect())
        };
        blocking(read).await.unwrap_or_default()
    }

    fn publish(&self, rescans: u64) {
        for (id, is_up, mut detail) in self.table.verdicts() {
            if let Source::Looks(looks) = &self.source {
                detail.push_str(&looks.note);
            }
            self.board.write(id, |status| {
                status.result = Some(if is_up { TrackResult::Up } else { TrackResult::Down });
                status.detail = detail;
                status.looked_at = Some(clock::now());
                status.counts.looks = status.counts.looks.saturating_add(1);
                status.counts.rescans = status.counts.rescans.saturating_add(rescans);
            });
        }
    }
}

/// Where news of processes comes from.
enum Source {
    Kernel(Connector),
    Looks(Looks),
}

/// News of processes.
enum News {
    Events(Vec<Event>),
    /// This one ended.
    Ended(u32),
    /// Everything is to be looked at.
    Lost,
}

impl Source {
    async fn open() -> Self {
        match Connector::open().await {
            Ok(connector) => Self::Kernel(connector),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the kernel tells nothing of processes here; their ends are seen at once, new ones within {LOOK_EVERY:?}"
                );
                let note = format!("; looked for every second, no process events here: {error}");
                Self::Looks(Looks { note, ends: FuturesUnordered::new(), watched: BTreeSet::new() })
            }
        }
    }

    async fn next(&mut self) -> io::Result<News> {
        match self {
            Self::Kernel(connector) => Ok(match connector.told().await? {
                Told::Events(events) => News::Events(events),
                Told::Lost => News::Lost,
            }),
            Self::Looks(looks) => Ok(News::Ended(looks.ended().await)),
        }
    }
}

/// Without events: descriptors of the processes that match.
struct Looks {
    note: String,
    ends: FuturesUnordered<futures_util::future::BoxFuture<'static, u32>>,
    watched: BTreeSet<u32>,
}

impl Looks {
    fn watch(&mut self, pids: BTreeSet<u32>) {
        for pid in pids {
            if self.watched.len() >= DESCRIPTORS_AT_MOST {
                return;
            }
            if self.watched.contains(&pid) {
                continue;
            }
            // Gone already, or no descriptor left: the next look says so.
            let Ok(descriptor) = descriptor(pid) else { continue };
            self.watched.insert(pid);
            let end = async move {
                let _ = descriptor.readable().await;
                pid
            };
            self.ends.push(Box::pin(end));
        }
    }

    async fn ended(&mut self) -> u32 {
        match self.ends.next().await {
            Some(pid) => {
                self.watched.remove(&pid);
                pid
            }
            None => pending().await,
        }
    }
}

fn descriptor(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    readable(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, process::Command};

    use super::*;
    use crate::{
        config::{
            Place,
            track::{Check, CheckKind},
        },
        track::Reports,
    };

    /// More happens than the socket has room for: what was lost is made good by looking at everything.
    #[tokio::test]
    async fn lost_events_are_made_good() {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("lost{}", std::process::id());
        let path: PathBuf = directory.path().join(&name);
        std::fs::copy("/bin/sleep", &path).unwrap();
        let process = ProcessCheck {
            command: name.clone(),
            parameters: None,
            full_command: false,
            quorum_least: 1,
            quorum_most: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        };
        let board = Arc::new(Board::default());
        let mut reports = Reports::new(Arc::clone(&board));
        let kind = CheckKind::Process(process.clone());
        let entries = board.replace(vec![Check { name, kind, defined_at: Place::default() }]);
        let entry = ProcessEntry { id: entries.first().unwrap().id, check: process };
        let (_watcher, wanted) = watch::channel(vec![entry]);
        let connector = Connector::open().await.unwrap();
        connector.make_small();
        tokio::spawn(watch(Source::Kernel(connector), wanted, Arc::clone(&board)));
        let mut result = async || {
            let report = tokio::time::timeout(Duration::from_secs(60), reports.recv()).await;
            report.expect("a report comes").map(|report| report.result)
        };
        assert_eq!(result().await, Some(TrackResult::Down));

        // This thread is also the watcher's: it sees nothing until the next await.
        let burst = || (0..200).for_each(|_| assert!(Command::new("/bin/true").status().unwrap().success()));
        burst();
        let mut child = Command::new(&path).arg("1000").spawn().unwrap();
        assert_eq!(result().await, Some(TrackResult::Up));
        burst();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(result().await, Some(TrackResult::Down));
        // The end may be seen by the process's own descriptor, before everything is looked at.
        let rescans = || board.status().first().unwrap().counts.rescans;
        let looked = async {
            while rescans() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looked).await.expect("each burst makes it look at all");
    }
}
