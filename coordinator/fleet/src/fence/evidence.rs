//! Who is seen to hold an address, by whom, and since when.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::ToString,
    vec::Vec,
};
use core::time::Duration;

use crate::{
    detect::{fact, rivals},
    effect::{Evidence, FindingKind},
    fence::{
        effect::{Refusal, RefusalCode as Code},
        policy::{FencePolicy, Level},
    },
    fleet::Fleet,
    input::Reference,
    ledger::Subject,
    model::NodeName,
    node::Node,
    scene::{INTERVALS, Member, Scene, Story},
    time::Instant,
    words::{list, span},
};

/// A packet and the word of it are on their way for less.
pub(crate) const ON_THE_WAY: Duration = Duration::from_secs(2);

/// One who is seen to hold the address.
pub(crate) struct Claimant<'a> {
    pub(crate) member: Member<'a>,
    /// It says so itself, now.
    pub(crate) asserts: bool,
    /// Its kernel has the address, it says.
    pub(crate) kernel: bool,
    /// When the last probe was sent in whose answer it said so.
    pub(crate) reasserted: Option<Instant>,
    /// Who sees it advertise or answer for the address, and when last.
    pub(crate) seen_by: BTreeMap<NodeName, Instant>,
    /// The worse of what it says about its references.
    pub(crate) references: Health,
}

/// What is known of a host's own network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Bad,
    Unknown,
    Good,
}

/// Since when the same victim is explained by the same group, and since when the witnesses suffice for a fence program.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) victim: NodeName,
    pub(crate) survivor: NodeName,
    pub(crate) instances: BTreeSet<alloc::string::String>,
    pub(crate) explanation: alloc::string::String,
    pub(crate) since: Instant,
    pub(crate) witnessed_since: Option<Instant>,
    /// What would have been done in `dry_run` has been written down.
    pub(crate) dry: bool,
}

impl Claimant<'_> {
    pub(crate) fn name(&self) -> &NodeName {
        self.member.name()
    }

    /// Nothing that it tracks fails.
    pub(crate) fn serves(&self) -> bool {
        let report = self.member.report();
        report.effective_priority >= report.priority
    }
}

/// How old an observation may be.
pub(crate) fn speaks(member: &Member<'_>, policy: &FencePolicy) -> Duration {
    (member.interval() * INTERVALS).max(policy.windows.observed)
}

/// Everybody who holds the address, by their own word or seen by others. A host that is not heard from is one only while
/// others see it.
pub(crate) fn claimants<'a>(scene: &Scene<'a>, story: &Story, policy: &FencePolicy) -> Vec<Claimant<'a>> {
    let claims = scene.claims();
    let mut found = Vec::new();
    for member in &scene.members {
        let asserts = claims.iter().any(|claim| claim.key == member.key);
        if !asserts && (member.fresh || claims.iter().any(|claim| claim.key.node == member.key.node)) {
            continue;
        }
        let seen_by = observers(scene, story, member, policy);
        if !asserts && seen_by.is_empty() {
            continue;
        }
        let reasserted =
            story.contest.as_ref().and_then(|contest| contest.reasserted.get(member.key)).copied();
        found.push(Claimant {
            member: *member,
            asserts,
            kernel: asserts && member.has(scene.key.address),
            reasserted: reasserted.filter(|_| asserts),
            seen_by,
            references: health(member.node, member.fresh, scene.now, policy),
        });
    }
    found
}

/// Who hears this member advertise the address, or has it answer ARP for it. Any node of the site that is heard from.
fn observers(
    scene: &Scene<'_>,
    story: &Story,
    member: &Member<'_>,
    policy: &FencePolicy,
) -> BTreeMap<NodeName, Instant> {
    let mut seen = BTreeMap::new();
    let Some(source) = member.report().source else { return seen };
    let (speaks, now) = (speaks(member, policy), scene.now);
    for (name, node) in scene.nodes.iter().filter(|(name, node)| {
        **name != member.key.node && node.site == scene.key.site && node.is_fresh(now, scene.windows.fresh)
    }) {
        let Some(heard_at) = node.heard_at else { continue };
        let adverts = node
            .heard_with(member.report().vrid)
            .filter(|heard| {
                heard.source == source && heard.priority > 0 && heard.addresses.contains(&scene.key.address)
            })
            .map(|heard| heard_at - heard.age);
        let at = adverts.max().filter(|at| now.since(*at) <= speaks);
        if let Some(at) = at {
            seen.insert(name.clone(), at);
        }
    }
    let rounds = story.contest.as_ref().map(|contest| &contest.arp);
    for witness in scene.members.iter().filter(|witness| witness.fresh && witness.key.node != member.key.node)
    {
        let interface = &witness.report().interface;
        let Some(round) = rounds.and_then(|rounds| rounds.get(witness.name())) else { continue };
        let own = round.macs(source, interface).unwrap_or_default();
        let holders = round.macs(scene.key.address, interface).unwrap_or_default();
        let answers = own.iter().any(|mac| holders.contains(mac) && !rivals::is_virtual(mac));
        if answers && now.since(round.asked_at) <= speaks {
            let at = seen.entry(witness.name().clone()).or_insert(round.asked_at);
            *at = round.asked_at.max(*at);
        }
    }
    seen
}

