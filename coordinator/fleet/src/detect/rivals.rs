//! Other holders that do not say so themselves: sources heard advertising beside a fresh MASTER, and MACs that answer
//! ARP for its address. A stale MASTER can also be cleared that way: its host answers ARP, but not for the address.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

use crate::{
    bounds,
    index::MemberKey,
    model::NodeName,
    scene::{ArpRound, INTERVALS, Member, Rival, Scene, Story, Witness},
    time::Instant,
};

/// An ARP answer older than this says nothing about now. Longer than the pause between probes.
const ARP_SPEAKS: Duration = Duration::from_secs(15);

/// A rival as its witnesses saw it.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) who: Who,
    /// The member that it is, if it is one.
    pub(crate) owner: Option<MemberKey>,
    pub(crate) since: Instant,
    /// Who saw it for longer than the window, and when last.
    pub(crate) witnesses: Vec<(NodeName, Instant)>,
}

/// By what a rival was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Source(IpAddr),
    Mac(String),
}

/// Brings the table of rivals up to date. A source is a rival once it was heard again after the claim began, so that the
/// last advert of a master that has stepped down is nothing.
pub(crate) fn update(scene: &Scene<'_>, claims: &[Member<'_>], story: &mut Story) -> Option<Instant> {
    let Some(began) = claims.iter().map(|claim| claim.instance.entered).min() else {
        story.rivals.clear();
        return None;
    };
    let is_claimant = |source: IpAddr| claims.iter().any(|claim| claim.report().source == Some(source));
    for witness in scene.members.iter().filter(|member| member.fresh) {
        let Some(received_at) = witness.node.heard_at else { continue };
        for heard in witness.node.heard_for(scene.key.address) {
            scene.visit();
            let heard_at = received_at - heard.age;
            let window = heard.interval.max(witness.interval()) * INTERVALS;
            let relevant = heard.interface == witness.report().interface
                && heard.priority > 0
                && Some(heard.source) != witness.report().source
                && !is_claimant(heard.source)
                && heard.age <= window
                && heard_at >= began;
            let known = story.rivals.contains_key(&heard.source);
            if !relevant || (!known && story.rivals.len() >= bounds::RIVALS) {
                continue;
            }
            let rejected = heard.rejected.iter().map(|rejected| rejected.count);
            let count = rejected.fold(heard.accepted, u64::saturating_add);
            let rival =
                story.rivals.entry(heard.source).or_insert_with(|| Rival { witnesses: BTreeMap::new() });
            let new = Witness { first: heard_at, last: heard_at, first_count: count, count };
            let seen = rival.witnesses.entry(witness.key.clone()).or_insert(new);
            if count < seen.count {
                *seen = new;
            } else if count > seen.count {
                seen.last = heard_at.max(seen.last);
                seen.count = count;
            }
        }
    }
    let mut wake = None;
    let silence = claims.iter().map(Member::interval).max().unwrap_or_default() * INTERVALS;
    let silence = silence.max(scene.windows.fresh);
    story.rivals.retain(|source, rival| {
        rival.witnesses.retain(|_, seen| {
            let until = seen.last + silence;
            let active = scene.now < until && seen.last >= began;
            if active {
                wake = super::sooner(wake, Some(until));
            }
            active
        });
        !rival.witnesses.is_empty() && !is_claimant(*source)
    });
    wake
}

/// Who advertises beside the holder, by now.
pub(crate) fn heard(
    scene: &Scene<'_>,
    holder: &Member<'_>,
    window: Duration,
    story: &Story,
) -> Vec<Sighting> {
    let active = story
        .rivals
        .iter()
        .filter(|(_, rival)| rival.witnesses.values().any(|seen| seen.count > seen.first_count));
    active
        .map(|(source, rival)| {
            let first = rival.witnesses.values().map(|seen| seen.first).min().unwrap_or(scene.now);
            let since = first.max(holder.steady());
            let long = rival.witnesses.iter().filter(|(_, seen)| seen.last >= since + window);
            Sighting {
                who: Who::Source(*source),
                owner: owner(scene, |member| member.report().source == Some(*source)),
                since,
                witnesses: long.map(|(key, seen)| (key.node.clone(), seen.last)).collect(),
            }
        })
        .collect()
}

