//! Links, the kernel, holds.

use super::*;

fn refused(host: u8) -> Input<'static> {
    Input::AddressFault { vip: vip(host), fault: AddressFault::Refused("Permission denied".to_string()) }
}

fn removed(host: u8) -> Input<'static> {
    Input::AddressFault { vip: vip(host), fault: AddressFault::Removed }
}

fn down(fault: LinkFault) -> Input<'static> {
    Input::LinkDown { path: PathId::SERVICE, fault }
}

fn up() -> Input<'static> {
    Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) }
}

#[test]
fn a_refusal_is_retried_with_a_bounded_back_off() {
    let mut rig = Rig::master(config());
    let mut waits = Vec::new();
    for _ in 0..8 {
        let outputs = rig.give(refused(101));
        assert_eq!(outputs, ["advert 0", "release 2", "MASTER>FAULT address_refused"]);
        // The siblings' refusals add nothing.
        assert_eq!(rig.give(refused(100)), [""; 0]);
        waits.push(rig.left().as_secs());
        assert_eq!(rig.run_to_deadline(), ["FAULT>BACKUP retry"]);
        assert_eq!(rig.left(), rig.router.master_down());
        rig.run_to_deadline();
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(rig.router.refusals(), 8);
}

#[test]
fn thirty_good_seconds_forgive_a_refusal() {
    let mut rig = Rig::master(config());
    for _ in 0..3 {
        rig.give(refused(100));
        rig.run_to_deadline();
        rig.run_to_deadline();
    }
    rig.give(Input::AddressHeld(vip(100)));
    rig.give(Input::AddressHeld(vip(101)));
    let until = rig.now + 31 * SECOND;
    while rig.now < until {
        rig.run_to_deadline();
    }
    rig.give(refused(100));
    assert_eq!(rig.left(), SECOND);
}

#[test]
fn who_was_refused_does_not_interrupt_who_serves() {
    let mut rig = Rig::master(config());
    rig.give(refused(100));
    rig.run_to_deadline();
    for _ in 0..290 {
        rig.wait(SECOND).hear(BELOW, 50);
        assert_eq!(rig.left(), rig.router.master_down(), "let be");
    }
    rig.wait(20 * SECOND).hear(BELOW, 50);
    assert!(rig.left() < rig.router.master_down());
    // When nobody serves it tries in Master_Down.
    let mut rig = Rig::master(config());
    rig.give(refused(100));
    rig.run_to_deadline();
    rig.hear(BELOW, 0);
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER master_resigned");
}

#[test]
fn an_owner_is_refused_and_retries_too() {
    let mut rig = Rig::started(with_priority(255));
    rig.give(refused(100));
    assert_eq!(rig.left(), SECOND);
    assert_eq!(rig.run_to_deadline(), ["advert 255", "hold 2", "announce 2x5", "FAULT>MASTER retry"]);
}

#[test]
fn a_removed_address_is_put_back_alone_and_a_fight_ends() {
    let mut rig = Rig::master(config());
    for _ in 0..3 {
        rig.router.handle(removed(101), rig.now);
        let outputs = rig.drain();
        assert_eq!(outputs[0], Output::HoldAddresses(vec![vip(101)]));
        let announcement = Announcement { addresses: vec![vip(101).address], repeat: 5 };
        assert_eq!(outputs[1..], [Output::Announce(announcement)]);
        rig.wait(SECOND);
    }
    // Its sibling has its own count.
    assert_eq!(rig.give(removed(100)), ["hold 1", "announce 1x5"]);
    assert_eq!(rig.router.repairs(), 4);
    assert_eq!(rig.give(removed(101)), ["advert 0", "release 2", "MASTER>FAULT address_contested"]);
    assert_eq!(rig.left(), SECOND);

    // What was taken off before does not count.
    let mut rig = Rig::started(config());
    for _ in 0..3 {
        rig.give(Input::AddressFault { vip: vip(101), fault: AddressFault::Foreign });
    }
    rig.run_to_deadline();
    assert_eq!(rig.give(removed(101)), ["hold 1", "announce 1x5"]);

    // Now and then is no fight.
    let mut rig = Rig::master(config());
    for _ in 0..50 {
        assert_eq!(rig.wait(4 * SECOND).give(removed(101)), ["hold 1", "announce 1x5"]);
    }
}

#[test]
fn foreign_addresses_are_taken_off_a_few_times() {
    let mut rig = Rig::started(config());
    let foreign = || Input::AddressFault { vip: vip(100), fault: AddressFault::Foreign };
    let given: usize = (0..10).map(|_| rig.give(foreign()).len()).sum();
    assert_eq!((given, rig.router.foreign_released()), (3, 3));
    assert_eq!(rig.wait(10 * SECOND).give(foreign()), ["release 1"]);
}

#[test]
fn a_link_fault_resigns_on_the_other_paths_at_once() {
    let mut rig = Rig::master(two_paths());
    assert_eq!(
        rig.give(down(LinkFault::NoCarrier)),
        ["advert 0 on 1", "release 2", "MASTER>FAULT link_no_carrier"]
    );
    assert_eq!((rig.router.source(), rig.router.deadline()), (None, None));
    // A path never makes a node that cannot serve a master.
    rig.wait(100 * SECOND);
    assert_eq!(rig.give(Input::Deadline), [""; 0]);
    assert_eq!(rig.hear_on(PathId(1), "10.9.0.1", 0, 100), [""; 0]);
    assert_eq!(rig.give(up()), ["FAULT>BACKUP link_restored"]);
    assert_eq!(rig.left(), rig.router.master_down());
}

#[test]
fn without_its_virtual_mac_nobody_serves_tracked_or_not() {
    for track_service in [true, false] {
        let mut rig = Rig::master(Config { track_service, ..config() });
        assert_eq!(rig.give(down(LinkFault::VirtualMac)), ["release 2", "MASTER>FAULT link_virtual_mac"]);
        assert_eq!(rig.give(Input::Deadline), [""; 0]);
        assert_eq!(rig.give(up()), ["FAULT>BACKUP link_restored"]);
        assert_eq!(rig.give(down(LinkFault::VirtualMac)), ["BACKUP>FAULT link_virtual_mac"]);
        // It is there again, without carrier, which is enough for who does not track that.
        rig.give(down(LinkFault::NoCarrier));
        assert_eq!(rig.router.state(), if track_service { State::Fault } else { State::Backup });
        rig.give(down(LinkFault::VirtualMac));
        assert_eq!(rig.router.state(), State::Fault);
    }
}

#[test]
fn a_spare_path_goes_and_comes_without_a_transition() {
    let mut rig = Rig::master(two_paths());
    let spare = PathId(1);
    assert_eq!(rig.give(Input::LinkDown { path: spare, fault: LinkFault::NoCarrier }), [""; 0]);
    assert_eq!(rig.run_to_deadline(), ["advert 100"]);
    assert_eq!(rig.give(Input::LinkUp { path: spare, source: ip("10.9.0.7") }), ["advert 100 on 1"]);
    assert_eq!(rig.router.paths()[1].link, Ok(ip("10.9.0.7")));
}

#[test]
fn a_router_without_link_starts_in_fault() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.give(down(LinkFault::Missing)), [""; 0]);
    assert_eq!(rig.give(Input::Start { adopt: false }), ["INIT>FAULT link_missing"]);
    assert_eq!(rig.give(up()), ["FAULT>BACKUP link_restored"]);

    let mut config = with_priority(255);
    config.paths[0].source = ip("0.0.0.0");
    let mut rig = Rig::started(config);
    assert_eq!(rig.router.state(), State::Fault);
    assert_eq!(rig.router.source(), None);
    assert_eq!(rig.give(up()), ["advert 255", "hold 2", "announce 2x5", "FAULT>MASTER link_restored"]);
}

