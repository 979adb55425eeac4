//! One group with everything its judges look at.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::{cell::Cell, net::IpAddr, time::Duration};

use crate::{
    fleet::Windows,
    index::{Index, MemberKey, Shape},
    input::{ArpAnswer, Heard, InstanceReport, Rejected},
    ledger::Subject,
    model::{GroupKey, NodeName, VrrpState},
    node::{Instance, LastKnown, Node},
    time::Instant,
};

/// An advert speaks for its sender for so many of its intervals.
pub(crate) const INTERVALS: u32 = 3;

/// What is remembered of a group between judgements.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) contest: Option<Contest>,
    /// While a member is not heard from and there is no contest.
    pub(crate) vigil: Option<Vigil>,
    /// Since when a silent member's host is seen to answer for the address.
    pub(crate) sighted: BTreeMap<MemberKey, Instant>,
    pub(crate) rivals: BTreeMap<IpAddr, Rival>,
    /// Stale claimants that ARP has cleared, with when they were last heard: valid while that is so.
    pub(crate) cleared: BTreeMap<MemberKey, Option<Instant>>,
    /// Since when all members are fresh and none is MASTER.
    pub(crate) nobody_since: Option<Instant>,
    /// Somebody has been MASTER of it.
    pub(crate) was_held: bool,
    /// Since when each member's kernel has an address that it should not have.
    pub(crate) orphans: BTreeMap<MemberKey, Instant>,
    /// Since when the members' configs disagree.
    pub(crate) differ_since: Option<Instant>,
    /// Since when members reject each other's adverts.
    pub(crate) rejected_since: Option<Instant>,
    /// Since when strangers use the VRID.
    pub(crate) conflict_since: Option<Instant>,
    pub(crate) last_transient: Option<Instant>,
    pub(crate) transients_left_out: u64,
    /// The last time people handed it over.
    pub(crate) handover: Option<Handover>,
}

/// While people hand a group over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Handover {
    /// Something that began then belongs to it.
    pub(crate) fn covers(&self, began: Instant) -> bool {
        self.from <= began && began <= self.until
    }
}

/// More than one may hold the address: the questions asked and the answers.
#[derive(Debug)]
pub(crate) struct Contest {
    /// When the overlap began, by the claims themselves.
    pub(crate) began: Instant,
    /// Since when two fresh members have asserted MASTER at once, whatever interrupted them.
    pub(crate) both_fresh_since: Option<Instant>,
    /// The reason of the newest fresh claim.
    pub(crate) newest_reason: String,
    /// The larger advertisement interval.
    pub(crate) interval: Duration,
    /// Who asserted MASTER in an answer to a probe, and when the last such probe was sent.
    pub(crate) reasserted: BTreeMap<MemberKey, Instant>,
    /// Each node's last ARP answers.
    pub(crate) arp: BTreeMap<NodeName, ArpRound>,
    pub(crate) last_sent: Option<Instant>,
    /// Rounds sent after the window.
    pub(crate) rounds: u32,
    /// Since when probes could not be sent to a node, until it answers one.
    pub(crate) unsent_since: BTreeMap<NodeName, Instant>,
    /// A split brain of this contest has fired.
    pub(crate) fired: bool,
}

/// Somebody is not heard from: the questions asked about the host, and the answers.
#[derive(Debug, Default)]
pub(crate) struct Vigil {
    /// Each node's last ARP answers.
    pub(crate) arp: BTreeMap<NodeName, ArpRound>,
    pub(crate) last_sent: Option<Instant>,
    /// Rounds sent.
    pub(crate) rounds: u32,
}

/// What one node's ARP requests gave.
#[derive(Debug)]
pub(crate) struct ArpRound {
    /// When the probe was sent: the answers are not older.
    pub(crate) asked_at: Instant,
    pub(crate) answers: Arc<[ArpAnswer]>,
}

/// A source that advertises the address beside a fresh MASTER.
#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) witnesses: BTreeMap<MemberKey, Witness>,
}

/// What one member heard of a rival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    pub(crate) first_count: u64,
    pub(crate) count: u64,
}

/// A group as its judges see it.
pub(crate) struct Scene<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) key: &'a GroupKey,
    pub(crate) shape: &'a Shape,
    /// By node, then instance.
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) nodes: &'a BTreeMap<NodeName, Node>,
    pub(crate) index: &'a Index,
    pub(crate) windows: &'a Windows,
    /// The coordinator has only just started.
    pub(crate) in_grace: bool,
    pub(crate) now: Instant,
    /// Members and heard lines looked at: the measure of work.
    pub(crate) visits: Cell<u64>,
}

/// One member of a group.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) key: &'a MemberKey,
    pub(crate) node: &'a Node,
    pub(crate) instance: &'a Instance,
    pub(crate) fresh: bool,
}

/// What one member hears of another's address.
#[derive(Clone, Copy)]
pub(crate) enum Hearing<'a> {
    Nothing,
    Accepted(&'a Heard),
    Rejected(&'a Heard, &'a Rejected),
}

