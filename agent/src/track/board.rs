//! How every check is, and which results are still to be told.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hafleet_vrrp::{Instant, TrackResult};
use tokio::sync::Notify;

use super::{CheckReport, Outcome};
use crate::{
    clock,
    config::track::{Check, CheckKind},
};

/// Names one check from its start to its end; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CheckId(u64);

#[cfg(test)]
impl CheckId {
    pub(super) fn of_test(id: u64) -> Self {
        Self(id)
    }
}

/// One check that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: CheckId,
    pub(super) check: Arc<Check>,
}

/// How a check is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckStatus {
    /// Its name.
    pub check: String,
    /// `script`, `process` or `file`.
    pub kind: &'static str,
    /// What it says; `None`: nothing yet.
    pub result: Option<TrackResult>,
    /// What the last look saw, for people.
    pub detail: String,
    /// When the result last changed.
    pub changed_at: Option<Instant>,
    /// When it was last looked at: the end of the last run, the last event.
    pub looked_at: Option<Instant>,
    /// The process that runs now, a script's.
    pub pid: Option<u32>,
    /// How the last run ended, a script's.
    pub last_run: Option<Outcome>,
    /// What happened since it started.
    pub counts: Counts,
}

/// What happened to a check since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Looks: runs of a script that ended or timed out, events of processes and files.
    pub looks: u64,
    /// Runs that failed, whatever `fall` made of it.
    pub failures: u64,
    /// Runs that were ended by their time-out.
    pub timeouts: u64,
    /// Runs that were due while the one before was not over.
    pub skipped: u64,
    /// Runs that this host had no process, memory or descriptor for.
    pub not_tried: u64,
    /// Times that events were lost and everything was looked at anew.
    pub rescans: u64,
    /// Changes of the result.
    pub changes: u64,
}

#[derive(Debug)]
struct Slot {
    check: Arc<Check>,
    status: CheckStatus,
    /// What was seen when the result last changed.
    reason: String,
    told: Option<TrackResult>,
    is_queued: bool,
}

#[derive(Debug, Default)]
struct Inner {
    slots: BTreeMap<CheckId, Slot>,
    /// In the order of the configuration.
    order: Vec<CheckId>,
    /// Every check at most once.
    to_tell: VecDeque<CheckId>,
    last_id: u64,
    is_closed: bool,
}

/// How every check is. Whoever looks at a check writes here; `status` and the [`Reports`] read.
#[derive(Debug, Default)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    news: Notify,
}

impl Board {
    /// Makes these the checks. An equal one keeps its identity and what is known of it.
    pub(super) fn replace(&self, checks: Vec<Check>) -> Vec<Entry> {
        let mut inner = self.lock();
        let mut before = std::mem::take(&mut inner.slots);
        inner.order.clear();
        let mut entries = Vec::with_capacity(checks.len());
        for check in checks {
            let same = before.iter().find(|(_, slot)| is_same(&slot.check, &check)).map(|(id, _)| *id);
            let kept = same.and_then(|id| before.remove(&id).map(|slot| (id, slot)));
            let (id, slot) = kept.unwrap_or_else(|| {
                inner.last_id = inner.last_id.saturating_add(1);
                (CheckId(inner.last_id), Slot::new(check))
            });
            entries.push(Entry { id, check: Arc::clone(&slot.check) });
            inner.order.push(id);
            inner.slots.insert(id, slot);
        }
        let Inner { slots, to_tell, .. } = &mut *inner;
        to_tell.retain(|id| slots.contains_key(id));
        entries
    }

    /// Writes down what a look saw. Says nothing of a check that is no longer wanted.
    pub(super) fn write(&self, id: CheckId, write: impl FnOnce(&mut CheckStatus)) {
        let mut inner = self.lock();
        let Inner { slots, to_tell, .. } = &mut *inner;
        let Some(slot) = slots.get_mut(&id) else { return };
        let before = slot.status.result;
        write(&mut slot.status);
        let status = &mut slot.status;
        if status.result == before {
            return;
        }
        slot.reason.clone_from(&status.detail);
        status.changed_at = Some(clock::now());
        status.counts.changes = status.counts.changes.saturating_add(1);
        match status.result {
            Some(TrackResult::Down) => {
                tracing::warn!(check = status.check, kind = status.kind, "down: {}", status.detail);
            }
            Some(TrackResult::Up) => {
                tracing::info!(check = status.check, kind = status.kind, "up: {}", status.detail)
            }
            Some(TrackResult::Value(value)) => {
                tracing::info!(check = status.check, kind = status.kind, value, "{}", status.detail);
            }
            None => {}
        }
        if !slot.is_queued {
            slot.is_queued = true;
            to_tell.push_back(id);
            self.news.notify_one();
        }
    }

    pub(super) fn status(&self) -> Vec<CheckStatus> {
        let inner = self.lock();
        inner.order.iter().filter_map(|id| inner.slots.get(id)).map(|slot| slot.status.clone()).collect()
    }

