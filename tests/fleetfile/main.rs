//! What the fleet's file is compiled to is what the agent reads, and means what the file says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by failing there"
)]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use hafleet_config::{Language, Lease, Loaded, load_text};
use hafleet_fleetfile::parse;

/// Every key that a group, a member and a check can have.
const WHOLE: &str = r#"
[[script]]
name = "nginx"
command = ["/bin/sh", "-c", "exit \"0\""]
interval = "2s"
timeout = "1s"
rise = 2
fall = 3
init_fail = true
weight = -60
reverse = false

[[process]]
name = "haproxy"
command = "haproxy"
parameters = ["-f", "/etc/haproxy.cfg"]
param_match = "initial"
quorum = 1
quorum_max = 4
terminate_delay = "500ms"
fork_delay = "1s"
weight = -10

[[file]]
name = "drain"
path = "/run/drain"
init = 0
overwrite = true
weight = 1

[[group]]
name = "web"
site = "dc1"
vrid = 51
version = 2
advert_interval = "2s"
auth = { type = "pass", secret = "1111" }
addresses = [
  "192.168.178.3/24",
  { address = "192.168.178.4/24", label = "ens33:4", scope = "link", broadcast = "192.168.178.255", dev = "ens33", noprefixroute = true, repair = false },
  { address = "fd00::4/64", advertised = false, preferred_lft = "10m", dad = true, home = false, mngtmpaddr = false, autojoin = false },
  { address = "10.9.9.1", peer = "10.9.9.2/30", advertised = false },
]
track = [{ script = "nginx" }, { process = "haproxy" }, { file = "drain" }, { interface = "hb0", weight = -5 }]
preempt = true
preempt_delay = "1m 30s"
lease = "5s"
checksum = "with-pseudo-header"
announcing = { repeat = 3, delay = "2s", garp_interval = "10ms" }
unicast_ttl = 64
track_service = false
answers_lower = false
answers_higher = false
accept = false
vmac = { interface = "vrrp.51", adverts_from_parent = true }
  [[group.member]]
  node = "lb01"
  interface = "ens33"
  priority = 150
  source = "192.168.178.131"
  paths = [{ interface = "ens33", peers = ["192.168.178.132", { address = "192.168.178.133", min_ttl = 60 }] }]
  track = [{ interface = "ens34", weight = 7, reverse = true }]
  [[group.member]]
  node = "lb02"
  interface = "eth0"
  priority = 100

[[group]]
name = "six"
site = "dc1"
vrid = 52
advert_interval = "100ms"
addresses = ["fe80::1:1/64", "fd00::3/64"]
lease = "off"
preempt = false
  [[group.member]]
  node = "lb02"
  interface = "eth0"
  priority = 255
"#;

fn loaded(text: &str, node: &str) -> Loaded {
    let file = parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let compiled = file.compile(node);
    load_text(Language::AgentToml, Path::new("pushed.toml"), compiled.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{compiled}"))
}

#[test]
fn the_agent_reads_what_the_coordinator_compiles() {
    let one = loaded(WHOLE, "lb01").config;
    assert_eq!((one.instances.len(), one.checks.len()), (1, 3));
    let web = &one.instances[0];
    assert_eq!((web.name.as_str(), web.interface.as_str(), web.vrid.get()), ("web", "ens33", 51));
    assert_eq!(web.priority.get(), 150);
    assert_eq!(web.interval.as_duration(), Duration::from_secs(2));
    assert_eq!((web.preempt, web.preempt_delay), (true, Duration::from_secs(90)));
    assert_eq!(web.lease, Lease::For(Duration::from_secs(5)));
    assert_eq!(web.vips.len(), 4);
    assert_eq!(web.vips[1].label.as_deref(), Some("ens33:4"));
    assert_eq!(web.vips[2].preferred_s, Some(600));
    assert_eq!(web.vips[3].peer.map(|(_, length)| length), Some(30));
    assert_eq!((web.paths[0].peers.len(), web.unicast_ttl), (2, 64));
    assert_eq!(web.tracks.len(), 5);
    assert!(!web.answers_lower && !web.answers_higher && !web.track_service && !web.accept);
    assert_eq!(web.vmac.as_ref().and_then(|vmac| vmac.interface.as_deref()), Some("vrrp.51"));

    let two = loaded(WHOLE, "lb02").config;
    assert_eq!(two.instances.len(), 2);
    assert_eq!((two.instances[0].vrid, &two.instances[0].authentication), (web.vrid, &web.authentication));
    assert!(two.instances[1].is_ipv6() && two.instances[1].lease == Lease::Off);
}

#[test]
fn what_is_written_again_compiles_to_the_same() {
    let file = parse(WHOLE).unwrap();
    let again = parse(&file.to_string()).unwrap_or_else(|problems| panic!("{problems:#?}\n{file}"));
    for node in file.nodes() {
        assert_eq!(again.compile(node), file.compile(node));
    }
}

/// The first column of the tables in a section of a document.
fn keys(document: &str, heading: &str, end: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading} in {document}"));
    let section = section.split(end).next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("| `"));
    lines.filter_map(|line| line.split_once('`').map(|(key, _)| key.to_owned())).collect()
}

#[test]
fn a_group_can_say_whatever_an_instance_can() {
    let instance = keys("configuration.md", "\n### [[instance]]\n", "\n#");
    let group = keys("operations.md", "\n### The fleet's file\n", "\n## ");
    assert!(instance.len() > 15, "{instance:?}");
    let missing: Vec<_> = instance.iter().filter(|key| *key != "vips" && !group.contains(*key)).collect();
    assert!(missing.is_empty(), "the fleet's file cannot say {missing:?}");
}
