use std::{fs, path::PathBuf};

use proptest::prelude::*;

use super::{pointer::Previous, store::hash_of, *};
use crate::config::Inputs;

const SECOND_US: u64 = 1_000_000;

fn clocks(at_s: u64) -> Clocks {
    let wall_us = i64::try_from(1_000_000 + at_s).unwrap() * 1_000_000;
    Clocks { wall_us, boot_us: at_s * SECOND_US, boot_id: "first".to_owned() }
}

fn text(vrid: u8) -> String {
    format!(
        "[[instance]]\nname = \"VI_{vrid}\"\ninterface = \"lo\"\nvrid = {vrid}\n\
         vips = [{{ address = \"192.0.2.{vrid}/24\" }}]\n"
    )
}

fn generation(number: u64) -> Generation {
    Generation { number, hash: hash_of(text(u8::try_from(number).unwrap()).as_bytes()) }
}

struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// As after a kill: what is on the disk is all there is.
    fn open(&self, at_s: u64) -> Push {
        Push::open(self.0.path(), &clocks(at_s))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("pushed").join(name)
    }

    fn staged(&self, number: u64) -> Push {
        let mut push = self.open(0);
        push.stage(generation(number), &text(u8::try_from(number).unwrap())).unwrap();
        push
    }

    fn committed(&self, number: u64, at_s: u64) -> Push {
        let mut push = self.staged(number);
        assert!(push.commit(number, 60 * SECOND_US, &clocks(at_s)).unwrap());
        push
    }

    fn confirmed(&self, number: u64) -> Push {
        let mut push = self.committed(number, 0);
        push.confirm(number, &clocks(1)).unwrap();
        push
    }
}

fn running(push: &Push) -> Option<u64> {
    let text = push.text().unwrap();
    let number = push.pointer().running.as_ref().map(|generation| generation.number);
    // The text is the pointer's own, whole.
    let expected = number.map(|number| tests::text(u8::try_from(number).unwrap()));
    assert_eq!(text.map(|text| text.text), expected);
    number
}

#[test]
fn a_generation_from_its_staging_to_its_confirmation() {
    let node = Node::new();
    let mut push = node.staged(1);
    assert_eq!(running(&push), None);
    assert_eq!(push.status().to_wire(&clocks(0)).staged_generation, 1);
    assert!(push.commit(1, 60 * SECOND_US, &clocks(0)).unwrap());
    assert_eq!(running(&push), Some(1));
    assert_eq!(push.status().to_wire(&clocks(20)).confirm_left_us, 40 * SECOND_US);
    // Nothing is done twice.
    assert!(!push.commit(1, 60 * SECOND_US, &clocks(30)).unwrap());
    assert_eq!(push.status().to_wire(&clocks(30)).confirm_left_us, 30 * SECOND_US);
    push.confirm(1, &clocks(59)).unwrap();
    push.confirm(1, &clocks(9_999)).unwrap();
    let mut push = node.open(1_000_000);
    let wire = push.status().to_wire(&clocks(0));
    assert_eq!((running(&push), wire.confirm_left_us, wire.error.as_str()), (Some(1), 0, ""));
    push.note(Some("x".repeat(2000)));
    let wire = push.status().to_wire(&clocks(0));
    assert!(wire.error.starts_with("the pushed generation 1 does not run: xx"), "{wire:?}");
    assert_eq!((wire.generation, wire.error.len()), (1, 1000));
}

#[test]
fn what_is_not_confirmed_in_time_is_given_up_also_after_a_restart() {
    let node = Node::new();
    node.confirmed(1);
    let mut push = node.committed(2, 100);
    assert!(!push.give_up_late(&clocks(159)));
    assert_eq!(running(&node.open(159)), Some(2), "its time goes on over a restart");
    assert!(push.give_up_late(&clocks(160)));
    assert_eq!(running(&push), Some(1));
    let again = node.open(160);
    assert_eq!(running(&again), Some(1));
    let wire = again.status().to_wire(&clocks(160));
    assert_eq!(
        (wire.rolled_back_generation, wire.rolled_back_why.as_str()),
        (2, "it was not confirmed in time")
    );

    // The same when nobody was there at the moment.
    let node = Node::new();
    node.committed(1, 0);
    let push = node.open(61);
    assert_eq!(running(&push), None);
    assert!(matches!(push.clone().confirm(1, &clocks(61)), Err(PushError::Stale(_))));
}

