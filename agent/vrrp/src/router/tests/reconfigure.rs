//! A new configuration at run time, and a start where the addresses are already.

use super::*;

fn to(config: Config) -> Input<'static> {
    Input::Reconfigure(config)
}

#[test]
fn the_same_configuration_is_no_event_in_any_state() {
    for mut rig in [Rig::new(config()), Rig::started(config()), Rig::master(config())] {
        let (state, deadline) = (rig.router.state(), rig.router.deadline());
        rig.wait(Duration::from_millis(100));
        assert_eq!(rig.give(to(config())), [""; 0]);
        assert_eq!((rig.router.state(), rig.router.deadline()), (state, deadline));
    }
}

#[test]
fn what_peers_know_a_router_by_cannot_change() {
    let mut rig = Rig::master(config());
    let v2 = Config { version: Version::V2, ..config() };
    assert!(!config().may_become(&v2));
    assert_eq!(rig.give(to(v2)), [""; 0]);
    assert_eq!(rig.router.config(), &config());
}

#[test]
fn addresses_are_added_before_others_are_removed() {
    let mut rig = Rig::master(config());
    let new = Config { vips: vec![vip(101), vip(102)], ..config() };
    assert_eq!(rig.give(to(new)), ["advert 100", "hold 1", "announce 1x5", "release 1"]);
    // Whether it is advertised is nothing that the kernel must know.
    let excluded = Config { vips: vec![vip(101), Vip { advertised: false, ..vip(102) }], ..config() };
    assert_eq!(rig.give(to(excluded)), ["advert 100"]);
    assert_eq!(rig.give(Input::Stop { hand_over: false }), ["advert 0", "release 2", "MASTER>INIT stopped"]);
}

#[test]
fn a_master_says_a_new_priority_or_interval_at_once() {
    let mut rig = Rig::master(config());
    assert_eq!(rig.give(to(with_priority(90))), ["advert 90"]);
    let fast =
        Config { interval: AdvertInterval::from_centiseconds(10, Version::V3).unwrap(), ..with_priority(90) };
    assert_eq!(rig.give(to(fast.clone())), ["advert 90"]);
    assert_eq!(rig.left(), Duration::from_millis(100));
    // What nobody hears needs no advert.
    assert_eq!(rig.give(to(Config { preempt: false, ..fast })), [""; 0]);
}

#[test]
fn a_backup_keeps_its_timer_but_for_the_skew() {
    let mut rig = Rig::started(config());
    rig.hear(ABOVE, 200);
    rig.wait(SECOND);
    let before = rig.left();
    assert_eq!(rig.give(to(with_priority(164))), [""; 0]);
    assert_eq!(before - rig.left(), Duration::from_millis(250));
    assert_eq!(rig.give(to(Config { vips: vec![vip(100)], ..with_priority(164) })), [""; 0]);
    assert_eq!(before - rig.left(), Duration::from_millis(250));
}

#[test]
fn a_shorter_interval_calls_nobody_silent_who_kept_to_the_longer_one() {
    let slow =
        Config { interval: AdvertInterval::from_centiseconds(1_000, Version::V3).unwrap(), ..config() };
    // No master was heard: our own interval counts, and from now on.
    let mut rig = Rig::started(slow.clone());
    rig.wait(9 * SECOND);
    assert_eq!(rig.give(to(config())), [""; 0]);
    assert_eq!(rig.left(), Duration::from_micros(3_609_375));
    // A master was heard: its interval counts (version 3 learns it).
    let mut rig = Rig::started(slow);
    rig.hear_on(PathId::SERVICE, ABOVE, 200, 1_000);
    rig.wait(9 * SECOND);
    assert_eq!(rig.give(to(config())), [""; 0]);
    assert!(rig.left() > 30 * SECOND);
}

#[test]
fn a_backup_that_becomes_the_owner_takes_over() {
    let mut rig = Rig::started(config());
    let outputs = rig.give(to(with_priority(255)));
    assert_eq!(outputs.last().unwrap(), "BACKUP>MASTER address_owner");
}

#[test]
fn new_tracks_are_not_waited_for_and_known_ones_are_kept_by_name() {
    let track =
        |name: &str, weight| Track { name: name.to_string(), weight, reverse: false, initially: None };
    let first = Config { tracks: vec![track("nginx", -10)], ..config() };
    let mut rig = Rig::new(first);
    rig.give(Input::Start { adopt: false });
    rig.give(Input::Track { track: TrackId(0), result: TrackResult::Down, detail: String::new() });
    rig.run_to_deadline();
    assert_eq!((rig.router.state(), rig.router.effective_priority()), (State::Master, 90));
    let second = Config { tracks: vec![track("gateway", 0), track("nginx", -20)], ..config() };
    assert_eq!(rig.give(to(second)), ["advert 80"]);
    let results: Vec<_> = rig.router.track_results().collect();
    assert_eq!(results, [None, Some(TrackResult::Down)]);
    let failed = Input::Track { track: TrackId(0), result: TrackResult::Down, detail: String::new() };
    assert_eq!(rig.give(failed), ["advert 0", "release 2", "MASTER>FAULT track_failed"]);
    assert_eq!(rig.give(to(config())), ["FAULT>BACKUP reconfigured"]);
}

#[test]
fn a_back_off_ends_when_the_addresses_are_others() {
    let mut rig = Rig::master(config());
    let fault = AddressFault::Refused("No such device".to_string());
    rig.give(Input::AddressFault { vip: vip(100), fault });
    assert_eq!(rig.router.state(), State::Fault);
    assert_eq!(rig.give(to(with_priority(120))), [""; 0]);
    assert_eq!(
        rig.give(to(Config { vips: vec![vip(101)], ..with_priority(120) })),
        ["FAULT>BACKUP reconfigured"]
    );
}