#[test]
fn a_changed_source_is_used_from_the_next_advert_on() {
    let mut rig = Rig::master(config());
    rig.give(Input::LinkUp { path: PathId::SERVICE, source: ip("10.77.0.50") });
    rig.now = rig.router.deadline().unwrap();
    rig.router.handle(Input::Deadline, rig.now);
    let outputs = rig.drain();
    let Some(Output::SendAdvertisement { source, payload, .. }) = outputs.first() else {
        panic!("an advert expected: {outputs:?}")
    };
    assert_eq!(*source, ip("10.77.0.50"));
    assert_eq!(*payload, advert(&config(), "10.77.0.50", 100, 100));
    // It breaks ties too.
    assert_eq!(rig.hear(ABOVE, 100)[0], "advert 100");
}

#[test]
fn held_back_through_everything() {
    let mut rig = Rig::master(config());
    assert_eq!(rig.give(Input::Hold(HoldCause::Fence)), ["advert 0", "release 2", "MASTER>FAULT held"]);
    assert!(rig.router.is_held_back());
    assert_eq!(rig.router.deadline(), None);
    for input in [
        down(LinkFault::NoCarrier),
        up(),
        Input::Hold(HoldCause::Fence),
        Input::Start { adopt: false },
        Input::Deadline,
    ] {
        assert_eq!(rig.give(input), [""; 0]);
    }
    rig.give(Input::Stop { hand_over: false });
    assert_eq!(rig.give(Input::Start { adopt: false }), ["INIT>FAULT held"]);
    rig.give(down(LinkFault::NoCarrier));
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), [""; 0], "the link is down still");
    assert_eq!(rig.give(up()), ["FAULT>BACKUP link_restored"]);

    // Before the start it is remembered.
    let mut rig = Rig::new(with_priority(255));
    rig.give(Input::Hold(HoldCause::Fence));
    assert_eq!(rig.give(Input::Start { adopt: false }), ["INIT>FAULT held"]);
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)).last().unwrap(), "FAULT>MASTER unheld");
}

