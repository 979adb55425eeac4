//! The journal's thread: the only one that touches its files.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Limits, Status,
    inbox::{Inbox, Question, Work},
    store::{JournalError, Store},
};
use crate::{clock, log};

/// Events that share one sync.
const BATCH_LEN: usize = 256;
/// After the disk refused.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub dir: PathBuf,
    pub limits: Limits,
    pub inbox: Arc<Inbox>,
    pub status: watch::Sender<Status>,
    pub store: Option<Store>,
    /// What the disk said last; `None` when it works.
    pub failure: Option<String>,
    /// Its kind, which does not change with the file's name from one attempt to the next.
    pub failure_kind: Option<io::ErrorKind>,
}

impl Writer {
    /// Works until the inbox is closed.
    pub fn run(mut self) {
        self.open();
        loop {
            self.publish();
            let retry = self.failure.is_some().then_some(RETRY_AFTER);
            let work = self.inbox.wait(self.failure.is_none(), retry);
            let closed = work.closed;
            self.write_what_waits();
            self.serve(work);
            if self.store.as_ref().is_some_and(Store::has_untold_losses) {
                self.write_what_waits();
            }
            if closed {
                self.end();
                return;
            }
        }
    }

    fn open(&mut self) {
        if self.store.is_none() {
            match Store::open(&self.dir, self.limits, clock::wall_us()) {
                Ok(store) => {
                    self.store = Some(store);
                    // Nothing but the opening can have failed so far.
                    self.works_again();
                }
                Err(error) => self.refused(&error),
            }
        }
    }

    fn write_what_waits(&mut self) {
        self.open();
        let Some(store) = &mut self.store else { return };
        let mut appended = false;
        loop {
            let batch = self.inbox.oldest(BATCH_LEN);
            if batch.is_empty() && !store.has_untold_losses() {
                // Only an append shows whether a disk that refused works again; without one there is nothing to tell.
                break;
            }
            let written = store.append(&batch);
            let count = batch.len();
            match written {
                Ok(()) => self.inbox.written(count),
                Err(error) => return self.refused(&error),
            }
            appended = true;
            if count < BATCH_LEN && !store.has_untold_losses() {
                break;
            }
            self.status.send_modify(|status| status.last_seq = store.last_seq());
        }
        if appended {
            self.works_again();
        }
    }

    fn serve(&mut self, work: Work) {
        if let (Some(seq), Some(store)) = (work.acked_seq, &mut self.store) {
            match store.acked(seq) {
                // A file that can be overwritten says nothing about room for new events.
                Ok(()) if self.inbox.waiting().0 == 0 => self.works_again(),
                Ok(()) => {}
                Err(error) => self.refused(&error),
            }
        }
        for question in work.questions {
            // Whoever asked and went away needs no answer.
            match question {
                Question::Flush(reply) => {
                    self.publish();
                    let _ = reply.send(self.inbox.waiting().0);
                }
                Question::Read { from_seq, most, reply } => {
                    let events =
                        self.store.as_mut().map_or(Ok(Vec::new()), |store| store.read(from_seq, most));
                    let _ = reply.send(events);
                }
                Question::BeginAnew(reply) => {
                    let begun = self.store.as_mut().map_or(Ok(()), Store::begin_anew);
                    self.publish();
                    let _ = reply.send(begun);
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some(store) = &mut self.store {
            // That the position can be written does not make events of those that wait.
            if let Err(error) = store.settle() {
                self.refused(&error);
            }
        }
        self.publish();
    }

    fn works_again(&mut self) {
        self.failure_kind = None;
        if self.failure.take().is_some() {
            tracing::info!("the journal's disk works again");
        }
    }

    /// Remembers what the disk said. Logged when it begins and when it changes, not at every retry.
    fn refused(&mut self, error: &JournalError) {
        let text = log::chain(error);
        if self.failure_kind.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!(
                error = text,
                "the journal cannot be written; events wait in memory and virtual addresses are not affected"
            );
        }
        self.failure = Some(text);
    }

    fn publish(&self) {
        let (waiting, overflowed) = self.inbox.waiting();
        let failure = self.failure.clone();
        self.status.send_if_modified(|status| {
            let mut new = Status { waiting, overflowed, failure, ..status.clone() };
            if let Some(store) = &self.store {
                let counters = store.counters();
                new.journal_id = Some(store.journal_id());
                new.first_seq = store.first_seq();
                new.last_seq = store.last_seq();
                new.acked_seq = store.acked_seq();
                new.bytes = store.bytes();
                new.segments = store.segment_count();
                new.dropped = counters.events_dropped;
                new.damaged = counters.damaged;
                new.torn_bytes = counters.torn_bytes;
            }
            let changed = *status != new;
            *status = new;
            changed
        });
    }
}
