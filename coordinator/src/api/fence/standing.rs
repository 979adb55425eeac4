//! Whether fencing would act, in one answer: modes, pause, latch, rates, grace, and whether each device is known to work.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hafleet_fleet::{
    GroupKey, Instant, NodeName,
    fence::{FencePolicy, FenceView, Level, Rung, Standing},
};
use hafleet_proto::v1;

use super::wire;
use crate::{
    api::status::CallError,
    clock::{duration_us, micros},
    effects::Fences,
    shared::Shared,
    store::{AuditFilter, AuditOutcome},
};

/// What stands over all operations now.
pub(super) async fn state(shared: &Shared) -> Result<v1::FencingState, CallError> {
    let fences = shared.fleet.fences().await?;
    let paused_since_us = match &fences.view.standing.paused {
        Some(by) => paused_since_us(shared, by).await?,
        None => 0,
    };
    Ok(v1::FencingState { paused_since_us, ..told(fences, shared.clock.now()) })
}

/// The standing says who paused; when, the audit log knows.
async fn paused_since_us(shared: &Shared, by: &str) -> Result<i64, CallError> {
    let filter = AuditFilter {
        name: Some(by.to_owned()),
        action: Some("fence.pause".to_owned()),
        outcome: Some(AuditOutcome::Done),
        limit: 1,
        ..AuditFilter::default()
    };
    let page = shared.store.audit(&filter).await?;
    Ok(page.rows.first().map(|row| row.at_us).unwrap_or_default())
}

fn told(fences: Fences, now: Instant) -> v1::FencingState {
    let Fences { view, inert } = fences;
    let policy = view.policy.clone().unwrap_or_default();
    let FenceView { mode, epoch, standing, leads_since, refused, paths, policy: _, operations: _ } = view;
    let refused = refused.into_iter().map(|(group, refusal)| v1::FenceRefused {
        group: group.to_string(),
        reason: refusal.code.as_str().into(),
        detail: refusal.words,
    });
    let grace = leads_since.map(|since| since + policy.windows.grace).filter(|over| *over > now);
    let group_modes = policy.group_modes.iter();
    let window = policy.windows.rate;
    v1::FencingState {
        mode: mode.to_string(),
        epoch: epoch.unwrap_or_default(),
        inert: inert.map(|why| why.to_string()).unwrap_or_default(),
        latched: standing.latched,
        latched_groups: standing.latched_groups.iter().map(ToString::to_string).collect(),
        refused: refused.collect(),
        paths: devices(&policy, paths),
        paused_since_us: 0,
        group_modes: group_modes
            .map(|(group, mode)| v1::FenceGroupMode { group: group.to_string(), mode: mode.to_string() })
            .collect(),
        fleet_rate: Some(rate(standing.counted(window, now).count(), policy.limits.fleet_rate, window)),
        group_rates: group_rates(&standing, &policy, now),
        grace_until_us: grace.map(micros).unwrap_or_default(),
        paused_by: standing.paused.unwrap_or_default(),
    }
}

/// Every device that is configured, asked already or not.
fn devices(policy: &FencePolicy, paths: Vec<(NodeName, Rung, Option<Instant>)>) -> Vec<v1::FencePath> {
    let works: BTreeMap<(NodeName, Rung), Option<Instant>> =
        paths.into_iter().map(|(node, rung, works)| ((node, rung), works)).collect();
    let all = policy
        .devices
        .iter()
        .flat_map(|(node, devices)| devices.iter().map(move |(rung, device)| (node.clone(), *rung, device)));
    all.map(|(node, rung, device)| {
        let works = works.get(&(node.clone(), rung)).copied().flatten();
        v1::FencePath {
            node: node.0,
            level: wire(Some(Level::Device(rung))).into(),
            works_since_us: works.map(micros).unwrap_or_default(),
            device: device.0.clone(),
            counts_until_us: works
                .map(|at| micros(at + policy.windows.verified_lately()))
                .unwrap_or_default(),
        }
    })
    .collect()
}