#[test]
fn the_time_to_confirm_goes_by_the_clock_that_can_be_trusted() {
    let confirm = Confirm {
        within_us: 60 * SECOND_US,
        committed_wall_us: clocks(100).wall_us,
        committed_boot_us: clocks(100).boot_us,
        boot_id: "first".to_owned(),
    };
    let left_s = |clocks: &Clocks| confirm.left_us(clocks) / SECOND_US;
    // Somebody sets the wall clock: nothing changes.
    for wall_us in [0, i64::MAX] {
        assert_eq!(left_s(&Clocks { wall_us, ..clocks(130) }), 30);
    }
    // The host has booted since.
    let booted = |at_s, boot_us| Clocks { boot_us, boot_id: "second".to_owned(), ..clocks(at_s) };
    assert_eq!(left_s(&booted(130, 5)), 30);
    assert_eq!(left_s(&booted(160, 5)), 0);
    // A clock that has lost the time is not waited for.
    assert_eq!(left_s(&booted(99, 5)), 0);
    // Which boot it is cannot be known.
    let unknown = Confirm { boot_id: String::new(), ..confirm.clone() };
    assert_eq!(unknown.left_us(&Clocks { boot_id: String::new(), ..clocks(130) }), 30 * SECOND_US);
}

#[test]
fn a_rollback_goes_back_to_what_ran_before() {
    let node = Node::new();
    node.confirmed(1);
    let mut push = node.confirmed(2);
    assert!(push.roll_back(2, "by request").unwrap(), "also when it was confirmed");
    assert_eq!(running(&push), Some(1));
    assert!(!push.roll_back(2, "by request").unwrap(), "nothing is done twice");
    // What ran before 1 is not kept any more, and nobody guesses.
    assert!(matches!(push.roll_back(1, "by request"), Err(PushError::Stale(_))));
    assert_eq!(running(&push), Some(1));
    let mut push = node.staged(3);
    assert!(!push.roll_back(3, "by request").unwrap(), "what runs does not change");
    assert_eq!(push.pointer().staged, None);
    assert!(!node.path("3").exists() && node.path("1").exists(), "what nobody needs is removed");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let node = Node::new();
    let mut push = node.confirmed(5);
    let pointer = push.pointer().clone();
    let stage = |push: &mut Push, number: u64, text: &str| {
        let generation = Generation { number, hash: hash_of(text.as_bytes()) };
        push.stage(generation, text).map_err(|error| error.code())
    };
    assert_eq!(stage(&mut push, 4, "older"), Err("stale_generation"));
    assert_eq!(stage(&mut push, 5, "another"), Err("conflict"));
    assert_eq!(stage(&mut push, 5, &text(5)), Ok(()), "it is here already");
    assert_eq!(stage(&mut push, 0, ""), Err("invalid"));
    let commit = |push: &mut Push, number, within_us| {
        push.commit(number, within_us, &clocks(0)).map_err(|error| error.code())
    };
    assert_eq!(commit(&mut push, 6, 60 * SECOND_US), Err("nothing_staged"));
    assert_eq!(commit(&mut push, 4, 60 * SECOND_US), Err("stale_generation"));
    for within_us in [0, SECOND_US - 1, 24 * 3600 * SECOND_US + 1, u64::MAX] {
        assert_eq!(commit(&mut push, 6, within_us), Err("invalid"));
    }
    assert_eq!(push.confirm(6, &clocks(0)).map_err(|error| error.code()), Err("stale_generation"));
    assert_eq!(push.roll_back(6, "").map_err(|error| error.code()), Err("stale_generation"));
    assert_eq!(push.pointer(), &pointer);
    // One trial at a time.
    push = node.committed(6, 0);
    push.stage(generation(7), &text(7)).unwrap();
    assert_eq!(commit(&mut push, 7, 60 * SECOND_US), Err("conflict"));
}

