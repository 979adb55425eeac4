//! An agent in the middle of its life, for whoever shows one.

use std::time::Duration;

use hafleet_vrrp::{
    LinkFault, State, TrackResult,
    heard::{HeardAdvert, Rejected},
};

use super::*;
use crate::{
    config::{Inputs, Instance, load, track::Subject},
    driver::{InstanceSnapshot, PathSnapshot, TrackSnapshot, Transitions},
    orders::{Order, What},
    push::{Confirm, Generation, Pointer, PushStatus, RolledBack},
    track::{CheckStatus, Counts, Outcome},
    uplink::Phase,
};

const CONFIGURATION: &str = r#"
[[instance]]
name = "VI_1"
interface = "ens33"
vrid = 51
version = 2
priority = 150
auth = { type = "pass", secret = "1111" }
vips = [{ address = "192.168.178.3/24", label = "ens33:3" }, { address = "192.168.178.4" }]

[[instance]]
name = "VI_2"
interface = "ens33"
vrid = 52
priority = 100
advert_interval = "100ms"
vips = [{ address = "192.168.178.5/24" }]
paths = [{ interface = "ens33", peers = [{ address = "192.168.178.131", min_ttl = 254, max_ttl = 255 }] }, { interface = "hb0", peers = ["10.9.0.2"] }]
"#;

/// Monday, 23 November 2026, 16:02:00 UTC; the host has been up for a day.
const WALL_US: i64 = 1_795_449_720_000_000;
const NOW: Instant = Instant::from_micros(86_400_000_000);

fn ago(ms: u64) -> Instant {
    NOW - Duration::from_millis(ms)
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

/// The instances of [`CONFIGURATION`], as if it stood where it belongs.
fn instances() -> Vec<Instance> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), CONFIGURATION).unwrap();
    let loaded = load(&Inputs { native: Some(file.path().to_owned()), ..Inputs::default() });
    let mut instances = loaded.unwrap().config.instances;
    for instance in &mut instances {
        instance.defined_at.file = "/etc/hafleet/agent.toml".into();
    }
    instances
}

fn path(interface: &str, link: Result<std::net::IpAddr, LinkFault>) -> PathSnapshot {
    PathSnapshot {
        interface: interface.to_owned(),
        link,
        last_accepted: None,
        is_failing: false,
        send_failures: 0,
        last_send_error: String::new(),
    }
}

fn track(subject: Subject, weight: i16, result: Option<TrackResult>, detail: &str) -> TrackSnapshot {
    TrackSnapshot { subject, weight, reverse: false, result, detail: detail.to_owned() }
}

fn transitions(to: &[State]) -> Transitions {
    let mut transitions = Transitions::default();
    to.iter().for_each(|state| transitions.count(*state));
    transitions
}

/// A fence of everything in the past is withdrawn; maintenance of one instance and a configuration that is tried out.
fn acting() -> ActStatus {
    let order = Order {
        id: "maintenance/lb01".to_owned(),
        instances: vec!["VI_2".to_owned()],
        until_us: Some(WALL_US + 3_600_000_000),
        by: "anna".to_owned(),
        why: "new fans".to_owned(),
        what: What::Maintenance,
    };
    let generation = |number| Generation { number, hash: format!("{number:064x}") };
    let confirm = Confirm {
        within_us: 120_000_000,
        committed_wall_us: WALL_US - 28_000_000,
        committed_boot_us: NOW.as_micros() - 28_000_000,
        boot_id: "b".to_owned(),
    };
    let pointer = Pointer {
        running: Some(generation(7)),
        staged: Some(generation(8)),
        confirm: Some(confirm),
        rolled_back: Some(RolledBack { generation: 6, why: "it was not confirmed in time".to_owned() }),
        ..Pointer::default()
    };
    ActStatus {
        orders: vec![order],
        orders_error: None,
        push: PushStatus { pointer, ..PushStatus::default() },
    }
}

/// MASTER, with an address missing and a peer that it rejects.
fn master(config: Instance) -> InstanceSnapshot {
    InstanceSnapshot {
        config,
        state: State::Master,
        since_mono_us: ago(3_720_000).as_micros(),
        transitions: transitions(&[State::Backup, State::Master]),
        reason: "master_down",
        reason_detail: "no master heard for 3.414 s".to_owned(),
        base_priority: 150,
        effective_priority: 150,
        master_down: Duration::from_micros(3_414_062),
        addresses_present: vec![ip("192.168.178.3")],
        source: Some(ip("192.168.178.130")),
        carrier: true,
        interface_errors: 0,
        master_source: None,
        adverts_sent: 3720,
        adverts_accepted: 0,
        packets_rejected: 3,
        duplicates: 0,
        refusals: 0,
        repairs: 1,
        foreign_released: 0,
        paths: vec![PathSnapshot {
            last_accepted: Some(ago(3_721_000)),
            ..path("ens33", Ok(ip("192.168.178.130")))
        }],
        tracks: Vec::new(),
        awaits_tracks: false,
    }
}

