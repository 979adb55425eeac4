//! Fencing.

use std::collections::BTreeMap;

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::{Seen, present, records::Evidence};
use crate::look::instant;

/// A level as people write it; nothing when there is none.
pub fn level_word(level: v1::FenceLevel) -> Option<&'static str> {
    match level {
        v1::FenceLevel::Unspecified => None,
        v1::FenceLevel::Demote => Some("demote"),
        v1::FenceLevel::Network => Some("network"),
        v1::FenceLevel::Power => Some("power"),
    }
}

/// `hactl get fences -o json`.
#[derive(Debug, Serialize)]
pub struct Fence {
    id: String,
    target: String,
    state: String,
    since: Option<Timestamp>,
    reason: String,
    detail: Option<String>,
    site: String,
    groups: Vec<String>,
    instances: Vec<String>,
    /// Who serves instead, by group.
    survivors: BTreeMap<String, String>,
    /// `detection`, `proposal`, `order` or `vouched`.
    origin: String,
    /// `null`: hafleet.
    by: Option<String>,
    explanation: Option<String>,
    proposed_at: Option<Timestamp>,
    approved_by: Option<String>,
    approved_up_to: Option<&'static str>,
    taken: Option<&'static str>,
    holds_order: bool,
    aftercare: String,
    evidence: Vec<Evidence>,
}

impl From<&v1::Fence> for Fence {
    fn from(fence: &v1::Fence) -> Self {
        Self {
            id: fence.id.clone(),
            target: fence.target.clone(),
            state: fence.state.clone(),
            since: instant(fence.since_us),
            reason: fence.reason.clone(),
            detail: present(&fence.detail),
            site: fence.site.clone(),
            groups: fence.groups.clone(),
            instances: fence.instances.clone(),
            survivors: fence.survivors.clone(),
            origin: fence.origin.clone(),
            by: present(&fence.by),
            explanation: present(&fence.explanation),
            proposed_at: instant(fence.proposed_at_us),
            approved_by: present(&fence.approved_by),
            approved_up_to: level_word(fence.approved_up_to()),
            taken: level_word(fence.taken()),
            holds_order: fence.holds_order,
            aftercare: fence.aftercare.clone(),
            evidence: fence.evidence.iter().map(Evidence::from).collect(),
        }
    }
}

/// `hactl describe fence -o json`.
#[derive(Debug, Serialize)]
pub struct FenceDetail<'a> {
    #[serde(flatten)]
    fence: Fence,
    /// What is seen of its groups now; its evidence is from when it was decided.
    now: &'a Seen,
}

impl<'a> FenceDetail<'a> {
    /// A fence, and what is seen of its groups.
    pub fn new(fence: &v1::Fence, now: &'a Seen) -> Self {
        Self { fence: Fence::from(fence), now }
    }
}

/// `hactl fence test -o json`.
#[derive(Debug, Serialize)]
pub struct FenceTested {
    level: Option<&'static str>,
    /// `on`, `off` or `unknown`.
    reading: String,
    command: Option<String>,
    exit: String,
    output: String,
    took_ms: u64,
}

impl From<&v1::FenceTested> for FenceTested {
    fn from(tested: &v1::FenceTested) -> Self {
        Self {
            level: level_word(tested.level()),
            reading: tested.reading.clone(),
            command: present(&tested.command),
            exit: tested.exit.clone(),
            output: tested.output.clone(),
            took_ms: tested.took_us / 1000,
        }
    }
}

/// `hactl fence pause -o json`, `hactl fence resume -o json`.
#[derive(Debug, Serialize)]
pub struct Fencing {
    /// All fencing is.
    pub paused: bool,
}
