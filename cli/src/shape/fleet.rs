//! The present: groups, nodes, instances.

use hafleet_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::{Clock, Finding, Order, Reference, Witnessed, present, state_word};
use crate::{
    look::instant,
    verdict::{Verdict, in_maintenance},
};

/// `hactl status -o json`.
#[derive(Debug, Serialize)]
pub struct Status {
    #[serde(flatten)]
    verdict: Verdict,
    at: Option<Timestamp>,
    coordinator_version: String,
    up_ms: u64,
    findings: Vec<Finding>,
    groups: Vec<Group>,
    nodes: Vec<Node>,
}

impl Status {
    /// The fleet and what is thought of it.
    pub fn new(verdict: &Verdict, fleet: &v1::Fleet) -> Self {
        Self {
            verdict: verdict.clone(),
            at: instant(fleet.at_us),
            coordinator_version: fleet.coordinator_version.clone(),
            up_ms: fleet.up_us / 1000,
            findings: fleet.findings.iter().map(Finding::from).collect(),
            groups: fleet.groups.iter().map(Group::from).collect(),
            nodes: fleet.nodes.iter().map(Node::from).collect(),
        }
    }
}

/// `hactl get groups -o json`: exactly the contract's fields.
#[derive(Debug, Serialize)]
pub struct Group {
    site: String,
    group: String,
    addresses: Vec<String>,
    holder: Option<String>,
    since: Option<Timestamp>,
    state: String,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Member {
    node: String,
    instance: String,
    /// What it last said; it speaks for the present only when `fresh`.
    state: &'static str,
    priority: u32,
    effective_priority: u32,
    fresh: bool,
    /// `null` when it was not heard since the coordinator started.
    age_ms: Option<u64>,
}

impl From<&v1::Group> for Group {
    fn from(group: &v1::Group) -> Self {
        let holder = present(&group.holder);
        Self {
            site: group.site.clone(),
            group: group.group.clone(),
            addresses: group.addresses.clone(),
            since: holder.as_ref().and_then(|_| instant(group.since_us)),
            holder,
            state: group.state.clone(),
            members: group.members.iter().map(Member::from).collect(),
        }
    }
}

impl From<&v1::Member> for Member {
    fn from(member: &v1::Member) -> Self {
        Self {
            node: member.node.clone(),
            instance: member.instance.clone(),
            state: state_word(member.state()),
            priority: member.priority,
            effective_priority: member.effective_priority,
            fresh: member.fresh,
            age_ms: member.ever_heard.then_some(member.age_us / 1000),
        }
    }
}

/// `hactl get nodes -o json`.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub node: String,
    site: String,
    connected: bool,
    fresh: bool,
    /// `null` when it was never heard.
    age_ms: Option<u64>,
    revoked: bool,
    peer: Option<String>,
    agent_version: Option<String>,
    clock_offset_us: i64,
    clock_uncertainty_us: u64,
    journal_id: Option<String>,
    acked_seq: u64,
    pending_events: u64,
    certificate_not_after: Option<Timestamp>,
    /// It is in maintenance, or on its way into it.
    maintenance: bool,
    orders: Vec<Order>,
}

impl From<&v1::Node> for Node {
    fn from(node: &v1::Node) -> Self {
        Self {
            node: node.name.clone(),
            site: node.site.clone(),
            connected: node.connected,
            fresh: node.fresh,
            age_ms: node.ever_heard.then_some(node.age_us / 1000),
            revoked: node.revoked,
            peer: present(&node.peer),
            agent_version: present(&node.agent_version),
            clock_offset_us: node.clock_offset_us,
            clock_uncertainty_us: node.clock_uncertainty_us,
            journal_id: present(&node.journal_id),
            acked_seq: node.acked_seq,
            pending_events: node.pending_events,
            certificate_not_after: instant(node.certificate_not_after_us),
            maintenance: in_maintenance(node),
            orders: node.orders.iter().map(Order::from).collect(),
        }
    }
}

/// `hactl describe node -o json`.
#[derive(Debug, Serialize)]
pub struct NodeDetail {
    #[serde(flatten)]
    node: Node,
    instances: Vec<Instance>,
    heard: Vec<Heard>,
    findings: Vec<Finding>,
    /// `null` before its clock was measured.
    clock_age_ms: Option<u64>,
    references: Vec<Reference>,
    witnesses: Vec<Witnessed>,
}

impl NodeDetail {
    /// A node and the findings about it.
    pub fn new(fleet: &v1::Fleet, node: &v1::Node, findings: &[v1::Finding]) -> Self {
        let instance = |instance| Instance::new(node, instance, fleet.at_us);
        Self {
            node: Node::from(node),
            clock_age_ms: Clock::of(node).age_ms,
            references: Reference::of(node).collect(),
            witnesses: Witnessed::by(fleet, node).collect(),
            instances: node.instances.iter().map(instance).collect(),
            heard: node.heard.iter().map(|heard| Heard::new(node, heard)).collect(),
            findings: findings.iter().map(Finding::from).collect(),
        }
    }
}

