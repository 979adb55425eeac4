//! Fencing under everything at once: lines that are cut, agents that vanish, flap, lie, obey late or not at all, programs that fail,
//! hang, lie and work late, a database that is away or slow, two coordinators of which one leads and the other may not know that it
//! does not any more, clocks that jump, people who ask for anything at any time.
//!
//! The worlds are small and coarse, so that thousands of them run. What must never happen stands in `laws`: it is looked for
//! whenever a step is decided and whenever a row is written. `HAFLEET_SEED=n` runs one world, `HAFLEET_SEEDS=n` so many.

mod chaos;
mod desk;
mod hosts;
mod laws;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hafleet_fleet::{
    FindingKind, Input, NodeName,
    fence::{
        Device, FenceInput, FencePolicy, FenceState, FenceVerb, Mode, Operation, OperationId, Rung, Standing,
    },
};

use crate::{
    chance::Chance,
    network::{MS, SECOND},
    world::{at, node},
};
use desk::Desk;
use hosts::Host;

const STEP_US: u64 = 500 * MS;
const NODES: usize = 3;
const DESKS: usize = 2;
const STEPS: usize = 170;
/// After everything was mended no operation acts for longer: a demote, and two programs with all that each may wait for.
const ENDS_WITHIN: usize = 240;

/// What was seen to happen, for the proof that something did.
#[derive(Clone, Debug, Default)]
struct Tally {
    demotes: u64,
    offs: u64,
    powers: u64,
    approved: u64,
    lies: u64,
    /// Steps that a coordinator wanted whose epoch was over.
    deposed: u64,
    refused_rows: u64,
    late: u64,
    states: BTreeSet<FenceState>,
    modes: BTreeSet<Mode>,
}

struct Sim {
    seed: u64,
    chance: Chance,
    now_us: u64,
    hosts: Vec<Host>,
    desks: Vec<Desk>,
    cut: BTreeSet<(usize, usize)>,
    maintained: BTreeSet<usize>,
    policy: FencePolicy,
    /// The store.
    lease: u64,
    rows: BTreeMap<OperationId, Operation>,
    standing: Standing,
    database: bool,
    /// When each operation was last found to need more, in truth.
    escalated_us: BTreeMap<OperationId, u64>,
    /// Answers on their way: when, to which desk in which of its lives, what.
    later: Vec<(u64, usize, u64, FenceInput)>,
    /// Orders on their way to agents that are slow, and programs that work late.
    orders: Vec<(u64, usize, OperationId)>,
    programs: Vec<(u64, usize, Rung)>,
    spoke_us: [u64; NODES],
    tally: Tally,
}

fn name(index: usize) -> NodeName {
    node(&format!("lb{:02}", index + 1))
}