/// What a node says about its own references, while it says anything.
pub(crate) fn health(node: &Node, fresh: bool, now: Instant, policy: &FencePolicy) -> Health {
    let age = node.heard_at.map(|at| now.since(at)).unwrap_or(Duration::MAX);
    let speaks = |reference: &&Reference| reference.age.saturating_add(age) <= policy.windows.references;
    let recent: Vec<&Reference> = node.references.iter().filter(speaks).collect();
    match recent.iter().filter(|reference| reference.reachable).count() {
        _ if !fresh || recent.is_empty() => Health::Unknown,
        0 => Health::Bad,
        _ => Health::Good,
    }
}

/// Whether what is seen of the victim is enough for this level (rule 3), apart from how long it has lasted. What witnesses saw up to
/// `after` is history: a step was taken since.
pub(crate) fn suffices(
    victim: &Claimant<'_>,
    survivor: &NodeName,
    level: Level,
    after: Option<Instant>,
    scene: &Scene<'_>,
    policy: &FencePolicy,
) -> Result<(), Refusal> {
    let (needed, name) = (policy.limits.observers, victim.name());
    let since = |(_, at): &(&NodeName, &Instant)| after.is_none_or(|after| **at > after);
    let seen_by: Vec<&NodeName> = victim.seen_by.iter().filter(since).map(|(witness, _)| witness).collect();
    let others = seen_by.iter().filter(|witness| **witness != survivor).count();
    let own = match level {
        Level::Demote => {
            let recent = scene.age(&victim.member).is_some_and(|age| age <= speaks(&victim.member, policy));
            let asserts = victim.asserts && recent;
            usize::from(asserts) + usize::from(asserts && victim.kernel)
        }
        Level::Device(_) => 0,
    };
    let count = own + seen_by.len();
    if count >= needed && own + others >= 1 {
        return Ok(());
    }
    let (seen, lately) = (list(seen_by.iter()), if after.is_some() { " since the last step" } else { "" });
    Err(Refusal::new(
        Code::TooFewObservers,
        format!(
            "{count} of {needed} observers for {level}: {name} is seen by {seen}{lately}, of whom {others} would not profit"
        ),
    ))
}

/// The facts, for the row and the audit.
pub(crate) fn facts(claimants: &[Claimant<'_>], scene: &Scene<'_>) -> Vec<Evidence> {
    let of = |claimant: &Claimant<'_>| {
        let (name, report) = (claimant.name(), claimant.member.report());
        let heard_at = claimant.member.node.heard_at.unwrap_or(scene.now);
        let facts = [
            ("address", scene.key.address.to_string()),
            ("asserts_master", claimant.asserts.to_string()),
            ("kernel_has_address", claimant.kernel.to_string()),
            ("seen_by", claimant.seen_by.keys().map(|node| node.0.as_str()).collect::<Vec<_>>().join(" ")),
            ("references", claimant.references.as_str().to_string()),
            ("priority", report.priority.to_string()),
            ("effective_priority", report.effective_priority.to_string()),
            ("age_ms", scene.now.since(heard_at).as_millis().to_string()),
        ];
        let own = match (claimant.asserts, claimant.kernel) {
            (true, true) => "asserts MASTER and its kernel has the address",
            (true, false) => "asserts MASTER",
            (false, _) => "is not heard from",
        };
        let again = claimant.reasserted.map(|at| format!(", again {} ago", span(scene.now.since(at))));
        let summary = format!(
            "{name} {own}{}; {} see it hold {}",
            again.unwrap_or_default(),
            list(claimant.seen_by.keys()),
            scene.key.address
        );
        fact("fence_claimant", Some(name), heard_at, summary, facts)
    };
    claimants.iter().map(of).collect()
}

impl Health {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "unreachable",
            Self::Unknown => "unknown",
            Self::Good => "reachable",
        }
    }
}

impl Fleet {
    /// A split brain is confirmed and still goes on by what is known now.
    pub(crate) fn is_contested(&self, key: &crate::model::GroupKey) -> bool {
        self.is_confirmed(key) && self.units.get(key).is_some_and(|unit| unit.story.contest.is_some())
    }

    /// A split brain was confirmed and is not over, as far as anybody knows.
    pub(crate) fn is_confirmed(&self, key: &crate::model::GroupKey) -> bool {
        self.ledger.firing(&Subject::Group(key.clone()), FindingKind::SplitBrainConfirmed).is_some()
    }
}
