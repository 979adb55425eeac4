//! What a split brain's finding says: who claims, who hears whom, and the probable cause by the design's table.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    bounds,
    detect::{
        fact,
        rivals::{Sighting, Who},
        split_brain::Parties,
    },
    effect::{CauseCode, Evidence},
    ledger::Report,
    scene::{Contest, Hearing, Member, Scene},
    words::{in_brackets, list, span},
};

/// A cause in words, with the command that acts.
struct Cause {
    code: CauseCode,
    text: String,
    action: String,
}

/// The whole report about a contest, as `proven` or as suspected.
pub(crate) fn report(scene: &Scene<'_>, parties: &Parties<'_>, contest: &Contest, proven: bool) -> Report {
    let mut evidence: Vec<Evidence> = Vec::new();
    evidence.extend(parties.claims.iter().map(|claim| asserts(scene, claim, contest)));
    evidence.extend(parties.stale.iter().map(|member| silent(scene, member)));
    let mut causes = Vec::new();
    for (a, b) in pairs(&parties.claims).take(bounds::PAIRS) {
        causes.push(between(scene, contest, a, b, &mut evidence));
    }
    for sighting in parties.heard.iter().chain(&parties.answering) {
        causes.push(of_rival(scene, parties, sighting, &mut evidence));
    }
    for member in &parties.stale {
        causes.push(of_silence(scene, parties, contest, member, &mut evidence));
    }
    let known = causes.iter().position(|cause| cause.code != CauseCode::Unknown).unwrap_or_default();
    let cause = if causes.is_empty() { unknown(String::new()) } else { causes.swap_remove(known) };
    let explain = format!("hactl explain {}", scene.key.address);
    Report {
        summary: summary(scene, parties, proven),
        cause_code: cause.code,
        cause: cause.text,
        action: if cause.action.is_empty() { explain } else { format!("{}; then: {explain}", cause.action) },
        evidence,
    }
}

fn summary(scene: &Scene<'_>, parties: &Parties<'_>, proven: bool) -> String {
    let names = parties.claims.iter().map(|claim| claim.name().to_string());
    let rivals = parties.heard.iter().chain(&parties.answering).map(named);
    if proven {
        let mut all: Vec<String> = names.chain(rivals).collect();
        all.dedup();
        let verb = if all.len() == 2 { "both hold" } else { "all hold" };
        return format!("{} {verb} {}", list(all), scene.title());
    }
    let verb = if parties.claims.len() > 1 { "hold" } else { "holds" };
    let holders = list(names);
    let silent: Vec<String> = parties.stale.iter().map(|member| member.name().to_string()).collect();
    if !silent.is_empty() {
        return format!(
            "{holders} {verb} {}; {} held it last and is not heard any more",
            scene.title(),
            list(silent)
        );
    }
    let rivals: Vec<String> = rivals.collect();
    if !rivals.is_empty() {
        return format!("{holders} {verb} {}, and so may {}", scene.title(), list(rivals));
    }
    format!(
        "{holders} both say that they hold {}, but not all of them said so again when asked",
        scene.title()
    )
}

