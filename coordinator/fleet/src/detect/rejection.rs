//! Adverts that a member hears and does not believe, and those of its VRID that nobody of the fleet should send: what
//! [`super::config`] and [`super::conflict`] judge by.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
};
use core::time::Duration;

use crate::{
    effect::{CauseCode, Evidence},
    index::MemberKey,
    input::{Heard, Rejected},
    model::{GroupKey, NodeName},
    scene::{INTERVALS, Member, Scene},
    time::Instant,
    words::{in_brackets, list, span},
};

/// A longer interval is not waited for.
const INTERVAL_MOST: Duration = Duration::from_secs(60);

/// A source that a member hears on its service interface for its own VRID, now.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) listener: &'a Member<'a>,
    pub(crate) heard: &'a Heard,
    pub(crate) sender: Sender<'a>,
    /// Its last packet that was rejected, if one was lately.
    pub(crate) rejected: Option<&'a Rejected>,
}

/// Who a source is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender<'a> {
    /// This instance sends for that VRID from that address.
    Instance(&'a MemberKey),
    /// The address is this node's, but it says that it runs no such VRID there.
    Node(&'a NodeName),
    /// Nobody in the inventory has that address.
    Stranger,
}

/// What fresh members hear for their VRID, as far as this group is the one to tell of it: that of the lowest address which
/// listener and sender have in common, or else of the listener's lowest.
pub(crate) fn lines<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = Line<'a>> {
    scene.members.iter().filter(|member| member.fresh).flat_map(move |listener| {
        let report = listener.report();
        let lines = listener.node.heard_with(report.vrid).filter(move |heard| {
            scene.visit();
            let same_family = report.source.is_none_or(|own| own.is_ipv4() == heard.source.is_ipv4());
            heard.interface == report.interface
                && same_family
                && Some(heard.source) != report.source
                && heard.age <= window(listener, heard)
        });
        lines.filter_map(move |heard| {
            let sender = sender(scene, listener, heard);
            let is_recent = |rejected: &&Rejected| rejected.age <= window(listener, heard);
            let rejected = heard.rejected.iter().filter(is_recent).min_by_key(|rejected| rejected.age);
            let concerns = rejected.is_some() || sender == Sender::Stranger;
            (concerns && tells(scene, listener, sender)).then_some(Line { listener, heard, sender, rejected })
        })
    })
}

impl<'a> Line<'a> {
    /// When the last packet came that this line is about.
    pub(crate) fn last(&self, scene: &Scene<'_>) -> Instant {
        let age = self.rejected.map_or(self.heard.age, |rejected| rejected.age);
        self.listener.node.heard_at.unwrap_or(scene.now) - age
    }

    /// `lb02 (10.0.0.2)`, or the address of a stranger.
    pub(crate) fn sender_name(&self) -> String {
        let source = self.heard.source;
        match self.sender {
            Sender::Instance(key) => format!("{} ({source})", key.node),
            Sender::Node(node) => format!("{node} ({source})"),
            Sender::Stranger => source.to_string(),
        }
    }

    /// `lb01 rejects the adverts of lb02 (10.0.0.2): auth_mismatch (…)`, or that it accepts them.
    pub(crate) fn says(&self) -> String {
        let (listener, sender) = (self.listener.name(), self.sender_name());
        match self.rejected {
            Some(rejected) => {
                let detail = in_brackets(&rejected.detail);
                let others = match self.heard.accepted {
                    0 => String::new(),
                    accepted => format!("; others from there, {accepted} so far, it accepted"),
                };
                format!("{listener} rejects the adverts of {sender}: {}{detail}{others}", rejected.reason)
            }
            None => format!("{listener} accepts the adverts of {sender}"),
        }
    }

    /// The fact, with the value heard and ours.
    pub(crate) fn evidence(&self, scene: &Scene<'_>) -> Evidence {
        let (report, heard) = (self.listener.report(), self.heard);
        let mut facts = BTreeMap::from([
            ("source", heard.source.to_string()),
            ("interface", report.interface.clone()),
            ("vrid", report.vrid.to_string()),
            ("priority", heard.priority.to_string()),
            ("accepted", heard.accepted.to_string()),
            ("age_ms", heard.age.as_millis().to_string()),
            ("defined_at", report.defined_at.clone()),
        ]);
        match self.sender {
            Sender::Instance(key) => {
                facts.insert("from", key.node.to_string());
                facts.insert("their_defined_at", their_place(scene, key));
            }
            Sender::Node(node) => {
                facts.insert("from", node.to_string());
            }
            Sender::Stranger => {}
        }
        let (kind, values) = match self.rejected {
            Some(rejected) => {
                facts.insert("reason", rejected.reason.clone());
                facts.insert("detail", rejected.detail.clone());
                facts.insert("count", rejected.count.to_string());
                ("rejects", both(&rejected.reason, self))
            }
            None => ("hears_stranger", Some((list(heard.addresses.iter()), list(advertised(self.listener))))),
        };
        if let Some((theirs, ours)) = values {
            facts.insert("heard", theirs);
            facts.insert("ours", ours);
        }
        let last = self.rejected.map_or(heard.age, |rejected| rejected.age);
        let summary = format!("{}, the last {} before its report", self.says(), span(last));
        Evidence { kind, node: Some(self.listener.name().clone()), at: self.last(scene), summary, facts }
    }
}

