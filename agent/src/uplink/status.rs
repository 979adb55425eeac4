//! How the uplink is.

use std::fmt;

use jiff::Timestamp;

/// What it is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: there is nobody to report to.
    Off {
        /// Why.
        why: String,
    },
    /// Connecting.
    Connecting {
        /// To whom.
        to: String,
    },
    /// A session is open.
    Connected {
        /// With whom.
        to: String,
        /// Since, wall clock.
        since_us: i64,
    },
    /// Before the next attempt.
    Waiting {
        /// For how long altogether.
        ms: u64,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off { why } => f.write_str(why),
            Self::Connecting { to } => write!(f, "connecting to {to}"),
            Self::Connected { to, since_us } => write!(f, "connected to {to} since {}", rfc3339(*since_us)),
            Self::Waiting { ms } => write!(f, "not connected; the next attempt comes within {ms} ms"),
        }
    }
}

/// The uplink as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// The name that the certificate proves.
    pub node: Option<String>,
    /// Why the last attempt or session failed; it stays when the next one works.
    pub last_error: Option<String>,
    /// When that was, wall clock.
    pub last_error_at_us: Option<i64>,
    /// Failed attempts and sessions since the start.
    pub failures: u64,
    /// Sessions opened since the start.
    pub sessions: u64,
    /// How far the coordinator has the journal.
    pub acked_seq: u64,
    /// Probes refused because too many came at once.
    pub probes_dropped: u64,
    /// Sources heard that the last snapshot left out, because there were too many.
    pub heard_left_out: u64,
    /// When the node's certificate ends, wall clock.
    pub certificate_not_after_us: Option<i64>,
    /// Why the certificate could not be renewed; `None` when there was no need or it worked.
    pub renewal_error: Option<String>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            phase: Phase::Off { why: "starting".to_owned() },
            node: None,
            last_error: None,
            last_error_at_us: None,
            failures: 0,
            sessions: 0,
            acked_seq: 0,
            probes_dropped: 0,
            heard_left_out: 0,
            certificate_not_after_us: None,
            renewal_error: None,
        }
    }
}

/// A wall-clock instant as people and machines write it, UTC.
pub fn rfc3339(at_us: i64) -> String {
    Timestamp::from_microsecond(at_us).map_or_else(|_| format!("{at_us} us"), |at| format!("{at:.0}"))
}