/// Of the groups that were acted for, or that are latched.
fn group_rates(standing: &Standing, policy: &FencePolicy, now: Instant) -> Vec<v1::FenceGroupRate> {
    let window = policy.windows.rate;
    let acted = standing.counted(window, now).flat_map(|acted| &acted.groups);
    let groups: BTreeSet<&GroupKey> = acted.chain(&standing.latched_groups).collect();
    let of_group = |group: &GroupKey| {
        let acted = standing.counted(window, now).filter(|acted| acted.groups.contains(group)).count();
        let rate = Some(rate(acted, policy.limits.group_rate, window));
        v1::FenceGroupRate { group: group.to_string(), rate }
    };
    groups.into_iter().map(of_group).collect()
}

fn rate(acted: usize, limit: usize, window: Duration) -> v1::FenceRate {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    v1::FenceRate { acted: count(acted), limit: count(limit), window_us: duration_us(window) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hafleet_fleet::fence::{Acted, Device, Mode, OperationId};

    use super::*;
    use crate::clock::instant;

    fn key(text: &str) -> GroupKey {
        crate::fencing::row::group_key(text).unwrap()
    }

    #[test]
    fn what_decides_is_told_with_its_numbers() {
        let (web, db) = (key("dc1/10.0.0.1"), key("dc1/10.0.0.2"));
        let lb02 = NodeName("lb02".into());
        let second = Duration::from_secs(1);
        let start = instant(1_795_000_000_000_000);
        let now = start + second * 4000;
        let acted = |number: u64, ago: u32| Acted {
            operation: OperationId(number),
            target: lb02.clone(),
            groups: [web.clone()].into(),
            level: Level::Demote,
            at: start + second * (4000 - ago),
            last_at: now,
            worked: true,
        };
        let devices = BTreeMap::from([
            (Rung::Network, Device("sw1/7".into())),
            (Rung::Power, Device("lb02/power".into())),
        ]);
        let policy = FencePolicy {
            mode: Mode::Approve,
            group_modes: [(web.clone(), Mode::Auto)].into(),
            devices: [(lb02.clone(), devices)].into(),
            ..FencePolicy::default()
        };
        let standing = Standing {
            paused: Some("user/ann".into()),
            forgiven: OperationId(1),
            latched_groups: [db.clone()].into(),
            // The first is forgiven, the second is longer ago than the window.
            acted: vec![acted(1, 10), acted(2, 3601), acted(3, 20)],
            ..Standing::default()
        };
        let view = FenceView {
            mode: Mode::Approve,
            policy: Some(policy),
            epoch: Some(3),
            leads_since: Some(now),
            standing,
            paths: vec![(lb02, Rung::Power, Some(start))],
            ..FenceView::default()
        };
        let told = told(Fences { view, inert: None }, now);
        assert_eq!((told.mode.as_str(), told.paused_by.as_str()), ("approve", "user/ann"));
        assert_eq!(told.group_modes, [v1::FenceGroupMode { group: web.to_string(), mode: "auto".into() }]);
        let fleet = told.fleet_rate.unwrap();
        assert_eq!((fleet.acted, fleet.limit, fleet.window_us), (1, 5, 3_600_000_000));
        let groups: Vec<_> =
            told.group_rates.iter().map(|it| (it.group.clone(), it.rate.unwrap().acted)).collect();
        assert_eq!(groups, [(web.to_string(), 1), (db.to_string(), 0)]);
        assert_eq!(told.grace_until_us, micros(now + second * 300));
        let paths: Vec<_> =
            told.paths.iter().map(|it| (it.device.as_str(), it.works_since_us, it.counts_until_us)).collect();
        // The one that was not asked yet is told, too.
        assert_eq!(paths, [("sw1/7", 0, 0), ("lb02/power", micros(start), micros(start + second * 1200))]);
    }
}
