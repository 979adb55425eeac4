//! What a node is, and what it says.

use std::{net::IpAddr, time::Duration};

use hafleet_fleet::{
    Heard, InstanceReport, Instant, NodeName, Rejected, Site, Snapshot, StateChange, VrrpState,
};

use crate::draw::Draw;

/// How many there are.
pub(super) const NODES: u8 = 3;

const STATES: [VrrpState; 4] = [VrrpState::Master, VrrpState::Backup, VrrpState::Fault, VrrpState::Init];
const REASONS: [&str; 6] =
    ["master_down", "preempted", "higher_priority_heard", "stopped", "link_no_carrier", "no_such_reason"];

pub(super) fn node(n: u8) -> NodeName {
    NodeName(format!("lb{n:02}"))
}

pub(super) fn site(n: u8) -> Site {
    Site(format!("dc{n}"))
}

/// A virtual address. The last is of the other family.
pub(super) fn address(n: u8) -> IpAddr {
    match n {
        0..3 => IpAddr::from([192, 0, 2, 100 + n]),
        _ => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100]),
    }
}

fn source(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, 10 + n])
}

#[derive(Clone, Debug)]
pub(super) struct Present {
    number: u8,
    seq: u64,
    journal: u8,
    instances: Vec<(InstanceReport, Instant)>,
    heard: Vec<Heard>,
}

impl Present {
    pub fn new(number: u8) -> Self {
        Self {
            number,
            seq: 1,
            journal: 0,
            instances: vec![(report(number), Instant::from_micros(0))],
            heard: Vec::new(),
        }
    }

    /// What it would say now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let instances = self
            .instances
            .iter()
            .map(|(report, entered)| InstanceReport { in_state: now.since(*entered), ..report.clone() });
        Snapshot {
            seq: self.seq,
            journal_id: format!("journal {}", self.journal),
            instances: instances.collect(),
            heard: self.heard.clone(),
            refused: None,
            references: Vec::new(),
            orders_unreadable: None,
        }
    }

    /// One of its instances enters a state.
    pub fn enter(&mut self, draw: &mut Draw<'_>, now: Instant) -> StateChange {
        self.seq += 1;
        let change = self.any_change(draw);
        let at = draw.below(self.instances.len());
        if let Some((report, entered)) = self.instances.get_mut(at) {
            report.state = change.to;
            report.reason.clone_from(&change.reason);
            report.addresses_present = match change.to {
                VrrpState::Master => report.addresses.iter().map(|(address, _)| *address).collect(),
                VrrpState::Backup | VrrpState::Fault | VrrpState::Init => Vec::new(),
            };
            *entered = now;
        }
        change
    }

    /// Something about it is otherwise.
    pub fn edit(&mut self, draw: &mut Draw<'_>) {
        self.seq += 1;
        let number = self.number;
        let what = draw.below(16);
        if what == 0 {
            let (mut second, entered) =
                self.instances.first().cloned().unwrap_or_else(|| (report(number), Instant::default()));
            second.instance = "VI_2".to_owned();
            self.instances.truncate(1);
            self.instances.push((second, entered));
            return;
        }
        if what == 1 {
            self.heard.truncate(2);
            self.heard.push(heard(draw));
            return;
        }
        let at = draw.below(self.instances.len());
        let Some((report, _)) = self.instances.get_mut(at) else {
            self.instances.push((report(number), Instant::default()));
            return;
        };
        match what {
            2 => report.vrid = 51 + (draw.byte() & 1),
            3 => report.priority = draw.byte(),
            4 => report.effective_priority = draw.byte(),
            5 => report.interval = interval(draw),
            6 => report.master_down = duration(draw),
            7 => report.auth = draw.pick(&["none", "pass"]).to_owned(),
            8 => report.version = draw.pick(&[2, 3]),
            9 => report.addresses = addresses(draw).into_iter().map(|address| (address, 24)).collect(),
            10 => report.addresses_present = addresses(draw),
            11 => report.source = draw.pick(&[None, Some(source(0)), Some(source(9))]),
            12 => report.carrier = draw.flag(),
            13 => report.interface_errors = draw.long(),
            14 => report.interface = draw.pick(&["eth0", "eth1"]).to_owned(),
            _ => report.preempt = draw.flag(),
        }
    }

    /// What it says, with a mistake: another time, another journal, a state it is not in, something too long ago, or
    /// nothing at all.
    pub fn any_snapshot(&self, draw: &mut Draw<'_>, now: Instant) -> Snapshot {
        let mut snapshot = self.snapshot(now);
        match draw.below(6) {
            0 => snapshot.seq = snapshot.seq.saturating_sub(2),
            1 => snapshot.seq = draw.long(),
            2 => snapshot.journal_id = format!("journal {}", draw.byte()),
            3 => snapshot.instances.clear(),
            4 => {
                let (state, in_state) = (draw.pick(&STATES), duration(draw));
                snapshot.instances.iter_mut().for_each(|report| {
                    (report.state, report.in_state) = (state, in_state);
                });
            }
            _ => snapshot.instances.extend(snapshot.instances.clone()),
        }
        snapshot
    }

    /// A change that it journalled, or might have.
    pub fn any_change(&self, draw: &mut Draw<'_>) -> StateChange {
        let shape = draw.byte();
        StateChange {
            seq: if shape & 64 == 0 { self.seq } else { draw.long() },
            journal_id: format!("journal {}", self.journal),
            instance: if shape & 128 == 0 { "VI_1".to_owned() } else { "VI_2".to_owned() },
            vrid: 51,
            from: STATES[usize::from(shape >> 2 & 3)],
            to: STATES[usize::from(shape & 3)],
            reason: draw.pick(&REASONS).to_owned(),
        }
    }
}

