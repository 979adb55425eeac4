//! Members of one group that are configured differently, or reject what the other sends.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

use crate::{
    bounds,
    effect::{CauseCode, Evidence, FindingKind, Severity},
    index::MemberKey,
    ledger::{Judgement, Ledger, Report},
    model::GroupKey,
    scene::{INTERVALS, Member, Scene, Story},
    time::Instant,
    words::{in_brackets, list, span},
};

use super::{
    fact,
    rejection::{self, Line, Sender},
    sooner,
};

/// A change reaches one member after the other.
const WINDOW: Duration = Duration::from_secs(5);

/// Fires when fresh members have differed for 5 s in address set, VRID, interval, version or authentication, have equal
/// priorities, hear their VRID used for other addresses, or reject the adverts of another node. (Two passwords differ although
/// every report says `pass`; only who hears them can tell.) A rejection counts when the last rejected packet came after these
/// 5 s: one packet is nothing. A group with one member has nothing to differ from. A difference between members of several groups is
/// told of one: that of the lowest address they all have. A member in maintenance is not compared: its configuration is
/// being worked on. While a configuration is on its way to members a difference is only pending.
pub(crate) fn judge(
    scene: &Scene<'_>,
    lines: &[Line<'_>],
    story: &mut Story,
    ledger: &mut Ledger,
) -> Option<Instant> {
    let fresh: Vec<&Member<'_>> =
        scene.members.iter().filter(|member| member.fresh && !member.node.maintenance).collect();
    let differs = differs(scene, &fresh) || foreign_use(scene, &fresh).next().is_some();
    story.differ_since = if differs { Some(story.differ_since.unwrap_or(scene.now)) } else { None };
    let rejections: Vec<&Line<'_>> = lines.iter().filter(|line| line.sender != Sender::Stranger).collect();
    story.rejected_since = super::first(story.rejected_since, scene, &rejections);
    let last = rejections.iter().map(|line| line.last(scene)).max();
    let rejected_for_long = story
        .rejected_since
        .map(|since| since + WINDOW)
        .filter(|ready| last.is_some_and(|last| last >= *ready));
    let differ_for_long = story.differ_since.filter(|_| !scene.mid_commit()).map(|since| since + WINDOW);
    let ready = sooner(differ_for_long, rejected_for_long);
    let judgement = match sooner(story.differ_since, story.rejected_since) {
        Some(since) => Judgement::Present { since, ready, severity: Severity::Warning },
        None if fresh.len() < scene.members.len() => Judgement::Unknown,
        None => Judgement::Absent,
    };
    let report = || (scene.key.site.clone(), report(scene, &fresh, &rejections));
    ledger.judge(
        scene.subject,
        FindingKind::ConfigMismatch,
        judgement,
        scene.may_resolve(),
        scene.now,
        report,
    )
}

/// The settings that must agree.
const SETTINGS: [Setting; 5] =
    [Setting::Addresses, Setting::Vrid, Setting::Interval, Setting::Version, Setting::Auth];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    Addresses,
    Vrid,
    Interval,
    Version,
    Auth,
}

impl Setting {
    const fn code(self) -> &'static str {
        match self {
            Self::Addresses => "addresses_differ",
            Self::Vrid => "vrid_differs",
            Self::Interval => "interval_differs",
            Self::Version => "version_differs",
            Self::Auth => "auth_differs",
        }
    }

    const fn cause(self) -> CauseCode {
        match self {
            Self::Addresses => CauseCode::AddressMismatch,
            Self::Vrid => CauseCode::VridMismatch,
            Self::Interval => CauseCode::IntervalMismatch,
            Self::Version => CauseCode::VersionMismatch,
            Self::Auth => CauseCode::AuthMismatch,
        }
    }

    const fn shown(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Vrid => "VRID",
            Self::Interval => "advertisement interval",
            Self::Version => "VRRP version",
            Self::Auth => "authentication",
        }
    }

    fn of(self, member: &Member<'_>) -> String {
        let report = member.report();
        match self {
            Self::Addresses => list(addresses(member)),
            Self::Vrid => report.vrid.to_string(),
            Self::Interval => span(report.interval),
            Self::Version => report.version.to_string(),
            Self::Auth => report.auth.clone(),
        }
    }

    fn same(self, a: &Member<'_>, b: &Member<'_>) -> bool {
        let (x, y) = (a.report(), b.report());
        match self {
            // As sets: order and prefix length are not on the wire. Most members write the same list.
            Self::Addresses => x.addresses == y.addresses || addresses(a) == addresses(b),
            Self::Vrid => x.vrid == y.vrid,
            Self::Interval => x.interval == y.interval,
            Self::Version => x.version == y.version,
            Self::Auth => x.auth == y.auth,
        }
    }
}

