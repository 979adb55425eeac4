//! A configuration is pushed to real agents: to many at once, to one that it cuts off, and with kills at every step.

mod killed;
mod rack;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use hafleet_tests::lab::{Segment, wait_for};

use rack::{Group, OnDisk, Rack, SOON, name, on_disk};

/// A line's worth of agents.
const MANY: usize = 50;

/// Twenty-five pairs, and one group of ten more that are members of pairs too.
fn many(generation: u64) -> Vec<Group> {
    let is_second = generation == 2;
    let pair = |pair: usize| {
        // Every other pair gets another address, the rest another order.
        let renumbered = is_second && pair.is_multiple_of(2);
        let address = if renumbered { 201 + pair } else { 161 + pair };
        let (one, other) = if is_second && !renumbered { (100, 150) } else { (150, 100) };
        Group {
            name: format!("pair{pair:02}"),
            vrid: u8::try_from(1 + pair).unwrap(),
            addresses: vec![format!("192.168.178.{address}/24")],
            interval: "1s",
            members: vec![(2 * pair, one), (2 * pair + 1, other)],
        }
    };
    let ten = Group {
        name: "ten".into(),
        vrid: 100,
        addresses: vec!["192.168.178.160/24".into()],
        interval: "1s",
        // A member of each of ten pairs.
        members: (0..10).map(|number| (2 * number, u8::try_from(200 - number).unwrap())).collect(),
    };
    (0..MANY / 2).map(pair).chain([ten]).collect()
}

/// Who should hold each address of a file, when all members are well.
fn meant(groups: &[Group]) -> Vec<(String, String)> {
    let best = |group: &Group| group.members.iter().max_by_key(|(_, priority)| *priority).unwrap().0;
    let bare = |address: &String| address.split('/').next().unwrap().to_owned();
    groups
        .iter()
        .flat_map(|group| group.addresses.iter().map(move |a| (bare(a), name(best(group)))))
        .collect()
}

