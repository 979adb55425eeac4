//! The fleet's file: read, judged, compiled, compared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by failing there"
)]

mod compile;
mod diff;
mod lint;
mod parse;

use hafleet_fleetfile::{FleetFile, parse};

/// Two groups, a check, two nodes.
pub const TWO: &str = r#"
[[script]]
name = "nginx"
command = ["/usr/bin/killall", "-0", "nginx"]
weight = -60

[[script]]
name = "nobody"
command = ["/bin/true"]

[[group]]
name = "web"
site = "dc1"
vrid = 51
version = 2
advert_interval = "1s"
auth = { type = "pass", secret = "1111" }
addresses = ["192.168.178.3/24", { address = "192.168.178.4/24", label = "ens33:4" }]
track = [{ script = "nginx" }, { interface = "hb0", weight = -10 }]
lease = "3s"
preempt = false
vmac = { interface = "vrrp.51" }

  [[group.member]]
  node = "lb01"
  interface = "ens33"
  priority = 150
  source = "192.168.178.131"
  paths = [{ interface = "ens33", peers = ["192.168.178.132"] }]

  [[group.member]]
  node = "lb02"
  interface = "ens33"
  priority = 100
  track = [{ interface = "ens34", weight = -5, reverse = true }]

[[group]]
name = "six"
site = "dc1"
vrid = 52
advert_interval = "100ms"
addresses = ["fe80::1:1/64", "fd00::3/64"]
  [[group.member]]
  node = "lb02"
  interface = "ens33"
  priority = 200
"#;

/// A text that is right.
pub fn read(text: &str) -> FleetFile {
    parse(text).unwrap_or_else(|problems| panic!("{problems:?}"))
}