/// The cause by the agent's reason code; one that is not known here is simply `rejected`.
pub(crate) fn code(reason: &str) -> CauseCode {
    match reason {
        "auth_mismatch" => CauseCode::AuthMismatch,
        "version_mismatch" => CauseCode::VersionMismatch,
        "interval_mismatch" => CauseCode::IntervalMismatch,
        "checksum" => CauseCode::ChecksumMismatch,
        "ttl" => CauseCode::TtlMismatch,
        "mode_mismatch" | "unknown_peer" => CauseCode::UnicastMismatch,
        "length" | "type" | "no_addresses" | "zero_interval" => CauseCode::Malformed,
        _ => CauseCode::Rejected,
    }
}

/// What to do about it, and what it usually is.
pub(crate) const fn advice(code: CauseCode) -> &'static str {
    match code {
        CauseCode::AuthMismatch => "make authentication type and password the same",
        CauseCode::VersionMismatch => "make the VRRP version the same",
        CauseCode::IntervalMismatch => "make the advertisement interval the same",
        CauseCode::ChecksumMismatch => {
            "look for what changes packets on the way, or for a router that computes another checksum"
        }
        CauseCode::TtlMismatch => {
            "look for a router between them, or for who forges packets: multicast adverts have TTL 255, unicast ones what the \
             peer's range allows"
        }
        CauseCode::UnicastMismatch => {
            "make all of them unicast with each other as peers, or all of them multicast"
        }
        CauseCode::Malformed => "find out what sends packets that are no adverts",
        CauseCode::AddressMismatch => "make the address lists the same",
        CauseCode::VridMismatch => "make the VRIDs the same",
        CauseCode::Unknown
        | CauseCode::VrrpFiltered
        | CauseCode::LinkCut
        | CauseCode::Carrier
        | CauseCode::OneWay
        | CauseCode::Rejected
        | CauseCode::ForeignHost
        | CauseCode::AgentStalled
        | CauseCode::ConfigDiffers
        | CauseCode::ConfigInvalid
        | CauseCode::FileDamaged
        | CauseCode::NodeUnreachable
        | CauseCode::StoppedOnPurpose => "make the VRRP settings agree",
    }
}

/// An advert speaks for its sender for so long. What is not believed may say any interval.
fn window(listener: &Member<'_>, heard: &Heard) -> Duration {
    heard.interval.min(INTERVAL_MOST).max(listener.interval()) * INTERVALS
}

fn sender<'a>(scene: &'a Scene<'_>, listener: &Member<'_>, heard: &Heard) -> Sender<'a> {
    let source = GroupKey { site: scene.key.site.clone(), address: heard.source };
    let is_other = |key: &&MemberKey| key.node != *listener.name();
    if let Some(key) = scene.index.sent_by(source.clone(), heard.vrid).find(is_other) {
        return Sender::Instance(key);
    }
    // Also the listener itself, by another interface on the same segment.
    scene.index.sent_from(source).next().map_or(Sender::Stranger, |key| Sender::Node(&key.node))
}

fn tells(scene: &Scene<'_>, listener: &Member<'_>, sender: Sender<'_>) -> bool {
    let theirs = match sender {
        Sender::Instance(key) => {
            scene.nodes.get(&key.node).and_then(|node| node.instances.get(&key.instance))
        }
        Sender::Node(_) | Sender::Stranger => None,
    };
    let ours = || listener.report().addresses.iter().map(|(address, _)| *address);
    let common = ours()
        .filter(|address| theirs.is_some_and(|it| it.report.addresses.iter().any(|(it, _)| it == address)))
        .min();
    let Some(address) = common.or_else(|| ours().min()) else { return false };
    // The key of a unit is its lowest address, but this one need not be the lowest of its unit.
    scene.shape.addresses.contains(&address)
}

/// What was heard, and ours, where the reason has a value of its own.
fn both(reason: &str, line: &Line<'_>) -> Option<(String, String)> {
    let (heard, ours) = (line.heard, line.listener.report());
    match reason {
        "auth_mismatch" => Some((heard.auth.clone(), ours.auth.clone())),
        "version_mismatch" => Some((heard.version.to_string(), ours.version.to_string())),
        "interval_mismatch" => Some((span(heard.interval), span(ours.interval))),
        _ => None,
    }
}

/// The addresses of a member.
pub(crate) fn advertised<'a>(member: &'a Member<'_>) -> impl Iterator<Item = core::net::IpAddr> + use<'a> {
    let instance = member.instance;
    instance.report.addresses.iter().map(|(address, _)| *address)
}

fn their_place(scene: &Scene<'_>, key: &MemberKey) -> String {
    let instance = scene.nodes.get(&key.node).and_then(|node| node.instances.get(&key.instance));
    instance.map(|instance| instance.report.defined_at.clone()).unwrap_or_default()
}
