//! A kernel has an address whose instance is not MASTER.

use alloc::{format, string::ToString, vec::Vec};
use core::{net::IpAddr, time::Duration};

use crate::{
    effect::{CauseCode, FindingKind, Severity},
    ledger::{Judgement, Ledger, Report},
    model::VrrpState,
    scene::{Member, Scene, Story},
    time::Instant,
    words::list,
};

use super::fact;

/// Stepping down takes a moment, and so does the report of it.
const WINDOW: Duration = Duration::from_secs(2);

/// Fires when a fresh member's kernel has an address of the group for longer than max(2 s, one interval) although no
/// instance of that node is MASTER of it; critical when somebody else has it too.
pub(crate) fn judge(scene: &Scene<'_>, story: &mut Story, ledger: &mut Ledger) -> Option<Instant> {
    let orphans: Vec<&Member<'_>> = scene.members.iter().filter(|member| is_orphan(scene, member)).collect();
    // What a stale member had it may still have.
    let silent: Vec<&Member<'_>> = scene.members.iter().filter(|member| was_orphan(scene, member)).collect();
    story.orphans.retain(|key, _| orphans.iter().chain(&silent).any(|member| member.key == key));
    for orphan in &orphans {
        story.orphans.entry(orphan.key.clone()).or_insert(scene.now);
    }
    let since = orphans.iter().filter_map(|orphan| story.orphans.get(orphan.key)).min().copied();
    let unheard = !silent.is_empty();
    let judgement = match since {
        Some(since) => {
            let window = WINDOW.max(orphans.iter().map(|orphan| orphan.interval()).max().unwrap_or_default());
            let severity =
                if held_elsewhere(scene, &orphans) { Severity::Critical } else { Severity::Warning };
            Judgement::Present { since, ready: Some(since + window), severity }
        }
        None if unheard => Judgement::Unknown,
        None => Judgement::Absent,
    };
    let report = || (scene.key.site.clone(), report(scene, &orphans));
    ledger.judge(scene.subject, FindingKind::OrphanVip, judgement, scene.may_resolve(), scene.now, report)
}

fn is_orphan(scene: &Scene<'_>, member: &Member<'_>) -> bool {
    let holds = |other: &Member<'_>| other.key.node == member.key.node && other.is_master();
    member.fresh && present(scene, member).next().is_some() && !scene.members.iter().any(holds)
}

fn was_orphan(scene: &Scene<'_>, member: &Member<'_>) -> bool {
    !member.fresh && member.report().state != VrrpState::Master && present(scene, member).next().is_some()
}

fn held_elsewhere(scene: &Scene<'_>, orphans: &[&Member<'_>]) -> bool {
    let elsewhere = |member: &&Member<'_>| {
        member.fresh && (member.is_master() || present(scene, member).next().is_some())
    };
    let holders: alloc::collections::BTreeSet<_> =
        scene.members.iter().filter(elsewhere).map(|member| member.name()).collect();
    orphans.iter().any(|orphan| holders.iter().any(|holder| *holder != orphan.name()))
}

fn present<'a>(scene: &Scene<'a>, member: &Member<'a>) -> impl Iterator<Item = IpAddr> {
    let shape = scene.shape;
    member.report().addresses_present.iter().copied().filter(move |address| shape.addresses.contains(address))
}

fn report(scene: &Scene<'_>, orphans: &[&Member<'_>]) -> Report {
    let names = list(orphans.iter().map(|orphan| orphan.name()));
    let holders: Vec<_> = scene.claims().iter().map(Member::name).collect();
    let elsewhere = if holders.is_empty() {
        alloc::string::String::new()
    } else {
        format!("; {} holds it", list(holders))
    };
    let evidence = orphans.iter().map(|orphan| {
        let (name, report) = (orphan.name(), orphan.report());
        let has = list(present(scene, orphan));
        let facts = [
            ("addresses", has.clone()),
            ("state", report.state.shown().to_string()),
            ("interface", report.interface.clone()),
            ("reason", report.reason.clone()),
        ];
        let summary =
            format!("{name}'s kernel has {has}, but {} is {} there", report.instance, report.state.shown());
        fact("address_present", Some(name), orphan.node.heard_at.unwrap_or(scene.now), summary, facts)
    });
    Report {
        summary: format!("{names} has {} in its kernel without being MASTER{elsewhere}", scene.title()),
        cause_code: CauseCode::Unknown,
        cause: "somebody added the address by hand or by another program, or a dead process left it behind"
            .to_string(),
        action: format!("on {names}: ha-agent release"),
        evidence: evidence.collect(),
    }
}