#[test]
fn fifty_agents_run_one_generation_after_the_other() {
    let begun = Instant::now();
    let rack = Rack::start(MANY);
    println!("{MANY} agents joined and are heard after {:?}", begun.elapsed());
    for generation in [1, 2] {
        let groups = many(generation);
        let applying = Instant::now();
        let (code, said) = rack.apply(&groups, "120s");
        println!("generation {generation} on {MANY} agents took {:?}", applying.elapsed());
        assert_eq!(code, Some(0), "{said}\n{}", rack.coordinator.log());
        assert!(said.contains(&format!("generation {generation} is applied")), "{said}");
        let disks: BTreeSet<_> =
            rack.on_disks().into_iter().map(|disk| (disk.running, disk.is_unconfirmed)).collect();
        assert_eq!(disks, BTreeSet::from([(generation, false)]), "every agent keeps it");
        let expected = meant(&groups);
        wait_for("one holder for each group, and the right one", SOON, || {
            let held = rack.held();
            let is_right = |(address, node): &(String, String)| {
                held.get(address).is_some_and(|holders| *holders == BTreeSet::from([node.clone()]))
            };
            Ok((held.len() == expected.len() && expected.iter().all(is_right)).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}\n{:#?}", rack.held()));
        let drift = rack.coordinator.json(&["config", "drift"]).unwrap();
        let drift = drift.as_array().unwrap();
        assert_eq!(drift.len(), MANY);
        for node in drift {
            assert_eq!(
                (&node["state"], &node["runs_generation"]),
                (&"in_step".into(), &generation.into()),
                "{node}"
            );
        }
        let findings = rack.coordinator.findings().unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

/// web as it is, and as a tired operator wrote it: the mask of the second address is so wide that the way to the
/// coordinator leads to the service line.
fn web(is_wrong: bool) -> Vec<Group> {
    let mut addresses = vec!["192.168.178.201/24".to_owned()];
    if is_wrong {
        addresses.push("10.99.0.100/25".to_owned());
    }
    let members = vec![(0, 150), (1, 100), (2, 50)];
    vec![Group { name: "web".into(), vrid: 51, addresses, interval: "100ms", members }]
}

/// How long an agent waits to be confirmed in these tests.
const CONFIRM: Duration = Duration::from_secs(30);

/// Applies what is good, and then what cuts the holder off; the coordinator is dead from the moment the holder runs it.
fn cut_off() -> (Rack, Instant) {
    let mut rack = Rack::start(3);
    let (code, said) = rack.apply(&web(false), "30s");
    assert_eq!(code, Some(0), "{said}\n{}", rack.logs());
    assert_eq!(rack.holders("192.168.178.201"), ["lb01"]);
    let _apply = rack.begin(&web(true), "30s");
    wait_for("the holder to run it", SOON, || Ok((on_disk(&rack.hosts[0]).running == 2).then_some(())))
        .unwrap_or_else(|error| panic!("{error}\n{}", rack.logs()));
    let committed = Instant::now();
    rack.coordinator.kill().unwrap();
    wait_for("the holder to be cut off", SOON, || Ok((!reaches(&rack, 0)).then_some(()))).unwrap();
    assert!(reaches(&rack, 1) && reaches(&rack, 2), "backups hold nothing");
    (rack, committed)
}

/// Whether a host has a way to the coordinator's.
fn reaches(rack: &Rack, number: usize) -> bool {
    let address = rack.coordinator.host().management_address();
    rack.hosts[number].run("ping", &["-c", "1", "-W", "1", &address]).is_ok()
}

/// Every agent has gone back by itself, with nobody to tell it.
fn wait_for_all_back(rack: &Rack, committed: Instant) {
    let back = OnDisk { running: 1, is_unconfirmed: false, staged: 0, rolled_back: 2 };
    wait_for("every agent to go back by itself", CONFIRM + SOON, || {
        Ok(rack.on_disks().iter().all(|disk| *disk == back).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}\n{}", rack.on_disks(), rack.logs()));
    let took = committed.elapsed();
    println!("the last agent went back {took:?} after the holder's commit, of {CONFIRM:?} that it had");
    // A busy machine may be late, but not so late that something else must have been the reason.
    assert!(took < CONFIRM + Duration::from_secs(10), "{took:?}");
    wait_for("the old addresses, and only them", SOON, || {
        let held = rack.held();
        Ok((held.len() == 1 && held.get("192.168.178.201").is_some_and(|holders| holders.len() == 1))
            .then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}", rack.held()));
    assert!(reaches(rack, 0));
}

/// The coordinator is back and says what is so.
fn assert_the_truth(rack: &mut Rack) {
    rack.coordinator.serve().unwrap();
    let (number, state, why) = wait_for("the end of the apply", SOON, || {
        Ok(rack.newest().filter(|(_, state, _)| state == "rolled_back"))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", rack.newest(), rack.logs()));
    assert_eq!((number, state.as_str()), (2, "rolled_back"));
    // How it learns of it depends on what it knew when it died, and on who is quicker now.
    let words = ["it was not confirmed in time", "did not come back in time after its commit"];
    assert!(words.iter().any(|words| why.contains(words)), "{why}");
    wait_for("no drift", SOON, || {
        let output = rack.coordinator.hactl(&["config", "drift"])?;
        Ok((output.status.code() == Some(0)).then_some(()))
    })
    .unwrap();
    let drift = rack.coordinator.json(&["config", "drift"]).unwrap();
    for node in drift.as_array().unwrap() {
        assert_eq!((&node["state"], &node["runs_generation"]), (&"in_step".into(), &1.into()), "{node}");
    }
    assert!(rack.steps(2).values().all(|state| state == "rolled_back"), "{:?}", rack.steps(2));
}

#[test]
fn what_cuts_an_agent_off_is_given_up_by_the_agents_alone() {
    let (mut rack, committed) = cut_off();
    wait_for_all_back(&rack, committed);
    assert_eq!(rack.holders("192.168.178.201"), ["lb01"]);
    assert_the_truth(&mut rack);
}

#[test]
fn what_cuts_an_agent_off_is_given_up_though_the_agent_is_killed_meanwhile() {
    let (mut rack, committed) = cut_off();
    rack.agents[0].kill().unwrap();
    // Who takes over holds what cuts it off, too, and has nobody to tell it to go back.
    wait_for("another holder that is cut off", SOON, || {
        Ok((rack.holders("10.99.0.100") == ["lb02"] && !reaches(&rack, 1)).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}", rack.held()));
    rack.restart(0);
    wait_for("the holder to be back with what it tries out", SOON, || {
        Ok((rack.holders("10.99.0.100") == ["lb01"]).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}\n{}", rack.held(), rack.logs()));
    assert!(on_disk(&rack.hosts[0]).is_unconfirmed, "a restart gives it no more time, nor less");
    wait_for_all_back(&rack, committed);
    assert_the_truth(&mut rack);
}

/// The firewall of a host that lets no coordinator in; the coordinator lives.
#[test]
fn an_agent_that_the_coordinator_cannot_reach_turns_all_back() {
    let rack = Rack::start(3);
    let (code, said) = rack.apply(&web(false), "30s");
    assert_eq!(code, Some(0), "{said}\n{}", rack.logs());
    let mut renumbered = web(false);
    renumbered[0].addresses = vec!["192.168.178.202/24".into()];
    let _apply = rack.begin(&renumbered, "30s");
    wait_for("the holder to run it", SOON, || Ok((on_disk(&rack.hosts[0]).running == 2).then_some(())))
        .unwrap();
    rack.hosts[0].isolate(Segment::Management).unwrap();
    let committed = Instant::now();
    wait_for("the holder to go back by itself", CONFIRM + SOON, || {
        Ok((on_disk(&rack.hosts[0]).running == 1).then_some(()))
    })
    .unwrap();
    println!("it went back {:?} after its commit", committed.elapsed());
    wait_for("the end of the apply", SOON, || {
        Ok(rack.newest().filter(|(number, state, _)| *number == 2 && state == "rolled_back").map(drop))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", rack.newest()));
    wait_for("one holder of the old address", SOON, || {
        Ok((rack.holders("192.168.178.201").len() == 1 && rack.holders("192.168.178.202").is_empty())
            .then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}", rack.held()));
    rack.hosts[0].rejoin(Segment::Management).unwrap();
    wait_for("no drift, and every step told", SOON, || {
        let output = rack.coordinator.hactl(&["config", "drift"])?;
        let are_back = rack.steps(2).values().all(|state| state == "rolled_back");
        Ok((output.status.code() == Some(0) && are_back).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", rack.steps(2), rack.logs()));
}

#[test]
fn of_two_applies_at_once_one_wins() {
    let rack = Rack::start(3);
    let file = rack.write(&web(false));
    let apply = |message: &str| {
        let arguments = ["config", "apply", &file, "--yes", "--confirm", "30s", "--message", message];
        rack.coordinator.hactl(&arguments).unwrap()
    };
    let outputs = std::thread::scope(|scope| {
        let threads: Vec<_> =
            ["a", "b", "c", "d"].map(|message| scope.spawn(move || apply(message))).into_iter().collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut codes: Vec<_> = outputs.iter().map(|output| output.status.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(5), Some(5), Some(5)], "{outputs:#?}");
    for loser in outputs.iter().filter(|output| output.status.code() == Some(5)) {
        let said = String::from_utf8_lossy(&loser.stderr);
        assert!(
            said.contains("generation 1 is being applied") || said.contains("was applied since"),
            "{said}"
        );
    }
    let history = rack.coordinator.json(&["config", "history"]).unwrap();
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history:#}");
    assert_eq!(rack.newest().unwrap().1, "applied");
}
