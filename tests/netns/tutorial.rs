//! The tutorial's six keepalived.conf files, to the letter, on the hosts it describes: what `ip addr | grep "inet 192"`
//! prints at each of its steps.
//!
//! Each story is told twice: with `--lease off`, keepalived's way, where the lines are the tutorial's to the letter, and
//! with the default lease, where the kernel adds its word `dynamic` to every address that has a lifetime.

use std::time::Duration;

use hafleet_tests::lab::{AgentConfiguration, Host, Lab, Process, start_agent, wait_for};

const LB01: &str = "inet 192.168.178.130/24 brd 192.168.178.255 scope global noprefixroute ens33";
const LB02: &str = "inet 192.168.178.131/24 brd 192.168.178.255 scope global noprefixroute ens33";
const VIP3: &str = "inet 192.168.178.3/24 scope global secondary ens33:3";
const VIP4: &str = "inet 192.168.178.4/24 scope global secondary ens33:4";
/// lb01's file names this address without a mask: /32, and so in a subnet of its own.
const VIP4_BARE: &str = "inet 192.168.178.4/32 scope global ens33:4";

/// Master_Down at 1 s and priority 100 is 3.6 s; the rest is this machine's.
const ELECTED: Duration = Duration::from_secs(15);

#[derive(Clone, Copy)]
enum Lease {
    Off,
    Default,
}

struct Pair {
    lb01: Host,
    lb02: Host,
    lease: Lease,
    _lab: Lab,
}

impl Pair {
    fn new(lease: Lease) -> Self {
        let mut lab = Lab::new().unwrap();
        let lb01 = lab.host("lb01", "192.168.178.130/24").unwrap();
        let lb02 = lab.host("lb02", "192.168.178.131/24").unwrap();
        Self { lb01, lb02, lease, _lab: lab }
    }

    fn start(&self, host: &Host, conf: &str) -> Process {
        let more: &[&str] = match self.lease {
            Lease::Off => &["--lease", "off"],
            Lease::Default => &[],
        };
        start_agent(host, AgentConfiguration::Keepalived(conf), more).unwrap()
    }

    /// `ip addr | grep "inet 192"` prints exactly these lines, in this order.
    fn expect(&self, step: &str, host: &Host, lines: &[&str]) {
        let expected: Vec<String> = lines
            .iter()
            .map(|line| match self.lease {
                Lease::Default => line.replace(" ens33:", " dynamic ens33:"),
                Lease::Off => (*line).to_string(),
            })
            .collect();
        let mut seen = Vec::new();
        wait_for("the tutorial's lines", ELECTED, || {
            seen = host.inet_lines("ens33")?;
            Ok((seen == expected).then_some(()))
        })
        .unwrap_or_else(|_| {
            panic!("{step}, {}: expected {expected:#?}, but `ip addr` says {seen:#?}", host.name())
        });
    }

    fn stop(&self, agent: &mut Process) {
        let status = agent.terminate(Duration::from_secs(10)).unwrap();
        assert!(status.success(), "the agent ended with {status}; its log:\n{}", agent.log());
    }
}

fn single(lease: Lease, lb01_conf: &str, lb02_conf: &str) {
    let pair = Pair::new(lease);
    let mut lb01 = pair.start(&pair.lb01, lb01_conf);
    pair.expect("lb01 started", &pair.lb01, &[LB01, VIP3]);

    let _lb02 = pair.start(&pair.lb02, lb02_conf);
    pair.expect("lb02 started", &pair.lb02, &[LB02]);
    pair.expect("lb02 started", &pair.lb01, &[LB01, VIP3]);

    pair.stop(&mut lb01);
    pair.expect("lb01 stopped", &pair.lb01, &[LB01]);
    pair.expect("lb01 stopped", &pair.lb02, &[LB02, VIP3]);

    let _lb01 = pair.start(&pair.lb01, lb01_conf);
    pair.expect("lb01 is back", &pair.lb01, &[LB01, VIP3]);
    pair.expect("lb01 is back", &pair.lb02, &[LB02]);
}

fn dual_master(lease: Lease) {
    let (lb01_conf, lb02_conf) =
        (include_str!("../tutorial/dual-lb01.conf"), include_str!("../tutorial/dual-lb02.conf"));
    let pair = Pair::new(lease);
    let mut lb01 = pair.start(&pair.lb01, lb01_conf);
    let mut lb02 = pair.start(&pair.lb02, lb02_conf);
    pair.expect("both started", &pair.lb01, &[LB01, VIP3]);
    pair.expect("both started", &pair.lb02, &[LB02, VIP4]);

    pair.stop(&mut lb02);
    pair.expect("lb02 stopped", &pair.lb02, &[LB02]);
    pair.expect("lb02 stopped", &pair.lb01, &[LB01, VIP4_BARE, VIP3]);

    let _lb02 = pair.start(&pair.lb02, lb02_conf);
    pair.expect("lb02 is back", &pair.lb02, &[LB02, VIP4]);
    pair.expect("lb02 is back", &pair.lb01, &[LB01, VIP3]);

    pair.stop(&mut lb01);
    pair.expect("lb01 stopped", &pair.lb01, &[LB01]);
    pair.expect("lb01 stopped", &pair.lb02, &[LB02, VIP4, VIP3]);

    let _lb01 = pair.start(&pair.lb01, lb01_conf);
    pair.expect("lb01 is back", &pair.lb01, &[LB01, VIP3]);
    pair.expect("lb01 is back", &pair.lb02, &[LB02, VIP4]);
}

#[test]
fn single_instance_without_lease() {
    single(
        Lease::Off,
        include_str!("../tutorial/single-lb01.conf"),
        include_str!("../tutorial/single-lb02.conf"),
    );
}

#[test]
fn single_instance_with_the_default_lease() {
    single(
        Lease::Default,
        include_str!("../tutorial/single-lb01.conf"),
        include_str!("../tutorial/single-lb02.conf"),
    );
}

#[test]
fn nginx_pair_with_the_default_lease() {
    single(
        Lease::Default,
        include_str!("../tutorial/nginx-lb01.conf"),
        include_str!("../tutorial/nginx-lb02.conf"),
    );
}

#[test]
fn dual_master_without_lease() {
    dual_master(Lease::Off);
}

#[test]
fn dual_master_with_the_default_lease() {
    dual_master(Lease::Default);
}