#[test]
fn found_addresses_are_kept_and_claimed_at_once() {
    let mut rig = Rig::new(config());
    let outputs = rig.give(Input::Start { adopt: true });
    assert_eq!(outputs, ["advert 100", "hold 2", "announce 2x5", "INIT>MASTER adopted"]);
    // A better master answers at once, and is heard.
    assert_eq!(rig.hear(BELOW, 150), ["release 2", "MASTER>BACKUP higher_priority_heard"]);
}

#[test]
fn who_would_not_preempt_listens_before_it_claims() {
    for gentle in [Config { preempt: false, ..config() }, Config { preempt_delay: 10 * SECOND, ..config() }] {
        let start = || {
            let mut rig = Rig::new(gentle.clone());
            assert_eq!(rig.give(Input::Start { adopt: true }), ["hold 2", "INIT>BACKUP started"]);
            assert_eq!(rig.left(), Duration::from_micros(1_609_375));
            let foreign = Input::AddressFault { vip: vip(100), fault: AddressFault::Foreign };
            assert_eq!(rig.give(foreign), [""; 0], "it is kept while it listens");
            rig
        };
        // Nobody else: on it goes.
        let mut rig = start();
        let outputs = rig.run_to_deadline();
        assert_eq!(outputs, ["advert 100", "hold 2", "announce 2x5", "BACKUP>MASTER adopted"]);
        // Somebody else, even a worse one: it is let be.
        let mut rig = start();
        assert_eq!(rig.hear(BELOW, 50), ["release 2"]);
        assert_eq!(rig.hear(BELOW, 50), [""; 0]);
        // Held back while it listens, or no link: nothing stays behind.
        assert_eq!(start().give(Input::Hold(HoldCause::Fence)), ["release 2", "BACKUP>FAULT held"]);
        assert_eq!(start().give(Input::Stop { hand_over: false }), ["release 2", "BACKUP>INIT stopped"]);
    }
}

#[test]
fn what_cannot_serve_adopts_nothing() {
    let mut rig = Rig::new(config());
    rig.give(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier });
    assert_eq!(rig.give(Input::Start { adopt: true }), ["release 2", "INIT>FAULT link_no_carrier"]);
    let foreign = Input::AddressFault { vip: vip(100), fault: AddressFault::Foreign };
    assert_eq!(rig.give(foreign), ["release 1"]);
}

#[test]
fn nopreempt_lets_a_lower_master_be_from_now_on() {
    let mut rig = Rig::started(config());
    rig.hear(BELOW, 50);
    rig.wait(3 * SECOND);
    assert_eq!(rig.give(to(Config { preempt: false, ..config() })), [""; 0]);
    assert_eq!(rig.left(), Duration::from_micros(3_609_375));
}

#[test]
fn ipv6_has_an_address_once_whatever_its_prefix() {
    let six = |prefix_len| Config {
        vips: vec![Vip { address: ip("fe80::100"), prefix_len, advertised: true }],
        paths: vec![Path { source: ip("fe80::5"), peers: Vec::new() }],
        ..config()
    };
    let mut rig = Rig::master(six(64));
    // To put it on again would change nothing, and to take the old one off would take it away: the shell moves it.
    assert_eq!(rig.give(to(six(128))), [""; 0]);
}

/// Found by simulation: a master that was not to be followed, and then is, was called silent by our own shorter interval.
#[test]
fn a_master_that_is_let_be_is_measured_by_its_own_interval() {
    let fast = Config { interval: AdvertInterval::from_centiseconds(10, Version::V3).unwrap(), ..config() };
    let mut rig = Rig::started(fast.clone());
    rig.hear_on(PathId::SERVICE, BELOW, 50, 100);
    assert_eq!(rig.give(to(Config { preempt: false, ..fast })), [""; 0]);
    assert_eq!(rig.left(), Duration::from_micros(3_609_375));
}

/// Found by simulation: a reload with another interval made the group wait three of them for a master that had gone.
#[test]
fn a_resigned_master_is_waited_for_no_longer_because_of_a_reload() {
    let mut rig = Rig::started(config());
    rig.hear(ABOVE, 200);
    rig.hear(ABOVE, 0);
    let before = rig.left();
    let slow = AdvertInterval::from_centiseconds(1_000, Version::V3).unwrap();
    assert_eq!(rig.give(to(Config { interval: slow, ..config() })), [""; 0]);
    assert_eq!(rig.left(), before);
}

/// Found by simulation: the delay ended before Master_Down when a lower priority had made that longer.
#[test]
fn a_lower_priority_makes_a_running_delay_no_shorter_than_master_down() {
    let gentle = Config { preempt_delay: Duration::from_millis(1), ..config() };
    let mut rig = Rig::started(gentle.clone());
    rig.hear(BELOW, 50);
    let before = rig.left();
    let lower = Config { priority: Priority::new(60).unwrap(), ..gentle };
    assert_eq!(rig.give(to(lower)), [""; 0]);
    assert!(rig.left() > before, "{:?} {before:?}", rig.left());
}

/// Found by simulation: who listened to adopt took over after that short time, though a master had been heard.
#[test]
fn who_stops_adopting_waits_as_at_any_start() {
    let gentle = Config { preempt_delay: Duration::from_millis(1), ..config() };
    let mut rig = Rig::new(gentle);
    rig.give(Input::Start { adopt: true });
    rig.wait(SECOND);
    assert_eq!(rig.hear(BELOW, 50), ["release 2"]);
    assert_eq!(rig.left(), Duration::from_micros(3_609_375) - SECOND);
}
