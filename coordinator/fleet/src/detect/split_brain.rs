//! Two hosts, one address.
//!
//! What is looked at is who *asserts* MASTER now (fresh snapshots only), who did so before it fell silent, and who is
//! seen by others ([`super::rivals`], and [`super::vigil`] for members that are silent). While more than one of them
//! could hold the address there is a [`Contest`]: all members are asked again early in it, at the end of the window, and
//! from then on with growing pauses of up to [`PAUSE`].
//!
//! - **confirmed**: two fresh claims overlapped for longer than max(`windows.split_brain`, 2 intervals), counted from when
//!   both were heard without a gap, and both asserted MASTER again in an answer to a probe that was sent after that. Or:
//!   one did, and two witnesses saw another source advertise for longer than that, or another MAC answer.
//! - **suspected**: a fresh MASTER and a stale one; one witness only; two claims of which one did not answer. It fires
//!   when a round of probes after the window has brought no clarity.
//! - **transient**: an overlap of fresh claims that ended before it was confirmed, unless it was shorter than one
//!   interval (two after a preemption), which every election may show, or part of a handover by people.
//!
//! A confirmed split brain whose claimant falls silent is no longer proven, and not over either: after that claimant has
//! been stale for `windows.fresh`, the confirmed finding ends with a note and a suspected one goes on, critical at once,
//! with the same `since`.

use alloc::{collections::BTreeMap, format, string::ToString, vec::Vec};
use core::time::Duration;

use crate::{
    cause,
    effect::{CauseCode, FindingKind, Severity},
    ledger::{Judgement, Ledger, Report},
    model::NodeName,
    scene::{ArpRound, Contest, Member, Scene, Story},
    time::Instant,
    words,
};

use super::{
    fact,
    rivals::{self, Sighting},
    sooner, vigil,
};

/// The longest pause between two probes of one contest.
const PAUSE: Duration = Duration::from_secs(10);
/// A round that cannot be sent is tried again for so long before it counts as one without answers.
const UNSENT: Duration = Duration::from_secs(1);
/// Overlaps this short can be made by the ways of two snapshots alone.
const JITTER: Duration = Duration::from_millis(500);
/// At most one transient per group is written in this time; the next says how many were left out.
const TRANSIENTS: Duration = Duration::from_secs(60);

/// When to look again, and whether the members are to be asked now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) wake: Option<Instant>,
    pub(crate) ask: bool,
}

/// Everybody who may hold the address.
pub(crate) struct Parties<'a> {
    pub(crate) claims: Vec<Member<'a>>,
    pub(crate) stale: Vec<Member<'a>>,
    pub(crate) heard: Vec<Sighting>,
    /// Silent members whose hosts answer ARP for the address.
    pub(crate) sighted: Vec<Sighting>,
    pub(crate) answering: Vec<Sighting>,
}

pub(crate) fn judge(scene: &Scene<'_>, story: &mut Story, ledger: &mut Ledger) -> Next {
    let claims = scene.claims();
    let rivals_wake = rivals::update(scene, &claims, story);
    rivals::clear(scene, story);
    let stale: Vec<Member<'_>> =
        scene.members.iter().filter(|member| is_suspect(scene, story, member)).copied().collect();
    let interval = claims.iter().chain(&stale).map(Member::interval).max().unwrap_or_default();
    let window = scene.windows.split_brain.max(interval * 2);
    let heard = claims.first().map(|holder| rivals::heard(scene, holder, window, story)).unwrap_or_default();
    let sighted = vigil::sighted(scene, &claims, story);
    let mut parties = Parties { claims, stale, heard, sighted, answering: Vec::new() };

    let Some((start, began)) = parties.overlap() else {
        end_contest(scene, story, ledger);
        let wake = judge_uncontested(scene, &parties, ledger);
        let next = vigil::next(scene, &parties.claims, story);
        let ask = next.is_some_and(|at| at <= scene.now);
        return Next { wake: sooner(sooner(wake, rivals_wake), next), ask };
    };
    let seen = story.vigil.take().map(|vigil| vigil.arp).unwrap_or_default();
    let contest = story.contest.get_or_insert_with(|| Contest::new(began, seen));
    contest.update(&parties, start, began, interval);
    parties.answering = rivals::answering(scene, &parties.claims, &contest.arp, start + window);

    let verdict = judge_contest(scene, &parties, contest, start, window, ledger);
    let Some(contest) = story.contest.as_mut() else { return Next { wake: verdict, ask: false } };
    let proven = ledger.firing(scene.subject, FindingKind::SplitBrainConfirmed).is_some();
    // Two claims that are not proven yet are asked again soon; what is known, or cannot be, is only kept fresh.
    let settled = proven || (contest.fired && parties.claims.len() < 2);
    let next_probe = contest.next_probe(scene, start, window, settled);
    Next { wake: sooner(sooner(verdict, rivals_wake), Some(next_probe)), ask: next_probe <= scene.now }
}

