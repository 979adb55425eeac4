//! kill -9 of a coordinator or an agent at every step of an apply: the old generation or the new one, whole.
//!
//! ```text
//! staging ─► committing: lb02 ─► lb03 ─► lb01, the holder ─► all settled ─► confirming: all ─► applied
//! ```
//!
//! The handle on a step is the management line of the node that is to take it: while it is isolated the coordinator waits for the
//! answer, and everything stands still. A coordinator that is frozen meanwhile leaves a step that the agent has done and the
//! coordinator does not know of.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use hafleet_tests::lab::{Process, Segment, wait_for};

use super::rack::{Group, Rack, SOON, name, on_disk};

/// Shorter than anything settles at 100 ms adverts (4 s), long enough to be near the next step.
const NEARLY_SETTLED: Duration = Duration::from_secs(3);
/// How long the fleet may take to be whole again: a node's time to be confirmed, and restarts on a busy machine.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);

const HOLDER: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;

/// A step of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Every node was asked to judge it, none has answered.
    StagedOnNone,
    /// Two have, the third one has not.
    StagedOnSome,
    /// The first backup was asked to run it.
    FirstCommit,
    /// Both backups run it, the holder was asked to.
    HoldersCommit,
    /// Every node runs it, none was told to keep it.
    BeforeConfirm,
    /// Every node was told to keep it; one has not answered.
    AmidConfirm,
    /// The first backup did not answer its commit: it is to go back.
    RollingBack,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The coordinator, before the agent that it waits for hears anything.
    Coordinator,
    /// The coordinator, after that agent has done what it was asked, and before the coordinator knows.
    CoordinatorUnaware,
    /// The agent that is waited for.
    Asked,
    /// The holder.
    Holder,
}

/// What `web` looks like in a generation: an address of its own for each.
fn web(generation: u64) -> Vec<Group> {
    vec![Group {
        name: "web".into(),
        vrid: 51,
        addresses: vec![format!("{}/24", address(generation))],
        interval: "100ms",
        members: vec![(HOLDER, 150), (FIRST, 100), (SECOND, 50)],
    }]
}

fn address(generation: u64) -> String {
    format!("192.168.178.{}", 200 + generation)
}

/// The rack, and what it runs.
struct Lane {
    rack: Rack,
    /// What was applied last.
    head: u64,
    /// The number that was given last.
    last: u64,
}

impl Lane {
    fn start() -> Self {
        let rack = Rack::start(3);
        let (code, said) = rack.apply(&web(1), "30s");
        assert_eq!(code, Some(0), "{said}\n{}", rack.logs());
        Self { rack, head: 1, last: 1 }
    }

