//! Whether fencing would act.

use std::collections::BTreeSet;

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::{level_word, present};
use crate::look::instant;

/// What becomes of the next victim of a confirmed split brain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceWill {
    /// Nothing: this coordinator fences nobody.
    Inert,
    /// Nothing: a person paused all fencing.
    Paused,
    /// Nothing.
    Disabled,
    /// Nothing; what would be done is written down.
    DryRun,
    /// Nothing yet: the coordinator has just begun to lead.
    Grace,
    /// A person is asked.
    Approve,
    /// It is fenced.
    Auto,
}

impl FenceWill {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inert => "inert",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::DryRun => "dry_run",
            Self::Grace => "grace",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }

    fn of(state: &v1::FencingState, mode: &str, latched: bool, now_us: i64) -> Self {
        if state.epoch == 0 {
            return Self::Inert;
        }
        match mode {
            _ if !state.paused_by.is_empty() => Self::Paused,
            // A mode that this hactl does not know is not taken for one that acts.
            "dry_run" => Self::DryRun,
            "approve" | "auto" if state.grace_until_us > now_us => Self::Grace,
            "auto" if !latched => Self::Auto,
            "approve" | "auto" => Self::Approve,
            _ => Self::Disabled,
        }
    }
}

/// `hactl fence status -o json`.
#[derive(Debug, Serialize)]
pub struct FencingStatus {
    /// What becomes of the next victim, where a group does not differ: `auto`, `approve`, or why nothing.
    pub will: FenceWill,
    mode: String,
    paused_by: Option<String>,
    paused_since: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    latched: bool,
    rate: Option<Rate>,
    /// Groups with a mode of their own, that are latched, or that were acted for lately.
    pub groups: Vec<FencingGroup>,
    devices: Vec<Device>,
    /// Confirmed split brains that are left alone.
    refused: Vec<Refused>,
    /// The ids of fences that are open.
    open: Vec<String>,
    epoch: Option<u64>,
    inert: Option<String>,
}

/// One group.
#[derive(Debug, Serialize)]
pub struct FencingGroup {
    /// `dc1/192.168.178.3`
    pub group: String,
    /// Its own mode, or the fleet's.
    pub mode: String,
    /// What becomes of its next victim.
    pub will: FenceWill,
    /// Its rate was reached.
    pub latched: bool,
    rate: Option<Rate>,
}

#[derive(Debug, Serialize)]
struct Rate {
    acted: u32,
    limit: u32,
    window_s: u64,
}

#[derive(Debug, Serialize)]
struct Device {
    node: String,
    level: Option<&'static str>,
    device: String,
    /// When it last answered well; `null`: it does not, or was not asked yet.
    verified: Option<Timestamp>,
    age_ms: Option<u64>,
    /// A fence may go by it now.
    counts: bool,
    counts_until: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Refused {
    group: String,
    reason: String,
    detail: String,
}

impl FencingStatus {
    /// By the coordinator's clock.
    pub fn new(state: &v1::FencingState, open: &[v1::Fence], now_us: i64) -> Self {
        let refused = state.refused.iter().map(|refused| Refused {
            group: refused.group.clone(),
            reason: refused.reason.clone(),
            detail: refused.detail.clone(),
        });
        Self {
            will: FenceWill::of(state, &state.mode, state.latched, now_us),
            mode: state.mode.clone(),
            paused_by: present(&state.paused_by),
            paused_since: instant(state.paused_since_us),
            grace_until: instant(state.grace_until_us),
            latched: state.latched,
            rate: state.fleet_rate.as_ref().map(Rate::from),
            groups: groups(state, now_us),
            devices: state.paths.iter().map(|path| Device::new(path, now_us)).collect(),
            refused: refused.collect(),
            open: open.iter().map(|fence| fence.id.clone()).collect(),
            epoch: (state.epoch > 0).then_some(state.epoch),
            inert: present(&state.inert),
        }
    }
}

fn groups(state: &v1::FencingState, now_us: i64) -> Vec<FencingGroup> {
    let own = state.group_modes.iter().map(|mode| mode.group.as_str());
    let rated = state.group_rates.iter().map(|rate| rate.group.as_str());
    let names: BTreeSet<&str> =
        own.chain(rated).chain(state.latched_groups.iter().map(String::as_str)).collect();
    let group = |name: &str| {
        let own = state.group_modes.iter().find(|mode| mode.group == name);
        // Disabled for the fleet is disabled for every group.
        let mode = own.filter(|_| state.mode != "disabled").map_or(&state.mode, |own| &own.mode);
        let latched = state.latched || state.latched_groups.iter().any(|group| group == name);
        let rate = state.group_rates.iter().find(|rate| rate.group == name);
        FencingGroup {
            group: name.to_owned(),
            mode: mode.clone(),
            will: FenceWill::of(state, mode, latched, now_us),
            latched,
            rate: rate.and_then(|rate| rate.rate.as_ref()).map(Rate::from),
        }
    };
    names.into_iter().map(group).collect()
}

impl From<&v1::FenceRate> for Rate {
    fn from(rate: &v1::FenceRate) -> Self {
        Self { acted: rate.acted, limit: rate.limit, window_s: rate.window_us / 1_000_000 }
    }
}

impl Device {
    fn new(path: &v1::FencePath, now_us: i64) -> Self {
        let works = path.works_since_us > 0;
        let age_us = u64::try_from(now_us.saturating_sub(path.works_since_us)).unwrap_or(0);
        Self {
            node: path.node.clone(),
            level: level_word(path.level()),
            device: path.device.clone(),
            verified: instant(path.works_since_us).filter(|_| works),
            age_ms: works.then_some(age_us / 1000),
            counts: works && path.counts_until_us > now_us,
            counts_until: instant(path.counts_until_us).filter(|_| works),
        }
    }
}