/// A stale node whose last word was MASTER. One that was never heard since the coordinator's start counts after the
/// grace only.
fn is_suspect(scene: &Scene<'_>, story: &Story, member: &Member<'_>) -> bool {
    let known = member.node.heard_at.is_some() || !scene.in_grace;
    member.was_master() && known && !story.cleared.contains_key(member.key)
}

impl Parties<'_> {
    /// From when the overlap counts, and from when it was by the claims themselves; `None` when there is none.
    fn overlap(&self) -> Option<(Instant, Instant)> {
        let second = |times: &mut Vec<Instant>| {
            times.sort_unstable();
            times.get(1).copied()
        };
        if self.claims.len() >= 2 {
            let mut steady = self.claims.iter().map(Member::steady).collect();
            let mut entered = self.claims.iter().map(|claim| claim.instance.entered).collect();
            return second(&mut steady).zip(second(&mut entered));
        }
        let holder = self.claims.first()?;
        let stale = self.stale.iter().map(|member| member.last_known().since);
        let seen = self.heard.iter().chain(&self.sighted).map(|sighting| sighting.since);
        let other = stale.chain(seen).min()?;
        Some((other.max(holder.steady()), other.max(holder.instance.entered)))
    }

    /// A rival that this many witnesses saw lately.
    fn seen_by(&self, witnesses: usize) -> bool {
        self.heard.iter().chain(&self.answering).any(|sighting| sighting.witnesses.len() >= witnesses)
    }
}

impl Parties<'_> {
    /// A rival that two witnesses see now: by adverts, or by ARP answers to the last probe.
    fn seen_now(&self, contest: &Contest, scene: &Scene<'_>) -> bool {
        let from = contest.last_sent.unwrap_or(scene.now).max(scene.now - scene.windows.fresh);
        let answering = self
            .answering
            .iter()
            .map(|sighting| sighting.witnesses.iter().filter(|(_, at)| *at >= from).count());
        let heard = self.heard.iter().map(|sighting| sighting.witnesses.len());
        heard.chain(answering).any(|witnesses| witnesses >= 2)
    }
}

impl Contest {
    fn new(began: Instant, arp: BTreeMap<NodeName, ArpRound>) -> Self {
        Self {
            began,
            both_fresh_since: None,
            newest_reason: Default::default(),
            interval: Duration::ZERO,
            reasserted: Default::default(),
            arp,
            last_sent: None,
            rounds: 0,
            unsent_since: Default::default(),
            fired: false,
        }
    }

    fn update(&mut self, parties: &Parties<'_>, start: Instant, began: Instant, interval: Duration) {
        if parties.claims.len() >= 2 {
            self.both_fresh_since.get_or_insert(start);
            self.began = began;
            let newest = parties.claims.iter().max_by_key(|claim| claim.instance.entered);
            self.newest_reason = newest.map(|claim| claim.report().reason.clone()).unwrap_or_default();
        }
        self.interval = interval;
    }

    /// Early in the overlap, so that a frozen claimant is noticed; when the window is over; then with growing pauses.
    fn next_probe(&mut self, scene: &Scene<'_>, start: Instant, window: Duration, settled: bool) -> Instant {
        let early = start + self.interval.min(window.saturating_sub(scene.windows.probe));
        let due = start + window;
        match self.last_sent {
            None if scene.now < due => early,
            Some(sent) if sent < early && scene.now < due => early,
            None => due,
            Some(sent) if sent < due => {
                self.rounds = 0;
                due
            }
            Some(sent) if settled => sent + PAUSE,
            Some(sent) => sent + PAUSE.min(Duration::from_secs(1 << self.rounds.min(4).saturating_sub(1))),
        }
    }

    /// A whole round was sent at or after `from`, and its time is over.
    fn round_over(&self, from: Instant, scene: &Scene<'_>) -> Option<Instant> {
        self.last_sent.filter(|sent| *sent >= from).map(|sent| sent + scene.windows.probe)
    }