    /// Begins an apply and stops it at this step. Gives who is waited for, whose line is isolated.
    fn reach(&self, at: At) -> (Process, Vec<usize>) {
        let (rack, new) = (&self.rack, self.last + 1);
        let isolate = |number: usize| rack.hosts[number].isolate(Segment::Management).unwrap();
        let rejoin = |number: usize| rack.hosts[number].rejoin(Segment::Management).unwrap();
        let begin = || rack.begin(&web(new), "30s");
        let (apply, waited_for) = match at {
            At::StagedOnNone => {
                (0..3).for_each(isolate);
                let apply = begin();
                (0..3).for_each(|number| rack.wait_for_step(new, number, "staging"));
                (apply, vec![HOLDER, FIRST, SECOND])
            }
            At::StagedOnSome => {
                isolate(SECOND);
                let apply = begin();
                [HOLDER, FIRST].into_iter().for_each(|number| rack.wait_for_step(new, number, "staged"));
                (apply, vec![SECOND])
            }
            At::FirstCommit | At::RollingBack => {
                isolate(SECOND);
                let apply = begin();
                [HOLDER, FIRST].into_iter().for_each(|number| rack.wait_for_step(new, number, "staged"));
                isolate(FIRST);
                rejoin(SECOND);
                rack.wait_for_step(new, FIRST, "committing");
                if at == At::RollingBack {
                    rack.wait_for_step(new, FIRST, "rolling_back");
                }
                (apply, vec![FIRST])
            }
            At::HoldersCommit => {
                let apply = begin();
                rack.wait_for_step(new, SECOND, "committed");
                sleep(NEARLY_SETTLED);
                isolate(HOLDER);
                rack.wait_for_step(new, HOLDER, "committing");
                (apply, vec![HOLDER])
            }
            At::BeforeConfirm => {
                let apply = begin();
                rack.wait_for_step(new, HOLDER, "committed");
                (apply, vec![])
            }
            At::AmidConfirm => {
                let apply = begin();
                rack.wait_for_step(new, HOLDER, "committed");
                sleep(NEARLY_SETTLED);
                isolate(FIRST);
                [HOLDER, SECOND].into_iter().for_each(|number| rack.wait_for_step(new, number, "confirmed"));
                (apply, vec![FIRST])
            }
        };
        let expected = match at {
            At::StagedOnNone => ["staging"; 3],
            At::StagedOnSome => ["staged", "staged", "staging"],
            At::FirstCommit => ["staged", "committing", "staged"],
            At::HoldersCommit => ["committing", "committed", "committed"],
            At::BeforeConfirm => ["committed"; 3],
            At::AmidConfirm => ["confirmed", "confirming", "confirmed"],
            At::RollingBack => ["staged", "rolling_back", "staged"],
        };
        let steps: BTreeMap<String, String> = (0..3).map(name).zip(expected.map(str::to_owned)).collect();
        let mut found = rack.steps(new);
        if at == At::RollingBack {
            // The others have nothing to lose and are told at the same time.
            found.insert(name(HOLDER), "staged".into());
            found.insert(name(SECOND), "staged".into());
        }
        assert_eq!(found, steps, "{at:?} was not hit\n{}", rack.logs());
        (apply, waited_for)
    }

    /// One apply with one kill; gives which generation it ended with.
    fn kill(&mut self, at: At, victim: Victim) -> u64 {
        let new = self.last + 1;
        let (_apply, isolated) = self.reach(at);
        let rejoin = |rack: &Rack| {
            isolated.iter().for_each(|number| rack.hosts[*number].rejoin(Segment::Management).unwrap());
        };
        match victim {
            Victim::Coordinator => {
                self.rack.coordinator.kill().unwrap();
                rejoin(&self.rack);
                self.rack.coordinator.serve().unwrap();
            }
            Victim::CoordinatorUnaware => {
                self.rack.coordinator.freeze().unwrap();
                rejoin(&self.rack);
                self.wait_until_done(at, new);
                self.rack.coordinator.kill().unwrap();
                self.rack.coordinator.serve().unwrap();
            }
            Victim::Asked | Victim::Holder => {
                let number = match victim {
                    Victim::Holder => HOLDER,
                    _ => isolated[0],
                };
                self.rack.agents[number].kill().unwrap();
                rejoin(&self.rack);
                self.rack.restart(number);
            }
        }
        self.last = new;
        self.head = self.wait_until_whole(at, victim);
        println!("{at:?}, {victim:?} killed: generation {} of {new}", self.head);
        self.head
    }

