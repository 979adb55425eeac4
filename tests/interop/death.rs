//! S16 and the first half of S24: kill -9, freezes, and what is left behind.

use std::time::Duration;

use hafleet_tests::lab::{Instance, Kind, agent_state_dir, overlap, program};

use crate::{
    pair::{Cast, Pair, TICK, WAKE, moment},
    report::{Report, ms},
};

/// The default lease, and what the kernel adds to it: it looks at lifetimes once a second, and rounds up.
const LEASE: Duration = Duration::from_millis(3_750);

fn killed(cast: Cast) {
    let mut report = Report::new("S16", cast, "the master's processes are killed (SIGKILL) and stay dead");
    let mut pair = Pair::elected(cast, &Instance::default());
    pair.advert(0, moment());
    pair.nodes[0].crash();
    let died = moment();
    let taken = pair.advert(1, pair.last_advert(0, died));
    pair.watch_for((died + LEASE + WAKE).saturating_sub(moment()));
    double_hold(&mut report, &pair, taken, died);
}

/// Ours leaves by its lease; the others' addresses stay for ever.
fn double_hold(report: &mut Report, pair: &Pair, taken: Duration, died: Duration) {
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), died, moment());
    match pair.nodes[0].held().last().unwrap().until {
        Some(until) => {
            report.at_most("its kernel dropped the address after", until.saturating_sub(died), LEASE + WAKE);
            report.at_most("both had it for", both, LEASE + WAKE - taken.saturating_sub(died));
        }
        None => {
            assert!(!pair.nodes[0].kind.is_ours(), "the lease did not end it\n{}", pair.logs());
            report.saw(format!("both have it, {} ms after the takeover still", ms(moment() - taken)));
        }
    }
    assert!(pair.nodes[1].holds());
}

#[test]
fn s16_killed_ours() {
    killed(Cast::OURS);
}

#[test]
fn s16_killed_keepalived_ours_master() {
    killed(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s16_killed_keepalived_ours_backup() {
    killed(Cast::ours_below(Kind::Keepalived));
}

#[test]
fn s16_killed_frr_ours_master() {
    killed(Cast::ours_above(Kind::Frr));
}

#[test]
fn s16_killed_frr_ours_backup() {
    killed(Cast::ours_below(Kind::Frr));
}

/// As systemd does it: whatever killed the agent, ExecStopPost follows.
fn killed_and_released(cast: Cast) {
    let mut report =
        Report::new("S16", cast, "ours is killed (SIGKILL), and `ha-agent release` follows at once");
    let mut pair = Pair::elected(cast, &Instance::default());
    pair.advert(0, moment());
    let died = moment();
    pair.nodes[0].crash();
    let host = &pair.nodes[0].host;
    let (flag, file) = match pair.nodes[0].kind {
        Kind::OursByKeepalivedConf => ("--keepalived-conf", "keepalived.conf"),
        Kind::Ours | Kind::Keepalived | Kind::Frr => ("--config", "agent.toml"),
    };
    let (file, state_dir) = (host.directory().join(file), agent_state_dir(host));
    let arguments = ["release", flag, file.to_str().unwrap(), "--state-dir", state_dir.to_str().unwrap()];
    host.in_real_time().run(program("ha-agent").unwrap(), &arguments).unwrap();
    let goodbye = pair.advert_with(0, died, |priority| priority == 0);
    let within = Duration::from_millis(100);
    report.at_most("priority 0 on the wire after the kill", goodbye - died, within);
    pair.wait_for_holder(1);
    let gone = pair.nodes[0].held().last().unwrap().until.unwrap();
    report.at_most("the address gone after the kill", gone.saturating_sub(died), within);
    let taken = pair.advert(1, goodbye);
    let skew = pair.nodes[1].instance.skew(pair.nodes[1].instance.interval);
    report.time("taken over after priority 0", taken - goodbye, skew - TICK, skew + WAKE);
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), died, moment());
    report.at_most("both had it for", both, Duration::ZERO);
}