    /// Ends the reports.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_one();
    }

    /// The next result to tell; `Err` when there will be none.
    fn next(&self) -> Result<Option<CheckReport>, Closed> {
        let mut inner = self.lock();
        let Inner { slots, to_tell, is_closed, .. } = &mut *inner;
        if *is_closed {
            return Err(Closed);
        }
        while let Some(id) = to_tell.pop_front() {
            let Some(slot) = slots.get_mut(&id) else { continue };
            slot.is_queued = false;
            // There and back while nobody listened.
            if slot.status.result == slot.told {
                continue;
            }
            slot.told = slot.status.result;
            if let Some(result) = slot.status.result {
                let detail = slot.reason.clone();
                return Ok(Some(CheckReport { check: slot.status.check.clone(), result, detail }));
            }
        }
        Ok(None)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Closed;

impl Slot {
    fn new(check: Check) -> Self {
        let kind = match check.kind {
            CheckKind::Script(_) => "script",
            CheckKind::Process(_) => "process",
            CheckKind::File(_) => "file",
        };
        let status = CheckStatus {
            check: check.name.clone(),
            kind,
            result: None,
            detail: String::new(),
            changed_at: None,
            looked_at: None,
            pid: None,
            last_run: None,
            counts: Counts::default(),
        };
        Self { check: Arc::new(check), status, reason: String::new(), told: None, is_queued: false }
    }
}

fn is_same(one: &Check, other: &Check) -> bool {
    one.name == other.name && one.kind == other.kind
}

/// Results as they become known. There is at most one per check in it: the newest.
#[derive(Debug)]
pub struct Reports {
    board: Arc<Board>,
}

impl Reports {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    /// The next result; `None` when the [`super::Tracker`] is gone. Losing the future loses no result.
    pub async fn recv(&mut self) -> Option<CheckReport> {
        loop {
            match self.board.next() {
                Ok(Some(report)) => return Some(report),
                Ok(None) => self.board.news.notified().await,
                Err(Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Place, track::FileCheck};

    fn check(name: &str, path: &str) -> Check {
        let kind = CheckKind::File(FileCheck { path: PathBuf::from(path), init: None });
        Check { name: name.to_owned(), kind, defined_at: Place::default() }
    }

    fn told(board: &Board) -> Vec<(String, TrackResult)> {
        std::iter::from_fn(|| board.next().ok().flatten())
            .map(|report| (report.check, report.result))
            .collect()
    }

    fn set(board: &Board, entry: &Entry, result: TrackResult) {
        board.write(entry.id, |status| status.result = Some(result));
    }

    #[test]
    fn first_results_then_changes_and_only_the_newest() {
        let board = Board::default();
        let entries = board.replace(vec![check("a", "/a"), check("b", "/b")]);
        let [a, b] = &entries[..] else { panic!("{entries:?}") };
        set(&board, a, TrackResult::Down);
        set(&board, b, TrackResult::Up);
        set(&board, a, TrackResult::Up);
        assert_eq!(told(&board), [("a".to_owned(), TrackResult::Up), ("b".to_owned(), TrackResult::Up)]);
        set(&board, a, TrackResult::Up);
        assert_eq!(told(&board), []);
        set(&board, a, TrackResult::Down);
        set(&board, a, TrackResult::Up);
        assert_eq!(told(&board), [], "there and back");
        set(&board, a, TrackResult::Down);
        assert_eq!(told(&board), [("a".to_owned(), TrackResult::Down)]);
        assert_eq!(board.status()[0].counts.changes, 5);
    }

    #[test]
    fn what_is_the_same_stays_and_what_is_gone_says_nothing() {
        let board = Board::default();
        let before = board.replace(vec![check("a", "/a"), check("b", "/b"), check("c", "/c")]);
        set(&board, &before[0], TrackResult::Value(1));
        set(&board, &before[1], TrackResult::Value(2));
        let mut moved = check("a", "/a");
        moved.defined_at.line = 77;
        let after = board.replace(vec![check("c", "/elsewhere"), moved]);
        assert_eq!(after[1].id, before[0].id);
        assert!(after[0].id > before[2].id);
        set(&board, &before[1], TrackResult::Value(3));
        set(&board, &before[2], TrackResult::Value(4));
        assert_eq!(told(&board), [("a".to_owned(), TrackResult::Value(1))]);
        let names: Vec<_> = board.status().into_iter().map(|status| status.check).collect();
        assert_eq!(names, ["c", "a"]);
    }

    #[tokio::test]
    async fn a_reader_is_woken_by_news_and_by_the_end() {
        let board = Arc::new(Board::default());
        let mut reports = Reports::new(Arc::clone(&board));
        let entries = board.replace(vec![check("a", "/a")]);
        let reader = tokio::spawn(async move { (reports.recv().await, reports.recv().await) });
        tokio::task::yield_now().await;
        set(&board, &entries[0], TrackResult::Value(-3));
        tokio::task::yield_now().await;
        board.close();
        let (first, then) = reader.await.unwrap();
        assert_eq!(first.map(|report| report.result), Some(TrackResult::Value(-3)));
        assert_eq!(then, None);
    }
}
