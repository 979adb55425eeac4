//! Nobody holds the address, and everybody says so.

use alloc::{format, string::ToString};
use core::time::Duration;

use crate::{
    effect::{CauseCode, FindingKind, Severity},
    ledger::{Judgement, Ledger, Report},
    model::VrrpState,
    scene::{INTERVALS, Member, Scene, Story},
    time::Instant,
    words::{in_brackets, list, span},
};

use super::fact;

/// Fires when all members are fresh and none is MASTER for longer than max(`windows.no_master`, 2 Master_Down). With a
/// stale member nobody can say: what fires goes on until somebody is MASTER. Nothing is raised while every member is in
/// maintenance, and none before a handover by people is over: it is watched, and undone if nobody holds. Nor while the group
/// is being `fenced`, for [`FENCE_MOST`]: what follows from a fence is not another alarm, until the fence is over. An address
/// that nobody has ever held is only pending while a configuration is on its way to members: backups have it before the holder
/// does.
pub(crate) fn judge(
    scene: &Scene<'_>,
    story: &mut Story,
    fenced: bool,
    ledger: &mut Ledger,
) -> Option<Instant> {
    let held = scene.members.iter().any(Member::is_master);
    story.was_held |= held;
    let nobody = !held && scene.all_fresh();
    story.nobody_since = if nobody { Some(story.nobody_since.unwrap_or(scene.now)) } else { None };
    let handover = story.handover.map(|handover| handover.until).unwrap_or_default();
    let judgement = match story.nobody_since {
        Some(_) if scene.in_maintenance() => Judgement::Unknown,
        Some(since) => Judgement::Present {
            since,
            ready: (story.was_held || !scene.mid_commit())
                .then(|| (since + window(scene)).max(handover).max(fence_until(since, fenced))),
            severity: Severity::Critical,
        },
        None if held => Judgement::Absent,
        None => Judgement::Unknown,
    };
    let kind = FindingKind::NoMaster;
    ledger.judge(scene.subject, kind, judgement, scene.may_resolve(), scene.now, || {
        (scene.key.site.clone(), report(scene))
    })
}

/// A fence holds no_master back no longer than this, however long its programs take: the time in which one holder must
/// serve after a fence, and then a person hears of it.
const FENCE_MOST: Duration = Duration::from_secs(60);

fn fence_until(since: Instant, fenced: bool) -> Instant {
    if fenced { since + FENCE_MOST } else { Instant::default() }
}

pub(crate) fn window(scene: &Scene<'_>) -> Duration {
    let master_down =
        scene.members.iter().map(|member| member.report().master_down.max(member.interval() * INTERVALS));
    scene.windows.no_master.max(master_down.max().unwrap_or_default() * 2)
}

fn report(scene: &Scene<'_>) -> Report {
    let states = scene.members.iter().map(|member| {
        let report = member.report();
        format!("{} is {}{}", member.name(), report.state.shown(), in_brackets(&report.reason))
    });
    let evidence = scene.members.iter().map(|member| {
        let report = member.report();
        let summary = format!(
            "{} has been {} for {}: {}{}",
            member.name(),
            report.state.shown(),
            span(scene.now.since(member.instance.entered)),
            report.reason,
            in_brackets(&report.reason_detail)
        );
        let facts = [
            ("state", report.state.shown().to_string()),
            ("reason", report.reason.clone()),
            ("detail", report.reason_detail.clone()),
            ("carrier", report.carrier.to_string()),
            ("interface", report.interface.clone()),
            ("effective_priority", report.effective_priority.to_string()),
        ];
        fact("not_master", Some(member.name()), member.node.heard_at.unwrap_or(scene.now), summary, facts)
    });
    let down: alloc::vec::Vec<&Member<'_>> =
        scene.members.iter().filter(|member| !member.report().carrier).collect();
    let faulty = scene.members.iter().all(|member| member.report().state == VrrpState::Fault);
    let (cause_code, cause) = if !down.is_empty() && down.len() == scene.members.len() {
        let interfaces =
            down.iter().map(|member| format!("{} on {}", member.report().interface, member.name()));
        (CauseCode::Carrier, format!("no member's service interface has carrier: {}", list(interfaces)))
    } else if faulty {
        (CauseCode::Unknown, "every member is in FAULT, each for the reason it gives".to_string())
    } else {
        (CauseCode::Unknown, "no member takes the address over, though somebody should".to_string())
    };
    Report {
        summary: format!("nobody holds {}: {}", scene.title(), list(states)),
        cause_code,
        cause,
        action: format!("hactl explain {}; on a member: ha-agent status", scene.key.address),
        evidence: evidence.collect(),
    }
}
