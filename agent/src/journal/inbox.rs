//! What waits for the journal's thread. Bounded; whoever puts something in never waits for the disk.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hafleet_proto::v1;
use tokio::sync::oneshot;

use super::{event::Happening, store::JournalError};

/// How many events may wait for a disk that is full or slow.
pub const WAITING_MAX: usize = 8192;
/// How many questions may wait. One uplink asks one at a time.
const QUESTIONS_MAX: usize = 16;

/// What the thread is asked beside writing.
#[derive(Debug)]
pub(super) enum Question {
    /// At most `most` events from `from_seq` on.
    Read { from_seq: u64, most: usize, reply: oneshot::Sender<Result<Vec<v1::Event>, JournalError>> },
    /// Answered after what waits has been tried to be written: the events that still wait.
    Flush(oneshot::Sender<usize>),
    /// Begin a new life; see [`super::store::Store::begin_anew`].
    BeginAnew(oneshot::Sender<Result<(), JournalError>>),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    content: Mutex<Content>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    /// Oldest first. They stay here until they are on the disk.
    events: VecDeque<Happening>,
    /// How many came after the last of `events` and did not fit.
    overflow: u64,
    overflow_total: u64,
    acked_seq: Option<u64>,
    questions: VecDeque<Question>,
    closed: bool,
}

/// What the thread finds when it wakes up.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub acked_seq: Option<u64>,
    pub questions: VecDeque<Question>,
    pub closed: bool,
}

impl Inbox {
    /// Puts an event in; when there is no room it is counted, and the count is written down in its place.
    pub fn push(&self, happening: Happening) {
        let mut content = self.lock();
        if content.overflow == 0 && content.events.len() < WAITING_MAX {
            content.events.push_back(happening);
        } else {
            content.overflow += 1;
            content.overflow_total += 1;
        }
        self.arrived.notify_one();
    }

    /// Remembers an acknowledgement; only the highest counts.
    pub fn acked(&self, seq: u64) {
        let mut content = self.lock();
        content.acked_seq = content.acked_seq.max(Some(seq));
        self.arrived.notify_one();
    }

    /// False, and the question dropped, when too many wait.
    pub fn ask(&self, question: Question) -> bool {
        let mut content = self.lock();
        if content.closed || content.questions.len() >= QUESTIONS_MAX {
            return false;
        }
        content.questions.push_back(question);
        self.arrived.notify_one();
        true
    }

    /// Ends the thread after it has tried once more to write what waits.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for something to do, but not longer than `at_most`. With `disk_works` waiting events are something to do.
    pub fn wait(&self, disk_works: bool, at_most: Option<Duration>) -> Work {
        let idle = |content: &mut Content| {
            let nothing_to_write = !disk_works || content.events.is_empty();
            nothing_to_write && content.acked_seq.is_none() && content.questions.is_empty() && !content.closed
        };
        let content = self.lock();
        let mut content = match at_most {
            None => self.arrived.wait_while(content, idle).unwrap_or_else(PoisonError::into_inner),
            Some(at_most) => {
                self.arrived
                    .wait_timeout_while(content, at_most, idle)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        Work {
            acked_seq: content.acked_seq.take(),
            questions: std::mem::take(&mut content.questions),
            closed: content.closed,
        }
    }

    /// The oldest events that wait, at most `most`.
    pub fn oldest(&self, most: usize) -> Vec<Happening> {
        self.lock().events.iter().take(most).cloned().collect()
    }

    /// The `count` oldest are on the disk. Room for what did not fit: its count takes the next place.
    pub fn written(&self, count: usize) {
        let mut content = self.lock();
        let count = count.min(content.events.len());
        content.events.drain(..count);
        if content.overflow > 0 && content.events.len() < WAITING_MAX {
            let lost = std::mem::take(&mut content.overflow);
            content.events.push_back(Happening::lost(lost, "journal"));
        }
    }

    /// How many wait, and how many did not fit since the start.
    pub fn waiting(&self) -> (usize, u64) {
        let content = self.lock();
        (content.events.len(), content.overflow_total)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // Nothing under this lock can leave it half done.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