    /// The isolated agent has done what it was asked.
    fn wait_until_done(&self, at: At, new: u64) {
        let (number, done): (usize, fn(u64, &super::rack::OnDisk) -> bool) = match at {
            At::StagedOnNone | At::StagedOnSome => (SECOND, |new, disk| disk.staged == new),
            At::FirstCommit => (FIRST, |new, disk| disk.running == new),
            At::HoldersCommit => (HOLDER, |new, disk| disk.running == new),
            At::AmidConfirm => (FIRST, |new, disk| disk.running == new && !disk.is_unconfirmed),
            At::BeforeConfirm | At::RollingBack => (FIRST, |_, disk| !disk.is_unconfirmed),
        };
        wait_for(&format!("{} to have done it", name(number)), SOON, || {
            Ok(done(new, &on_disk(&self.rack.hosts[number])).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{at:?}: {error}\n{}", self.rack.logs()));
    }

    /// Waits until record, disks and kernels say the same, and says what.
    fn wait_until_whole(&self, at: At, victim: Victim) -> u64 {
        let (rack, new, old) = (&self.rack, self.last, self.head);
        let mut seen = String::new();
        let whole = wait_for("one generation everywhere", WHOLE_WITHIN, || {
            let newest = rack.newest();
            let (disks, held) = (rack.on_disks(), rack.held());
            seen = format!("{newest:?}\n{disks:#?}\n{held:#?}");
            let Some((number, state, _)) = newest.filter(|(number, ..)| *number == new) else {
                return Ok(None);
            };
            let runs = match state.as_str() {
                "applied" => number,
                "rolled_back" | "refused" => old,
                _ => return Ok(None),
            };
            let is_kept =
                disks.iter().all(|disk| disk.running == runs && !disk.is_unconfirmed && disk.staged == 0);
            let is_held =
                held.len() == 1 && held.get(&address(runs)).is_some_and(|holders| holders.len() == 1);
            let drift = rack.coordinator.hactl(&["config", "drift"])?.status.code();
            Ok((is_kept && is_held && drift == Some(0)).then_some(runs))
        });
        whole.unwrap_or_else(|error| panic!("{at:?}, {victim:?}: {error}: {seen}\n{}", rack.logs()))
    }

    /// The holder is who it was, so that the next case begins like this one.
    fn calm(&self) {
        let address = address(self.head);
        wait_for("the best member to hold it", SOON, || {
            Ok((self.rack.holders(&address) == [name(HOLDER)]).then_some(()))
        })
        .unwrap();
        self.rack.wait_for_all();
        self.rack
            .coordinator
            .wait_for_holder(&address, Some(&name(HOLDER)), SOON)
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.rack.logs()));
    }
}

/// Each case on the fleet that the one before has left.
fn walk(cases: &[(At, Victim)]) {
    let mut lane = Lane::start();
    for (at, victim) in cases {
        lane.calm();
        lane.kill(*at, *victim);
    }
}

#[test]
fn a_coordinator_killed_while_nodes_judge_or_go_back() {
    walk(&[
        (At::StagedOnNone, Victim::Coordinator),
        (At::StagedOnSome, Victim::Coordinator),
        (At::StagedOnSome, Victim::CoordinatorUnaware),
        (At::RollingBack, Victim::Coordinator),
    ]);
}

#[test]
fn a_coordinator_killed_while_nodes_commit() {
    walk(&[
        (At::FirstCommit, Victim::Coordinator),
        (At::FirstCommit, Victim::CoordinatorUnaware),
        (At::HoldersCommit, Victim::Coordinator),
        (At::HoldersCommit, Victim::CoordinatorUnaware),
    ]);
}

/// The last one: every agent keeps it, and only the record of the end is missing.
#[test]
fn a_coordinator_killed_around_the_confirmation() {
    walk(&[
        (At::BeforeConfirm, Victim::Coordinator),
        (At::AmidConfirm, Victim::Coordinator),
        (At::AmidConfirm, Victim::CoordinatorUnaware),
    ]);
}

#[test]
fn an_agent_killed_while_it_judges_or_commits() {
    walk(&[
        (At::StagedOnSome, Victim::Asked),
        (At::FirstCommit, Victim::Asked),
        (At::FirstCommit, Victim::Holder),
        (At::HoldersCommit, Victim::Asked),
    ]);
}

#[test]
fn an_agent_killed_around_the_confirmation() {
    walk(&[
        (At::BeforeConfirm, Victim::Holder),
        (At::AmidConfirm, Victim::Asked),
        (At::AmidConfirm, Victim::Holder),
        (At::RollingBack, Victim::Asked),
    ]);
}
