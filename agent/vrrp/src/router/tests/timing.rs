//! Timers, cadence, announcements.

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn skew_and_master_down_in_both_versions() {
    let us = |version, priority, cs| {
        (
            timers::skew(version, priority, cs).as_micros(),
            timers::master_down(version, priority, cs).as_micros(),
        )
    };
    assert_eq!(us(Version::V2, 100, 100), (609_375, 3_609_375));
    assert_eq!(us(Version::V2, 100, 300), (609_375, 9_609_375));
    assert_eq!(us(Version::V2, 255, 100), (3_906, 3_003_906));
    assert_eq!(us(Version::V3, 100, 100), (609_375, 3_609_375));
    assert_eq!(us(Version::V3, 100, 300), (1_828_125, 10_828_125));
    assert_eq!(us(Version::V3, 254, 1), (78, 30_078));
    assert_eq!(us(Version::V3, 1, 4_095), (40_790_039, 163_640_039));
}

#[test]
fn a_backup_waits_a_whole_master_down() {
    let mut rig = Rig::started(config());
    assert_eq!(rig.left(), Duration::from_micros(3_609_375));
    assert_eq!(rig.router.master_down(), Duration::from_micros(3_609_375));
    rig.wait(Duration::from_micros(3_609_374));
    assert_eq!(rig.give(Input::Deadline), [""; 0]);
    rig.wait(Duration::from_micros(1));
    assert_eq!(
        rig.give(Input::Deadline),
        ["advert 100", "hold 2", "announce 2x5", "BACKUP>MASTER master_down"]
    );
}

#[test]
fn the_owner_does_not_wait() {
    let mut rig = Rig::new(with_priority(255));
    assert_eq!(
        rig.give(Input::Start { adopt: false }),
        ["advert 255", "hold 2", "announce 2x5", "INIT>MASTER address_owner"]
    );
}

#[test]
fn a_resignation_leaves_the_skew() {
    let mut rig = Rig::started(config());
    rig.hear(ABOVE, 200);
    rig.wait(ms(100)).hear(ABOVE, 0);
    assert_eq!(rig.left(), Duration::from_micros(609_375));
    assert_eq!(rig.router.master_source(), None);
    assert_eq!(rig.run_to_deadline().last().unwrap(), "BACKUP>MASTER master_resigned");
}

#[test]
fn the_interval_is_learned_and_given_back() {
    let mut rig = Rig::started(config());
    rig.hear_on(PathId::SERVICE, ABOVE, 200, 300);
    assert_eq!(rig.left(), Duration::from_micros(10_828_125));
    assert_eq!(rig.router.master_down(), Duration::from_micros(10_828_125));
    rig.run_to_deadline();
    assert_eq!(rig.left(), SECOND);
    assert_eq!(rig.router.master_down(), Duration::from_micros(3_609_375));

    // A resignation teaches nothing; the skew is of the interval learned before.
    let mut rig = Rig::started(config());
    rig.hear_on(PathId::SERVICE, ABOVE, 200, 300);
    rig.hear_on(PathId::SERVICE, ABOVE, 0, 50);
    assert_eq!(rig.left(), Duration::from_micros(1_828_125));
}

#[test]
fn the_cadence_is_a_grid_whatever_the_lateness() {
    let mut rig = Rig::master(config());
    let start = rig.now;
    for round in 1..=20 {
        rig.now = rig.router.deadline().unwrap() + ms(round * 7 % 40);
        let due = start + SECOND * u32::try_from(round).unwrap();
        let outputs = rig.give(Input::Deadline);
        assert_eq!(outputs[0], "advert 100");
        assert_eq!(rig.router.deadline().unwrap(), (due + SECOND).min(announcement_due(start, round)));
    }
    // After a sleep there is one advert, not a burst of the missed ones.
    rig.wait(ms(7_300));
    assert_eq!(rig.give(Input::Deadline), ["advert 100"]);
    assert_eq!(rig.left(), SECOND);
}

/// The delayed round is due 5 s after the takeover; only before that is it a deadline.
fn announcement_due(start: Instant, round: u64) -> Instant {
    if round < 5 { start + 5 * SECOND } else { Instant::from_micros(u64::MAX) }
}