/// Which MACs answer for the address beside the claimants', by answers to probes sent at or after `after`.
pub(crate) fn answering(
    scene: &Scene<'_>,
    claims: &[Member<'_>],
    arp: &BTreeMap<NodeName, ArpRound>,
    after: Instant,
) -> Vec<Sighting> {
    let mut seen: BTreeMap<String, Vec<(NodeName, Instant)>> = BTreeMap::new();
    for witness in scene.members.iter().filter(|member| member.fresh) {
        let Some(round) = arp.get(witness.name()) else { continue };
        if round.asked_at < after || scene.now.since(round.asked_at) > ARP_SPEAKS {
            continue;
        }
        let interface = &witness.report().interface;
        let Some(holders) = round.macs(scene.key.address, interface) else { continue };
        let mut claimants = BTreeSet::new();
        let others = claims.iter().filter(|claim| claim.key.node != witness.key.node);
        // A claimant whose own MAC is not known could be the one that answered.
        let all_known = others.fold(true, |known, claim| {
            let macs =
                claim.report().source.and_then(|source| round.macs(source, interface)).unwrap_or_default();
            claimants.extend(macs);
            known && !macs.is_empty()
        });
        if all_known {
            // In virtual-MAC mode the holder itself answers with the VRID's MAC.
            let foreign = |mac: &&String| !claimants.contains(mac) && !is_virtual(mac);
            for mac in holders.iter().filter(foreign).take(bounds::RIVALS) {
                seen.entry(mac.clone()).or_default().push((witness.name().clone(), round.asked_at));
            }
        }
    }
    let sightings = seen.into_iter().map(|(mac, witnesses)| Sighting {
        owner: owner(scene, |member| has_mac(scene, member, &mac, arp)),
        since: witnesses.iter().map(|(_, at)| *at).min().unwrap_or(scene.now),
        who: Who::Mac(mac),
        witnesses,
    });
    sightings.take(bounds::RIVALS).collect()
}

/// Clears stale claimants: a fresh member's ARP request for the stale host's own address was answered, and the same MAC
/// did not answer for the group's address. Valid until the stale node is heard again.
pub(crate) fn clear(scene: &Scene<'_>, story: &mut Story) {
    let stale =
        |key: &MemberKey| scene.members.iter().find(|member| member.key == key && member.was_master());
    story.cleared.retain(|key, heard_at| stale(key).is_some_and(|member| member.node.heard_at == *heard_at));
    let Some(contest) = &story.contest else { return };
    for member in scene.members.iter().filter(|member| member.was_master()) {
        let Some(source) = member.report().source else { continue };
        let since = member.node.stale_since(scene.now, scene.windows.fresh).unwrap_or_default();
        let advertises = story.rivals.contains_key(&source);
        let is_clear = |witness: &Member<'_>| {
            let interface = &witness.report().interface;
            let round = contest.arp.get(witness.name()).filter(|round| round.asked_at >= since);
            let own = round.and_then(|round| round.macs(source, interface)).unwrap_or_default();
            let holders = round.and_then(|round| round.macs(scene.key.address, interface));
            !own.is_empty()
                && holders
                    .is_some_and(|holders| holders.iter().all(|mac| !own.contains(mac) && !is_virtual(mac)))
        };
        let others = scene.members.iter().filter(|other| other.fresh && other.key.node != member.key.node);
        let (mut asked, mut clear) = (0, 0);
        for witness in others {
            let round = contest.arp.get(witness.name()).filter(|round| round.asked_at >= since);
            asked += usize::from(
                round.is_some_and(|round| round.macs(source, &witness.report().interface).is_some()),
            );
            clear += usize::from(is_clear(witness));
        }
        // Every witness that asked must agree: one who could not reach the host may be the one that is cut off.
        if !advertises && clear > 0 && clear == asked {
            story.cleared.insert(member.key.clone(), member.node.heard_at);
        }
    }
}

/// The MAC of a virtual router (RFC 9568 section 7.3): it says which VRID answers, not which host.
pub(crate) fn is_virtual(mac: &str) -> bool {
    let prefix = mac.get(..15).unwrap_or_default();
    prefix.eq_ignore_ascii_case("00:00:5e:00:01:") || prefix.eq_ignore_ascii_case("00:00:5e:00:02:")
}

fn owner(scene: &Scene<'_>, is_it: impl Fn(&Member<'_>) -> bool) -> Option<MemberKey> {
    scene.members.iter().find(|member| is_it(member)).map(|member| member.key.clone())
}

/// Whether any witness's ARP says that this MAC answers for the member's own address.
fn has_mac(scene: &Scene<'_>, member: &Member<'_>, mac: &String, arp: &BTreeMap<NodeName, ArpRound>) -> bool {
    let Some(source) = member.report().source else { return false };
    scene.members.iter().any(|witness| {
        let round = arp.get(witness.name());
        round
            .and_then(|round| round.macs(source, &witness.report().interface))
            .is_some_and(|macs| macs.contains(mac))
    })
}
