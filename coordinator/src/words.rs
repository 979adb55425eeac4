//! The stable codes of the fleet core's enumerations, as they stand in the database, on the wire and in messages.

use hafleet_fleet::{CauseCode, FindingKind, FindingStatus, Severity, VrrpState};
use hafleet_proto::v1;

/// Every kind of finding.
pub const KINDS: [FindingKind; 7] = [
    FindingKind::SplitBrainConfirmed,
    FindingKind::SplitBrainSuspected,
    FindingKind::SplitBrainTransient,
    FindingKind::NoMaster,
    FindingKind::ConfigMismatch,
    FindingKind::OrphanVip,
    FindingKind::AgentLost,
];

const CAUSES: [CauseCode; 11] = [
    CauseCode::Unknown,
    CauseCode::VrrpFiltered,
    CauseCode::LinkCut,
    CauseCode::Carrier,
    CauseCode::OneWay,
    CauseCode::Rejected,
    CauseCode::VridMismatch,
    CauseCode::ForeignHost,
    CauseCode::AgentStalled,
    CauseCode::ConfigDiffers,
    CauseCode::NodeUnreachable,
];

/// `split_brain.confirmed`, ….
pub fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::SplitBrainConfirmed => "split_brain.confirmed",
        FindingKind::SplitBrainSuspected => "split_brain.suspected",
        FindingKind::SplitBrainTransient => "split_brain.transient",
        FindingKind::NoMaster => "no_master",
        FindingKind::ConfigMismatch => "config_mismatch",
        FindingKind::OrphanVip => "orphan_vip",
        FindingKind::AgentLost => "agent_lost",
    }
}

/// The kind with this code.
pub fn kind_of(code: &str) -> Option<FindingKind> {
    KINDS.into_iter().find(|candidate| kind(*candidate) == code)
}

/// `vrrp_filtered`, …; empty for an unknown cause.
pub fn cause(cause: CauseCode) -> &'static str {
    match cause {
        CauseCode::Unknown => "",
        CauseCode::VrrpFiltered => "vrrp_filtered",
        CauseCode::LinkCut => "link_cut",
        CauseCode::Carrier => "carrier",
        CauseCode::OneWay => "one_way",
        CauseCode::Rejected => "rejected",
        CauseCode::VridMismatch => "vrid_mismatch",
        CauseCode::ForeignHost => "foreign_host",
        CauseCode::AgentStalled => "agent_stalled",
        CauseCode::ConfigDiffers => "config_differs",
        CauseCode::NodeUnreachable => "node_unreachable",
    }
}

/// The cause with this code.
pub fn cause_of(code: &str) -> Option<CauseCode> {
    CAUSES.into_iter().find(|candidate| cause(*candidate) == code)
}

/// `info`, `warning`, `critical`.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// `pending`, `firing`, `resolved`.
pub fn status(status: FindingStatus) -> &'static str {
    match status {
        FindingStatus::Pending => "pending",
        FindingStatus::Firing => "firing",
        FindingStatus::Resolved => "resolved",
    }
}

/// The wire's word for a state.
pub fn state(state: VrrpState) -> v1::VrrpState {
    match state {
        VrrpState::Init => v1::VrrpState::Init,
        VrrpState::Backup => v1::VrrpState::Backup,
        VrrpState::Master => v1::VrrpState::Master,
        VrrpState::Fault => v1::VrrpState::Fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_back() {
        for one in KINDS {
            assert_eq!(kind_of(kind(one)), Some(one));
        }
        for one in CAUSES {
            assert_eq!(cause_of(cause(one)), Some(one));
        }
        assert_eq!(kind_of("nothing"), None);
    }
}
