//! A fleet in trouble and a fleet that is well, at a fixed time.

use std::collections::BTreeMap;

use hafleet_proto::v1::{
    AuditRecord, Credential, Evidence, ExplainGroupResponse, Finding, Fleet, Group, HeardAdvert,
    InstanceState, Member, Node, NodeOrder, Reference, Rejection, Role, Token, TransitionRecord, User,
    VrrpState, Witnessed,
};

use crate::fake::Script;

/// 2026-11-23 11:03:11 UTC, 12:03:11 in the tests' zone.
pub const NOW_US: i64 = 1_795_431_791_000_000;

const SECOND_US: i64 = 1_000_000;

fn ago(seconds: i64) -> i64 {
    NOW_US - seconds * SECOND_US
}

/// Three nodes, two groups, nothing wrong.
pub fn well() -> Script {
    let nodes = vec![
        node("lb01", "10.9.0.1", VrrpState::Master),
        node("lb02", "10.9.0.2", VrrpState::Backup),
        spare(),
    ];
    let groups = vec![
        group(
            "web",
            "192.168.178.3",
            "ok",
            "lb01",
            vec![
                member("lb01", "VI_1", VrrpState::Master, 150),
                member("lb02", "VI_1", VrrpState::Backup, 100),
            ],
        ),
        group("db", "192.168.178.4", "ok", "lb01", vec![member("lb01", "VI_2", VrrpState::Master, 90)]),
    ];
    let fleet = Fleet {
        at_us: NOW_US,
        coordinator_version: "0.1.0".to_owned(),
        nodes,
        groups,
        findings: Vec::new(),
        up_us: 86_400 * 1_000_000,
        references: vec![reference("10.0.0.1:22", "", true, 3), reference("10.0.0.2:22", "", false, 3)],
    };
    Script {
        explanation: ExplainGroupResponse {
            group: fleet.groups.first().cloned(),
            sentences: vec![
                "lb01 holds 192.168.178.3 because its effective priority, 150, is the highest of the two members."
                    .to_owned(),
                "lb02 hears it and waits with priority 100.".to_owned(),
            ],
            findings: Vec::new(),
        },
        fleet,
        transitions: transitions(),
        tokens: tokens(),
        audit: audit(),
        users: users(),
        findings: vec![lost_and_found()],
        ticks: true,
        ..Script::default()
    }
}

/// Two claim one address, a third node is not heard, an old finding is resolved.
pub fn split() -> Script {
    let mut script = well();
    let fleet = &mut script.fleet;
    fleet.groups[0] = group(
        "web",
        "192.168.178.3",
        "split_brain",
        "",
        vec![
            member("lb01", "VI_1", VrrpState::Master, 150),
            Member {
                reason: "master_down".to_owned(),
                reason_detail: "no advertisement from 192.168.178.130 for 3.61 s".to_owned(),
                since_us: ago(290),
                ..member("lb02", "VI_1", VrrpState::Master, 100)
            },
        ],
    );
    fleet.nodes[0].orders = vec![NodeOrder {
        id: "switchover/dc1/192.168.178.4/7".to_owned(),
        kind: "switchover".to_owned(),
        subject: "dc1/192.168.178.4".to_owned(),
        state: "standing".to_owned(),
        until_us: ago(-3_000),
        by: "user/ann".to_owned(),
        why: "kernel".to_owned(),
        since_us: ago(600),
    }];
    fleet.nodes[1] = node("lb02", "10.9.0.2", VrrpState::Master);
    fleet.nodes[2].fresh = false;
    fleet.nodes[2].connected = false;
    fleet.nodes[2].age_us = 95 * 1_000_000;
    fleet.nodes[2].instances = vec![InstanceState { effective_priority: 30, ..instance(VrrpState::Master) }];
    fleet.findings = vec![split_brain(), pending_loss()];
    script.findings = vec![split_brain(), pending_loss(), lost_and_found()];
    script.explanation = ExplainGroupResponse {
        group: fleet.groups.first().cloned(),
        sentences: vec![
            "lb01 says MASTER with priority 150, lb02 says MASTER with priority 100.".to_owned(),
            "lb02 became MASTER 4 minutes ago because it heard no advertisement for 3.61 s.".to_owned(),
            "Neither hears the other, and both links are up.".to_owned(),
        ],
        findings: vec![split_brain()],
    };
    crate::fences::waiting(&mut script);
    script
}

