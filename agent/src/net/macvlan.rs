//! The interface of a virtual MAC (RFC 9568 section 7.3): a macvlan in private mode on the service interface, and what of the
//! kernel must be set so that only the virtual MAC is ever seen with the virtual addresses.
//!
//! | `/proc/sys/net/…` | value | why |
//! | --- | --- | --- |
//! | `ipv4/conf/PARENT/arp_ignore` | 1, unless it is more | the parent would answer for the virtual addresses with its own MAC |
//! | `ipv4/conf/PARENT/arp_announce` | 2 | asking for a client, it would name a virtual address as its own, and the client learn that |
//! | `ipv4/conf/NAME/arp_ignore` | 1 | it would answer for the parent's addresses, and for another virtual router's |
//! | `ipv4/conf/NAME/rp_filter` | 0; 2 if `all` is 1 | the way back to a client is through the parent |
//! | `ipv4/conf/NAME/accept_local` | 1 | clients on this host, through a router |
//! | `ipv4/conf/NAME/promote_secondaries` | 1 | removing one address must not remove the others of its network |
//! | `ipv6/conf/NAME/addr_gen_mode` | 1 | two hosts have the MAC: what is made of it, both would have |
//! | `ipv6/conf/NAME/accept_ra` | 0 | likewise |
//! | `ipv6/conf/NAME/disable_ipv6` | 0, for IPv6 only | the addresses |
//!
//! The parent's stay as they are when the interface goes, as with keepalived: other virtual routers may need them.

use std::{fs, io, path::PathBuf};

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use pnet::util::MacAddr;
use rtnetlink::Handle;

use super::{Family, address::kernel_error, link::Interface};

/// A macvlan interface in private mode, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macvlan {
    /// The interface that it is on.
    pub parent: String,
    /// Its MAC.
    pub mac: MacAddr,
    /// Of the virtual router.
    pub family: Family,
}

impl Macvlan {
    /// That of a virtual router on this interface.
    pub fn new(parent: String, family: Family, vrid: u8) -> Self {
        let protocol = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Self { parent, mac: MacAddr::new(0, 0, 0x5e, 0, protocol, vrid), family }
    }

    /// Whether this interface is it, on the parent with this index.
    pub fn is(&self, interface: &Interface, parent_index: u32) -> bool {
        interface.parent == Some(parent_index) && interface.mac == Some(self.mac)
    }

    /// Has the kernel make it, down.
    ///
    /// # Errors
    /// The kernel's: EEXIST if there is an interface of the name, EADDRINUSE if the parent has one with the MAC.
    pub async fn make(&self, handle: &Handle, name: &str, parent_index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(parent_index),
            LinkAttribute::Address(self.mac.octets().to_vec()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)])),
            ]),
        ];
        handle.link().add(message).execute().await.map_err(kernel_error)
    }

    /// Sets what the module's table says.
    ///
    /// # Errors
    /// In words, with the path and the value.
    pub fn tune(&self, name: &str) -> Result<(), String> {
        let v4 = |interface: &str, key: &str| setting("ipv4", interface, key);
        if read(&v4(&self.parent, "arp_ignore"))? == "0" {
            write(&v4(&self.parent, "arp_ignore"), "1")?;
        }
        write(&v4(&self.parent, "arp_announce"), "2")?;
        // The stricter of `all` and its own counts; 2 is the most lenient beside an `all` of 1.
        let lenient = if read(&v4("all", "rp_filter"))? == "1" { "2" } else { "0" };
        for (key, value) in
            [("arp_ignore", "1"), ("rp_filter", lenient), ("accept_local", "1"), ("promote_secondaries", "1")]
        {
            write(&v4(name, key), value)?;
        }
        // A kernel without IPv6 has none of these and needs none.
        if !setting("ipv6", name, "addr_gen_mode").exists() && self.family == Family::V4 {
            return Ok(());
        }
        write(&setting("ipv6", name, "addr_gen_mode"), "1")?;
        write(&setting("ipv6", name, "accept_ra"), "0")?;
        match self.family {
            Family::V4 => Ok(()),
            Family::V6 => write(&setting("ipv6", name, "disable_ipv6"), "0"),
        }
    }
}