/// The cause by the design's table, for two fresh claimants.
fn between(
    scene: &Scene<'_>,
    contest: &Contest,
    a: &Member<'_>,
    b: &Member<'_>,
    evidence: &mut Vec<Evidence>,
) -> Cause {
    let (at_a, at_b) = (hearing(a, b), hearing(b, a));
    evidence.extend([heard_as(scene, a, b, at_a), heard_as(scene, b, a, at_b)]);
    let arp = [(a, b), (b, a)].map(|(asker, target)| arp_between(contest, asker, target, evidence));
    let reached = if arp.contains(&Some(true)) { Some(true) } else { arp.iter().flatten().next().copied() };
    let (na, nb) = (a.name(), b.name());
    let (ra, rb) = (a.report(), b.report());

    if ra.vrid != rb.vrid {
        return Cause {
            code: CauseCode::VridMismatch,
            text: format!(
                "the VRIDs differ: {} on {na}{}, {} on {nb}{}; routers with different VRIDs do not see each other",
                ra.vrid,
                in_brackets(&ra.defined_at),
                rb.vrid,
                in_brackets(&rb.defined_at)
            ),
            action: format!("make the VRID of {} the same on {na} and {nb}", scene.key.address),
        };
    }
    for (listener, speaker, heard) in [(a, b, at_a), (b, a, at_b)] {
        if let Hearing::Rejected(_, rejected) = heard {
            let (listener, speaker) = (listener.name(), speaker.name());
            return Cause {
                code: CauseCode::Rejected,
                text: format!(
                    "{listener} hears {speaker}'s adverts and rejects them: {}{}",
                    rejected.reason,
                    in_brackets(&rejected.detail)
                ),
                action: format!(
                    "make the VRRP settings of {listener} and {speaker} agree ({})",
                    rejected.reason
                ),
            };
        }
    }
    if let Some(cause) = carrier(scene, &[a, b]) {
        return cause;
    }
    match (at_a, at_b) {
        (Hearing::Nothing, Hearing::Nothing) => neither_hears(scene, a, b, reached),
        (Hearing::Accepted(_), Hearing::Nothing) => one_way(scene, a, b),
        (Hearing::Nothing, Hearing::Accepted(_)) => one_way(scene, b, a),
        (Hearing::Accepted(_) | Hearing::Rejected(..), Hearing::Accepted(_) | Hearing::Rejected(..))
        | (Hearing::Rejected(..), Hearing::Nothing)
        | (Hearing::Nothing, Hearing::Rejected(..)) => {
            unknown(format!("{na} and {nb} hear each other's adverts and yet neither yields"))
        }
    }
}

fn neither_hears(scene: &Scene<'_>, a: &Member<'_>, b: &Member<'_>, reached: Option<bool>) -> Cause {
    let (na, nb) = (a.name(), b.name());
    let deaf = format!("neither {na} nor {nb} hears the other's adverts");
    match reached {
        Some(true) => Cause {
            code: CauseCode::VrrpFiltered,
            text: format!(
                "something filters VRRP: {deaf}, though both have carrier and ARP between them is answered. VRRP is IP \
                 protocol 112 to {}: look at the host firewalls (`{}` allows it, or `{}`), at switch ACLs and at \
                 multicast snooping",
                group(scene),
                nft(scene),
                iptables(scene)
            ),
            action: format!("on {na} and {nb}: {} (or: {})", nft(scene), iptables(scene)),
        },
        Some(false) => Cause {
            code: CauseCode::LinkCut,
            text: format!(
                "the line between them is cut: {deaf}, and ARP between them is not answered either, though both have \
                 carrier; the way between {} on {na} and {} on {nb} is broken (switch, VLAN, cable)",
                a.report().interface,
                b.report().interface
            ),
            action: format!("check the switch ports and the VLAN of {na} and {nb}"),
        },
        None => unknown(format!(
            "{deaf}; whether ARP between them is answered is not known, so a filter cannot be told from a cut line"
        )),
    }
}

fn one_way(scene: &Scene<'_>, hears: &Member<'_>, deaf: &Member<'_>) -> Cause {
    let (hears, deaf) = (hears.name(), deaf.name());
    Cause {
        code: CauseCode::OneWay,
        text: format!(
            "one way only: {hears} hears {deaf}'s adverts, but {deaf} hears nothing from {hears}: a firewall on {deaf} \
             drops them (IP protocol 112), or the network carries them in one direction only"
        ),
        action: format!("on {deaf}: {} (or: {})", nft(scene), iptables(scene)),
    }
}

fn carrier(scene: &Scene<'_>, claimants: &[&Member<'_>]) -> Option<Cause> {
    let bad = claimants.iter().find_map(|member| {
        let what = if !member.report().carrier {
            "has no carrier"
        } else if member.instance.errors_rose_at.is_some_and(|at| scene.now.since(at) < ERRORS_SPEAK) {
            "counts more and more packet errors"
        } else {
            return None;
        };
        Some((member, what))
    });
    let (member, what) = bad?;
    let (name, interface) = (member.name(), &member.report().interface);
    Some(Cause {
        code: CauseCode::Carrier,
        text: format!("{interface} on {name} {what}: NIC, driver or cable"),
        action: format!("on {name}: ip -s link show {interface}"),
    })
}