/// Killed at any step of staging and committing, the node has the old generation or the new one, whole.
#[test]
fn what_a_kill_leaves_behind_is_the_old_or_the_new() {
    // While the text is written, and while it is put in place.
    let node = Node::new();
    node.confirmed(1);
    fs::create_dir(node.path("2.new")).unwrap();
    fs::write(node.path("2.new").join("agent.toml"), "[[inst").unwrap();
    assert_eq!(running(&node.open(0)), Some(1));
    fs::create_dir(node.path("2")).unwrap();
    fs::write(node.path("2").join("agent.toml"), "[[inst").unwrap();
    assert_eq!(running(&node.open(0)), Some(1));
    // Both are in nobody's way.
    let push = node.staged(2);
    assert_eq!(push.staged(2).unwrap().unwrap().1.text, text(2));
    // While the pointer is written.
    fs::write(node.path("state.json.new"), "{\"version\":").unwrap();
    assert_eq!(running(&node.open(0)), Some(1));
    let push = node.committed(2, 0);
    assert_eq!(running(&push), Some(2));
    // Before what nobody needs any more is removed.
    let left = node.path("9");
    fs::create_dir(&left).unwrap();
    assert_eq!(running(&node.open(0)), Some(2));
    node.open(0).confirm(2, &clocks(0)).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_text_that_is_damaged_does_not_run() {
    let node = Node::new();
    node.confirmed(1);
    node.committed(2, 0);
    fs::write(node.path("2").join("agent.toml"), text(3)).unwrap();
    // Of one that is tried out the one before it is the better choice.
    assert_eq!(running(&node.open(1)), Some(1));
    fs::remove_file(node.path("1").join("agent.toml")).unwrap();
    let push = node.open(1);
    assert!(push.text().is_err());
    let error = push.status().error.unwrap();
    assert!(error.contains("generation 1 does not run") && error.contains("is not there"), "{error}");
}

#[test]
fn a_pointer_that_cannot_be_read_stops_everything_pushed() {
    let node = Node::new();
    node.confirmed(1);
    let good = fs::read_to_string(node.path("state.json")).unwrap();
    for broken in ["", "{}", &good.replace("\"version\": 1", "\"version\": 2"), &good[..good.len() / 2]] {
        fs::write(node.path("state.json"), broken).unwrap();
        let mut push = node.open(0);
        assert_eq!(running(&push), None);
        assert!(push.status().error.unwrap().contains("state.json"));
        let wire = push.status().to_wire(&clocks(0));
        assert!(wire.generation == 0 && wire.error.contains("state.json"), "{wire:?}");
        let refused = push.stage(generation(2), &text(2)).unwrap_err();
        assert_eq!(refused.code(), "disk");
        assert_eq!(fs::read_to_string(node.path("state.json")).unwrap(), broken);
        fs::write(node.path("state.json"), &good).unwrap();
        assert!(push.look_again());
        assert_eq!(running(&push), Some(1));
    }
}

/// What an agent of today writes must be read by one of tomorrow.
#[test]
fn the_format_of_the_pointer() {
    let node = Node::new();
    fs::create_dir_all(node.path("7")).unwrap();
    fs::write(node.path("7").join("agent.toml"), text(7)).unwrap();
    let state = format!(
        r#"{{"version": 1, "pointer": {{
          "running": {{"number": 7, "hash": "{}"}}, "previous": {{"generation": null}},
          "confirm": {{"within_us": 60000000, "committed_wall_us": 1000000000000, "committed_boot_us": 0, "boot_id": "first"}},
          "staged": null, "rolled_back": {{"generation": 6, "why": "by request"}} }} }}"#,
        generation(7).hash
    );
    fs::write(node.path("state.json"), state).unwrap();
    let push = node.open(1);
    assert_eq!(running(&push), Some(7));
    assert_eq!(push.pointer().previous, Some(Previous { generation: None }));
    assert_eq!(push.pointer().rolled_back.as_ref().unwrap().generation, 6);
}

fn checked(text: &str, local: &str) -> Result<Usable, String> {
    let dir = tempfile::tempdir().unwrap();
    let native = dir.path().join("agent.toml");
    fs::write(&native, local).unwrap();
    let inputs = Inputs { native: Some(native), ..Inputs::default() };
    let generation = Generation { number: 7, hash: hash_of(text.as_bytes()) };
    let pushed = PushedText { path: "/state/pushed/7/agent.toml".into(), text: text.to_owned() };
    check(&inputs, &generation, &pushed).map_err(|error| {
        assert_eq!(error.code(), "invalid");
        error.to_string().replace(dir.path().to_str().unwrap(), "/etc")
    })
}

