//! What watched things do to a router.

use super::*;

fn track(name: &str, weight: i16) -> Track {
    Track { name: name.to_string(), weight, reverse: false, initially: None }
}

fn watching(tracks: Vec<Track>) -> Config {
    Config { tracks, ..config() }
}

impl Rig {
    fn track(&mut self, track: u16, result: TrackResult) -> Vec<String> {
        self.give(Input::Track { track: TrackId(track), result, detail: "exit code 1".to_string() })
    }
}

#[test]
fn the_election_waits_for_every_first_result() {
    let mut rig = Rig::new(watching(vec![track("nginx", 0), track("gateway", -20)]));
    assert_eq!(rig.give(Input::Start { adopt: false }), [""; 0]);
    assert!(rig.router.awaits_tracks());
    assert_eq!((rig.router.state(), rig.router.deadline()), (State::Init, None));
    assert_eq!(rig.track(0, TrackResult::Up), [""; 0]);
    assert_eq!(rig.track(1, TrackResult::Down), ["INIT>BACKUP started"]);
    assert!(!rig.router.awaits_tracks());
    assert_eq!(rig.router.effective_priority(), 80);
}

#[test]
fn a_first_result_may_be_a_failure() {
    let mut rig = Rig::new(watching(vec![track("nginx", 0)]));
    rig.give(Input::Start { adopt: false });
    assert_eq!(rig.track(0, TrackResult::Down), ["INIT>FAULT track_failed"]);
    assert_eq!(rig.track(0, TrackResult::Up), ["FAULT>BACKUP tracks_restored"]);
}

#[test]
fn init_fail_waits_for_nothing() {
    let failing = Track { initially: Some(TrackResult::Down), ..track("nginx", 0) };
    let mut rig = Rig::new(watching(vec![failing]));
    assert_eq!(rig.give(Input::Start { adopt: false }), ["INIT>FAULT track_failed"]);
}

#[test]
fn a_stop_ends_the_waiting() {
    let mut rig = Rig::new(watching(vec![track("nginx", 0)]));
    rig.give(Input::Start { adopt: false });
    assert_eq!(rig.give(Input::Stop { hand_over: false }), [""; 0]);
    assert_eq!(rig.track(0, TrackResult::Up), [""; 0]);
    // What an agent before this one left is not left behind by this one.
    rig.router = VirtualRouter::new(watching(vec![track("nginx", 0)]));
    rig.give(Input::Start { adopt: true });
    assert_eq!(rig.give(Input::Stop { hand_over: false }), ["release 2"]);
}

#[test]
fn the_effective_priority_is_the_sum_cut_to_1_to_254() {
    let of = |priority, weights: &[i16], results: &[TrackResult]| {
        let tracks = weights.iter().enumerate().map(|(n, weight)| track(&n.to_string(), *weight)).collect();
        let mut rig = Rig::new(Config { tracks, ..with_priority(priority) });
        for (n, result) in results.iter().enumerate() {
            rig.track(u16::try_from(n).unwrap(), *result);
        }
        rig.router.effective_priority()
    };
    let (up, down) = (TrackResult::Up, TrackResult::Down);
    assert_eq!(of(100, &[20, -30], &[up, up]), 120);
    assert_eq!(of(100, &[20, -30], &[down, down]), 70);
    assert_eq!(of(100, &[253, 253], &[up, up]), 254);
    assert_eq!(of(100, &[-253, -253], &[down, down]), 1);
    assert_eq!(of(255, &[-253], &[down]), 255);
    assert_eq!(of(100, &[1], &[TrackResult::Value(-40)]), 60);
}

#[test]
fn a_backup_s_timer_moves_by_the_difference_of_the_skews() {
    let mut rig = Rig::new(watching(vec![Track { initially: Some(TrackResult::Up), ..track("nginx", -60) }]));
    rig.give(Input::Start { adopt: false });
    rig.wait(SECOND);
    let before = rig.left();
    assert_eq!(rig.track(0, TrackResult::Down), [""; 0]);
    // 60/256 s: the skew of priority 40 instead of 100.
    assert_eq!(rig.left() - before, Duration::from_micros(234_375));
    rig.track(0, TrackResult::Up);
    assert_eq!(rig.left(), before);
}

