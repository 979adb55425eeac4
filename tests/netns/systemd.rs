//! The unit of this repository under a real systemd: what a kill, a hang, a reload and a stop come to.

use std::{net::IpAddr, time::Duration};

use hafleet_tests::lab::{Capture, Daemon, Host, Instance, Kind, Lab, Systemd, Watch, now, wait_for};
use serde_json::Value;

const VIP: &str = "10.77.0.100";
/// An election, or a start on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The promise: so soon after a kill priority 0 is on the wire and the addresses are gone.
const LEAVES_WITHIN: Duration = Duration::from_millis(100);
/// Later than this it was the lease that took them, and no release.
const LEASE: Duration = Duration::from_secs(3);
/// WatchdogSec of the unit, and RestartSec.
const WATCHDOG: Duration = Duration::from_secs(10);

struct Rack {
    host: Host,
    systemd: Systemd,
    watch: Watch,
    capture: Capture,
    lab: Lab,
}

impl Rack {
    /// One host under systemd, in real time, so that what else the machine does is not measured; it holds the VIP.
    fn new(more: &str) -> Self {
        let mut lab = Lab::new().unwrap();
        let host = lab.host("lb01", "10.77.0.1/24").unwrap();
        let capture = lab.capture().unwrap();
        let watch = host.watch().unwrap();
        let systemd = Systemd::start(&host.in_real_time(), &toml(150, more)).unwrap();
        let rack = Self { host, systemd, watch, capture, lab };
        rack.wait_for_vip();
        rack
    }

    fn wait_for_vip(&self) {
        wait_for("the VIP", SOON, || Ok(self.host.holds(VIP)?.then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.systemd.log()));
    }

    /// SIGKILL; how long after it priority 0 was on the wire, and the address gone. Waits for the next agent.
    fn kill(&mut self) -> (Duration, Duration) {
        let agent = self.systemd.agent().unwrap();
        let killed = now();
        kill(agent, rustix::process::Signal::KILL);
        let source: IpAddr = "10.77.0.1".parse().unwrap();
        let (said, _) = self.capture.advert(killed, SOON, 51, source, |priority| priority == 0).unwrap();
        let gone = self.gone(killed);
        self.wait_for_another(agent);
        (said - killed, gone - killed)
    }

    /// When the address went away after `from`.
    fn gone(&self, from: Duration) -> Duration {
        wait_for("the VIP's end", SOON, || {
            let last = self.watch.held(VIP).last().copied();
            Ok(last.and_then(|held| held.until).filter(|until| *until > from))
        })
        .unwrap()
    }

    fn wait_for_another(&mut self, agent: u32) {
        wait_for("another agent", SOON, || {
            let another = self.systemd.agent().ok().filter(|another| *another != agent);
            Ok(another.map(drop))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.systemd.log()));
        self.systemd.wait_until("active", SOON).unwrap();
    }
}

fn instance(priority: u8) -> Instance {
    Instance { priority, ..Instance::default() }
}