fn differs(scene: &Scene<'_>, fresh: &[&Member<'_>]) -> bool {
    let Some((first, rest)) = fresh.split_first() else { return false };
    let unequal = rest.iter().any(|member| SETTINGS.iter().any(|setting| !setting.same(first, member)));
    (unequal || any_equal_priority(fresh)) && tells(scene, fresh)
}

fn any_equal_priority(fresh: &[&Member<'_>]) -> bool {
    let mut seen = [0_u128; 2];
    fresh.iter().any(|member| {
        let priority = member.report().priority;
        let half = if priority < 128 { &mut seen[0] } else { &mut seen[1] };
        let bit = 1 << (priority % 128);
        let again = *half & bit != 0;
        *half |= bit;
        again
    })
}

/// Whether this group is the one that tells of a difference between these members.
fn tells(scene: &Scene<'_>, fresh: &[&Member<'_>]) -> bool {
    let mut common: Option<BTreeSet<IpAddr>> = None;
    for member in fresh {
        let own = addresses(member);
        common =
            Some(common.map_or_else(|| own.clone(), |common| common.intersection(&own).copied().collect()));
    }
    common.is_none_or(|common| common.first().is_none_or(|lowest| *lowest == scene.key.address))
}

fn equal_priorities<'a>(fresh: &[&Member<'a>]) -> impl Iterator<Item = (u8, Vec<Member<'a>>)> {
    let mut by_priority: BTreeMap<u8, Vec<Member<'a>>> = BTreeMap::new();
    for member in fresh {
        by_priority.entry(member.report().priority).or_default().push(**member);
    }
    by_priority.into_iter().filter(|(_, members)| members.len() > 1)
}

/// Instances outside this group that use a member's VRID for other addresses where that member hears them. When both
/// groups hear each other, the one with the lower address tells.
fn foreign_use<'a>(
    scene: &'a Scene<'_>,
    fresh: &'a [&'a Member<'a>],
) -> impl Iterator<Item = (&'a Member<'a>, &'a MemberKey)> {
    fresh.iter().flat_map(move |member| {
        let report = member.report();
        let lines = member.node.heard_with(report.vrid).filter(move |heard| {
            scene.visit();
            let window = heard.interval.max(member.interval()) * INTERVALS;
            heard.interface == report.interface && heard.age <= window && Some(heard.source) != report.source
        });
        let users = lines.flat_map(move |heard| {
            let source = GroupKey { site: scene.key.site.clone(), address: heard.source };
            let in_group = |key: &&MemberKey| scene.shape.members.binary_search(*key).is_err();
            scene.index.sent_by(source, report.vrid).filter(in_group)
        });
        users.filter(move |user| conflicts(scene, member, user)).map(move |user| (*member, user))
    })
}

fn conflicts(scene: &Scene<'_>, member: &Member<'_>, user: &MemberKey) -> bool {
    scene.visit();
    let Some(node) = scene.nodes.get(&user.node) else { return false };
    let Some(instance) = node.instances.get(&user.instance) else { return false };
    let other = Member { key: user, node, instance, fresh: node.is_fresh(scene.now, scene.windows.fresh) };
    let theirs = addresses(&other);
    if !other.fresh || !theirs.is_disjoint(&addresses(member)) {
        return false;
    }
    let lowest = theirs.first().map(|address| GroupKey { site: scene.key.site.clone(), address: *address });
    let unit = lowest.and_then(|lowest| scene.index.unit_of(&lowest));
    let hears_us = member.report().source.is_some_and(|source| {
        other.node.heard_with(other.report().vrid).any(|heard| {
            let window = heard.interval.max(other.interval()) * INTERVALS;
            heard.source == source && heard.interface == other.report().interface && heard.age <= window
        })
    });
    unit.is_none_or(|unit| *scene.key < unit || !hears_us)
}

