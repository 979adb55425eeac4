//! A finding outside the fleet core: as a row, as JSON in the outbox, on the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use hafleet_fleet::{Evidence, Finding, FindingId, NodeName, Site, UnknownCode};
use hafleet_proto::v1;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{instant, micros},
    store::FindingRow,
};

/// One finding with plain fields. Instants are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `<kind>@<subject>#<n>`.
    pub id: String,
    /// Code of the kind.
    pub kind: String,
    /// `info`, `warning`, `critical`.
    pub severity: String,
    /// What it is about.
    pub subject: String,
    /// The layer-2 world.
    pub site: String,
    /// `pending`, `firing`, `resolved`.
    pub status: String,
    /// When the condition began.
    pub since_us: i64,
    /// When it ended.
    pub resolved_at_us: Option<i64>,
    /// One sentence.
    pub summary: String,
    /// Code of the probable cause; empty when unknown.
    pub cause_code: String,
    /// The probable cause in words.
    pub cause: String,
    /// The command that acts.
    pub action: String,
    /// The facts behind it.
    pub evidence: Vec<EvidenceRecord>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// A stable code.
    pub kind: String,
    /// Who reported it; empty for the coordinator.
    pub node: String,
    /// In words.
    pub summary: String,
    /// When it was observed.
    pub observed_at_us: i64,
    /// The operands.
    pub facts: BTreeMap<String, String>,
}

/// A stored finding that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableFinding {
    /// The evidence is not our JSON.
    #[error("the evidence of finding {id} is not readable")]
    Evidence {
        /// Which finding.
        id: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A code that this program does not know.
    #[error("finding {id} cannot be read; was it written by a newer ha-coordinator?")]
    Code {
        /// Which finding.
        id: String,
        /// Which code.
        #[source]
        source: UnknownCode,
    },
}

impl From<&Finding> for Record {
    fn from(finding: &Finding) -> Self {
        Self {
            id: finding.id.0.clone(),
            kind: finding.kind.as_str().into(),
            severity: finding.severity.as_str().into(),
            subject: finding.subject.clone(),
            site: finding.site.0.clone(),
            status: finding.status.as_str().into(),
            since_us: micros(finding.since),
            resolved_at_us: finding.resolved_at.map(micros),
            summary: finding.summary.clone(),
            cause_code: finding.cause_code.as_str().into(),
            cause: finding.cause.clone(),
            action: finding.action.clone(),
            evidence: finding.evidence.iter().map(EvidenceRecord::from).collect(),
        }
    }
}

impl From<&Evidence> for EvidenceRecord {
    fn from(evidence: &Evidence) -> Self {
        Self {
            kind: evidence.kind.into(),
            node: evidence.node.as_ref().map(|node| node.0.clone()).unwrap_or_default(),
            summary: evidence.summary.clone(),
            observed_at_us: micros(evidence.at),
            facts: evidence.facts.iter().map(|(key, value)| ((*key).into(), value.clone())).collect(),
        }
    }
}

/// The row of a finding.
pub fn row(finding: &Finding, updated_us: i64) -> Result<FindingRow, serde_json::Error> {
    let record = Record::from(finding);
    Ok(FindingRow {
        evidence: serde_json::to_string(&record.evidence)?,
        id: record.id,
        kind: record.kind,
        severity: finding.severity,
        subject: record.subject,
        site: record.site,
        status: finding.status,
        since_us: record.since_us,
        resolved_at_us: record.resolved_at_us,
        summary: record.summary,
        cause_code: record.cause_code,
        cause: record.cause,
        action: record.action,
        updated_us,
    })
}

impl TryFrom<FindingRow> for Record {
    type Error = UnreadableFinding;

