//! What goes over the wire, seen from beside.

use std::time::Duration;

use super::{
    config,
    lab::{Lab, pause, until},
};

#[test]
fn adverts_and_announcements_are_keepalived_s() {
    let mut lab = Lab::new();
    let (lb01, client) = (lab.host("lb01", "192.168.178.130/24"), lab.host("client", "192.168.178.9/24"));
    let adverts = client.tcpdump(&["-v", "-e"], "proto 112");
    let announcements = client.tcpdump(&["-e", "-tt"], "arp and src host 192.168.178.3");
    let engine = lb01.engine(&config(150));
    engine.state("MASTER");
    let header = adverts.line("an advert", |line| line.contains("proto VRRP").then(|| line.to_owned()));
    assert!(header.contains("> 01:00:5e:00:00:12"), "{header}");
    assert!(header.contains("tos 0xc0, ttl 255, id 1, offset 0, flags [none]"), "{header}");
    let body = adverts.line("its body", |line| Some(line.to_owned()));
    assert!(
        body.ends_with(
            "VRRPv2, Advertisement, vrid 51, prio 150, authtype simple, intvl 1s, length 20, \
             addrs: 192.168.178.3 auth \"1111\""
        ),
        "{body}"
    );
    // Five at once, and five more after five seconds.
    let mut times = Vec::new();
    for _ in 0..10 {
        times.push(announcements.line("an announcement", |line| {
            assert!(line.contains("> ff:ff:ff:ff:ff:ff"), "{line}");
            assert!(line.contains("who-has 192.168.178.3 (ff:ff:ff:ff:ff:ff) tell 192.168.178.3"), "{line}");
            line.split(' ').next()?.parse::<f64>().ok()
        }));
    }
    assert!(times[4] - times[0] < 0.1, "{times:?}");
    assert!((4.9..5.2).contains(&(times[5] - times[0])), "{times:?}");
    assert!(times[9] - times[5] < 0.1, "{times:?}");
}

/// Asked for, it is what a takeover says, once more; and only of who is MASTER.
#[test]
fn what_is_asked_for_is_announced_again() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let mut first = lb01.engine(&config(150));
    first.state("MASTER");
    let mut second = lb02.engine(&config(100));
    second.state("BACKUP");
    // The takeover has said all that it says.
    pause(Duration::from_millis(5_500));
    let filter = "arp[6:2] = 1 and arp src host 192.168.178.3 and arp dst host 192.168.178.3";
    let announcements = lb02.tcpdump(&["-e", "-tt"], filter);
    let mac = lb01.mac();
    let mut answer = |name: &str| {
        first.say(&format!("announce {name}"));
        first.line("answer", |line| Some(line.strip_prefix("announced ")?.to_owned()))
    };
    assert_eq!(answer("VI_1"), "Ok(())");
    let mut times = Vec::new();
    for _ in 0..10 {
        times.push(announcements.line("an announcement", |line| {
            assert!(line.contains(&format!("{mac} > ff:ff:ff:ff:ff:ff")), "{line}");
            assert!(line.contains("who-has 192.168.178.3 (ff:ff:ff:ff:ff:ff) tell 192.168.178.3"), "{line}");
            line.split(' ').next()?.parse::<f64>().ok()
        }));
    }
    assert!((4.9..5.5).contains(&(times[5] - times[0])), "five, and five more later: {times:?}");
    assert_eq!(answer("VI_1 VI_9"), "Err(Unknown { instance: \"VI_9\" })");
    second.say("announce VI_1");
    second.line("answer", |line| {
        let said = line.strip_prefix("announced ")?;
        assert_eq!(said, "Err(NotMaster { instance: \"VI_1\", state: Backup })");
        Some(())
    });
    pause(Duration::from_millis(500));
    let more = announcements.drain();
    assert!(!more.iter().any(|line| line.contains("who-has")), "who cannot says nothing: {more:?}");
}

/// A host whose packets the kernel does not take is told so, and nobody counts it as done.
#[test]
fn an_announcement_that_the_kernel_does_not_take_is_not_done() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    // It goes on without carrier, and its interface may be down altogether.
    let config = config(150).replace("vrid = 51", "vrid = 51\ntrack_service = false");
    let mut engine = host.engine(&config);
    engine.state("MASTER");
    pause(Duration::from_millis(5_500));
    host.ip(&["link", "set", "ens33", "down"]);
    engine.say("announce VI_1");
    engine.line("answer", |line| {
        let said = line.strip_prefix("announced ")?;
        assert!(said.starts_with("Err("), "{said}");
        Some(())
    });
}

