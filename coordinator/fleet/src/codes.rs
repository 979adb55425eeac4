//! The stable words for kinds, severities, states and causes: what the store, the wire and receivers write and read.
//!
//! Each word is written once, in a table, so that writing and reading cannot disagree.

use core::{fmt, str::FromStr};

use alloc::{borrow::ToOwned, string::String};

use crate::{
    effect::{CauseCode, FindingId, FindingKind, FindingStatus, Severity},
    model::VrrpState,
    view::GroupState,
};

/// A word that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {what}")]
pub struct UnknownCode {
    /// What was expected: `finding kind`, `severity`, ….
    pub what: &'static str,
    /// What was there.
    pub word: String,
}

macro_rules! codes {
    ($type:ident, $what:literal, $($variant:ident => $word:literal),+ $(,)?) => {
        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownCode;

            fn from_str(word: &str) -> Result<Self, UnknownCode> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownCode { what: $what, word: word.to_owned() }),
                }
            }
        }
    };
}

codes!(FindingKind, "finding kind",
    SplitBrainConfirmed => "split_brain.confirmed",
    SplitBrainSuspected => "split_brain.suspected",
    SplitBrainTransient => "split_brain.transient",
    NoMaster => "no_master",
    ConfigMismatch => "config_mismatch",
    VridConflict => "vrid_conflict",
    OrphanVip => "orphan_vip",
    AgentLost => "agent_lost",
    ConfigRefused => "config_refused",
    OrdersUnreadable => "orders_unreadable",
    Fence => "fence",
    FenceRefused => "fence_refused",
    FencePathBroken => "fence_path_broken",
);

codes!(Severity, "severity",
    Info => "info",
    Warning => "warning",
    Critical => "critical",
);

codes!(FindingStatus, "finding status",
    Pending => "pending",
    Firing => "firing",
    Resolved => "resolved",
);

codes!(CauseCode, "cause code",
    Unknown => "unknown",
    VrrpFiltered => "vrrp_filtered",
    LinkCut => "link_cut",
    Carrier => "carrier",
    OneWay => "one_way",
    Rejected => "rejected",
    VridMismatch => "vrid_mismatch",
    AuthMismatch => "auth_mismatch",
    VersionMismatch => "version_mismatch",
    IntervalMismatch => "interval_mismatch",
    ChecksumMismatch => "checksum_mismatch",
    TtlMismatch => "ttl_mismatch",
    UnicastMismatch => "unicast_mismatch",
    AddressMismatch => "address_mismatch",
    Malformed => "malformed",
    ForeignHost => "foreign_host",
    AgentStalled => "agent_stalled",
    ConfigDiffers => "config_differs",
    ConfigInvalid => "config_invalid",
    FileDamaged => "file_damaged",
    NodeUnreachable => "node_unreachable",
    StoppedOnPurpose => "stopped_on_purpose",
);

codes!(VrrpState, "VRRP state",
    Init => "init",
    Backup => "backup",
    Master => "master",
    Fault => "fault",
);

codes!(GroupState, "group state",
    Ok => "ok",
    NoMaster => "no_master",
    SplitBrain => "split_brain",
    Unknown => "unknown",
    Changing => "changing",
);

impl VrrpState {
    /// As people and RFC 9568 write it: `MASTER`.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, string::ToString};
    use core::fmt::Debug;

    use super::*;

    fn round_trip<T>(all: &[T])
    where
        T: FromStr<Err = UnknownCode> + fmt::Display + PartialEq + Debug,
    {
        let words: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), all.len(), "two values share a word: {words:?}");
        for value in all {
            assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(value));
        }
        let error = "nonsense".parse::<T>().unwrap_err();
        assert_eq!(error.word, "nonsense");
    }

    #[test]
    fn every_word_reads_back_as_itself() {
        round_trip(FindingKind::ALL);
        round_trip(Severity::ALL);
        round_trip(FindingStatus::ALL);
        round_trip(CauseCode::ALL);
        round_trip(VrrpState::ALL);
        round_trip(GroupState::ALL);
        assert_eq!(FindingKind::SplitBrainConfirmed.as_str(), "split_brain.confirmed");
    }
}