    fn try_from(row: FindingRow) -> Result<Self, Self::Error> {
        let evidence = serde_json::from_str(&row.evidence)
            .map_err(|source| UnreadableFinding::Evidence { id: row.id.clone(), source })?;
        Ok(Self {
            id: row.id,
            kind: row.kind,
            severity: row.severity.as_str().into(),
            subject: row.subject,
            site: row.site,
            status: row.status.as_str().into(),
            since_us: row.since_us,
            resolved_at_us: row.resolved_at_us,
            summary: row.summary,
            cause_code: row.cause_code,
            cause: row.cause,
            action: row.action,
            evidence,
        })
    }
}

/// The finding of a row, for the fleet core.
pub fn restore(row: FindingRow) -> Result<Finding, UnreadableFinding> {
    let (severity, status) = (row.severity, row.status);
    let record = Record::try_from(row)?;
    let unknown = |source| UnreadableFinding::Code { id: record.id.clone(), source };
    Ok(Finding {
        kind: record.kind.parse().map_err(unknown)?,
        cause_code: record.cause_code.parse().map_err(unknown)?,
        severity,
        status,
        since: instant(record.since_us),
        resolved_at: record.resolved_at_us.map(instant),
        evidence: record.evidence.into_iter().map(restore_evidence).collect(),
        id: FindingId(record.id),
        subject: record.subject,
        site: Site(record.site),
        summary: record.summary,
        cause: record.cause,
        action: record.action,
    })
}

/// The fact of a record, for the fleet core.
pub(crate) fn restore_evidence(evidence: EvidenceRecord) -> Evidence {
    Evidence {
        kind: code(&evidence.kind),
        node: (!evidence.node.is_empty()).then_some(NodeName(evidence.node)),
        at: instant(evidence.observed_at_us),
        summary: evidence.summary,
        facts: evidence.facts.into_iter().map(|(key, value)| (code(&key), value)).collect(),
    }
}

/// Codes of evidence are constants in the core. Those read back from the database become constants too, once each;
/// the bound is far above what any release of this program has written.
fn code(text: &str) -> &'static str {
    const CODES_MAX: usize = 1024;
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = codes.get(text) {
        return known;
    }
    if codes.len() == CODES_MAX {
        return "unknown_code";
    }
    let constant: &'static str = Box::leak(text.to_owned().into_boxed_str());
    codes.insert(constant);
    constant
}

impl From<Record> for v1::Finding {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            kind: record.kind,
            severity: record.severity,
            subject: record.subject,
            site: record.site,
            status: record.status,
            since_us: record.since_us,
            resolved_at_us: record.resolved_at_us.unwrap_or_default(),
            cause: record.cause,
            cause_code: record.cause_code,
            summary: record.summary,
            action: record.action,
            evidence: record.evidence.into_iter().map(v1::Evidence::from).collect(),
        }
    }
}

impl From<EvidenceRecord> for v1::Evidence {
    fn from(evidence: EvidenceRecord) -> Self {
        Self {
            kind: evidence.kind,
            node: evidence.node,
            summary: evidence.summary,
            observed_at_us: evidence.observed_at_us,
            facts: evidence.facts,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hafleet_fleet::{CauseCode, FindingKind, FindingStatus, Severity};

    use super::*;

    #[test]
    fn a_finding_is_read_back_from_its_row_whole() {
        let finding = Finding {
            id: FindingId("split_brain.confirmed@dc1/10.0.0.1#1".into()),
            kind: FindingKind::SplitBrainConfirmed,
            severity: Severity::Critical,
            subject: "dc1/10.0.0.1".into(),
            site: Site("dc1".into()),
            status: FindingStatus::Firing,
            since: instant(1_700_000_000_000_000),
            resolved_at: None,
            summary: "s".into(),
            cause_code: CauseCode::VrrpFiltered,
            cause: "c".into(),
            action: "a".into(),
            evidence: vec![Evidence {
                kind: "asserts_master",
                node: Some(NodeName("lb01".into())),
                at: instant(1_700_000_000_000_001),
                summary: "lb01 says MASTER".into(),
                facts: BTreeMap::from([("priority", "150".to_owned())]),
            }],
        };
        assert_eq!(restore(row(&finding, 5).unwrap()).unwrap(), finding);
    }
}
