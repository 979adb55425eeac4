//! Who yields to whom.

use super::*;

fn reason(rig: &mut Rig) -> String {
    rig.drain()
        .into_iter()
        .find_map(|output| match output {
            Output::Transition(transition) => Some(transition.reason.to_string()),
            Output::SendAdvertisement { .. }
            | Output::HoldAddresses(_)
            | Output::ReleaseAddresses(_)
            | Output::Announce(_) => None,
        })
        .unwrap()
}

/// Asked for, it is the takeover's two rounds once more; what is repeated for ever keeps its time.
#[test]
fn what_is_asked_for_is_announced_again_now_and_later() {
    let refresh = 7 * SECOND;
    let announcing = Announcing { repeat: 3, delayed_repeat: 2, refresh, ..Announcing::default() };
    let mut rig = Rig::master(Config { announcing, ..config() });
    let became = rig.now;
    while rig.now < became + 4 * SECOND {
        rig.run_to_deadline();
    }
    let asked = rig.now;
    assert_eq!(rig.give(Input::Announce), ["announce 2x3"]);
    let mut announced = Vec::new();
    while rig.now < asked + 8 * SECOND {
        for output in rig.run_to_deadline().into_iter().filter(|output| output.starts_with("announce")) {
            announced.push((rig.now, output));
        }
    }
    let expected = [(became + refresh, "announce 2x1"), (asked + 5 * SECOND, "announce 2x2")];
    assert_eq!(announced, expected.map(|(at, output)| (at, output.to_string())));
    // Also where a takeover says nothing.
    let silent = Announcing { repeat: 0, delay: Duration::ZERO, ..announcing };
    let mut rig = Rig::master(Config { announcing: silent, ..config() });
    assert_eq!(rig.give(Input::Announce), ["announce 2x1"]);
}

#[test]
fn reasons_tell_their_operands() {
    let hear = |rig: &mut Rig, source: &str, priority| {
        let payload = advert(rig.router.config(), source, priority, 100);
        rig.router
            .handle(Input::Packet { path: PathId::SERVICE, datagram: datagram(source, &payload) }, rig.now);
    };
    let mut rig = Rig::master(config());
    hear(&mut rig, ABOVE, 200);
    assert_eq!(reason(&mut rig), "10.77.0.6 advertises priority 200, ours is 100");
    rig.now = rig.router.deadline().unwrap();
    rig.router.handle(Input::Deadline, rig.now);
    assert_eq!(reason(&mut rig), "nothing heard from master 10.77.0.6 for 3.609 s");
    hear(&mut rig, ABOVE, 100);
    assert_eq!(
        reason(&mut rig),
        "10.77.0.6 advertises our priority 100 from a higher address than ours, 10.77.0.5"
    );
    hear(&mut rig, BELOW, 50);
    rig.now = rig.router.deadline().unwrap();
    rig.router.handle(Input::Deadline, rig.now);
    assert_eq!(reason(&mut rig), "master 10.77.0.4 has priority 50, ours is 100");
}

#[test]
fn a_backup_accepts_equal_priority_from_any_address() {
    for source in [BELOW, ABOVE] {
        let mut rig = Rig::started(config());
        rig.wait(SECOND).hear(source, 100);
        assert_eq!(rig.left(), rig.router.master_down());
        assert_eq!(rig.router.master_source(), Some(ip(source)));
    }
}

#[test]
fn a_lower_master_does_not_stop_the_timer() {
    let mut rig = Rig::started(config());
    let deadline = rig.router.deadline();
    for _ in 0..3 {
        rig.wait(SECOND).hear(BELOW, 50);
        assert_eq!(rig.router.deadline(), deadline);
    }
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER preempted");
}

#[test]
fn nopreempt_lets_a_lower_master_be() {
    let mut rig = Rig::started(Config { preempt: false, ..config() });
    for _ in 0..10 {
        rig.wait(SECOND).hear(BELOW, 50);
        assert_eq!(rig.left(), rig.router.master_down());
    }
    rig.hear(BELOW, 0);
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER master_resigned");
    // It stops BACKUP -> MASTER only.
    assert_eq!(rig.hear(BELOW, 50)[0], "advert 100");
    assert_eq!(rig.hear(ABOVE, 150).last().unwrap(), "MASTER>BACKUP higher_priority_heard");
}

#[test]
fn preempt_delay_counts_from_the_first_lower_advert() {
    let delayed = || Config { preempt_delay: 10 * SECOND, ..config() };
    let mut rig = Rig::started(delayed());
    rig.wait(SECOND);
    let first = rig.now;
    for _ in 0..9 {
        assert_eq!(rig.hear(BELOW, 50), [""; 0]);
        rig.wait(SECOND);
    }
    rig.hear(BELOW, 50);
    assert_eq!(rig.router.deadline(), Some(first + 10 * SECOND));
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER preempted");

    // A master that dies meanwhile is replaced in Master_Down, not after the delay.
    let mut rig = Rig::started(delayed());
    rig.hear(BELOW, 50);
    assert_eq!(rig.left(), rig.router.master_down());
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER master_down");

    // A better advert cancels it, and the next lower one begins anew.
    let mut rig = Rig::started(delayed());
    rig.hear(BELOW, 50);
    rig.wait(9 * SECOND / 10 * 3).hear(ABOVE, 100);
    rig.wait(SECOND).hear(BELOW, 50);
    let anew = rig.now;
    for _ in 0..9 {
        rig.wait(SECOND).hear(BELOW, 50);
    }
    assert_eq!(rig.router.deadline(), Some(anew + 10 * SECOND));

    // A delay shorter than Master_Down does not shorten it.
    let mut rig = Rig::started(Config { preempt_delay: SECOND, ..config() });
    let deadline = rig.router.deadline();
    rig.hear(BELOW, 50);
    rig.wait(SECOND).hear(BELOW, 50);
    assert_eq!(rig.router.deadline(), deadline);
}