/// Sets an interface up.
///
/// # Errors
/// The kernel's.
pub async fn set_up(handle: &Handle, index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    handle.link().set(message).execute().await.map_err(kernel_error)
}

/// Removes interfaces. One that is gone already is no error.
///
/// The kernel waits for every processor at each removal, some 25 ms. Those of one group (`ip link set group`) it removes in one.
///
/// # Errors
/// The kernel's; some are gone then.
pub async fn remove(handle: &Handle, indexes: &[u32]) -> io::Result<()> {
    if let [index] = indexes {
        return gone(handle.link().del(*index).execute().await);
    }
    for index in indexes {
        let mut message = LinkMessage::default();
        message.header.index = *index;
        message.attributes = vec![LinkAttribute::Group(LEAVING)];
        gone(handle.link().set(message).execute().await)?;
    }
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::Group(LEAVING)];
    gone(handle.link().del_with_message(message).execute().await)
}

/// The group of what is being removed: `hafl`. Nobody else's interfaces are in it.
const LEAVING: u32 = u32::from_be_bytes(*b"hafl");

fn gone(answer: Result<(), rtnetlink::Error>) -> io::Result<()> {
    match answer.map_err(kernel_error) {
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The index of the parent, if this is a macvlan in private mode.
pub fn parent(message: &LinkMessage) -> Option<u32> {
    let mut parent = None;
    let mut is_private = false;
    for attribute in &message.attributes {
        // Foreign and growing: what is not read here is of no interest.
        #[allow(clippy::wildcard_enum_match_arm)]
        match attribute {
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                is_private = infos.iter().any(|info| match info {
                    LinkInfo::Data(InfoData::MacVlan(infos)) => {
                        infos.contains(&InfoMacVlan::Mode(MacVlanMode::Private))
                    }
                    _ => false,
                });
            }
            _ => {}
        }
    }
    parent.filter(|_| is_private)
}

fn setting(protocol: &str, interface: &str, key: &str) -> PathBuf {
    ["/proc/sys/net", protocol, "conf", interface, key].iter().collect()
}

fn read(path: &PathBuf) -> Result<String, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// Writes what is not so already: somebody else may have set it where this process may not.
fn write(path: &PathBuf, value: &str) -> Result<(), String> {
    if read(path)? == value {
        return Ok(());
    }
    fs::write(path, value).map_err(|error| format!("cannot set {} to {value}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(mode: MacVlanMode) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes = vec![
            LinkAttribute::IfName("vrrp.51".into()),
            LinkAttribute::Link(2),
            LinkAttribute::Address(vec![0, 0, 0x5e, 0, 1, 51]),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])),
            ]),
        ];
        message
    }

    #[test]
    fn the_mac_is_that_of_the_vrid_and_family() {
        let of = |family| Macvlan::new("ens33".into(), family, 51).mac.to_string();
        assert_eq!([of(Family::V4), of(Family::V6)], ["00:00:5e:00:01:33", "00:00:5e:00:02:33"]);
    }

    #[test]
    fn only_a_private_macvlan_on_the_parent_with_the_mac_is_it() {
        let macvlan = Macvlan::new("ens33".into(), Family::V4, 51);
        let private = Interface::from_message(&message(MacVlanMode::Private)).unwrap();
        assert!(macvlan.is(&private, 2));
        assert!(!macvlan.is(&private, 3));
        assert!(!Macvlan::new("ens33".into(), Family::V4, 52).is(&private, 2));
        let bridged = Interface::from_message(&message(MacVlanMode::Bridge)).unwrap();
        assert!(!macvlan.is(&bridged, 2));
        let mut other = message(MacVlanMode::Private);
        other.attributes.pop();
        assert!(!macvlan.is(&Interface::from_message(&other).unwrap(), 2));
    }
}
