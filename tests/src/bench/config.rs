//! The keepalived.conf that both contenders get.

use std::fmt::Write;

/// Without a limit of its own keepalived kills itself in real time as soon as it has much to do.
const REALTIME: &str = "    vrrp_rt_priority 50\n    vrrp_rlimit_rttime 1000000\n";

/// What runs on the two hosts of a rack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many `vrrp_instance`s, 1 to 255, with VRIDs from 1 on.
    pub instances: u16,
    /// The advertisement interval: whole seconds are said in version 2, anything shorter needs version 3.
    pub interval_ms: u32,
    /// Which addresses they hold.
    pub addresses: Addresses,
    /// Whether the daemon is to run in real time, before everything else on its host.
    pub is_realtime: bool,
}

/// The virtual addresses of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// One instance with this many addresses of the hosts' own subnet.
    InSubnet(u8),
    /// One address for each instance, /32, of a subnet of their own.
    Apart,
}

impl Group {
    /// One instance with one address, as most have it.
    pub const fn single(interval_ms: u32) -> Self {
        Self { instances: 1, interval_ms, addresses: Addresses::InSubnet(1), is_realtime: false }
    }

    /// Many instances with an address each.
    pub const fn many(instances: u16, interval_ms: u32) -> Self {
        Self { instances, interval_ms, addresses: Addresses::Apart, is_realtime: false }
    }

    /// The file of a host with this priority.
    pub fn keepalived_conf(&self, router_id: &str, priority: u8) -> String {
        let version = if self.interval_ms.is_multiple_of(1000) { 2 } else { 3 };
        let realtime = if self.is_realtime { REALTIME } else { "" };
        let mut text =
            format!("global_defs {{\n    router_id {router_id}\n    vrrp_version {version}\n{realtime}}}\n");
        for number in 1..=self.instances {
            let addresses: String =
                self.addresses_of(number).iter().map(|address| format!("        {address}\n")).collect();
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\nvrrp_instance VI_{number} {{\n    state BACKUP\n    interface ens33\n    virtual_router_id {number}\n    \
                 priority {priority}\n    advert_int {}\n    virtual_ipaddress {{\n{addresses}    }}\n}}\n",
                seconds(self.interval_ms)
            );
        }
        text
    }

    /// Every virtual address, without its prefix length.
    pub fn vips(&self) -> Vec<String> {
        let all = (1..=self.instances).flat_map(|number| self.addresses_of(number));
        all.map(|address| address.split('/').next().unwrap_or_default().to_owned()).collect()
    }

    fn addresses_of(&self, number: u16) -> Vec<String> {
        match self.addresses {
            Addresses::InSubnet(count) => {
                (0..count).map(|at| format!("192.168.178.{}/24", 3 + u16::from(at))).collect()
            }
            Addresses::Apart => vec![format!("10.77.0.{number}/32")],
        }
    }
}

/// `1`, `0.1`, `0.01`: seconds as keepalived reads them.
fn seconds(interval_ms: u32) -> String {
    let text = format!("{}.{:03}", interval_ms / 1000, interval_ms % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1 s`, `100 ms`: an interval for people.
pub fn interval_text(interval_ms: u32) -> String {
    if interval_ms.is_multiple_of(1000) {
        format!("{} s", interval_ms / 1000)
    } else {
        format!("{interval_ms} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_version_2_and_less_is_version_3() {
        let second = Group::single(1000).keepalived_conf("lb01", 150);
        assert!(second.contains("vrrp_version 2\n") && second.contains("    advert_int 1\n"), "{second}");
        let tenth = Group::single(100).keepalived_conf("lb01", 150);
        assert!(tenth.contains("vrrp_version 3\n") && tenth.contains("    advert_int 0.1\n"), "{tenth}");
        assert_eq!((seconds(10), seconds(50), seconds(1500)), ("0.01".into(), "0.05".into(), "1.5".into()));
    }

    #[test]
    fn a_file_of_one_instance_is_an_ordinary_one() {
        assert_eq!(
            Group::single(1000).keepalived_conf("lb02", 100),
            "global_defs {\n    router_id lb02\n    vrrp_version 2\n}\n\nvrrp_instance VI_1 {\n    state BACKUP\n    \
             interface ens33\n    virtual_router_id 1\n    priority 100\n    advert_int 1\n    virtual_ipaddress {\n        \
             192.168.178.3/24\n    }\n}\n"
        );
    }

    #[test]
    fn every_instance_has_a_vrid_and_an_address_of_its_own() {
        let group = Group::many(250, 10);
        let text = group.keepalived_conf("lb01", 150);
        assert_eq!(text.matches("vrrp_instance ").count(), 250);
        assert!(text.contains("virtual_router_id 250\n") && text.contains("        10.77.0.250/32\n"));
        let vips: std::collections::BTreeSet<String> = group.vips().into_iter().collect();
        assert_eq!(vips.len(), 250);
        let siblings =
            Group { instances: 1, interval_ms: 1000, addresses: Addresses::InSubnet(3), is_realtime: true };
        assert!(
            siblings.keepalived_conf("lb01", 150).contains("    vrrp_version 2\n    vrrp_rt_priority 50\n")
        );
        assert_eq!(siblings.vips(), ["192.168.178.3", "192.168.178.4", "192.168.178.5"]);
    }

    #[test]
    fn intervals_are_written_for_people() {
        assert_eq!([1000, 100, 10].map(interval_text), ["1 s", "100 ms", "10 ms"]);
    }
}