    /// A probe goes out now.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.rounds = self.rounds.saturating_add(1);
    }

    /// The probe of `sent_at` did not go out to this node. The round does not count, unless this has gone on for so long
    /// that people must hear of the suspicion.
    pub(crate) fn not_asked(&mut self, name: &NodeName, sent_at: Instant, now: Instant) {
        let since = *self.unsent_since.entry(name.clone()).or_insert(now);
        if self.last_sent == Some(sent_at) && now.since(since) < UNSENT {
            self.last_sent = None;
            self.rounds = self.rounds.saturating_sub(1);
        }
    }
}

fn judge_contest(
    scene: &Scene<'_>,
    parties: &Parties<'_>,
    contest: &mut Contest,
    start: Instant,
    window: Duration,
    ledger: &mut Ledger,
) -> Option<Instant> {
    let (now, subject, after) = (scene.now, scene.subject, start + window);
    let answered =
        |claim: &Member<'_>, from: Instant| contest.reasserted.get(claim.key).is_some_and(|at| *at >= from);
    let both = |a: &Member<'_>, b: &Member<'_>| {
        let from = a.steady().max(b.steady()) + window;
        answered(a, from) && answered(b, from)
    };
    let two = cause::pairs(&parties.claims).any(|(a, b)| both(a, b));
    let witnessed = parties.claims.len() == 1 && parties.seen_now(contest, scene);
    let one = parties.claims.first().is_some_and(|claim| answered(claim, after));
    let proven = two || (one && witnessed);
    let was = ledger
        .firing(subject, FindingKind::SplitBrainConfirmed)
        .map(|finding| (finding.since, finding.id.clone()));
    let overlapping = parties.claims.len() >= 2;

    let holds = match &was {
        Some(_) => overlapping || parties.seen_by(2),
        None => proven,
    };
    if holds || (was.is_none() && overlapping) {
        let ready = holds.then_some(now);
        let judgement = Judgement::Present { since: contest.began, ready, severity: Severity::Critical };
        let report = || (scene.key.site.clone(), cause::report(scene, parties, contest, true));
        let kind = FindingKind::SplitBrainConfirmed;
        let wake = ledger.judge(subject, kind, judgement, scene.may_resolve(), now, report);
        if holds {
            contest.fired = true;
            let id = ledger.firing(subject, kind).map(|finding| finding.id.to_string()).unwrap_or_default();
            ledger.end(
                subject,
                FindingKind::SplitBrainSuspected,
                now,
                Some(&format!("proven by now, see {id}")),
            );
            return wake;
        }
    } else {
        // A claimant that fell silent may be back in a moment; after that the finding is no longer proven.
        let silence =
            parties.stale.iter().filter_map(|member| scene.stale_for(member)).min().unwrap_or_default();
        // If it is heard advertising meanwhile, its witnesses get the time to prove it.
        let patience = scene.windows.fresh * if parties.heard.is_empty() { 1 } else { 2 };
        let waits = was.is_some() && !parties.stale.is_empty() && silence < patience;
        let fades = parties.stale.is_empty() && !parties.seen_by(1);
        let judgement = if was.is_none() || fades { Judgement::Absent } else { Judgement::Unknown };
        let report = || (scene.key.site.clone(), cause::report(scene, parties, contest, true));
        let kind = FindingKind::SplitBrainConfirmed;
        let wake = ledger.judge(subject, kind, judgement, scene.may_resolve(), now, report);
        if was.is_some() && (waits || parties.stale.is_empty()) {
            return if waits { Some(now + (patience - silence)) } else { wake };
        }
    }
    // Two claims are suspect after the window even if one of them is interrupted again and again.
    let from = contest.both_fresh_since.filter(|_| overlapping).unwrap_or(start);
    let over = contest.round_over(from + window, scene);
    let weak = !parties.stale.is_empty() || parties.seen_by(1);
    suspect(
        scene,
        parties,
        contest,
        was.map(|(since, _)| since),
        over.filter(|_| weak || overlapping),
        weak,
        ledger,
    )
}