/// Errors that rose within this are rising.
const ERRORS_SPEAK: core::time::Duration = core::time::Duration::from_secs(10);

/// The cause when another is seen beside the claimants.
fn of_rival(
    scene: &Scene<'_>,
    parties: &Parties<'_>,
    sighting: &Sighting,
    evidence: &mut Vec<Evidence>,
) -> Cause {
    let who = named(sighting);
    let kind = match sighting.who {
        Who::Source(_) => "witness_advert",
        Who::Mac(_) => "witness_arp",
    };
    evidence.extend(sighting.witnesses.iter().map(|(node, at)| {
        let seen = match &sighting.who {
            Who::Source(_) => "hears adverts from",
            Who::Mac(_) => "gets ARP answers from",
        };
        let facts = [("rival", who.clone()), ("address", scene.key.address.to_string())];
        fact(kind, Some(node), *at, format!("{node} {seen} {who} for {}", scene.key.address), facts)
    }));
    let owner = sighting.owner.as_ref().and_then(|key| scene.members.iter().find(|member| member.key == key));
    match (&sighting.who, owner) {
        (Who::Mac(mac), None) => Cause {
            code: CauseCode::ForeignHost,
            text: format!(
                "{mac}, the MAC of no member, answers ARP for {}: another host has the address",
                scene.key.address
            ),
            action: format!(
                "find {mac} in the switch's MAC table and take {} off that host",
                scene.key.address
            ),
        },
        (Who::Mac(mac), Some(member)) if !member.fresh && !member.was_master() => unheard(scene, member, mac),
        (Who::Mac(mac), Some(member)) => stalled(scene, member, mac),
        (Who::Source(source), None) => {
            let rejected = parties.claims.iter().find_map(|claim| match claim.hears(*source) {
                Hearing::Rejected(_, rejected) => Some(format!(
                    "{} rejects the adverts of {source}, which is no known member: {}{}",
                    claim.name(),
                    rejected.reason,
                    in_brackets(&rejected.detail)
                )),
                Hearing::Nothing | Hearing::Accepted(_) => None,
            });
            match rejected {
                Some(text) => Cause {
                    code: CauseCode::Rejected,
                    text,
                    action: format!("make the VRRP settings of {source} agree, or stop VRRP there"),
                },
                None => Cause {
                    code: CauseCode::ForeignHost,
                    text: format!(
                        "{source}, the address of no known member, advertises {}",
                        scene.key.address
                    ),
                    action: format!("find out who {source} is; if it is a member, run ha-agent there"),
                },
            }
        }
        (Who::Source(source), Some(member)) => Cause {
            code: if member.fresh { CauseCode::Unknown } else { CauseCode::NodeUnreachable },
            text: format!(
                "{} ({source}) still advertises {}, though the coordinator {}",
                member.name(),
                scene.key.address,
                if member.fresh {
                    "is told otherwise by it"
                } else {
                    "does not hear it: its management line is down"
                }
            ),
            action: format!("on {}: ha-agent status", member.name()),
        },
    }
}

/// The cause when a claimant fell silent.
fn of_silence(
    scene: &Scene<'_>,
    parties: &Parties<'_>,
    contest: &Contest,
    member: &Member<'_>,
    evidence: &mut Vec<Evidence>,
) -> Cause {
    let name = member.name();
    let reached: Vec<bool> =
        parties.claims.iter().filter_map(|claim| arp_between(contest, claim, member, evidence)).collect();
    let state =
        if member.node.connected { "is connected but says nothing: it hangs" } else { "is not connected" };
    let text = match reached.iter().any(|reached| *reached) {
        true => format!(
            "the agent on {name} {state}, its host answers ARP, and whether its kernel still has {} is not known",
            scene.key.address
        ),
        false if reached.is_empty() => {
            format!("the agent on {name} {state}; its host could not be asked by ARP")
        }
        false => format!(
            "the agent on {name} {state}, and its host does not answer ARP either: it is down (then there is no split \
             brain), or cut off and still holding {}",
            scene.key.address
        ),
    };
    let stalled = reached.contains(&true) || member.node.connected;
    Cause {
        code: if stalled { CauseCode::AgentStalled } else { CauseCode::NodeUnreachable },
        text,
        action: format!("look at {name} by its console: ip addr show {}", member.report().interface),
    }
}

