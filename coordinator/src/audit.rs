//! The audit log's two doors.
//!
//! What an identified caller asked for is written *before* it is done ([`AuditLog::record`]); if that fails, it is not
//! done. What a stranger was refused is noted ([`AuditLog::note_refusal`]) without making anyone wait: through a
//! bounded queue, and at most `ROWS_PER_WINDOW` times per kind and minute, so that a flood of strangers cannot fill
//! the disk. What is left out is counted and said in the next row of its kind.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hafleet_fleet::Instant;
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    store::{AuditOutcome, AuditRow, Store, StoreError},
};

/// Noted rows per (action, reason) and [`WINDOW`].
const ROWS_PER_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Noted rows that are not written yet.
const QUEUE_MAX: usize = 256;

/// The audit log. Clones write to the same one.
#[derive(Clone)]
pub struct AuditLog {
    clock: Clock,
    queue: mpsc::Sender<AuditRow>,
    windows: Arc<Mutex<BTreeMap<(&'static str, &'static str), Window>>>,
    dropped: Arc<AtomicU64>,
}

/// A refusal to note.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// Who: an identity, or a peer address that proved nothing.
    pub actor: &'a str,
    /// `tls`, `enroll`, `session`, ….
    pub action: &'static str,
    /// A stable code.
    pub reason: &'static str,
    /// What it was about.
    pub subject: &'a str,
    /// The operands in words; never a secret.
    pub detail: &'a str,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl AuditLog {
    /// Starts the task that writes what is noted; it ends when the last clone is gone and the queue is empty.
    pub fn start(store: Store, clock: Clock) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, rows) = mpsc::channel(QUEUE_MAX);
        let writer = tokio::spawn(write_all(store, rows));
        (Self::with_queue(queue, clock), writer)
    }

    #[cfg(test)]
    pub(crate) fn discarding() -> Self {
        Self::with_queue(mpsc::channel(1).0, Clock::start())
    }

    fn with_queue(queue: mpsc::Sender<AuditRow>, clock: Clock) -> Self {
        Self { clock, queue, windows: Arc::default(), dropped: Arc::default() }
    }

    /// Writes what an identified caller is about to do, or was refused. Only after that may it be done.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn record(
        &self,
        store: &Store,
        actor: &str,
        action: &str,
        subject: &str,
        outcome: AuditOutcome,
        detail: String,
    ) -> Result<(), StoreError> {
        let row = AuditRow {
            at_us: self.clock.now_us(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome,
            detail,
        };
        store.append_audit(&row).await
    }

    /// Logs and notes a refusal, within the bounds. True when it was noted.
    pub fn note_refusal(&self, refusal: Refusal<'_>) -> bool {
        let Refusal { actor, action, reason, subject, detail } = refusal;
        let Some(suppressed) = self.admit(action, reason, self.clock.now()) else { return false };
        let mut text = format!("{reason}: {detail}");
        if suppressed > 0 {
            text.push_str(&format!(" ({suppressed} more of this kind were not written down one by one)"));
        }
        tracing::warn!(actor, action, subject, "refused: {text}");
        let row = AuditRow {
            at_us: self.clock.now_us(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: AuditOutcome::Refused,
            detail: text,
        };
        let noted = self.queue.try_send(row).is_ok();
        if !noted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        noted
    }

    /// Rows that found the queue full since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// `Some(how many were suppressed before)` when this one may be written down.
    fn admit(&self, action: &'static str, reason: &'static str, now: Instant) -> Option<u64> {
        // Keys are constants of this program, so that the map is bounded by it.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry((action, reason)).or_default();
        if window.began.is_none_or(|began| now.since(began) >= WINDOW) {
            window.began = Some(now);
            window.written = 0;
        }
        if window.written >= ROWS_PER_WINDOW {
            window.suppressed = window.suppressed.saturating_add(1);
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

async fn write_all(store: Store, mut rows: mpsc::Receiver<AuditRow>) {
    while let Some(row) = rows.recv().await {
        if let Err(error) = store.append_audit(&row).await {
            let error = anyhow::Error::new(error);
            tracing::error!(
                action = row.action,
                actor = row.actor,
                detail = row.detail,
                "not in the audit log: {error:#}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_whole_and_written_down_in_part() {
        let audit = AuditLog::discarding();
        let start = Instant::from_micros(1);
        assert_eq!((0..100).filter(|_| audit.admit("tls", "no_tls", start).is_some()).count(), 10);
        assert_eq!(audit.admit("tls", "expired", start), Some(0), "another reason has its own bound");
        assert_eq!(audit.admit("tls", "no_tls", start + WINDOW), Some(90));
        assert_eq!(audit.admit("tls", "no_tls", start + WINDOW), Some(0));
    }

    #[test]
    fn a_full_queue_is_counted() {
        let audit = AuditLog::discarding();
        let refusal = Refusal { actor: "a", action: "tls", reason: "no_tls", subject: "", detail: "" };
        assert!(!audit.note_refusal(refusal));
        assert_eq!(audit.dropped(), 1);
    }
}