#[test]
fn announcements_at_once_and_after_the_delay() {
    let rounds = |announcing: Announcing| {
        let mut rig = Rig::started(Config { announcing, ..config() });
        let start = rig.router.deadline().unwrap();
        let mut heard = Vec::new();
        for _ in 0..20 {
            for output in rig.run_to_deadline() {
                if output.starts_with("announce") {
                    heard.push((rig.now.since(start).as_millis(), output));
                }
            }
        }
        heard
    };
    let expected = |rounds: &[(u128, &str)]| -> Vec<(u128, String)> {
        rounds.iter().map(|(ms, text)| (*ms, text.to_string())).collect()
    };
    assert_eq!(rounds(Announcing::default()), expected(&[(0, "announce 2x5"), (5_000, "announce 2x5")]));
    let other = Announcing { repeat: 3, delay: ms(2_500), delayed_repeat: 1, ..Announcing::default() };
    assert_eq!(rounds(other), expected(&[(0, "announce 2x3"), (2_500, "announce 2x1")]));
    let never = Announcing { repeat: 2, delay: Duration::ZERO, delayed_repeat: 4, ..Announcing::default() };
    assert_eq!(rounds(never), expected(&[(0, "announce 2x2")]));
    let silent = Announcing { repeat: 0, delay: SECOND, delayed_repeat: 0, ..Announcing::default() };
    assert_eq!(rounds(silent), []);
}

/// keepalived re-arms its timer at any packet for its VRID; here junk at ten times the rate moves no deadline.
#[test]
fn junk_at_ten_times_the_rate_moves_nothing() {
    for config in [config(), with_priority(255), Config { preempt: false, ..config() }] {
        let mut quiet = Rig::started(config.clone());
        let mut noisy = Rig::started(config);
        for tick in 0..200 {
            let now = quiet.now + ms(100);
            (quiet.now, noisy.now) = (now, now);
            if tick == 35 {
                // One believed advert, so that the timers of a follower are under test too.
                assert_eq!(quiet.hear(ABOVE, 90), noisy.hear(ABOVE, 90));
            }
            assert_eq!(noisy.hear_junk(), [""; 0]);
            assert_eq!(quiet.router.deadline(), noisy.router.deadline());
            while quiet.router.deadline().is_some_and(|at| at <= now) {
                assert_eq!(quiet.give(Input::Deadline), noisy.give(Input::Deadline));
            }
            assert_eq!(quiet.router.state(), noisy.router.state());
        }
        assert_eq!(noisy.router.packets_rejected(), 200);
        assert_eq!(noisy.router.adverts_sent(), quiet.router.adverts_sent());
        assert!(quiet.router.adverts_sent() > 10);
    }
}

/// Two masters that reject each other (here by password) are both heard by everybody else all the time.
#[test]
fn masters_that_reject_each_other_stay_audible() {
    let with = |secret: &[u8; 8]| Config {
        version: Version::V2,
        authentication: Authentication::Pass(*secret),
        ..config()
    };
    let mut rig = Rig::master(with(b"11111111"));
    let theirs = advert(&with(b"22222222"), ABOVE, 200, 100);
    for _ in 0..10 {
        rig.wait(ms(999)).give(Input::Packet { path: PathId::SERVICE, datagram: datagram(ABOVE, &theirs) });
        assert_eq!(rig.router.last_verdict(), Some(&Verdict::Rejected(Rejection::Password)));
        rig.wait(ms(1));
        assert_eq!(rig.give(Input::Deadline)[0], "advert 100");
    }
}

/// A frozen BACKUP hears the queued and the next adverts before it calls the master down.
#[test]
fn a_backup_that_slept_listens_before_it_acts() {
    let mut rig = Rig::started(config());
    rig.hear(ABOVE, 200);
    rig.wait(9 * SECOND);
    assert_eq!(rig.give(Input::Deadline), [""; 0]);
    assert_eq!(rig.left(), Duration::from_micros(1_609_375));
    rig.wait(ms(900)).hear(ABOVE, 200);
    assert_eq!(rig.left(), rig.router.master_down());

    // But only once: a host that is always late still takes over.
    rig.wait(9 * SECOND);
    assert_eq!(rig.give(Input::Deadline), [""; 0]);
    rig.wait(9 * SECOND);
    assert_eq!(rig.give(Input::Deadline).last().unwrap(), "BACKUP>MASTER master_down");
}

#[test]
fn early_and_idle_deadlines_are_harmless() {
    for mut rig in [Rig::new(config()), Rig::started(config()), Rig::master(config())] {
        let deadline = rig.router.deadline();
        for _ in 0..10 {
            assert_eq!(rig.give(Input::Deadline), [""; 0]);
        }
        assert_eq!(rig.router.deadline(), deadline);
    }
}

