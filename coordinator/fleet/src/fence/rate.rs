//! How often has been acted (rules 8, 9, 12, 14). A time that is ahead of the clock counts as now: a clock that was set back
//! makes fencing more careful, never less.

use alloc::collections::BTreeSet;
use core::time::Duration;

use crate::{
    bounds,
    fence::{
        operation::{Acted, Operation, OperationId, Standing},
        policy::{FencePolicy, Level},
    },
    model::{GroupKey, NodeName},
    time::Instant,
};

/// Which rate was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Fleet,
    Group(GroupKey),
}

impl Standing {
    /// The operation takes a step that takes its node out of these groups: it counts, once for the rates, each time for the attempts.
    pub(crate) fn acts(
        &mut self,
        operation: &Operation,
        groups: BTreeSet<GroupKey>,
        policy: &FencePolicy,
        is_attempt: bool,
        now: Instant,
    ) {
        let attempts = self.attempts.entry(operation.target.clone()).or_default();
        *attempts = attempts.saturating_add(u32::from(is_attempt));
        let level = operation.taken.unwrap_or(Level::Demote);
        let longest = policy.windows.rate.max(policy.windows.cool_down).max(policy.windows.recent);
        self.acted.retain(|acted| now.since(acted.last_at) < longest || acted.operation == operation.id);
        match self.acted.iter_mut().find(|acted| acted.operation == operation.id) {
            Some(acted) => {
                acted.groups.extend(groups);
                acted.level = acted.level.max(level);
                acted.last_at = now;
            }
            None => {
                if self.acted.len() >= bounds::FENCE_ACTED {
                    self.acted.remove(0);
                }
                self.acted.push(Acted {
                    operation: operation.id,
                    target: operation.target.clone(),
                    groups,
                    level,
                    at: now,
                    last_at: now,
                    worked: false,
                });
            }
        }
    }

    /// The operation has come to an end, well or not.
    pub(crate) fn ended(&mut self, operation: OperationId, worked: bool, now: Instant) {
        if let Some(acted) = self.acted.iter_mut().find(|acted| acted.operation == operation) {
            acted.last_at = now;
            acted.worked |= worked;
        }
    }

    /// Detection leaves this node alone for so much longer.
    pub(crate) fn cools_for(
        &self,
        node: &NodeName,
        but: Option<OperationId>,
        cool_down: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let others = self.acted.iter().filter(|acted| acted.target == *node && Some(acted.operation) != but);
        let passed = others.map(|acted| now.since(acted.last_at)).min()?;
        cool_down.checked_sub(passed).filter(|left| !left.is_zero())
    }

    /// The last success against this node within the window, if it went at least as far.
    pub(crate) fn recent_success(
        &self,
        node: &NodeName,
        level: Level,
        window: Duration,
        now: Instant,
    ) -> Option<OperationId> {
        let worked = self.acted.iter().rev().find(|acted| acted.target == *node && acted.worked)?;
        (worked.level >= level && now.since(worked.last_at) < window).then_some(worked.operation)
    }

    /// The operations that count for the rates.
    pub fn counted(&self, window: Duration, now: Instant) -> impl Iterator<Item = &Acted> {
        let counts = |acted: &&Acted| acted.operation > self.forgiven;
        self.acted.iter().filter(counts).filter(move |acted| now.since(acted.at) < window)
    }

    /// Another operation would be one too many.
    pub(crate) fn rate_reached(
        &self,
        groups: &BTreeSet<GroupKey>,
        but: Option<OperationId>,
        policy: &FencePolicy,
        now: Instant,
    ) -> Option<Reached> {
        let recent = || self.counted(policy.windows.rate, now).filter(|acted| Some(acted.operation) != but);
        if recent().count() >= policy.limits.fleet_rate {
            return Some(Reached::Fleet);
        }
        let full = |group: &&GroupKey| {
            recent().filter(|acted| acted.groups.contains(*group)).count() >= policy.limits.group_rate
        };
        groups.iter().find(full).cloned().map(Reached::Group)
    }

    /// `auto` means `approve` for this group.
    pub(crate) fn is_latched(&self, group: &GroupKey) -> bool {
        self.latched || self.latched_groups.contains(group)
    }
}