/// BACKUP with everything that can be tracked, and a heartbeat line that fails.
fn backup(config: Instance) -> InstanceSnapshot {
    let hb0 = PathSnapshot {
        is_failing: true,
        send_failures: 12,
        last_send_error: "Operation not permitted (os error 1)".to_owned(),
        ..path("hb0", Err(LinkFault::NoCarrier))
    };
    let service = PathSnapshot { last_accepted: Some(ago(40)), ..path("ens33", Ok(ip("192.168.178.130"))) };
    let check = |name: &str| Subject::Check(name.to_owned());
    InstanceSnapshot {
        state: State::Backup,
        since_mono_us: ago(95_000).as_micros(),
        transitions: transitions(&[State::Backup, State::Master, State::Backup]),
        reason: "higher_priority_heard",
        reason_detail: "192.168.178.131 advertises priority 90, ours is 40".to_owned(),
        base_priority: 100,
        effective_priority: 40,
        master_down: Duration::from_micros(384_375),
        addresses_present: Vec::new(),
        master_source: Some(ip("192.168.178.131")),
        adverts_sent: 12,
        adverts_accepted: 950,
        packets_rejected: 0,
        repairs: 0,
        paths: vec![service, hb0],
        tracks: vec![
            track(check("nginx"), -60, Some(TrackResult::Down), "exit code 1"),
            track(check("load"), 1, Some(TrackResult::Value(0)), "0 in /run/load"),
            track(check("haproxy"), 0, None, ""),
            track(Subject::Interface("ens33".to_owned()), 0, Some(TrackResult::Up), ""),
        ],
        ..master(config)
    }
}

fn heard() -> Vec<(String, HeardAdvert)> {
    let rejected =
        |reason, count, detail: &str| Rejected { reason, count, last: ago(640), detail: detail.to_owned() };
    let one = HeardAdvert {
        vrid: 51,
        source: ip("192.168.178.131"),
        version: 2,
        priority: 100,
        interval_cs: 100,
        addresses: vec![ip("192.168.178.3")],
        addresses_left_out: 0,
        auth: "pass".to_owned(),
        checksum_form: "",
        last_heard: ago(640),
        accepted: 2,
        rejected: vec![rejected(
            "auth_mismatch",
            3,
            "authentication type is pass on both sides, but the password is not ours",
        )],
        remarked: vec![rejected(
            "address_mismatch",
            2,
            "addresses are 192.168.178.3, ours are 192.168.178.3, 192.168.178.4",
        )],
        vrid_configured: true,
    };
    let stranger = HeardAdvert {
        vrid: 77,
        source: ip("192.168.178.200"),
        accepted: 0,
        rejected: Vec::new(),
        remarked: Vec::new(),
        vrid_configured: false,
        last_heard: ago(200),
        ..one.clone()
    };
    vec![("ens33".to_owned(), one), ("ens33".to_owned(), stranger)]
}

/// One of each kind and result.
fn checks() -> Vec<CheckStatus> {
    let check = |name: &str, kind, result, detail: &str| CheckStatus {
        check: name.to_owned(),
        kind,
        result,
        detail: detail.to_owned(),
        changed_at: result.map(|_| ago(95_000)),
        looked_at: result.map(|_| ago(300)),
        pid: None,
        last_run: None,
        counts: Counts::default(),
    };
    let nginx = CheckStatus {
        last_run: Some(Outcome::Exited(1)),
        counts: Counts { looks: 3720, failures: 96, changes: 2, ..Counts::default() },
        ..check("nginx", "script", Some(TrackResult::Down), "exit code 1")
    };
    let slow = CheckStatus {
        pid: Some(4720),
        last_run: Some(Outcome::TimedOut(Duration::from_secs(2))),
        counts: Counts { looks: 12, failures: 12, timeouts: 11, skipped: 40, ..Counts::default() },
        ..check("haproxy", "script", None, "")
    };
    vec![
        nginx,
        check("load", "file", Some(TrackResult::Value(0)), "0 in /run/load"),
        slow,
        check("sshd", "process", Some(TrackResult::Up), "2 processes, at least 1 wanted"),
    ]
}

/// The sample.
pub(crate) fn sample() -> Present {
    let process = Process {
        version: "0.1.0",
        pid: 4711,
        started: ago(3_723_000),
        started_wall_us: WALL_US - 3_723_000_000,
        node: Some("lb01".to_owned()),
        site: Some("dc1".to_owned()),
        configuration: vec!["/etc/hafleet/agent.toml".to_owned()],
    };
    let mut configured = instances().into_iter();
    let engine = EngineSnapshot {
        instances: vec![master(configured.next().unwrap()), backup(configured.next().unwrap())],
        heard: heard(),
        packets_rejected: 3,
        reports_dropped: 0,
        announcements_dropped: 0,
        sources_evicted: 0,
    };
    Present {
        now: NOW,
        wall_us: WALL_US,
        process: Arc::new(process),
        configuration: ConfigurationStatus {
            taken_at_us: WALL_US - 3_723_000_000,
            ..ConfigurationStatus::default()
        },
        acting: acting(),
        confirm_left_us: Some(92_000_000),
        references: vec![ReferenceStatus {
            address: ip("192.168.178.1"),
            interface: "ens33".to_owned(),
            reachable: true,
            asked: ago(1_500),
            error: String::new(),
        }],
        engine: Ok(engine),
        checks: checks(),
        uplink: uplink::Status {
            phase: Phase::Connected { to: "coord1:7443".to_owned(), since_us: WALL_US - 2_520_000_000 },
            last_error: Some("cannot connect to coord1:7443: Connection refused (os error 111)".to_owned()),
            last_error_at_us: Some(WALL_US - 2_522_000_000),
            failures: 12,
            sessions: 2,
            acked_seq: 40,
            certificate_not_after_us: Some(WALL_US + 30 * 86_400_000_000),
            ..uplink::Status::default()
        },
        journal: journal::Status {
            journal_id: Some(journal::JournalId::from_bytes(*b"0123456789abcdef")),
            first_seq: 1,
            last_seq: 42,
            acked_seq: 40,
            bytes: 9000,
            segments: 1,
            ..journal::Status::default()
        },
        log_lines_dropped: 0,
    }
}