#[test]
fn a_pushed_text_is_held_against_the_local_files_and_the_interfaces() {
    assert_eq!(checked(&text(7), "").unwrap().warnings, "");
    assert_eq!(checked("", "").unwrap().warnings, "", "a node may have no part in the fleet's configuration");
    let at = "/state/pushed/7/agent.toml";
    let name = checked(&text(7), &text(7)).unwrap_err();
    assert!(
        name.contains(&format!(
            "{at}:2:8: error: an instance named `VI_7` is already at /etc/agent.toml:2:8"
        )),
        "{name}"
    );
    let vrid =
        checked(&text(7), &text(7).replace("VI_7", "VI_1").replace("192.0.2.7", "192.0.2.9")).unwrap_err();
    assert!(vrid.contains(&format!("{at}:2:8: error: `VI_7` uses VRID 7 on lo")), "{vrid}");
    let key = checked(&text(7).replace("vrid", "vird"), "").unwrap_err();
    assert!(key.contains(&format!("{at}:4:1: error: `vird` is not a key of [[instance]]")), "{key}");
    let interface = checked(&text(7).replace("\"lo\"", "\"eno9\""), "").unwrap_err();
    assert_eq!(
        interface,
        format!("{at}:2:8: error: `VI_7` needs the interface `eno9`, which this host does not have")
    );
    // Nothing but instances: neither programs nor files, nor the agent's own settings.
    for other in [
        "script_user = \"root\"",
        "node = \"lb02\"",
        "coordinators = [\"evil:7443\"]",
        "metrics = \"0.0.0.0:1\"",
    ] {
        let refused = checked(other, "").unwrap_err();
        assert!(refused.contains("cannot be pushed, only [[instance]] can"), "{refused}");
    }
    for kind in ["script", "process", "file"] {
        let refused = checked(&format!("[[{kind}]]\nname = \"x\"\n"), "").unwrap_err();
        assert!(refused.contains(&format!("{at}:1:3: error: `{kind}` cannot be pushed")), "{refused}");
    }
}

#[test]
fn a_pushed_instance_tracks_what_the_node_defines() {
    let local = "[[process]]\nname = \"nginx\"\ncommand = \"nginx\"\n";
    let pushed = format!("{}track = [{{ process = \"nginx\" }}]\n", text(7));
    assert_eq!(checked(&pushed, local).unwrap().warnings, "");
    let missing = checked(&pushed, "").unwrap_err();
    assert!(missing.contains("there is no process named `nginx`"), "{missing}");
}

#[test]
fn an_answer_is_bounded_and_a_text_is_what_was_announced() {
    let many: String = (0..400).map(|number| format!("key_{number} = 1\n")).collect();
    let refused = checked(&many, "").unwrap_err();
    assert!(refused.len() <= 4096 && refused.lines().count() > 10, "{}", refused.len());
    let pushed = PushedText { path: "x".into(), text: "y".repeat(TEXT_LEN_MAX + 1) };
    let refused = check(&Inputs::default(), &generation(1), &pushed).unwrap_err().to_string();
    assert!(refused.contains("at most 204800 bytes"), "{refused}");
    let pushed = PushedText { path: "x".into(), text: String::new() };
    let refused = check(&Inputs::default(), &generation(1), &pushed).unwrap_err().to_string();
    assert!(refused.contains("SHA-256"), "{refused}");
}

#[derive(Clone, Debug)]
enum Step {
    Stage(u64),
    Commit(u64),
    Confirm(u64),
    RollBack(u64),
    Wait(u64),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6_u64).prop_map(Step::Stage),
        4 => (1..6_u64).prop_map(Step::Commit),
        2 => (1..6_u64).prop_map(Step::Confirm),
        1 => (1..6_u64).prop_map(Step::RollBack),
        2 => (1..90_u64).prop_map(Step::Wait),
        2 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked for and wherever it is killed: what runs is whole, nothing runs unconfirmed for longer than its time, and
    /// what is on the disk is what is in memory.
    #[test]
    fn any_sequence_keeps_the_promises(steps in prop::collection::vec(step(), 1..30)) {
        let node = Node::new();
        let mut push = node.open(0);
        let mut at_s = 0;
        let mut committed_s = 0;
        for step in steps {
            match step {
                Step::Stage(number) => {
                    let _ = push.stage(generation(number), &text(u8::try_from(number).unwrap()));
                }
                Step::Commit(number) => {
                    if push.commit(number, 60 * SECOND_US, &clocks(at_s)).unwrap_or(false) {
                        committed_s = at_s;
                    }
                }
                Step::Confirm(number) => {
                    let _ = push.confirm(number, &clocks(at_s));
                }
                Step::RollBack(number) => {
                    let _ = push.roll_back(number, "by request");
                }
                Step::Wait(s) => {
                    at_s += s;
                    push.give_up_late(&clocks(at_s));
                }
                Step::Kill => push = node.open(at_s),
            }
            running(&push);
            let is_tried_out = push.pointer().confirm.is_some();
            prop_assert!(!is_tried_out || at_s < committed_s + 60);
            let again = node.open(at_s);
            prop_assert_eq!(again.pointer(), push.pointer());
            prop_assert_eq!(push.status().error, None);
        }
    }
}