fn report(number: u8) -> InstanceReport {
    InstanceReport {
        instance: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        vrid: 51,
        version: 2,
        state: VrrpState::Backup,
        in_state: Duration::ZERO,
        reason: "started".to_owned(),
        reason_detail: String::new(),
        priority: 150 - number,
        effective_priority: 150 - number,
        interval: Duration::from_secs(1),
        master_down: Duration::from_millis(3_600),
        auth: "none".to_owned(),
        preempt: true,
        addresses: vec![(address(0), 24)],
        addresses_present: Vec::new(),
        source: Some(source(number)),
        carrier: true,
        interface_errors: 0,
        defined_at: "keepalived.conf:1".to_owned(),
    }
}

fn heard(draw: &mut Draw<'_>) -> Heard {
    let reason = draw.pick(&["", "auth_mismatch", "interval_mismatch", "ttl"]);
    let rejected = Rejected {
        reason: reason.to_owned(),
        count: draw.long(),
        age: duration(draw),
        detail: "1 and 2".to_owned(),
    };
    Heard {
        interface: draw.pick(&["eth0", "eth1"]).to_owned(),
        vrid: 51 + (draw.byte() & 1),
        source: source(draw.pick(&[0, 1, 2, 9])),
        version: draw.pick(&[2, 3, 15]),
        priority: draw.byte(),
        interval: interval(draw),
        addresses: addresses(draw),
        auth: draw.pick(&["none", "pass", "ah", "9"]).to_owned(),
        age: duration(draw),
        accepted: draw.long(),
        rejected: if reason.is_empty() { Vec::new() } else { vec![rejected] },
        vrid_configured: draw.flag(),
    }
}

/// Any of the four.
fn addresses(draw: &mut Draw<'_>) -> Vec<IpAddr> {
    let which = draw.byte();
    (0..4).filter(|n| which >> n & 1 == 1).map(address).collect()
}

/// What the border lets in: a count of microseconds.
fn duration(draw: &mut Draw<'_>) -> Duration {
    Duration::from_micros(draw.pick(&[0, 100_000, 1_000_000, 10_000_000, 3_600_000_000, u64::MAX]))
}

/// What the border lets in: at most 255 s.
fn interval(draw: &mut Draw<'_>) -> Duration {
    Duration::from_millis(draw.pick(&[0, 10, 100, 1_000, 2_000, 255_000]))
}