fn group(name: &str, address: &str, state: &str, holder: &str, members: Vec<Member>) -> Group {
    Group {
        site: "dc1".to_owned(),
        address: address.to_owned(),
        group: name.to_owned(),
        addresses: vec![format!("{address}/24")],
        holder: holder.to_owned(),
        since_us: if holder.is_empty() { 0 } else { ago(3_900) },
        state: state.to_owned(),
        members,
    }
}

fn member(node: &str, instance: &str, state: VrrpState, priority: u32) -> Member {
    Member {
        node: node.to_owned(),
        instance: instance.to_owned(),
        vrid: 51,
        state: state.into(),
        priority,
        effective_priority: priority,
        fresh: true,
        age_us: 400_000,
        ever_heard: true,
        since_us: ago(3_900),
        reason: "started".to_owned(),
        reason_detail: String::new(),
        address_present: state == VrrpState::Master,
        interface: "ens33".to_owned(),
        source_address: "192.168.178.130".to_owned(),
    }
}

fn node(name: &str, peer: &str, state: VrrpState) -> Node {
    Node {
        name: name.to_owned(),
        site: "dc1".to_owned(),
        connected: true,
        fresh: true,
        age_us: 400_000,
        ever_heard: true,
        agent_version: "0.1.0".to_owned(),
        clock_offset_us: -1_250,
        clock_uncertainty_us: 310,
        instances: vec![instance(state)],
        heard: heard(),
        journal_id: "4f2a9c0d1e8b7a6f5c4d3e2f1a0b9c8d".to_owned(),
        acked_seq: 17,
        pending_events: 0,
        revoked: false,
        certificate_not_after_us: NOW_US + 12 * 86_400 * SECOND_US,
        peer: format!("{peer}:51822"),
        orders: Vec::new(),
        clock_age_us: 21_000_000,
        references: vec![reference("192.168.178.1", "ens33", true, 2)],
        witnessed: witnessed(name),
    }
}

fn reference(address: &str, interface: &str, reachable: bool, seconds: u64) -> Reference {
    Reference {
        address: address.to_owned(),
        interface: interface.to_owned(),
        reachable,
        age_us: seconds * 1_000_000,
    }
}

/// Who answered when this node asked: not itself.
fn witnessed(name: &str) -> Vec<Witnessed> {
    let seen = |address: &str, macs: &[&str], error: &str| Witnessed {
        address: address.to_owned(),
        interface: "ens33".to_owned(),
        macs: macs.iter().map(|mac| (*mac).to_owned()).collect(),
        error: error.to_owned(),
        age_us: 4_000_000,
    };
    match name {
        "lb01" => vec![seen("192.168.178.3", &[], "")],
        "lb02" => vec![
            seen("192.168.178.3", &["02:00:00:00:00:01", "02:00:00:00:00:66"], ""),
            seen("192.168.178.130", &["02:00:00:00:00:01"], ""),
        ],
        _ => vec![seen("192.168.178.3", &[], "ens33 has no carrier")],
    }
}

/// A node that runs nothing yet.
fn spare() -> Node {
    Node {
        instances: Vec::new(),
        heard: Vec::new(),
        pending_events: 2,
        ..node("lb03", "10.9.0.3", VrrpState::Init)
    }
}

