//! Tests of the keepalived.conf reader.

mod announcing;
mod broken;
mod corpus;
mod documentation;
mod include;
mod meaning;
mod oracle;
mod random;
mod tracking;
mod tutorial;

use hafleet_vrrp::{Authentication, Vip};

use crate::{Instance, VipConfig, tests::read_keepalived};

/// The instances of a text without any finding.
#[track_caller]
fn clean(text: &str) -> Vec<Instance> {
    let loaded = read_keepalived(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert!(loaded.findings.is_empty(), "{text}\n{:?}", loaded.findings);
    loaded.config.instances
}

/// The instances of a text that has exactly these warnings.
#[track_caller]
fn warned(text: &str, warnings: &[&str]) -> Vec<Instance> {
    let read = read_keepalived(text);
    crate::tests::expect(&read, text, warnings);
    read.expect("only warnings").config.instances
}

/// An instance with everything it must have, and some lines more; those begin in line 6.
fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\ninterface ens33\nvirtual_router_id 51\npriority 150\n\
         virtual_ipaddress {{ 192.168.178.3/24 }}\n{lines}\n}}\n"
    )
}

fn password(text: &str) -> Authentication {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    Authentication::Pass(bytes)
}

fn vip(address: &str, prefix_len: u8) -> VipConfig {
    let address = address.parse().expect("an address");
    let vip = Vip { address, prefix_len, advertised: true };
    VipConfig::new(vip)
}