#[test]
fn two_owners_do_not_stay_two() {
    let mut rig = Rig::started(with_priority(255));
    assert_eq!(rig.hear(BELOW, 255)[0], "advert 255");
    assert_eq!(rig.router.state(), State::Master);
    assert_eq!(rig.hear(ABOVE, 255).last().unwrap(), "MASTER>BACKUP higher_address_heard");
    rig.wait(SECOND).hear(ABOVE, 255);
    assert_eq!(rig.left(), rig.router.master_down());
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER master_down");
}

#[test]
fn a_worse_master_is_answered_at_once() {
    let mut rig = Rig::master(config());
    rig.wait(300 * SECOND / 1000);
    assert_eq!(rig.hear(BELOW, 50), ["advert 100", "announce 2x5"]);
    assert_eq!(rig.left(), SECOND);
    // Its adverts are each answered; the neighbours are told once a second, and once more 5 s after the last.
    rig.wait(SECOND / 10);
    assert_eq!(rig.hear(BELOW, 50), ["advert 100"]);
    let last = rig.now;
    let mut announced = Vec::new();
    for _ in 0..12 {
        for output in rig.run_to_deadline() {
            if output.starts_with("announce") {
                announced.push(rig.now);
            }
        }
    }
    assert_eq!(announced, [last + 5 * SECOND]);
}

/// Replies to each other would be a storm.
#[test]
fn a_twin_is_reported_and_not_answered() {
    let mut rig = Rig::master(config());
    let deadline = rig.router.deadline();
    for count in 1..=100 {
        assert_eq!(rig.hear(OURS, 100), [""; 0]);
        let Some(Verdict::Accepted(received)) = rig.router.last_verdict() else {
            panic!("accepted expected")
        };
        assert_eq!(received.remarks, [packet::Remark::DuplicateSource { source: ip(OURS), priority: 100 }]);
        assert_eq!(rig.router.duplicates(), count);
    }
    assert_eq!((rig.router.state(), rig.router.deadline()), (State::Master, deadline));
}

#[test]
fn any_path_keeps_a_master_alive() {
    let mut rig = Rig::started(two_paths());
    for _ in 0..20 {
        rig.wait(SECOND).hear_on(PathId(1), "10.9.0.9", 200, 100);
    }
    assert_eq!(rig.left(), rig.router.master_down());
    assert_eq!(rig.router.paths()[0].last_accepted, None);
    assert_eq!(rig.router.paths()[1].last_accepted, Some(rig.now));
    assert_eq!(rig.run_to_deadline()[..2], ["advert 100", "advert 100 on 1"]);
}

/// On the service path we are above the peer, on the other below it. One line must decide.
#[test]
fn the_service_path_breaks_the_tie_while_it_hears() {
    let mut rig = Rig::master(two_paths());
    rig.hear(BELOW, 100);
    assert_eq!(rig.hear_on(PathId(1), "10.9.0.9", 100, 100), [""; 0]);
    assert_eq!(rig.router.state(), State::Master);
    // The service path is silent: the other decides.
    rig.wait(4 * SECOND);
    let outputs = rig.hear_on(PathId(1), "10.9.0.9", 100, 100);
    assert_eq!(outputs.last().unwrap(), "MASTER>BACKUP higher_address_heard");
    // A higher priority is higher on any path.
    let mut rig = Rig::master(two_paths());
    rig.hear(BELOW, 100);
    let outputs = rig.hear_on(PathId(1), "10.9.0.1", 101, 100);
    assert_eq!(outputs.last().unwrap(), "MASTER>BACKUP higher_priority_heard");
}

#[test]
fn unicast_peers_are_each_sent_to() {
    let mut config = config();
    config.paths[0].peers = vec![Peer::new(ip(BELOW)), Peer::new(ip(ABOVE))];
    let mut rig = Rig::started(config);
    rig.now = rig.router.deadline().unwrap();
    rig.router.handle(Input::Deadline, rig.now);
    let sent: Vec<IpAddr> = rig
        .drain()
        .into_iter()
        .filter_map(|output| match output {
            Output::SendAdvertisement { destination, .. } => Some(destination),
            Output::HoldAddresses(_)
            | Output::ReleaseAddresses(_)
            | Output::Announce(_)
            | Output::Transition(_) => None,
        })
        .collect();
    assert_eq!(sent, [ip(BELOW), ip(ABOVE)]);
    assert_eq!(rig.router.adverts_sent(), 2);
}

#[test]
fn a_packet_for_another_is_rejected_whatever_the_dispatch() {
    let mut rig = Rig::started(config());
    let deadline = rig.router.deadline();
    let payload = advert(&config(), ABOVE, 200, 100);
    rig.give(Input::Packet { path: PathId(3), datagram: datagram(ABOVE, &payload) });
    let expected = Verdict::Rejected(Rejection::Path { heard: 3, configured: 1 });
    assert_eq!(rig.router.last_verdict(), Some(&expected));
    rig.give(Input::Deadline);
    assert_eq!((rig.router.last_verdict(), rig.router.deadline()), (None, deadline));
}