fn toml(priority: u8, more: &str) -> String {
    format!("node = \"lb01\"\nsite = \"lab\"\n\n{}{more}", instance(priority).to_agent_toml())
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The median of five, by which one hiccup of the machine's kernel decides nothing; none of them waited for the lease.
fn leaves_at_once(rack: &mut Rack) {
    let mut took: Vec<Duration> = (0..5)
        .map(|_| {
            rack.wait_for_vip();
            let (said, gone) = rack.kill();
            said.max(gone)
        })
        .collect();
    took.sort();
    println!("priority 0 and addresses gone after {took:?}");
    let log = rack.systemd.log();
    assert!(took[2] <= LEAVES_WITHIN && took[4] < LEASE, "{took:?}\n{log}");
    assert_eq!(log.matches("priority 0 said").count(), 5, "{log}");
}

#[test]
fn a_killed_agent_leaves_at_once() {
    leaves_at_once(&mut Rack::new(""));
}

#[test]
fn a_check_that_will_not_end_keeps_no_killed_agent_s_addresses() {
    // As the instance says it, it counts as up all the time.
    let script = "track = [{ script = \"stubborn\", weight = 5 }]\n\n[[script]]\nname = \"stubborn\"\n\
                  command = [\"/bin/sh\", \"-c\", \"trap '' TERM; sleep 600\"]\ninterval = \"60s\"\ntimeout = \"60s\"\ninit_fail = true\n";
    let mut rack = Rack::new(script);
    leaves_at_once(&mut rack);
    let left = rack.systemd.processes().unwrap();
    assert_eq!(
        left.iter().filter(|name| *name == "sleep").count(),
        1,
        "those of killed agents are gone: {left:?}"
    );
}

#[test]
fn a_peer_takes_over_from_a_killed_agent_once_and_gives_back_once() {
    let mut rack = Rack::new("");
    let other = rack.lab.host("lb02", "10.77.0.2/24").unwrap();
    let peer = Daemon::start(Kind::Ours, &other, &[instance(100)]).unwrap();
    let transitions = |peer: &Daemon| peer.instance(51).unwrap()["transitions"].as_u64().unwrap();
    wait_for("the peer to follow", SOON, || Ok((peer.state(51)?.as_deref() == Some("BACKUP")).then_some(())))
        .unwrap();
    let before = transitions(&peer);
    rack.kill();
    wait_for("the peer to hold the VIP", SOON, || Ok(other.holds(VIP)?.then_some(()))).unwrap();
    rack.wait_for_vip();
    wait_for("the peer to follow again", SOON, || Ok((!other.holds(VIP)?).then_some(()))).unwrap();
    // Longer than any timer that could still move it.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(transitions(&peer) - before, 2, "MASTER once, BACKUP once: {}", rack.systemd.log());
}

#[test]
fn a_frozen_agent_loses_its_addresses_by_the_lease_and_its_life_by_the_watchdog() {
    let mut rack = Rack::new("");
    let agent = rack.systemd.agent().unwrap();
    let frozen = now();
    kill(agent, rustix::process::Signal::STOP);
    let gone = rack.gone(frozen) - frozen;
    assert!(gone <= LEASE + Duration::from_millis(500), "{gone:?}");
    rack.wait_for_another(agent);
    assert!(now() - frozen <= WATCHDOG + SOON / 2);
    rack.wait_for_vip();
}

#[test]
fn a_reload_applies_what_differs_and_tells_whoever_asked_what_is_wrong() {
    let mut rack = Rack::new("");
    let agent = rack.systemd.agent().unwrap();
    let configuration = |systemd: &Systemd| systemd.status().unwrap()["configuration"].clone();
    let counts = |part: &Value| (part["taken"].as_u64().unwrap(), part["refused"].as_u64().unwrap());
    let settled = |rack: &Rack, expected: (u64, u64)| {
        wait_for("the reload to be over", SOON, || {
            Ok((counts(&configuration(&rack.systemd)) == expected).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", rack.systemd.log()));
    };
    rack.systemd.write(&toml(140, "")).unwrap();
    let output = rack.systemd.systemctl(&["reload", "ha-agent"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    settled(&rack, (1, 0));
    assert_eq!(rack.systemd.status().unwrap()["instances"][0]["priority"], 140);

    rack.systemd.write(&toml(130, "priorty = 1\n")).unwrap();
    let output = rack.systemd.systemctl(&["reload", "ha-agent"]).unwrap();
    assert!(!output.status.success(), "a file with an error is no success: {output:?}");
    settled(&rack, (1, 1));
    rack.systemd.wait_until("active", SOON).unwrap();
    let log = rack.systemd.log();
    assert_eq!(
        log.matches("error: `priorty` is not a key of [[instance]]").count(),
        2,
        "said by both: {log}"
    );
    assert_eq!(rack.systemd.status().unwrap()["instances"][0]["priority"], 140);
    assert_eq!(rack.systemd.agent().unwrap(), agent, "the same process all the time");
    assert!(rack.host.holds(VIP).unwrap());
}

#[test]
fn a_stop_is_orderly_and_leaves_nothing_to_release() {
    let mut rack = Rack::new("");
    let asked = now();
    let output = rack.systemd.systemctl(&["stop", "ha-agent"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    rack.systemd.wait_until("inactive", SOON).unwrap();
    rack.gone(asked);
    assert_eq!(rack.systemd.property("Result").unwrap(), "success");
    let log = rack.systemd.log();
    assert!(log.contains("nothing was left behind") && !log.contains("priority 0 said"), "{log}");
}

#[test]
fn checks_see_the_host_as_it_is_and_run_as_whom_they_shall() {
    let flag = tempfile::NamedTempFile::new().unwrap();
    let script = |name: &str, user: &str, command: &str| {
        format!(
            "[[script]]\nname = \"{name}\"\nuser = \"{user}\"\ncommand = [\"/bin/sh\", \"-c\", {command:?}]\n\
             interval = \"200ms\"\ninit_fail = true\n\n"
        )
    };
    let sees = format!("test -e {}", flag.path().display());
    let more = [
        "track = [{ script = \"user\", weight = 1 }, { script = \"tmp\", weight = 2 }, { script = \"others\", weight = 4 }]\n\n",
        &script("user", "nobody", "test $(id -un) = nobody"),
        &script("tmp", "root", &sees),
        // As `killall -0` does: another user's process.
        &script("others", "root", "/usr/bin/setpriv --reuid 65534 sleep 5 & kill -0 $!"),
    ]
    .concat();
    let rack = Rack::new(&more);
    let priority = |expected: u64| {
        wait_for("the priority", SOON, || {
            let instance = rack.systemd.status()?["instances"][0].clone();
            Ok((instance["effective_priority"] == expected).then_some(()))
        })
        .unwrap_or_else(|error| {
            panic!("{error:#}: {:#}\n{}", rack.systemd.status().unwrap(), rack.systemd.log())
        });
    };
    priority(157);
    drop(flag);
    priority(155);
}
