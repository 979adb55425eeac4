//! The journal: everything that happened on this node, in order, on disk, until a coordinator has it.
//!
//! ```text
//! engine ─ Report ─► Happening ─► inbox (bounded) ─► the journal's thread ─► segments: append, sync
//! uplink ◄───────────── read ◄──────────────────────────┘        ▲
//!        ──────────── acked ─────────────────────────────────────┘ frees whole segments
//! ```
//!
//! One blocking thread owns the files, so that a slow disk delays nobody: not the engine, not the uplink's heartbeats.
//! An event may be shown to a coordinator only after it is on the disk. The journal has a bound; at the bound the oldest
//! segment goes, and its loss is counted and itself an event. While the disk refuses, events wait in memory, up to
//! `inbox::WAITING_MAX`, and `ha-agent status` says why.

mod event;
mod inbox;
mod position;
mod record;
mod recovery;
mod segment;
mod store;
mod writer;

use std::{io, path::Path, sync::Arc, thread};

use hafleet_proto::v1;
use tokio::sync::{oneshot, watch};

pub use event::{Happening, bounded, wire_state};
pub use record::JournalId;
pub use store::JournalError;

use inbox::{Inbox, Question};
use writer::Writer;

/// How large the journal may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A new segment begins at this size, in bytes.
    pub segment_bytes: u64,
    /// The oldest goes when there are more.
    pub segments: usize,
}

impl Limits {
    /// What the journal never exceeds, apart from the batch being written.
    pub fn total_bytes(&self) -> u64 {
        self.segment_bytes.saturating_mul(self.segments as u64)
    }
}

impl Default for Limits {
    /// 16 segments of 1 MiB: about 100,000 transitions.
    fn default() -> Self {
        Self { segment_bytes: 1024 * 1024, segments: 16 }
    }
}

/// The journal as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Which life; `None` while the journal could never be opened.
    pub journal_id: Option<JournalId>,
    /// The oldest sequence that can be read.
    pub first_seq: u64,
    /// The newest that is on the disk; 0 before the first.
    pub last_seq: u64,
    /// How far the coordinator has it.
    pub acked_seq: u64,
    /// Events that are not on the disk yet.
    pub waiting: usize,
    /// Events that found no room in memory while the disk refused.
    pub overflowed: u64,
    /// Events dropped with the oldest segments or lost to damage before a coordinator had them.
    pub dropped: u64,
    /// Damaged places found.
    pub damaged: u64,
    /// Bytes of unfinished records cut off at start.
    pub torn_bytes: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: usize,
    /// What the disk said last; `None` when it works.
    pub failure: Option<String>,
}

impl Status {
    /// Events on disk that no coordinator has yet.
    pub fn pending(&self) -> u64 {
        self.last_seq.saturating_sub(self.acked_seq.max(self.first_seq.saturating_sub(1)))
    }
}

/// The journal's thread does not answer: too much waits for it, or it has ended.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer will come.
    #[error("the journal is busy or closed")]
    Unanswered,
    /// The disk refused.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
}

/// The journal, for everybody but its thread. Clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal {
    inbox: Arc<Inbox>,
    status: watch::Receiver<Status>,
}

/// The journal's thread; it ends after [`Journal::close`].
pub type Thread = thread::JoinHandle<()>;

impl Journal {
    /// Starts the journal in `dir`. A disk that refuses is no error: it is tried again every second.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(dir: &Path, limits: Limits) -> io::Result<(Self, Thread)> {
        let inbox = Arc::new(Inbox::default());
        let (publish, status) = watch::channel(Status::default());
        let writer = Writer {
            dir: dir.to_owned(),
            limits,
            inbox: Arc::clone(&inbox),
            status: publish,
            store: None,
            failure: None,
            failure_kind: None,
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
        Ok((Self { inbox, status }, thread))
    }

    /// Takes an event in. Never waits.
    pub fn append(&self, happening: Happening) {
        self.inbox.push(happening);
    }

    /// A coordinator has committed everything up to `seq`.
    pub fn acked(&self, seq: u64) {
        self.inbox.acked(seq);
    }

    /// At most `most` events from `from_seq` on, contiguous; fewer when there are no more.
    ///
    /// # Errors
    /// When the disk refuses or the thread is gone; nothing may be shown then.
    pub async fn read(&self, from_seq: u64, most: usize) -> Result<Vec<v1::Event>, AskError> {
        self.ask(|reply| Question::Read { from_seq, most, reply }).await?.map_err(AskError::from)
    }

    /// Returns when everything that waits has been tried: how many events still wait because the disk refuses.
    ///
    /// # Errors
    /// When the thread is gone.
    pub async fn flush(&self) -> Result<usize, AskError> {
        self.ask(Question::Flush).await
    }

    /// Begins a new life of the journal: a coordinator knows events of this one that it does not have.
    ///
    /// # Errors
    /// When the disk refuses or the thread is gone; the old life then goes on.
    pub async fn begin_anew(&self) -> Result<(), AskError> {
        self.ask(Question::BeginAnew).await?.map_err(AskError::from)
    }

    /// As it is now, and every change.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Ends the thread after it has tried once more to write what waits.
    pub fn close(&self) {
        self.inbox.close();
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        if !self.inbox.ask(question(reply)) {
            return Err(AskError::Unanswered);
        }
        answer.await.map_err(|_| AskError::Unanswered)
    }
}

#[cfg(test)]
mod tests;