fn report(scene: &Scene<'_>, fresh: &[&Member<'_>], rejections: &[&Line<'_>]) -> Report {
    let mut what: Vec<String> = Vec::new();
    let mut evidence: Vec<Evidence> = Vec::new();
    let mut codes: BTreeSet<CauseCode> = BTreeSet::new();
    let told = tells(scene, fresh);
    for setting in SETTINGS.iter().filter(|_| told) {
        let Some(first) = fresh.first() else { continue };
        if fresh.iter().all(|member| setting.same(first, member)) {
            continue;
        }
        what.push(format!("{}: {}", setting.shown(), values(fresh, *setting)));
        evidence.extend(fresh.iter().map(|member| {
            let report = member.report();
            let value = setting.of(member);
            let place = in_brackets(&report.defined_at);
            let summary = format!("{} has {} {value}{place}", member.name(), setting.shown());
            let facts = [
                ("setting", setting.shown().to_string()),
                ("value", value),
                ("defined_at", report.defined_at.clone()),
            ];
            fact(
                setting.code(),
                Some(member.name()),
                member.node.heard_at.unwrap_or(scene.now),
                summary,
                facts,
            )
        }));
        codes.insert(setting.cause());
    }
    for (priority, members) in equal_priorities(fresh).filter(|_| told) {
        let names = list(members.iter().map(Member::name));
        what.push(format!("priority: {priority} on {names} alike"));
        let places =
            list(members.iter().map(|member| format!("{} at {}", member.name(), member.report().defined_at)));
        let facts = [("priority", priority.to_string()), ("nodes", names.clone()), ("defined_at", places)];
        evidence.push(fact(
            "equal_priorities",
            None,
            scene.now,
            format!("{names} all have priority {priority}"),
            facts,
        ));
        codes.insert(CauseCode::ConfigDiffers);
    }
    for (member, user) in foreign_use(scene, fresh).take(bounds::PAIRS) {
        let vrid = member.report().vrid;
        let theirs = scene.nodes.get(&user.node).and_then(|node| node.instances.get(&user.instance));
        let theirs =
            theirs.map(|instance| list(instance.report.addresses.iter().map(|(address, _)| *address)));
        let theirs = theirs.unwrap_or_default();
        let ours = list(addresses(member));
        what.push(format!("VRID {vrid}: {ours} on {}, {theirs} on {}", member.name(), user.node));
        let summary = format!("{} hears {} use VRID {vrid} for {theirs}", member.name(), user.node);
        let facts = [
            ("vrid", vrid.to_string()),
            ("ours", ours),
            ("theirs", theirs),
            ("other", user.node.to_string()),
        ];
        evidence.push(fact("vrid_shared", Some(member.name()), scene.now, summary, facts));
        codes.insert(CauseCode::ConfigDiffers);
    }
    for line in rejections {
        what.push(line.says());
        evidence.push(line.evidence(scene));
    }
    let rejected =
        rejections.iter().find_map(|line| line.rejected).map(|rejected| rejection::code(&rejected.reason));
    let who: BTreeSet<String> = fresh
        .iter()
        .map(|member| member.name().to_string())
        .chain(rejections.iter().filter_map(|line| match line.sender {
            Sender::Instance(key) => Some(key.node.to_string()),
            Sender::Node(node) => Some(node.to_string()),
            Sender::Stranger => None,
        }))
        .collect();
    let advice = rejected.map_or("make the settings agree", rejection::advice);
    let found = if codes.is_empty() { "reject adverts of the fleet" } else { "are configured differently" };
    Report {
        summary: format!("the members of {} {found}: {}", scene.title(), what.join("; ")),
        cause_code: cause(&codes, rejected),
        cause: what.join("; "),
        action: format!("on {}: {advice}, then: ha-agent check", list(&who)),
        evidence,
    }
}

/// The one that explains the most: other VRIDs do not see each other at all; what is rejected is felt; else the one
/// setting that differs.
fn cause(differing: &BTreeSet<CauseCode>, rejected: Option<CauseCode>) -> CauseCode {
    if differing.contains(&CauseCode::VridMismatch) {
        return CauseCode::VridMismatch;
    }
    let only = differing.first().copied().filter(|_| differing.len() == 1);
    rejected.or(only).unwrap_or(CauseCode::ConfigDiffers)
}

/// `51 on lb01 and lb03, 52 on lb02`.
fn values(fresh: &[&Member<'_>], setting: Setting) -> String {
    let mut by_value: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in fresh {
        let place = in_brackets(&member.report().defined_at);
        by_value.entry(setting.of(member)).or_default().push(format!("{}{place}", member.name()));
    }
    let said: Vec<String> =
        by_value.into_iter().map(|(value, on)| format!("{value} on {}", list(on))).collect();
    said.join(", ")
}

fn addresses(member: &Member<'_>) -> BTreeSet<IpAddr> {
    member.report().addresses.iter().map(|(address, _)| *address).collect()
}