#[test]
fn a_probe_finds_everybody_who_answers_but_ourselves() {
    let mut lab = Lab::new();
    let lb01 = lab.host("lb01", "192.168.178.130/24");
    let (lb02, foreign) = (lab.host("lb02", "192.168.178.131/24"), lab.host("foreign", "192.168.178.132/24"));
    let mut engine = lb01.engine(&config(150));
    engine.state("MASTER");
    until("the VIP is on lb01", Duration::from_secs(1), || lb01.has("192.168.178.3"));
    let mut probe = |expected: &[String]| {
        engine.say("probe 192.168.178.3");
        let answer = engine
            .line("probe", |line| Some(line.strip_prefix("probe ens33 192.168.178.3 ")?.trim().to_owned()));
        let mut macs: Vec<&str> = answer.split(',').filter(|mac| !mac.is_empty()).collect();
        let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        macs.sort_unstable();
        expected.sort_unstable();
        assert_eq!(macs, expected);
    };
    probe(&[]);
    lb02.ip(&["addr", "add", "192.168.178.3/32", "dev", "ens33"]);
    probe(&[lb02.mac()]);
    foreign.ip(&["addr", "add", "192.168.178.3/32", "dev", "ens33"]);
    probe(&[lb02.mac(), foreign.mac()]);
}

#[test]
fn a_flood_of_junk_moves_nothing_and_is_counted() {
    let mut lab = Lab::new();
    let (lb01, client) = (lab.host("lb01", "192.168.178.130/24"), lab.host("client", "192.168.178.9/24"));
    let mut engine = lb01.engine(&config(150));
    engine.state("MASTER");
    let adverts = client.tcpdump(&["-tt"], "proto 112 and src host 192.168.178.130");
    let mut flood = client.flood(5_000);
    let time = |line: &str| line.split(' ').next()?.parse::<f64>().ok();
    let first = adverts.line("an advert", time);
    let mut previous = first;
    for _ in 0..4 {
        let next = adverts.line("an advert", time);
        assert!((0.95..1.05).contains(&(next - previous)), "{} s between adverts", next - previous);
        previous = next;
    }
    flood.say("enough");
    pause(Duration::from_millis(50));
    engine.say("snapshot");
    let rejected: u64 = engine.line("snapshot", |line| {
        assert!(!line.starts_with("transition"), "{line}");
        line.strip_prefix("snapshot VI_1 MASTER ")?.split("rejected=").nth(1)?.parse().ok()
    });
    assert!(rejected > 1_000, "{rejected} rejected");
    eprintln!("{rejected} packets of junk rejected");
}

#[test]
fn adverts_that_cannot_be_sent_are_shown_and_not_counted_as_sent() {
    let mut lab = Lab::new();
    let host = lab.host("lb01", "192.168.178.130/24");
    // 20 bytes of IP header and 8 + 20 * 4 + 8 of VRRP are more than the smallest MTU of IPv4.
    let more: String = (10..29).map(|n| format!("{{ address = \"192.168.178.{n}/24\" }}, ")).collect();
    let mut engine = host.engine(&config(150).replace("vips = [", &format!("vips = [{more}")));
    engine.state("MASTER");
    let mut path = || {
        engine.say("snapshot");
        let sent: u64 = engine.line("snapshot", |line| {
            line.strip_prefix("snapshot VI_1 MASTER ")?
                .split(" sent=")
                .nth(1)?
                .split(' ')
                .next()?
                .parse()
                .ok()
        });
        (sent, engine.line("path", |line| Some(line.strip_prefix("path VI_1 ens33 ")?.to_owned())))
    };
    assert_eq!(path().1.trim(), "failing=false failures=0");
    host.ip(&["link", "set", "ens33", "mtu", "68"]);
    until("three failures", Duration::from_secs(5), || {
        let (_, path) = path();
        path.starts_with("failing=true failures=3 Message too long")
    });
    let (sent, _) = path();
    assert!((1..=4).contains(&sent), "{sent} sent");
    host.ip(&["link", "set", "ens33", "mtu", "1500"]);
    until("they are sent again", Duration::from_secs(2), || {
        let (sent_now, path) = path();
        sent_now > sent && path.starts_with("failing=false failures=") && path.contains("Message too long")
    });
}