fn instance(state: VrrpState) -> InstanceState {
    let master = state == VrrpState::Master;
    InstanceState {
        instance: "VI_1".to_owned(),
        interface: "ens33".to_owned(),
        vrid: 51,
        version: 3,
        state: state.into(),
        in_state_us: 3_899_600_000,
        reason: if master { "master_down" } else { "higher_priority_heard" }.to_owned(),
        reason_detail: if master {
            "no advertisement for 3.41 s"
        } else {
            "192.168.178.130 has priority 150"
        }
        .to_owned(),
        priority: 150,
        effective_priority: if master { 90 } else { 150 },
        advert_interval_cs: 100,
        master_down_us: 3_414_062,
        auth: "none".to_owned(),
        preempt: true,
        addresses: vec!["192.168.178.3/24".to_owned()],
        addresses_present: if master { vec!["192.168.178.3/24".to_owned()] } else { Vec::new() },
        source_address: "192.168.178.130".to_owned(),
        carrier: true,
        interface_errors: 0,
        master_source: if master { String::new() } else { "192.168.178.130".to_owned() },
        adverts_sent: if master { 3_900 } else { 0 },
        adverts_accepted: if master { 0 } else { 3_899 },
        defined_at: "/etc/keepalived/keepalived.conf:12".to_owned(),
        paths: Vec::new(),
        pushed_generation: Some(if master { 7 } else { 0 }),
    }
}

fn heard() -> Vec<HeardAdvert> {
    vec![
        HeardAdvert {
            interface: "ens33".to_owned(),
            vrid: 51,
            source: "192.168.178.131".to_owned(),
            version: 3,
            priority: 100,
            advert_interval_cs: 100,
            addresses: vec!["192.168.178.3".to_owned()],
            auth: "none".to_owned(),
            last_heard_age_us: 600_000,
            accepted: 3_899,
            rejections: Vec::new(),
            vrid_configured: true,
            checksum_form: "with_pseudo_header".to_owned(),
        },
        HeardAdvert {
            interface: "ens33".to_owned(),
            vrid: 52,
            source: "192.168.178.140".to_owned(),
            version: 2,
            priority: 200,
            advert_interval_cs: 200,
            addresses: vec!["192.168.178.9".to_owned()],
            auth: "pass".to_owned(),
            last_heard_age_us: 1_600_000,
            accepted: 0,
            rejections: vec![Rejection {
                reason: "interval_mismatch".to_owned(),
                count: 12,
                last_age_us: 1_600_000,
                detail: "heard 2 s, configured 1 s".to_owned(),
            }],
            vrid_configured: false,
            checksum_form: String::new(),
        },
    ]
}

pub fn split_brain() -> Finding {
    Finding {
        id: "split_brain.confirmed@dc1/192.168.178.3#1".to_owned(),
        kind: "split_brain.confirmed".to_owned(),
        severity: "critical".to_owned(),
        subject: "dc1/192.168.178.3".to_owned(),
        site: "dc1".to_owned(),
        status: "firing".to_owned(),
        since_us: ago(288),
        resolved_at_us: 0,
        cause: "Something filters VRRP (IP protocol 112): neither hears the other, while both links are up and ARP \
                between them is answered."
            .to_owned(),
        cause_code: "vrrp_filtered".to_owned(),
        summary: "lb01 and lb02 both hold 192.168.178.3.".to_owned(),
        action: "nft add rule inet filter input ip protocol 112 accept".to_owned(),
        evidence: vec![
            evidence("asserts_master", "lb01", "lb01 says MASTER, confirmed after a probe", &[("priority", "150")]),
            evidence("asserts_master", "lb02", "lb02 says MASTER, confirmed after a probe", &[("priority", "100")]),
            evidence("hears_nobody", "lb02", "lb02 has heard no advertisement for 291 s", &[
                ("interface", "ens33"),
                ("vrid", "51"),
            ]),
            evidence("arp_answered", "", "192.168.178.130 answers ARP from lb02", &[]),
        ],
    }
}

fn evidence(kind: &str, node: &str, summary: &str, facts: &[(&str, &str)]) -> Evidence {
    let facts: BTreeMap<String, String> =
        facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Evidence {
        kind: kind.to_owned(),
        node: node.to_owned(),
        summary: summary.to_owned(),
        observed_at_us: ago(2),
        facts,
    }
}