#[test]
fn a_master_says_its_new_priority_at_once_and_yields_to_a_better_one() {
    let up = Track { initially: Some(TrackResult::Up), ..track("nginx", -60) };
    let mut rig = Rig::master(watching(vec![up]));
    rig.wait(Duration::from_millis(300));
    assert_eq!(rig.track(0, TrackResult::Down), ["advert 40"]);
    assert_eq!(rig.left(), SECOND);
    assert_eq!(rig.track(0, TrackResult::Down), [""; 0], "the same again");
    assert_eq!(rig.hear(BELOW, 90), ["release 2", "MASTER>BACKUP higher_priority_heard"]);
    // A BACKUP of the raised priority takes over again.
    rig.track(0, TrackResult::Up);
    rig.hear(BELOW, 90);
    assert_eq!(rig.run_to_deadline()[0], "advert 100");
}

#[test]
fn fault_lasts_until_nothing_fails() {
    let up = |name| Track { initially: Some(TrackResult::Up), ..track(name, 0) };
    let mut rig = Rig::started(watching(vec![up("nginx"), up("gateway")]));
    assert_eq!(rig.track(0, TrackResult::Down), ["BACKUP>FAULT track_failed"]);
    assert_eq!(rig.track(1, TrackResult::Down), [""; 0]);
    assert_eq!(rig.track(0, TrackResult::Up), [""; 0]);
    assert_eq!(rig.give(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier }), [""; 0]);
    assert_eq!(rig.track(1, TrackResult::Up), [""; 0]);
    assert_eq!(
        rig.give(Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) }),
        ["FAULT>BACKUP link_restored"]
    );
}

#[test]
fn without_carrier_it_goes_on_if_told_so_but_not_without_an_address() {
    let mut rig = Rig::master(Config { track_service: false, ..config() });
    let down = |fault| Input::LinkDown { path: PathId::SERVICE, fault };
    assert_eq!(rig.give(down(LinkFault::NoCarrier)), [""; 0]);
    assert_eq!(rig.router.state(), State::Master);
    assert_eq!(rig.run_to_deadline(), [""; 0], "there is nowhere to send to");
    assert_eq!(rig.give(Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) }), ["advert 100"]);
    assert_eq!(rig.give(down(LinkFault::NoAddress)), ["release 2", "MASTER>FAULT link_no_address"]);
}

#[test]
fn a_priority_that_falls_below_the_master_s_ends_the_preemption() {
    let up = Track { initially: Some(TrackResult::Up), ..track("nginx", -60) };
    let mut rig = Rig::started(Config { tracks: vec![up], ..with_priority(150) });
    rig.hear(BELOW, 100);
    rig.wait(3 * SECOND);
    assert_eq!(rig.track(0, TrackResult::Down), [""; 0]);
    // Followed as from its last advert on: Master_Down at priority 90.
    assert_eq!(rig.left(), Duration::from_micros(3_648_437));
    rig.wait(SECOND);
    assert_eq!(rig.hear(BELOW, 100), [""; 0]);
    assert_eq!(rig.router.state(), State::Backup);
}

#[test]
fn what_was_left_here_is_given_up_when_somebody_else_is_heard_before_the_first_result() {
    let mut rig = Rig::new(watching(vec![track("nginx", 0)]));
    rig.give(Input::Start { adopt: true });
    assert_eq!(rig.hear(BELOW, 50), ["release 2"]);
    assert_eq!(rig.hear(BELOW, 50), [""; 0]);
    assert_eq!(rig.track(0, TrackResult::Up), ["INIT>BACKUP started"]);
}

/// Found by fuzzing: a router that needs no carrier stayed in FAULT when its interface came back without one.
#[test]
fn an_interface_that_comes_back_without_carrier_is_enough_for_who_needs_none() {
    let mut rig = Rig::master(Config { track_service: false, ..config() });
    let down = |fault| Input::LinkDown { path: PathId::SERVICE, fault };
    rig.give(down(LinkFault::Missing));
    assert_eq!(rig.router.state(), State::Fault);
    assert_eq!(rig.give(down(LinkFault::NoCarrier)), ["FAULT>BACKUP link_restored"]);
    assert_eq!(rig.give(down(LinkFault::Missing)), ["BACKUP>FAULT link_missing"]);
    assert_eq!(rig.give(down(LinkFault::NoAddress)), [""; 0]);
}

#[test]
fn a_start_that_is_asked_for_twice_keeps_what_is_to_be_adopted() {
    let mut rig = Rig::new(watching(vec![track("nginx", 0)]));
    assert_eq!(rig.give(Input::Start { adopt: true }), [""; 0]);
    assert_eq!(rig.give(Input::Start { adopt: false }), [""; 0]);
    assert_eq!(rig.give(Input::Stop { hand_over: false }), ["release 2"]);
}