#[test]
fn a_hold_does_not_cut_a_back_off_short() {
    let mut rig = Rig::master(config());
    rig.give(refused(100));
    rig.give(Input::Hold(HoldCause::Fence));
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), [""; 0]);
    assert_eq!(rig.left(), SECOND);
    // And a back-off does not end a hold.
    rig.give(Input::Hold(HoldCause::Fence));
    assert_eq!(rig.run_to_deadline(), [""; 0]);
    assert_eq!((rig.router.state(), rig.router.deadline()), (State::Fault, None));
    assert_eq!(rig.give(Input::Unhold(HoldCause::Fence)), ["FAULT>BACKUP unheld"]);
}

#[test]
fn send_failures_are_counted_with_their_words() {
    let mut rig = Rig::master(config());
    let deadline = rig.router.deadline();
    let error = "ä".repeat(500);
    let given_out = rig.router.adverts_sent();
    rig.give(Input::SendFailed { path: PathId::SERVICE, error });
    rig.give(Input::SendFailed { path: PathId(9), error: String::new() });
    assert_eq!(rig.router.adverts_sent(), given_out - 1, "what could not be sent was not sent");
    let health = &rig.router.paths()[0];
    assert_eq!((health.send_failures, health.last_send_error.as_str()), (1, "ä".repeat(100).as_str()));
    assert_eq!((rig.router.state(), rig.router.deadline()), (State::Master, deadline));
}

#[test]
fn a_stopped_router_can_start_again() {
    let mut rig = Rig::master(config());
    assert_eq!(rig.give(Input::Stop { hand_over: false }), ["advert 0", "release 2", "MASTER>INIT stopped"]);
    assert_eq!((rig.router.deadline(), rig.router.master_source()), (None, None));
    assert_eq!(rig.give(Input::Start { adopt: false }), ["INIT>BACKUP started"]);
    assert_eq!(rig.left(), rig.router.master_down());
}