fn pending_loss() -> Finding {
    Finding {
        id: "agent_lost@node/lb03#2".to_owned(),
        kind: "agent_lost".to_owned(),
        severity: "warning".to_owned(),
        subject: "node/lb03".to_owned(),
        site: "dc1".to_owned(),
        status: "pending".to_owned(),
        since_us: ago(95),
        summary: "lb03 has not been heard for 95 s.".to_owned(),
        action: "ssh lb03 systemctl status ha-agent".to_owned(),
        ..Finding::default()
    }
}

fn lost_and_found() -> Finding {
    Finding {
        id: "agent_lost@node/lb03#1".to_owned(),
        status: "resolved".to_owned(),
        since_us: ago(100_000),
        resolved_at_us: ago(99_000),
        summary: "lb03 was not heard for 1000 s.".to_owned(),
        ..pending_loss()
    }
}

pub fn transition(
    node: &str,
    seq: u64,
    from: VrrpState,
    to: VrrpState,
    seconds_ago: i64,
) -> TransitionRecord {
    let (reason, detail) = match to {
        VrrpState::Master => ("master_down", "no advertisement from 192.168.178.131 for 3.41 s"),
        _ => ("started", ""),
    };
    TransitionRecord {
        node: node.to_owned(),
        instance: "VI_1".to_owned(),
        vrid: 51,
        from: from.into(),
        to: to.into(),
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        at_us: ago(seconds_ago) + 250_000,
        received_at_us: ago(seconds_ago) + 262_000,
        seq,
        journal_id: "4f2a9c0d1e8b7a6f5c4d3e2f1a0b9c8d".to_owned(),
    }
}

fn transitions() -> Vec<TransitionRecord> {
    use VrrpState::{Backup, Init, Master};
    vec![
        transition("lb01", 2, Init, Backup, 90_000),
        transition("lb02", 2, Init, Backup, 3_910),
        transition("lb01", 3, Backup, Master, 3_900),
    ]
}

fn tokens() -> Vec<Token> {
    let token = |id: &str, node: &str, expires_in: i64, used_ago: i64, used_by: &str| Token {
        id: id.to_owned(),
        node: node.to_owned(),
        created_by: "user/admin".to_owned(),
        created_at_us: ago(3_000),
        expires_at_us: ago(-expires_in),
        used_at_us: if used_ago == 0 { 0 } else { ago(used_ago) },
        used_by: used_by.to_owned(),
    };
    vec![
        token("t-0001", "lb01", 600, 2_900, "node/lb01"),
        token("t-0002", "", 600, 0, ""),
        token("t-0000", "lb09", -60, 0, ""),
    ]
}

fn users() -> Vec<User> {
    let credential = |id: &str, kind: &str, expires_in: i64| Credential {
        id: id.to_owned(),
        kind: kind.to_owned(),
        created_by: "user/admin".to_owned(),
        created_at_us: ago(3_000),
        expires_at_us: ago(-expires_in),
    };
    let user = |name: &str, role: Role, revoked, credentials| User {
        name: name.to_owned(),
        role: role.into(),
        created_at_us: ago(86_400),
        revoked,
        credentials,
    };
    let of_ann = vec![credential("4a0b9c", "certificate", 90 * 86_400), credential("5e2c5f4f", "token", -60)];
    vec![
        user("admin", Role::Admin, false, Vec::new()),
        user("ann", Role::Operator, false, of_ann),
        user("carl", Role::FenceApprover, false, vec![credential("77ac01", "certificate", 3_600)]),
        user("eve", Role::Viewer, true, Vec::new()),
    ]
}

fn audit() -> Vec<AuditRecord> {
    let record =
        |seconds, actor: &str, action: &str, subject: &str, outcome: &str, detail: &str| AuditRecord {
            at_us: ago(seconds),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
            detail: detail.to_owned(),
        };
    vec![
        record(30, "10.9.0.77:40112", "tls", "", "refused", "the client's certificate is from an unknown CA"),
        record(2_900, "node/lb01", "enroll", "node/lb01", "done", "token t-0001"),
        record(90_000, "user/admin", "token.create", "t-0001", "done", "for lb01, 1 h"),
    ]
}
