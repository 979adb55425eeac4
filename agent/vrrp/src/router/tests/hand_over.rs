//! A MASTER that is stopped, or put into maintenance, keeps its addresses until its successor is heard.

use super::*;

/// Asked to leave, two seconds after it became MASTER.
fn leaving(config: Config) -> Rig {
    let mut rig = Rig::master(config);
    rig.wait(2 * SECOND);
    assert_eq!(rig.give(Input::Stop { hand_over: true }), ["advert 0", "MASTER>INIT stopped"]);
    assert!(rig.router.is_handing_over());
    rig
}

fn gone(mut rig: Rig) {
    assert!(!rig.router.is_handing_over());
    assert_eq!((rig.router.state(), rig.router.deadline()), (State::Init, None));
    assert_eq!(rig.wait(5 * SECOND).give(Input::Deadline), [""; 0]);
}

#[test]
fn the_addresses_go_when_the_successor_is_heard_whatever_its_priority() {
    for (source, priority) in [(BELOW, 1), (BELOW, 100), (ABOVE, 255)] {
        let mut rig = leaving(config());
        assert_eq!(rig.wait(SECOND / 2).hear(source, priority), ["release 2"]);
        gone(rig);
    }
}

#[test]
fn one_that_leaves_too_and_what_is_rejected_are_no_successors() {
    let mut rig = leaving(config());
    assert_eq!(rig.hear(ABOVE, 0), [""; 0]);
    assert_eq!(rig.hear_junk(), [""; 0]);
    assert!(rig.router.is_handing_over());
}

/// Version 3: every skew is shorter than the interval; version 2: than a second. And a tenth of a second, for what may be late;
/// never longer than that.
#[test]
fn without_a_successor_they_go_after_the_longest_skew() {
    for (version, interval_cs, ms) in [
        (Version::V3, 1, 110),
        (Version::V3, 50, 600),
        (Version::V3, 100, 1100),
        (Version::V3, 4000, 1100),
        (Version::V2, 100, 1100),
        (Version::V2, 1000, 1100),
    ] {
        let interval = AdvertInterval::from_centiseconds(interval_cs, version).unwrap();
        let mut rig = Rig::master(Config { version, interval, ..config() });
        rig.give(Input::Stop { hand_over: true });
        assert_eq!(rig.left(), Duration::from_millis(ms));
        rig.wait(Duration::from_micros(ms * 1000 - 1));
        assert_eq!(rig.give(Input::Deadline), [""; 0]);
        assert_eq!(rig.run_to_deadline(), ["release 2"]);
        gone(rig);
    }
}

/// A router that waits for first results does not forget, asked to start once more, that its addresses are here.
#[test]
fn a_second_start_forgets_nothing_of_what_is_here() {
    let awaited = Track { name: "nginx".to_string(), weight: 0, reverse: false, initially: None };
    let mut rig = Rig::new(Config { tracks: vec![awaited], ..config() });
    rig.give(Input::Start { adopt: true });
    rig.give(Input::Start { adopt: false });
    assert!(rig.router.awaits_tracks());
    assert_eq!(rig.give(Input::Stop { hand_over: false }), ["release 2"]);
}

#[test]
fn a_second_stop_a_hold_and_a_lost_link_end_it() {
    let lost = || Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier };
    for input in [
        Input::Stop { hand_over: true },
        Input::Stop { hand_over: false },
        Input::Hold(HoldCause::Fence),
        lost(),
    ] {
        let mut rig = leaving(config());
        assert_eq!(rig.give(input), ["release 2"]);
        gone(rig);
    }
}

#[test]
fn what_else_happens_meanwhile_moves_nothing() {
    let track =
        Track { name: "nginx".to_string(), weight: 0, reverse: false, initially: Some(TrackResult::Up) };
    let two_lines = Config { tracks: vec![track], ..two_paths() };
    let mut rig = Rig::master(two_lines.clone());
    rig.give(Input::Stop { hand_over: true });
    for input in [
        Input::Deadline,
        Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) },
        Input::AddressHeld(vip(100)),
        Input::AddressFault { vip: vip(100), fault: AddressFault::Foreign },
        Input::AddressFault { vip: vip(100), fault: AddressFault::Removed },
        Input::AddressFault { vip: vip(100), fault: AddressFault::Refused("no".to_string()) },
        Input::SendFailed { path: PathId::SERVICE, error: "down".to_string() },
        Input::LinkDown { path: PathId(1), fault: LinkFault::NoCarrier },
        Input::Track { track: TrackId(0), result: TrackResult::Down, detail: String::new() },
        Input::Unhold(HoldCause::Fence),
    ] {
        assert_eq!(rig.give(input), [""; 0]);
    }
    assert!(rig.router.is_handing_over());
    let fewer = Config { vips: vec![vip(100)], ..two_lines };
    assert_eq!(rig.give(Input::Reconfigure(fewer)), ["release 1"]);
    assert_eq!(rig.hear(BELOW, 50), ["release 1"]);
    gone(rig);
}

