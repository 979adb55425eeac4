//! Somebody outside the fleet uses the VRID of a group.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

use crate::{
    effect::{CauseCode, FindingKind, Severity},
    ledger::{Judgement, Ledger, Report},
    scene::{Scene, Story},
    time::Instant,
    words::list,
};

use super::rejection::{self, Line, Sender};

/// A node that starts is heard by its neighbours before it has found the coordinator.
const WINDOW: Duration = Duration::from_secs(10);
/// Strangers named in the summary.
const NAMED: usize = 3;

/// Fires when fresh members have heard adverts with their VRID from sources that no node of the site has for 10 s, and the last
/// of them came when these were over: one packet is no router. Critical while a member rejects such adverts: then this one and
/// the stranger do not see each other, and both may hold an address. During the grace nobody can say who is a stranger.
pub(crate) fn judge(
    scene: &Scene<'_>,
    lines: &[Line<'_>],
    story: &mut Story,
    ledger: &mut Ledger,
) -> Option<Instant> {
    let lines: Vec<&Line<'_>> = lines.iter().filter(|line| line.sender == Sender::Stranger).collect();
    let since = super::first(story.conflict_since, scene, &lines);
    story.conflict_since = since;
    let is_rejected = lines.iter().any(|line| line.rejected.is_some());
    let judgement = match since {
        Some(_) if scene.in_grace => Judgement::Unknown,
        Some(since) => {
            let ready = since + WINDOW;
            let last = lines.iter().map(|line| line.last(scene)).max();
            Judgement::Present {
                since,
                ready: last.filter(|last| *last >= ready).map(|_| ready),
                severity: if is_rejected { Severity::Critical } else { Severity::Warning },
            }
        }
        None if scene.all_fresh() => Judgement::Absent,
        None => Judgement::Unknown,
    };
    let report = || (scene.key.site.clone(), report(scene, &lines));
    ledger.judge(scene.subject, FindingKind::VridConflict, judgement, scene.may_resolve(), scene.now, report)
}

fn report(scene: &Scene<'_>, lines: &[&Line<'_>]) -> Report {
    // What is rejected is told first.
    let (mut told, accepted): (Vec<&Line<'_>>, Vec<_>) =
        lines.iter().copied().partition(|line| line.rejected.is_some());
    told.extend(accepted);
    let sources: BTreeSet<IpAddr> = lines.iter().map(|line| line.heard.source).collect();
    let vrids: BTreeSet<u8> = lines.iter().map(|line| line.heard.vrid).collect();
    let who = strangers(&sources);
    let rejected = told.first().and_then(|line| line.rejected);
    let effect = match rejected {
        Some(rejected) => format!("and its adverts are rejected: {}", rejected.reason),
        None => "and its adverts are believed".to_string(),
    };
    let ours: BTreeSet<IpAddr> = lines.iter().flat_map(|line| rejection::advertised(line.listener)).collect();
    let foreign: BTreeSet<IpAddr> = lines
        .iter()
        .flat_map(|line| &line.heard.addresses)
        .copied()
        .filter(|it| !ours.contains(it))
        .collect();
    let addresses = match foreign.is_empty() {
        true => format!("it advertises addresses of {}", scene.title()),
        false => format!("it advertises {}, which are not addresses of {}", list(&foreign), scene.title()),
    };
    let code = match rejected {
        Some(rejected) => rejection::code(&rejected.reason),
        None if foreign.is_empty() => CauseCode::ForeignHost,
        None => CauseCode::AddressMismatch,
    };
    let says: Vec<String> = told.iter().take(NAMED).map(|line| line.says()).collect();
    let vrid = list(&vrids);
    Report {
        summary: format!(
            "{who}, which no node of the inventory has, uses VRID {vrid} of {}, {effect}",
            scene.title()
        ),
        cause_code: code,
        cause: format!("another VRRP router is on this segment: {addresses}. {}", says.join("; ")),
        action: action(&who, &vrid, rejected.map(|_| code)),
        evidence: told.iter().map(|line| line.evidence(scene)).collect(),
    }
}

fn action(who: &str, vrid: &str, rejected: Option<CauseCode>) -> String {
    let belongs = match rejected {
        Some(code) => format!("if it belongs to the group, {} there and here", rejection::advice(code)),
        None => {
            "if it belongs to the group, run ha-agent there (ha-agent join), and this is over".to_string()
        }
    };
    format!("find out who {who} is; {belongs}; if it does not, give one of the two another VRID than {vrid}")
}

/// `10.0.0.77`, or the first of them with how many more there are.
fn strangers(sources: &BTreeSet<IpAddr>) -> String {
    let named = list(sources.iter().take(NAMED));
    match sources.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more sources"),
    }
}