fn policy(chance: &mut Chance) -> FencePolicy {
    let modes = [
        Mode::Auto,
        Mode::Auto,
        Mode::Auto,
        Mode::Auto,
        Mode::Approve,
        Mode::Approve,
        Mode::DryRun,
        Mode::Disabled,
    ];
    let mode = modes[chance.below(8) as usize];
    let mut policy = FencePolicy { mode, ..FencePolicy::default() };
    for index in 0..NODES {
        let device = |rung: Rung| (rung, Device(format!("{rung} of {}", name(index))));
        policy.devices.insert(name(index), [Rung::Network, Rung::Power].map(device).into());
    }
    if chance.below(8) == 0 {
        policy.protected_nodes.insert(name(chance.below(NODES as u64) as usize));
    }
    let windows = &mut policy.windows;
    windows.grace = Duration::from_secs(5);
    windows.confirm = Duration::from_secs(6);
    windows.cool_down = Duration::from_secs(10);
    windows.rate = Duration::from_secs(60);
    windows.demote = Duration::from_secs(5);
    windows.poll = Duration::from_secs(1);
    windows.step = Duration::from_secs(5);
    windows.escalate = Duration::from_secs(20);
    windows.act = Duration::from_secs(10);
    windows.path = Duration::from_secs(10);
    windows.aftercare = Duration::from_secs(10);
    policy.limits.polls = 4;
    policy.limits.group_rate = 4;
    policy
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let policy = policy(&mut chance);
        Self {
            seed,
            chance,
            now_us: 1000 * SECOND,
            hosts: (0..NODES).map(Host::new).collect(),
            desks: (0..DESKS).map(|_| Desk::new(policy.mode)).collect(),
            cut: BTreeSet::new(),
            maintained: BTreeSet::new(),
            policy,
            lease: 0,
            rows: BTreeMap::new(),
            standing: Standing::default(),
            database: true,
            escalated_us: BTreeMap::new(),
            later: Vec::new(),
            orders: Vec::new(),
            programs: Vec::new(),
            spoke_us: [0; NODES],
            tally: Tally::default(),
        }
    }

    fn index(&self, name: &NodeName) -> usize {
        self.hosts.iter().position(|host| host.name == *name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn step(&mut self) {
        self.now_us += STEP_US;
        self.elect();
        self.late_work();
        let now_us = self.now_us;
        let (due, later) =
            std::mem::take(&mut self.later).into_iter().partition::<Vec<_>, _>(|(us, ..)| *us <= now_us);
        self.later = later;
        for (_, desk, life, input) in due {
            if self.desks[desk].life == life {
                self.fence(desk, input);
            }
        }
        if now_us.is_multiple_of(SECOND) {
            (0..NODES).for_each(|index| self.say(index));
        }
        for desk in 0..DESKS {
            if now_us.is_multiple_of(10 * SECOND) {
                self.fence(desk, FenceInput::References { reachable: 3, total: 3 });
            }
            let clock = at(self.clock(desk));
            if self.desks[desk].fleet.deadline().is_some_and(|deadline| deadline <= clock) {
                self.give(desk, Input::Deadline);
            }
            self.carry_out(desk);
        }
    }

    /// Everybody is mended. Then every operation comes to its end, and when people let everybody back all is well.
    fn heal(&mut self) {
        self.cut.clear();
        self.database = true;
        // What programs have begun has come to its end.
        self.programs.clear();
        for host in &mut self.hosts {
            host.mend();
        }
        for index in std::mem::take(&mut self.maintained) {
            self.maintain(index, false);
        }
        self.restart(0);
        self.lead(0);
        self.boot();
        self.ask(0, FenceVerb::Resume);
        let mut steps = 0;
        while self.rows.values().any(|row| row.state.is_active()) {
            self.step();
            steps += 1;
            let active: Vec<&Operation> = self.rows.values().filter(|row| row.state.is_active()).collect();
            assert!(steps < ENDS_WITHIN, "seed {}: it does not end: {active:#?}", self.seed);
        }
        for _ in 0..6 {
            for index in 0..NODES {
                self.ask(0, FenceVerb::Release { node: name(index) });
            }
            (0..20).for_each(|_| self.step());
        }
    }

    fn live(mut self) -> Tally {
        self.lead(0);
        (0..NODES).for_each(|index| self.connect(index));
        (0..12).for_each(|_| self.step());
        self.begin();
        let calm = 6 + self.chance.below(60);
        for _ in 0..STEPS {
            if self.chance.below(calm) == 0 {
                self.chaos();
            }
            self.step();
        }
        self.heal();
        let seed = self.seed;
        let held: Vec<&Host> = self.hosts.iter().filter(|host| host.held).collect();
        assert!(held.is_empty(), "seed {seed}: held for ever: {held:?} {:?}", self.rows);
        let open: Vec<&Operation> = self.rows.values().filter(|row| row.state.is_open()).collect();
        assert!(open.is_empty(), "seed {seed}: open for ever: {open:?}");
        let findings = self.desks[0].fleet.view(at(self.clock(0))).findings;
        let fencing = [FindingKind::Fence, FindingKind::FenceRefused];
        let left = findings.iter().filter(|finding| fencing.contains(&finding.kind));
        assert_eq!(left.count(), 0, "seed {seed}: {findings:#?}");
        self.tally
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.demotes += other.demotes;
        self.offs += other.offs;
        self.powers += other.powers;
        self.approved += other.approved;
        self.lies += other.lies;
        self.deposed += other.deposed;
        self.refused_rows += other.refused_rows;
        self.late += other.late;
        self.states.extend(other.states);
        self.modes.extend(other.modes);
    }
}

#[test]
fn no_rule_is_broken_whatever_happens() {
    let mut tally = Tally::default();
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let only = number("HAFLEET_SEED");
    let seeds = only.map_or(0..number("HAFLEET_SEEDS").unwrap_or(2_000), |seed| seed..seed + 1);
    for seed in seeds {
        match std::panic::catch_unwind(|| Sim::new(seed).live()) {
            Ok(one) => tally.add(one),
            Err(panic) => {
                println!("failed with seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{tally:?}");
    if only.is_none() {
        // It proves nothing when nothing is done.
        let Tally { demotes, offs, powers, approved, lies, deposed, refused_rows, late, states, modes } =
            tally;
        assert!(
            demotes > 1_000 && offs > 250 && powers > 40,
            "{demotes} demotes, {offs} offs, {powers} powers"
        );
        assert!(approved > 30 && lies > 30, "{approved} approved, {lies} of liars");
        assert!(deposed > 10 && refused_rows > 100, "{deposed} steps and {refused_rows} rows of the deposed");
        assert!(late > 100, "{late} orders and programs worked late");
        let missed: Vec<_> = FenceState::ALL.into_iter().filter(|state| !states.contains(state)).collect();
        assert_eq!(missed, [], "states that no seed reached");
        assert_eq!(modes.len(), 3, "steps were taken in every mode but `disabled`: {modes:?}");
    }
}
