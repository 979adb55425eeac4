//! What happened: findings, transitions, tokens, the audit log.

use std::collections::BTreeMap;

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::{Group, Seen, present, state_word};
use crate::look::instant;

/// `hactl get findings -o json`.
#[derive(Debug, Serialize)]
pub struct Finding {
    id: String,
    kind: String,
    severity: String,
    subject: String,
    since: Option<Timestamp>,
    status: String,
    cause: Option<String>,
    evidence: Vec<Evidence>,
    summary: String,
    cause_code: Option<String>,
    action: Option<String>,
    resolved_at: Option<Timestamp>,
    site: Option<String>,
}

/// One fact behind a finding.
#[derive(Debug, Serialize)]
pub struct Evidence {
    kind: String,
    /// `null`: the coordinator saw it itself.
    node: Option<String>,
    summary: String,
    observed_at: Option<Timestamp>,
    facts: BTreeMap<String, String>,
}

impl From<&v1::Finding> for Finding {
    fn from(finding: &v1::Finding) -> Self {
        Self {
            id: finding.id.clone(),
            kind: finding.kind.clone(),
            severity: finding.severity.clone(),
            subject: finding.subject.clone(),
            since: instant(finding.since_us),
            status: finding.status.clone(),
            cause: present(&finding.cause),
            evidence: finding.evidence.iter().map(Evidence::from).collect(),
            summary: finding.summary.clone(),
            cause_code: present(&finding.cause_code),
            action: present(&finding.action),
            resolved_at: instant(finding.resolved_at_us),
            site: present(&finding.site),
        }
    }
}

impl From<&v1::Evidence> for Evidence {
    fn from(evidence: &v1::Evidence) -> Self {
        Self {
            kind: evidence.kind.clone(),
            node: present(&evidence.node),
            summary: evidence.summary.clone(),
            observed_at: instant(evidence.observed_at_us),
            facts: evidence.facts.clone(),
        }
    }
}

/// `hactl get transitions -o json`.
#[derive(Debug, Serialize)]
pub struct Transition {
    node: String,
    instance: String,
    vrid: u32,
    from: &'static str,
    to: &'static str,
    reason: String,
    /// The node's clock.
    at: Option<Timestamp>,
    /// The coordinator's clock.
    received_at: Option<Timestamp>,
    seq: u64,
    detail: Option<String>,
    journal_id: String,
}

impl From<&v1::TransitionRecord> for Transition {
    fn from(record: &v1::TransitionRecord) -> Self {
        Self {
            node: record.node.clone(),
            instance: record.instance.clone(),
            vrid: record.vrid,
            from: state_word(record.from()),
            to: state_word(record.to()),
            reason: record.reason.clone(),
            at: instant(record.at_us),
            received_at: instant(record.received_at_us),
            seq: record.seq,
            detail: present(&record.detail),
            journal_id: record.journal_id.clone(),
        }
    }
}

/// `hactl get tokens -o json`.
#[derive(Debug, Serialize)]
pub struct Token {
    id: String,
    /// `open`, `used` or `expired`.
    state: &'static str,
    /// `null`: any node name.
    node: Option<String>,
    created_by: String,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    used_by: Option<String>,
}

impl Token {
    /// A token, by the coordinator's clock.
    pub fn new(token: &v1::Token, now_us: i64) -> Self {
        Self {
            id: token.id.clone(),
            state: token_state(token, now_us),
            node: present(&token.node),
            created_by: token.created_by.clone(),
            created_at: instant(token.created_at_us),
            expires_at: instant(token.expires_at_us),
            used_at: instant(token.used_at_us),
            used_by: present(&token.used_by),
        }
    }
}

/// Can it still be used?
pub fn token_state(token: &v1::Token, now_us: i64) -> &'static str {
    match (token.used_at_us != 0, token.expires_at_us <= now_us) {
        (true, _) => "used",
        (false, true) => "expired",
        (false, false) => "open",
    }
}

/// `hactl get audit -o json`.
#[derive(Debug, Serialize)]
pub struct Audit {
    at: Option<Timestamp>,
    actor: String,
    action: String,
    subject: Option<String>,
    outcome: String,
    detail: Option<String>,
}

impl From<&v1::AuditRecord> for Audit {
    fn from(record: &v1::AuditRecord) -> Self {
        Self {
            at: instant(record.at_us),
            actor: record.actor.clone(),
            action: record.action.clone(),
            subject: present(&record.subject),
            outcome: record.outcome.clone(),
            detail: present(&record.detail),
        }
    }
}

/// `hactl explain -o json`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    group: Option<Group>,
    sentences: Vec<String>,
    findings: Vec<Finding>,
}

impl From<&v1::ExplainGroupResponse> for Explanation {
    fn from(answer: &v1::ExplainGroupResponse) -> Self {
        Self {
            group: answer.group.as_ref().map(Group::from),
            sentences: answer.sentences.clone(),
            findings: answer.findings.iter().map(Finding::from).collect(),
        }
    }
}

/// `hactl describe group -o json`.
#[derive(Debug, Serialize)]
pub struct GroupDetail<'a> {
    #[serde(flatten)]
    group: Group,
    findings: Vec<Finding>,
    transitions: Vec<Transition>,
    #[serde(flatten)]
    seen: &'a Seen,
    /// Only when a probe was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<Probed>,
}

/// Who was asked to look again, and who did.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    /// Connected nodes of the group's site.
    pub asked: Vec<String>,
    /// Those of them that answered in time.
    pub answered: Vec<String>,
}

impl From<v1::ProbeGroupResponse> for Probed {
    fn from(answer: v1::ProbeGroupResponse) -> Self {
        Self { asked: answer.asked, answered: answer.answered }
    }
}

/// `hactl describe finding -o json`.
#[derive(Debug, Serialize)]
pub struct FindingDetail<'a> {
    #[serde(flatten)]
    finding: Finding,
    /// What is seen of its group now; its evidence is from when it was written.
    now: &'a Seen,
}

impl<'a> FindingDetail<'a> {
    /// A finding, and what is seen of its group.
    pub fn new(finding: &v1::Finding, now: &'a Seen) -> Self {
        Self { finding: Finding::from(finding), now }
    }
}

impl<'a> GroupDetail<'a> {
    /// A group, the findings about it, its last transitions, and what is seen of it.
    pub fn new(
        group: &v1::Group,
        findings: &[v1::Finding],
        transitions: &[v1::TransitionRecord],
        seen: &'a Seen,
        probe: Option<Probed>,
    ) -> Self {
        Self {
            seen,
            probe,
            group: Group::from(group),
            findings: findings.iter().map(Finding::from).collect(),
            transitions: transitions.iter().map(Transition::from).collect(),
        }
    }
}

/// `hactl node token -o json`.
#[derive(Debug, Serialize)]
pub struct NewToken {
    token: String,
    id: String,
    node: Option<String>,
    expires_at: Option<Timestamp>,
    join_command: String,
}

impl NewToken {
    /// A token and the command that uses it.
    pub fn new(answer: &v1::CreateTokenResponse, node: &str, join_command: &str) -> Self {
        Self {
            token: answer.token.clone(),
            id: answer.id.clone(),
            node: present(node),
            expires_at: instant(answer.expires_at_us),
            join_command: join_command.to_owned(),
        }
    }
}

/// `hactl node revoke -o json`.
#[derive(Debug, Serialize)]
pub struct Revoked {
    /// Its name.
    pub node: String,
    revoked: bool,
}

impl Revoked {
    /// This node is.
    pub fn new(node: &str) -> Self {
        Self { node: node.to_owned(), revoked: true }
    }
}