/// As many as may be, started in the same instant with different priorities: one takeover, not a cascade.
#[test]
fn a_simultaneous_start_makes_one_takeover() {
    let mut rigs: Vec<Rig> = (1..=40_u8)
        .map(|n| {
            let mut config = with_priority(n * 5);
            config.paths[0].source = IpAddr::from([10, 77, 1, n]);
            Rig::started(config)
        })
        .collect();
    let mut masters = 0;
    for _ in 0..200 {
        let now = rigs.iter().filter_map(|rig| rig.router.deadline()).min().unwrap();
        let mut sent = Vec::new();
        for (index, rig) in rigs.iter_mut().enumerate() {
            rig.now = now;
            rig.router.handle(Input::Deadline, now);
            for output in rig.drain() {
                match output {
                    Output::SendAdvertisement { source, payload, .. } => sent.push((index, source, payload)),
                    Output::Transition(transition) => {
                        assert_eq!(transition.to, State::Master);
                        masters += 1;
                    }
                    Output::HoldAddresses(_) | Output::ReleaseAddresses(_) | Output::Announce(_) => {}
                }
            }
        }
        for (from, source, payload) in sent {
            for (_, rig) in rigs.iter_mut().enumerate().filter(|(index, _)| *index != from) {
                assert_eq!(
                    rig.give(Input::Packet {
                        path: PathId::SERVICE,
                        datagram: Datagram { source, ..datagram(OURS, &payload) },
                    }),
                    [""; 0]
                );
            }
        }
    }
    assert_eq!(masters, 1);
    assert_eq!(rigs[39].router.state(), State::Master);
}

#[test]
fn the_first_election_has_the_skew_of_a_second_at_least() {
    let interval = AdvertInterval::from_centiseconds(1, Version::V3).unwrap();
    let mut rig = Rig::started(Config { interval, ..config() });
    assert_eq!(rig.left(), ms(30) + Duration::from_micros(609_375));
    // The first advert heard ends it.
    rig.hear_on(PathId::SERVICE, ABOVE, 200, 1);
    assert_eq!(rig.left(), ms(30) + Duration::from_micros(6_093));
}

#[test]
fn announcements_are_refreshed_for_ever() {
    let announcing =
        Announcing { refresh: ms(700), refresh_repeat: 2, delay: Duration::ZERO, ..Announcing::default() };
    let mut rig = Rig::master(Config { announcing, ..config() });
    let mut announced = Vec::new();
    for _ in 0..5 {
        let outputs = rig.run_to_deadline();
        announced.extend(outputs.into_iter().filter(|output| output.starts_with("announce")));
    }
    assert_eq!(announced, ["announce 2x2", "announce 2x2", "announce 2x2"]);
}

#[test]
fn a_lower_advert_has_counts_of_its_own_and_may_be_left_unanswered() {
    let announcing = Announcing { lower_repeat: 2, lower_delay: ms(300), ..Announcing::default() };
    let mut rig = Rig::master(Config { announcing, answers_lower: false, ..config() });
    rig.wait(ms(100));
    assert_eq!(rig.hear(BELOW, 50), ["announce 2x2"]);
    assert_eq!(rig.left(), ms(300));
    assert_eq!(rig.run_to_deadline(), ["announce 2x2"]);
}

/// Found by fuzzing: a lower advert took the takeover's delayed round away, or had it at once.
#[test]
fn a_lower_advert_without_a_later_round_leaves_the_takeover_s() {
    let announcing = Announcing { lower_delay: Duration::ZERO, ..Announcing::default() };
    let mut rig = Rig::master(Config { announcing, answers_lower: false, ..config() });
    rig.wait(ms(100));
    assert_eq!(rig.hear(BELOW, 50), ["announce 2x5"]);
    assert_eq!(rig.hear(BELOW, 50), [""; 0]);
    let mut announced = Vec::new();
    for _ in 0..20 {
        let outputs = rig.run_to_deadline();
        announced.extend(outputs.into_iter().filter(|output| output.starts_with("announce")));
    }
    assert_eq!(announced, ["announce 2x5"]);
}

#[test]
fn a_higher_advert_is_answered_before_yielding_if_so_configured() {
    let mut rig = Rig::master(Config { answers_higher: true, ..config() });
    assert_eq!(rig.hear(BELOW, 200), ["advert 100", "release 2", "MASTER>BACKUP higher_priority_heard"]);
    let mut rig = Rig::master(Config { answers_higher: true, ..config() });
    assert_eq!(rig.hear(ABOVE, 100), ["advert 100", "release 2", "MASTER>BACKUP higher_address_heard"]);
}

#[test]
fn an_owner_yields_to_another_without_a_word() {
    let mut rig = Rig::master(Config { answers_higher: true, priority: Priority::OWNER, ..config() });
    assert_eq!(rig.hear(ABOVE, 255), ["release 2", "MASTER>BACKUP higher_address_heard"]);
}