fn suspect(
    scene: &Scene<'_>,
    parties: &Parties<'_>,
    contest: &mut Contest,
    confirmed_since: Option<Instant>,
    over: Option<Instant>,
    weak: bool,
    ledger: &mut Ledger,
) -> Option<Instant> {
    let (now, subject, kind) = (scene.now, scene.subject, FindingKind::SplitBrainSuspected);
    let over_now = over.is_some_and(|over| over <= now);
    let firing = ledger.firing(subject, kind).map(|finding| finding.since);
    let since = firing.or(confirmed_since).unwrap_or(contest.began);
    let critical_at = since + scene.windows.suspected_critical;
    let severity =
        if confirmed_since.is_some() || now >= critical_at { Severity::Critical } else { Severity::Warning };
    let present = weak || over_now || firing.is_some();
    let judgement = if present {
        let ready = if confirmed_since.is_some() { Some(now) } else { over };
        Judgement::Present { since, ready, severity }
    } else {
        Judgement::Absent
    };
    let report = || (scene.key.site.clone(), cause::report(scene, parties, contest, false));
    let wake = ledger.judge(subject, kind, judgement, scene.may_resolve(), now, report);
    let Some(id) = ledger.firing(subject, kind).map(|finding| finding.id.to_string()) else {
        return sooner(wake, over.filter(|over| *over > now));
    };
    contest.fired = true;
    if confirmed_since.is_some() {
        let because = format!("no longer proven, for a claimant is not heard any more: see {id}");
        ledger.end(subject, FindingKind::SplitBrainConfirmed, now, Some(&because));
    }
    sooner(wake, Some(critical_at).filter(|at| *at > now))
}

/// At most one fresh claim, and nobody else to suspect beside it.
fn judge_uncontested(scene: &Scene<'_>, parties: &Parties<'_>, ledger: &mut Ledger) -> Option<Instant> {
    // Nobody is heard, but two said MASTER last: nothing is known, so nothing is over.
    let dark = parties.claims.is_empty() && parties.stale.len() >= 2;
    let judgement = if dark { Judgement::Unknown } else { Judgement::Absent };
    let nothing = || {
        let report = Report {
            summary: Default::default(),
            cause_code: CauseCode::Unknown,
            cause: Default::default(),
            action: Default::default(),
            evidence: Vec::new(),
        };
        (scene.key.site.clone(), report)
    };
    let mut judge =
        |kind| ledger.judge(scene.subject, kind, judgement, scene.may_resolve(), scene.now, nothing);
    sooner(judge(FindingKind::SplitBrainConfirmed), judge(FindingKind::SplitBrainSuspected))
}

/// The contest is over by itself. An overlap that was never named is written down, if it was one.
fn end_contest(scene: &Scene<'_>, story: &mut Story, ledger: &mut Ledger) {
    let Some(contest) = story.contest.take() else { return };
    let left = scene.members.iter().filter(|member| member.fresh && !member.is_master());
    let end =
        left.filter_map(|member| member.instance.left_master).filter(|left| *left > contest.began).max();
    let Some(end) = end.filter(|_| contest.both_fresh_since.is_some() && !contest.fired) else { return };
    let lasted = end.since(contest.began);
    let adverts = if contest.newest_reason == "preempted" { 2 } else { 1 };
    let meant = story.handover.is_some_and(|handover| handover.covers(contest.began));
    if meant || lasted <= JITTER.max(contest.interval * adverts) {
        return;
    }
    if story.last_transient.is_some_and(|last| scene.now < last + TRANSIENTS) {
        story.transients_left_out = story.transients_left_out.saturating_add(1);
        return;
    }
    story.last_transient = Some(scene.now);
    let left_out = core::mem::take(&mut story.transients_left_out);
    let names = words::list(contest.reasserted_or(scene));
    let summary = format!(
        "{} was held by more than one host for {}; it ended by itself",
        scene.title(),
        words::span(lasted)
    );
    let evidence = [
        ("lasted_ms", lasted.as_millis().to_string()),
        ("newest_reason", contest.newest_reason.clone()),
        ("left_out_before", left_out.to_string()),
    ];
    let report = Report {
        evidence: [fact("overlap_ended", None, end, format!("members: {names}"), evidence)].into(),
        summary,
        cause_code: CauseCode::Unknown,
        cause: Default::default(),
        action: format!("hactl explain {}", scene.key.address),
    };
    let kind = FindingKind::SplitBrainTransient;
    ledger.note(scene.subject, kind, contest.began, end, (scene.key.site.clone(), report));
}

impl Contest {
    /// The names for a transient: members that are, or just were, MASTER.
    fn reasserted_or(&self, scene: &Scene<'_>) -> Vec<NodeName> {
        let took_part = |member: &&Member<'_>| {
            member.is_master() || member.instance.left_master.is_some_and(|left| left > self.began)
        };
        scene.members.iter().filter(took_part).map(|member| member.name().clone()).collect()
    }
}