impl<'a> Scene<'a> {
    /// Who asserts MASTER now: one for each node, for two instances of one host are no two hosts.
    pub(crate) fn claims(&self) -> Vec<Member<'a>> {
        let mut claims: Vec<_> = self.members.iter().filter(|member| member.is_master()).copied().collect();
        claims.dedup_by(|a, b| a.key.node == b.key.node);
        claims
    }

    /// People have put every member into maintenance.
    pub(crate) fn in_maintenance(&self) -> bool {
        !self.members.is_empty() && self.members.iter().all(|member| member.node.maintenance)
    }

    /// A configuration is on its way to members: they may run different ones, and what is new need not be held yet.
    pub(crate) fn mid_commit(&self) -> bool {
        self.members.iter().any(|member| member.node.committing)
    }

    pub(crate) fn all_fresh(&self) -> bool {
        self.members.iter().all(|member| member.fresh)
    }

    pub(crate) fn visit(&self) {
        self.visits.set(self.visits.get() + 1);
    }

    /// Everybody has been heard in this life of the coordinator, or its grace is over.
    pub(crate) fn may_resolve(&self) -> bool {
        !self.in_grace || self.members.iter().all(|member| member.node.heard_at.is_some())
    }

    pub(crate) fn stale_for(&self, member: &Member<'_>) -> Option<Duration> {
        member.node.stale_since(self.now, self.windows.fresh).map(|since| self.now.since(since))
    }

    /// How old what this member said is.
    pub(crate) fn age(&self, member: &Member<'_>) -> Option<Duration> {
        member.node.heard_at.map(|at| self.now.since(at))
    }

    /// The name that the members agree on, else the address.
    pub(crate) fn name(&self) -> String {
        let mut names = self.members.iter().map(|member| &member.report().instance);
        match names.next() {
            Some(first) if names.all(|name| name == first) => first.clone(),
            Some(_) | None => alloc::format!("{}", self.key.address),
        }
    }

    /// `192.168.178.3 (VI_1)`, or with how many addresses move with it.
    pub(crate) fn title(&self) -> String {
        let name = self.name();
        let more = self.shape.addresses.len().saturating_sub(1);
        match more {
            0 => alloc::format!("{} ({name})", self.key.address),
            1 => alloc::format!("{} ({name}, and 1 more address)", self.key.address),
            _ => alloc::format!("{} ({name}, and {more} more addresses)", self.key.address),
        }
    }
}

impl<'a> Member<'a> {
    pub(crate) fn name(&self) -> &'a NodeName {
        &self.key.node
    }

    pub(crate) fn report(&self) -> &'a InstanceReport {
        &self.instance.report
    }

    /// Asserts MASTER, now.
    pub(crate) fn is_master(&self) -> bool {
        self.fresh && self.report().state == VrrpState::Master
    }

    /// Not heard any more, and MASTER was the last that was known of it.
    pub(crate) fn was_master(&self) -> bool {
        !self.fresh && self.last_known().state == VrrpState::Master
    }

    pub(crate) fn last_known(&self) -> LastKnown<'a> {
        self.node.last_known(&self.key.instance, self.instance)
    }

    /// Since when its present claim counts: it may have said so for longer, but there was a gap.
    pub(crate) fn steady(&self) -> Instant {
        self.instance.entered.max(self.node.steady_since)
    }

    /// Its advertisement interval; what cannot be is taken for the default.
    pub(crate) fn interval(&self) -> Duration {
        if self.report().interval.is_zero() { Duration::from_secs(1) } else { self.report().interval }
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.report().addresses_present.contains(&address)
    }

    /// What it hears of that source on its service interface for its VRID, within three intervals.
    pub(crate) fn hears(&self, source: IpAddr) -> Hearing<'a> {
        let report = self.report();
        let line = self
            .node
            .heard_with(report.vrid)
            .filter(|heard| heard.source == source && heard.interface == report.interface)
            .min_by_key(|heard| heard.age);
        let Some(heard) = line else { return Hearing::Nothing };
        let window = self.interval().max(heard.interval) * INTERVALS;
        let rejected = heard
            .rejected
            .iter()
            .filter(|rejected| rejected.age <= window)
            .min_by_key(|rejected| rejected.age);
        match rejected {
            Some(rejected) => Hearing::Rejected(heard, rejected),
            None if heard.age <= window && heard.accepted > 0 => Hearing::Accepted(heard),
            None => Hearing::Nothing,
        }
    }
}

impl ArpRound {
    /// Who answered for an address on an interface; `None` when it was not asked or could not be.
    pub(crate) fn macs(&self, target: IpAddr, interface: &str) -> Option<&[String]> {
        let asked = self.answers.iter().find(|answer| {
            answer.target == target && answer.interface == interface && answer.error.is_empty()
        });
        asked.map(|answer| answer.macs.as_slice())
    }
}