fn stalled(scene: &Scene<'_>, member: &Member<'_>, mac: &str) -> Cause {
    let (name, address) = (member.name(), scene.key.address);
    Cause {
        code: CauseCode::AgentStalled,
        text: format!(
            "the kernel of {name} ({mac}) still answers ARP for {address}, though its agent does not hold it: \
                       the agent is dead or frozen"
        ),
        action: format!("on {name}: ha-agent release"),
    }
}

/// One that has become MASTER after it was last heard.
fn unheard(scene: &Scene<'_>, member: &Member<'_>, mac: &str) -> Cause {
    let (name, address) = (member.name(), scene.key.address);
    Cause {
        code: CauseCode::NodeUnreachable,
        text: format!(
            "{name} ({mac}) answers ARP for {address}, which it did not hold when it was last heard: it has become \
             MASTER since, behind a management line that is down, and nobody hears its adverts"
        ),
        action: format!("on {name}, by its console: ha-agent status"),
    }
}

fn unknown(text: String) -> Cause {
    Cause { code: CauseCode::Unknown, text, action: String::new() }
}

fn asserts(scene: &Scene<'_>, claim: &Member<'_>, contest: &Contest) -> Evidence {
    let report = claim.report();
    let asked_at = contest.reasserted.get(claim.key).copied();
    let at = asked_at.into_iter().chain(claim.node.heard_at).max().unwrap_or(scene.now);
    let again = if asked_at.is_some() { "said so again when asked" } else { "has not been asked yet" };
    let present = if claim.has(scene.key.address) {
        "its kernel has the address"
    } else {
        "its kernel lacks the address"
    };
    let summary = format!(
        "{} has been MASTER for {} ({}{}), {again}; {present}",
        claim.name(),
        span(scene.now.since(claim.instance.entered)),
        report.reason,
        in_brackets(&report.reason_detail)
    );
    let facts = [
        ("state", report.state.shown().to_string()),
        ("in_state_ms", scene.now.since(claim.instance.entered).as_millis().to_string()),
        ("heard_age_ms", scene.age(claim).unwrap_or_default().as_millis().to_string()),
        ("reasserted", asked_at.is_some().to_string()),
        ("reason", report.reason.clone()),
        ("interface", report.interface.clone()),
        ("vrid", report.vrid.to_string()),
        ("priority", report.priority.to_string()),
        ("effective_priority", report.effective_priority.to_string()),
        ("source", report.source.map(|source| source.to_string()).unwrap_or_default()),
        ("carrier", report.carrier.to_string()),
        ("interface_errors", report.interface_errors.to_string()),
        ("address_present", claim.has(scene.key.address).to_string()),
    ];
    fact("asserts_master", Some(claim.name()), at, summary, facts)
}

fn silent(scene: &Scene<'_>, member: &Member<'_>) -> Evidence {
    let at = member.node.heard_at.unwrap_or(scene.now);
    let heard = match scene.age(member) {
        Some(age) => format!("was last heard {} ago", span(age)),
        None => "has not been heard since the coordinator's start".to_string(),
    };
    let facts = [
        ("last_state", "MASTER".to_string()),
        ("connected", member.node.connected.to_string()),
        ("heard_age_ms", scene.age(member).map(|age| age.as_millis().to_string()).unwrap_or_default()),
    ];
    fact("stale_master", Some(member.name()), at, format!("{} was MASTER and {heard}", member.name()), facts)
}