/// `hactl get instances -o json`.
#[derive(Debug, Serialize)]
pub struct Instance {
    node: String,
    instance: String,
    /// What it last said; it speaks for the present only when `fresh`.
    state: &'static str,
    fresh: bool,
    /// This and `since` are `null` when the node was not heard since the coordinator started.
    age_ms: Option<u64>,
    since: Option<Timestamp>,
    reason: Option<String>,
    detail: Option<String>,
    interface: String,
    vrid: u32,
    version: u32,
    priority: u32,
    effective_priority: u32,
    advert_interval_ms: u64,
    master_down_ms: u64,
    auth: String,
    preempt: bool,
    addresses: Vec<String>,
    addresses_present: Vec<String>,
    source_address: Option<String>,
    master_source: Option<String>,
    carrier: bool,
    interface_errors: u64,
    adverts_sent: u64,
    adverts_accepted: u64,
    defined_at: Option<String>,
    /// `local` or `pushed`; `null` from an agent that does not tell.
    origin: Option<&'static str>,
    /// The generation that was pushed.
    generation: Option<u64>,
}

impl Instance {
    /// An instance of a node, by the coordinator's clock.
    pub fn new(node: &v1::Node, instance: &v1::InstanceState, at_us: i64) -> Self {
        Self {
            node: node.name.clone(),
            instance: instance.instance.clone(),
            state: state_word(instance.state()),
            fresh: node.fresh,
            age_ms: node.ever_heard.then_some(node.age_us / 1000),
            since: since_us(node, instance, at_us).and_then(instant),
            reason: present(&instance.reason),
            detail: present(&instance.reason_detail),
            interface: instance.interface.clone(),
            vrid: instance.vrid,
            version: instance.version,
            priority: instance.priority,
            effective_priority: instance.effective_priority,
            advert_interval_ms: u64::from(instance.advert_interval_cs).saturating_mul(10),
            master_down_ms: instance.master_down_us / 1000,
            auth: instance.auth.clone(),
            preempt: instance.preempt,
            addresses: instance.addresses.clone(),
            addresses_present: instance.addresses_present.clone(),
            source_address: present(&instance.source_address),
            master_source: present(&instance.master_source),
            carrier: instance.carrier,
            interface_errors: instance.interface_errors,
            adverts_sent: instance.adverts_sent,
            adverts_accepted: instance.adverts_accepted,
            defined_at: present(&instance.defined_at),
            origin: instance.pushed_generation.map(|number| if number == 0 { "local" } else { "pushed" }),
            generation: instance.pushed_generation.filter(|number| *number > 0),
        }
    }
}

/// When an instance entered its state, by the coordinator's clock: the report's age and what it said then. `None` when
/// that age is not known, because the node was not heard since the coordinator started.
pub fn since_us(node: &v1::Node, instance: &v1::InstanceState, at_us: i64) -> Option<i64> {
    let ago_us = node.ever_heard.then(|| node.age_us.saturating_add(instance.in_state_us))?;
    Some(at_us.saturating_sub(i64::try_from(ago_us).unwrap_or(i64::MAX)))
}

/// A source of adverts that a node hears.
#[derive(Debug, Serialize)]
pub struct Heard {
    interface: String,
    /// Of its last advert, as the rest.
    pub vrid: u32,
    vrid_configured: bool,
    /// Where it comes from.
    pub source: String,
    version: u32,
    /// The sender's.
    pub priority: u32,
    advert_interval_ms: u64,
    addresses: Vec<String>,
    auth: String,
    checksum_form: Option<String>,
    /// `null`, as below, when the node was not heard since the coordinator started.
    pub age_ms: Option<u64>,
    /// How many were believed.
    pub accepted: u64,
    /// How many were not, by reason.
    pub rejections: Vec<Rejection>,
}

/// Adverts of one source rejected for one reason.
#[derive(Debug, Serialize)]
pub struct Rejection {
    /// Its stable code.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Since the last.
    pub age_ms: Option<u64>,
    detail: String,
}

impl Heard {
    /// A line of a node's table. Ages are told from the coordinator's now: the report's age counts too.
    pub fn new(node: &v1::Node, heard: &v1::HeardAdvert) -> Self {
        let age_ms = |age_us: u64| node.ever_heard.then(|| age_us.saturating_add(node.age_us) / 1000);
        Self {
            interface: heard.interface.clone(),
            vrid: heard.vrid,
            vrid_configured: heard.vrid_configured,
            source: heard.source.clone(),
            version: heard.version,
            priority: heard.priority,
            advert_interval_ms: u64::from(heard.advert_interval_cs).saturating_mul(10),
            addresses: heard.addresses.clone(),
            auth: heard.auth.clone(),
            checksum_form: present(&heard.checksum_form),
            age_ms: age_ms(heard.last_heard_age_us),
            accepted: heard.accepted,
            rejections: heard
                .rejections
                .iter()
                .map(|rejection| Rejection {
                    reason: rejection.reason.clone(),
                    count: rejection.count,
                    age_ms: age_ms(rejection.last_age_us),
                    detail: rejection.detail.clone(),
                })
                .collect(),
        }
    }
}
