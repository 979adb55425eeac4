//! The connection to a coordinator, and the journal that it tells.

use serde::{Deserialize, Serialize};

use crate::{journal, uplink};

/// The connection to a coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkPart {
    /// `off`, `connecting`, `connected` or `waiting`.
    pub state: String,
    /// In words.
    pub summary: String,
    /// The coordinator, while connecting or connected.
    pub coordinator: Option<String>,
    /// Connected since, RFC 3339.
    pub since: Option<String>,
    /// Why the last attempt or session failed.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<String>,
    /// Failed attempts and sessions.
    pub failures: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// How far the coordinator has the journal.
    pub acked_seq: u64,
    /// Probes refused because too many came at once.
    pub probes_dropped: u64,
    /// Sources heard that the last snapshot left out, because there were too many.
    pub heard_left_out: u64,
    /// The certificate's end.
    pub certificate_not_after: Option<String>,
    /// Why it could not be renewed.
    pub renewal_error: Option<String>,
}

/// The journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPart {
    /// Which life of it; absent while it cannot be opened.
    pub id: Option<String>,
    /// The oldest event it has.
    pub first_seq: u64,
    /// The newest.
    pub last_seq: u64,
    /// How far a coordinator has it.
    pub acked_seq: u64,
    /// On disk, but with no coordinator.
    pub pending: u64,
    /// In memory, because the disk refuses.
    pub waiting: u64,
    /// Found no room in memory.
    pub overflowed: u64,
    /// Dropped at its bound or lost to damage.
    pub dropped: u64,
    /// Damaged places found.
    pub damaged: u64,
    /// Bytes of unfinished records cut off.
    pub torn_bytes: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// What the disk says; absent when it works.
    pub error: Option<String>,
}

impl From<uplink::Status> for UplinkPart {
    fn from(status: uplink::Status) -> Self {
        let summary = status.phase.to_string();
        let (state, coordinator, since) = match status.phase {
            uplink::Phase::Off { .. } => ("off", None, None),
            uplink::Phase::Connecting { to } => ("connecting", Some(to), None),
            uplink::Phase::Connected { to, since_us } => {
                ("connected", Some(to), Some(uplink::rfc3339(since_us)))
            }
            uplink::Phase::Waiting { .. } => ("waiting", None, None),
        };
        Self {
            state: state.to_owned(),
            summary,
            coordinator,
            since,
            last_error: status.last_error,
            last_error_at: status.last_error_at_us.map(uplink::rfc3339),
            failures: status.failures,
            sessions: status.sessions,
            acked_seq: status.acked_seq,
            probes_dropped: status.probes_dropped,
            heard_left_out: status.heard_left_out,
            certificate_not_after: status.certificate_not_after_us.map(uplink::rfc3339),
            renewal_error: status.renewal_error,
        }
    }
}

impl From<journal::Status> for JournalPart {
    fn from(status: journal::Status) -> Self {
        Self {
            id: status.journal_id.map(|id| id.to_string()),
            first_seq: status.first_seq,
            last_seq: status.last_seq,
            acked_seq: status.acked_seq,
            pending: status.pending(),
            waiting: status.waiting as u64,
            overflowed: status.overflowed,
            dropped: status.dropped,
            damaged: status.damaged,
            torn_bytes: status.torn_bytes,
            bytes: status.bytes,
            segments: status.segments as u64,
            error: status.failure,
        }
    }
}