fn hearing<'a>(listener: &Member<'a>, speaker: &Member<'_>) -> Hearing<'a> {
    speaker.report().source.map_or(Hearing::Nothing, |source| listener.hears(source))
}

fn heard_as(
    scene: &Scene<'_>,
    listener: &Member<'_>,
    speaker: &Member<'_>,
    hearing: Hearing<'_>,
) -> Evidence {
    let (from, to) = (speaker.name(), listener.name());
    let at = listener.node.heard_at.unwrap_or(scene.now);
    let source = speaker.report().source.map(|source| source.to_string()).unwrap_or_default();
    let with = |kind, summary: String, age: String, reason: String, detail: String| {
        let facts = [
            ("from", from.to_string()),
            ("source", source.clone()),
            ("interface", listener.report().interface.clone()),
            ("age_ms", age),
            ("reason", reason),
            ("detail", detail),
        ];
        fact(kind, Some(to), at, summary, facts)
    };
    let none = String::new;
    match hearing {
        Hearing::Nothing => with(
            "hears_nobody",
            format!("{to} hears no adverts from {from} ({source})"),
            none(),
            none(),
            none(),
        ),
        Hearing::Accepted(heard) => {
            let summary = format!("{to} hears {from} ({source}), last {} before its report", span(heard.age));
            with("hears", summary, heard.age.as_millis().to_string(), none(), none())
        }
        Hearing::Rejected(heard, rejected) => {
            let detail = in_brackets(&rejected.detail);
            let summary =
                format!("{to} rejects the adverts of {from} ({source}): {}{detail}", rejected.reason);
            with(
                "rejects",
                summary,
                heard.age.as_millis().to_string(),
                rejected.reason.clone(),
                rejected.detail.clone(),
            )
        }
    }
}

/// Whether the target's own address answered the asker; `None` when it was not asked.
fn arp_between(
    contest: &Contest,
    asker: &Member<'_>,
    target: &Member<'_>,
    evidence: &mut Vec<Evidence>,
) -> Option<bool> {
    let source = target.report().source?;
    let round = contest.arp.get(asker.name())?;
    let macs = round.macs(source, &asker.report().interface)?;
    let (from, to) = (asker.name(), target.name());
    let (kind, summary) = if macs.is_empty() {
        ("arp_unanswered", format!("{to} ({source}) does not answer {from}'s ARP request"))
    } else {
        ("arp_answered", format!("{to} ({source}) answers {from}'s ARP request"))
    };
    let facts = [("target", source.to_string()), ("of", to.to_string()), ("macs", macs.join(" "))];
    evidence.push(fact(kind, Some(from), round.asked_at, summary, facts));
    Some(!macs.is_empty())
}

fn named(sighting: &Sighting) -> String {
    match (&sighting.owner, &sighting.who) {
        (Some(key), _) => key.node.to_string(),
        (None, Who::Source(source)) => source.to_string(),
        (None, Who::Mac(mac)) => mac.clone(),
    }
}

/// Every two claimants.
pub(crate) fn pairs<'a, 'b>(
    claims: &'a [Member<'b>],
) -> impl Iterator<Item = (&'a Member<'b>, &'a Member<'b>)> {
    claims.iter().enumerate().flat_map(|(index, a)| claims.iter().skip(index + 1).map(move |b| (a, b)))
}

fn group(scene: &Scene<'_>) -> &'static str {
    if scene.key.address.is_ipv4() { "224.0.0.18" } else { "ff02::12" }
}

fn nft(scene: &Scene<'_>) -> &'static str {
    if scene.key.address.is_ipv4() {
        "nft insert rule inet filter input ip protocol 112 accept"
    } else {
        "nft insert rule inet filter input ip6 nexthdr 112 accept"
    }
}

fn iptables(scene: &Scene<'_>) -> &'static str {
    if scene.key.address.is_ipv4() {
        "iptables -I INPUT -p 112 -j ACCEPT"
    } else {
        "ip6tables -I INPUT -p 112 -j ACCEPT"
    }
}