#[test]
fn s16_killed_and_released_ours() {
    killed_and_released(Cast::OURS);
}

#[test]
fn s16_killed_and_released_keepalived_ours_master() {
    killed_and_released(Cast::ours_above(Kind::Keepalived));
}

#[test]
fn s16_killed_and_released_frr_ours_master() {
    killed_and_released(Cast::ours_above(Kind::Frr));
}

/// Frozen for a time, then awake again: the higher one gets it back, and nobody shares it for long.
fn frozen(scenario: &'static str, cast: Cast, time: Duration) {
    let tried = format!("the master is frozen (SIGSTOP) for {} s", time.as_secs_f64());
    let mut report = Report::new(scenario, cast, tried);
    let pair = Pair::elected(cast, &Instance::default());
    pair.advert(0, moment());
    let froze = moment();
    pair.nodes[0].daemon().freeze().unwrap();
    let last = pair.last_advert(0, moment());
    let taken = pair.advert(1, last);
    let down = pair.nodes[1].instance.master_down(pair.nodes[1].instance.interval);
    let early = if cast.lower == Kind::Frr { Duration::from_millis(10) } else { TICK };
    report.time("taken over after the last advert", taken - last, down - early, down + WAKE);
    pair.watch_for((froze + time).saturating_sub(moment()));
    let both = overlap(&pair.nodes[0].held(), &pair.nodes[1].held(), froze, moment());
    let thawed = moment();
    pair.nodes[0].daemon().thaw().unwrap();
    if cast.higher.is_ours() {
        report.at_most("both had it for", both, LEASE + WAKE - taken.saturating_sub(froze));
    } else {
        report.saw(format!("both had it for {}", ms(both)));
    }
    pair.wait_for_holder(0);
    let yielded = pair.nodes[1].held().last().unwrap().until.unwrap();
    if cast.higher.is_ours() {
        let allowed = Instance::default().interval + WAKE;
        report.at_most("awake: one holder after", yielded.saturating_sub(thawed), allowed);
    } else {
        let spoke = pair.advert(0, thawed);
        report.saw(format!("awake: it advertised {} after", ms(spoke - thawed)));
        // keepalived answers every advert that waited for it, with announcements: after 5 s a burst of 300 frames, which the
        // kernel delivers when it can.
        report.at_most("one holder after that", yielded.saturating_sub(spoke), down + WAKE);
    }
    let settled = moment();
    pair.watch_for(down * 3);
    assert!(pair.nodes[0].holds() && pair.cadence(1, settled + WAKE).is_empty(), "{}", pair.logs());
    report.saw("the higher one has it, and it stays so");
}

const SHORT: Duration = Duration::from_secs(1);

#[test]
fn s16_frozen_ours() {
    frozen("S16", Cast::OURS, SHORT);
}

#[test]
fn s16_frozen_keepalived_ours_master() {
    frozen("S16", Cast::ours_above(Kind::Keepalived), SHORT);
}

#[test]
fn s16_frozen_keepalived_ours_backup() {
    frozen("S16", Cast::ours_below(Kind::Keepalived), SHORT);
}

#[test]
fn s16_frozen_frr_ours_master() {
    frozen("S16", Cast::ours_above(Kind::Frr), SHORT);
}

#[test]
fn s16_frozen_frr_ours_backup() {
    frozen("S16", Cast::ours_below(Kind::Frr), SHORT);
}

const LONG: Duration = Duration::from_secs(5);

#[test]
fn s24_frozen_5_s_ours() {
    frozen("S24", Cast::OURS, LONG);
}

#[test]
fn s24_frozen_5_s_keepalived_ours_master() {
    frozen("S24", Cast::ours_above(Kind::Keepalived), LONG);
}

#[test]
fn s24_frozen_5_s_keepalived_ours_backup() {
    frozen("S24", Cast::ours_below(Kind::Keepalived), LONG);
}

#[test]
fn s24_frozen_5_s_frr_ours_master() {
    frozen("S24", Cast::ours_above(Kind::Frr), LONG);
}
