//! Routers that know each other by name.

use std::time::Duration;

use super::lab::{Host, Lab, pause, until};

/// What differs between the families.
struct Family {
    network: &'static str,
    vip: &'static str,
    prefix_len: u8,
    tcpdump: &'static str,
}

const V4: Family =
    Family { network: "192.168.178.", vip: "192.168.178.3", prefix_len: 24, tcpdump: "ip proto 112" };
const V6: Family =
    Family { network: "2001:db8::", vip: "2001:db8::100", prefix_len: 64, tcpdump: "ip6 proto 112" };

impl Family {
    fn address(&self, host: u8) -> String {
        format!("{}{host}", self.network)
    }

    /// The keepalived.conf of one router: from the address of `own` if that is said, to the others.
    fn conf(&self, priority: u8, own: Option<u8>, peers: &[u8]) -> String {
        let source = own.map(|own| format!("    unicast_src_ip {}\n", self.address(own))).unwrap_or_default();
        let peers: String = peers
            .iter()
            .map(|peer| format!("        {} min_ttl 64 max_ttl 64\n", self.address(*peer)))
            .collect();
        format!(
            "vrrp_instance VI_1 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    version 3
    priority {priority}
    unicast_ttl 64
{source}    unicast_peer {{
{peers}    }}
    virtual_ipaddress {{
        {}/{}
    }}
}}
",
            self.vip, self.prefix_len
        )
    }
}

fn hosts<const N: usize>(lab: &mut Lab, numbers: [u8; N]) -> [Host; N] {
    numbers.map(|number| {
        let (v4, v6) = (format!("{}/24", V4.address(number)), format!("{}/64", V6.address(number)));
        lab.host6(&format!("lb{number}"), &v4, &v6)
    })
}

/// We, keepalived and we again, in the order of their priorities.
fn three_serve_in_turn(family: &Family) {
    let mut lab = Lab::new();
    let [first, second, third] = hosts(&mut lab, [130, 131, 132]);
    let adverts = third.tcpdump(&["-v", "-t"], family.tcpdump);
    let last = third.engine_with(&third.file("keepalived.conf", &family.conf(100, None, &[130, 131])));
    let keepalived = second.keepalived(&family.conf(120, Some(131), &[130, 132]));
    let engine = first.engine_with(&first.file("keepalived.conf", &family.conf(150, Some(130), &[131, 132])));
    engine.state("MASTER");
    until("the VIP is on the first", Duration::from_secs(1), || first.has(family.vip));
    pause(Duration::from_secs(4));
    assert!(!second.has(family.vip) && !third.has(family.vip));
    engine.stop();
    keepalived.line("MASTER", |line| line.contains("Entering MASTER STATE").then_some(()));
    until("the VIP is on the second", Duration::from_secs(1), || second.has(family.vip));
    pause(Duration::from_secs(4));
    assert!(!first.has(family.vip) && !third.has(family.vip));
    keepalived.stop();
    let taken = last.line("MASTER", |line| {
        line.starts_with("transition").then_some(())?;
        line.contains(" MASTER ").then(|| line.to_owned())
    });
    assert!(taken.contains("master_resigned"), "{taken}");
    until("the VIP is on the third", Duration::from_secs(1), || third.has(family.vip));
    pause(Duration::from_secs(2));
    // Its own adverts come from an address that the others know it by.
    let seen = adverts.drain();
    for (from, to) in [(130, 132), (131, 132), (132, 130), (132, 131)] {
        let path = format!("{} > {}:", family.address(from), family.address(to));
        assert!(seen.iter().any(|line| line.contains(&path)), "no {path} in {seen:#?}");
    }
    assert!(!seen.iter().any(|line| line.contains("224.0.0.18") || line.contains("ff02::12")), "{seen:#?}");
    // `ttl 64,` of the header, and `(ttl 64)` where it is not what multicast has.
    let others: Vec<_> = seen
        .iter()
        .filter(|line| line.contains("ttl ") || line.contains("hlim "))
        .filter(|line| !line.contains("ttl 64") && !line.contains("hlim 64"))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn three_routers_serve_in_turn_over_ipv4() {
    three_serve_in_turn(&V4);
}

#[test]
fn three_routers_serve_in_turn_over_ipv6() {
    three_serve_in_turn(&V6);
}

/// A better master that nobody told us about, and one that is further away than it may be.
#[test]
fn strangers_are_rejected_and_counted() {
    for family in [V4, V6] {
        let mut lab = Lab::new();
        let [ours, stranger, distant] = hosts(&mut lab, [130, 131, 132]);
        let mut engine =
            ours.engine_with(&ours.file("keepalived.conf", &family.conf(150, Some(130), &[132])));
        engine.state("MASTER");
        let _stranger = stranger.keepalived(&family.conf(200, Some(131), &[130]));
        let far = family.conf(200, Some(132), &[130]).replace("unicast_ttl 64", "unicast_ttl 63");
        let _distant = distant.keepalived(&far);
        let rejected = |engine: &mut super::lab::Process, from: u8| {
            engine.say("snapshot");
            let start = format!("heard ens33 51 {} 0 ", family.address(from));
            let mut found = None;
            engine.line("snapshot", |line| {
                assert!(!line.starts_with("transition"), "{line}");
                found = found.take().or_else(|| line.strip_prefix(&start).map(str::to_owned));
                (line == "end").then_some(())
            });
            found
        };
        for (from, code) in [(131, "unknown_peer"), (132, "ttl")] {
            until(code, Duration::from_secs(10), || {
                rejected(&mut engine, from).is_some_and(|reasons| reasons.contains(code))
            });
        }
    }
}