#[test]
fn who_is_started_again_keeps_what_it_still_has() {
    let mut rig = leaving(config());
    let outputs = rig.give(Input::Start { adopt: false });
    assert_eq!(outputs, ["advert 100", "hold 2", "announce 2x5", "INIT>MASTER adopted"]);
}

/// RFC 4862 section 5.4: the successor's own question for duplicates would be answered.
#[test]
fn ipv6_addresses_go_at_once() {
    let address = |text: &str| Vip { address: ip(text), prefix_len: 64, advertised: true };
    let mut rig = Rig::master(Config {
        vips: vec![address("fe80::100"), address("2001:db8::100")],
        paths: vec![Path { source: ip("fe80::5"), peers: Vec::new() }],
        ..config()
    });
    let outputs = rig.give(Input::Stop { hand_over: true });
    assert_eq!(outputs, ["advert 0", "release 2", "MASTER>INIT stopped"]);
    gone(rig);
}

/// What is excluded from the adverts may be of the other family.
#[test]
fn of_both_families_the_ipv6_ones_go_at_once() {
    let excluded = Vip { address: ip("2001:db8::100"), prefix_len: 64, advertised: false };
    let mut rig = Rig::master(Config { vips: vec![vip(100), excluded], ..config() });
    let outputs = rig.give(Input::Stop { hand_over: true });
    assert_eq!(outputs, ["advert 0", "release 1", "MASTER>INIT stopped"]);
    assert!(rig.router.is_handing_over());
}

/// Nobody hears the goodbye, and nobody would be heard.
#[test]
fn without_a_link_they_go_at_once() {
    let mut rig = Rig::master(Config { track_service: false, ..config() });
    rig.give(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier });
    assert_eq!(rig.router.state(), State::Master);
    assert_eq!(rig.give(Input::Stop { hand_over: true }), ["release 2", "MASTER>INIT stopped"]);
    gone(rig);
}

/// Put into maintenance two seconds after it became MASTER.
fn maintained(config: Config) -> Rig {
    let mut rig = Rig::master(config);
    rig.wait(2 * SECOND);
    let outputs = rig.give(Input::Hold(HoldCause::Maintenance));
    let said = if rig.router.config().paths.len() > 1 { 2 } else { 1 };
    assert_eq!(outputs[0], "advert 0");
    assert_eq!(outputs[said..], ["MASTER>FAULT held"]);
    assert!(rig.router.is_handing_over());
    rig
}

/// It has nothing any more, and waits for nothing but the end of the maintenance.
fn let_go(mut rig: Rig) {
    assert!(!rig.router.is_handing_over());
    assert_eq!((rig.router.state(), rig.router.deadline()), (State::Fault, None));
    assert_eq!(rig.wait(5 * SECOND).give(Input::Deadline), [""; 0]);
    assert_eq!(rig.give(Input::Unhold(HoldCause::Maintenance)), ["FAULT>BACKUP unheld"]);
}

#[test]
fn maintenance_hands_over_to_whoever_is_heard() {
    for (source, priority) in [(BELOW, 1), (BELOW, 100), (ABOVE, 255)] {
        let mut rig = maintained(config());
        assert_eq!(rig.hear(ABOVE, 0), [""; 0]);
        assert_eq!(rig.hear_junk(), [""; 0]);
        assert_eq!(rig.wait(SECOND / 2).hear(source, priority), ["release 2"]);
        let_go(rig);
    }
}

#[test]
fn maintenance_waits_for_nobody_any_longer_than_a_stop() {
    let mut rig = maintained(config());
    assert_eq!(rig.left(), Duration::from_millis(1_100));
    rig.wait(Duration::from_micros(1_099_999));
    assert_eq!(rig.give(Input::Deadline), [""; 0]);
    assert_eq!(rig.run_to_deadline(), ["release 2"]);
    let_go(rig);
}

/// What must go now goes now.
#[test]
fn a_fence_the_loss_of_the_network_and_a_lost_link_end_it() {
    let lost = || Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier };
    let found = || Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) };
    for (input, end) in [
        (Input::Hold(HoldCause::Fence), Input::Unhold(HoldCause::Fence)),
        (Input::Hold(HoldCause::Isolation), Input::Unhold(HoldCause::Isolation)),
        (lost(), found()),
    ] {
        let mut rig = maintained(config());
        assert_eq!(rig.give(input), ["release 2"]);
        assert_eq!(rig.give(end), [""; 0]);
        let_go(rig);
    }
    // A fence that came first lets nothing be kept.
    let mut rig = Rig::master(config());
    let outputs = rig.give(Input::Hold(HoldCause::Fence));
    assert_eq!(outputs, ["advert 0", "release 2", "MASTER>FAULT held"]);
    assert_eq!(rig.give(Input::Hold(HoldCause::Maintenance)), [""; 0]);
    rig.give(Input::Unhold(HoldCause::Fence));
    let_go(rig);
}

#[test]
fn what_else_happens_in_maintenance_moves_nothing() {
    let track =
        Track { name: "nginx".to_string(), weight: 0, reverse: false, initially: Some(TrackResult::Up) };
    let two_lines = Config { tracks: vec![track], ..two_paths() };
    let mut rig = maintained(two_lines.clone());
    for input in [
        Input::Start { adopt: false },
        Input::Start { adopt: true },
        Input::Deadline,
        Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) },
        Input::AddressHeld(vip(100)),
        Input::AddressFault { vip: vip(100), fault: AddressFault::Foreign },
        Input::AddressFault { vip: vip(100), fault: AddressFault::Removed },
        Input::AddressFault { vip: vip(100), fault: AddressFault::Refused("no".to_string()) },
        Input::SendFailed { path: PathId::SERVICE, error: "down".to_string() },
        Input::LinkDown { path: PathId(1), fault: LinkFault::NoCarrier },
        Input::Track { track: TrackId(0), result: TrackResult::Down, detail: String::new() },
        Input::Track { track: TrackId(0), result: TrackResult::Up, detail: String::new() },
        Input::Hold(HoldCause::Maintenance),
        Input::Unhold(HoldCause::Fence),
        Input::Unhold(HoldCause::Isolation),
        Input::Override(Override::new(200)),
        Input::TakeOver,
        Input::Announce,
    ] {
        assert_eq!(rig.give(input.clone()), [""; 0], "{input:?}");
        assert!(rig.router.is_handing_over(), "{input:?}");
    }
    let fewer = Config { vips: vec![vip(100)], ..two_lines };
    assert_eq!(rig.give(Input::Reconfigure(fewer)), ["release 1"]);
    assert_eq!(rig.hear(BELOW, 50), ["release 1"]);
    let_go(rig);
}

/// The successor is waited for no longer than it would have been.
#[test]
fn a_stop_in_maintenance_goes_on_handing_over_or_ends_it() {
    let mut rig = maintained(config());
    rig.wait(SECOND);
    assert_eq!(rig.give(Input::Stop { hand_over: true }), ["FAULT>INIT stopped"]);
    assert!(rig.router.is_handing_over());
    assert_eq!(rig.left(), Duration::from_millis(100));
    assert_eq!(rig.hear(BELOW, 50), ["release 2"]);
    gone(rig);
    // Maintenance of one that stops changes nothing about it.
    let mut rig = leaving(config());
    assert_eq!(rig.give(Input::Hold(HoldCause::Maintenance)), [""; 0]);
    assert_eq!(rig.hear(BELOW, 50), ["release 2"]);
    gone(rig);

    let mut rig = maintained(config());
    assert_eq!(rig.give(Input::Stop { hand_over: false }), ["release 2", "FAULT>INIT stopped"]);
    gone(rig);
}

/// An owner goes on with what it has; anybody else stands for election, and has nothing meanwhile.
#[test]
fn the_end_of_the_maintenance_ends_it() {
    let mut rig = maintained(config());
    let outputs = rig.give(Input::Unhold(HoldCause::Maintenance));
    assert_eq!(outputs, ["release 2", "FAULT>BACKUP unheld"]);
    let mut rig = maintained(Config { priority: Priority::OWNER, ..config() });
    let outputs = rig.give(Input::Unhold(HoldCause::Maintenance));
    assert_eq!(outputs, ["advert 255", "hold 2", "announce 2x5", "FAULT>MASTER unheld"]);
    assert!(!rig.router.is_handing_over());
}

#[test]
fn maintenance_of_ipv6_and_without_a_link_releases_at_once() {
    let address = |text: &str| Vip { address: ip(text), prefix_len: 64, advertised: true };
    let mut rig = Rig::master(Config {
        vips: vec![address("fe80::100"), address("2001:db8::100")],
        paths: vec![Path { source: ip("fe80::5"), peers: Vec::new() }],
        ..config()
    });
    let outputs = rig.give(Input::Hold(HoldCause::Maintenance));
    assert_eq!(outputs, ["advert 0", "release 2", "MASTER>FAULT held"]);
    let_go(rig);

    let mut rig = Rig::master(Config { track_service: false, ..config() });
    rig.give(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier });
    assert_eq!(rig.give(Input::Hold(HoldCause::Maintenance)), ["release 2", "MASTER>FAULT held"]);
    let_go(rig);
}
