//! What an interface is like, as rtnetlink tells it.

use std::net::IpAddr;

use netlink_packet_route::{
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use pnet::util::MacAddr;

/// One interface at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name at that moment.
    pub name: String,
    /// Its index; another one after it was deleted and made again.
    pub index: u32,
    /// Administratively up (`IFF_UP`).
    pub admin_up: bool,
    /// Operational (`IFF_RUNNING`), which is what keepalived looks at.
    pub carrier: bool,
    /// Its MAC, if it is an Ethernet.
    pub mac: Option<MacAddr>,
    /// Receive and transmit errors since it exists.
    pub errors: u64,
    /// Its IPv4 addresses in the kernel's order: primary ones first.
    pub addresses: Vec<Address>,
}

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address (`IFA_LOCAL`).
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// It stays until somebody removes it; false for one with a lifetime.
    pub permanent: bool,
}

impl Interface {
    /// Reads an `RTM_NEWLINK`; `None` without a name. It has no addresses yet.
    pub fn from_message(message: &LinkMessage) -> Option<Self> {
        let mut name = None;
        let mut mac = None;
        let mut errors = 0;
        for attribute in &message.attributes {
            // Foreign and growing: what is not read here is of no interest.
            #[allow(clippy::wildcard_enum_match_arm)]
            match attribute {
                LinkAttribute::IfName(value) => name = Some(value.clone()),
                LinkAttribute::Address(bytes) => mac = mac_address(bytes),
                LinkAttribute::Stats64(stats) => errors = stats.rx_errors.saturating_add(stats.tx_errors),
                _ => {}
            }
        }
        Some(Self {
            name: name?,
            index: message.header.index,
            admin_up: message.header.flags.contains(LinkFlags::Up),
            carrier: message.header.flags.contains(LinkFlags::Running),
            mac,
            errors,
            addresses: Vec::new(),
        })
    }

    /// The host's own addresses on it: those that are not virtual, in the kernel's order.
    pub fn own_addresses(&self, is_virtual: impl Fn(&Address) -> bool) -> Vec<IpAddr> {
        self.addresses.iter().filter(|present| !is_virtual(present)).map(|present| present.address).collect()
    }
}

/// The address to send from: `current` while it is there, else the first.
pub fn primary_address(own: &[IpAddr], current: Option<IpAddr>) -> Option<IpAddr> {
    current.filter(|current| own.contains(current)).or_else(|| own.first().copied())
}

impl Address {
    /// Reads an `RTM_NEWADDR`; `None` without an address.
    pub fn from_message(message: &AddressMessage) -> Option<Self> {
        let find =
            |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
        // On a point-to-point link IFA_ADDRESS is the peer's; IFA_LOCAL is ours.
        #[allow(clippy::wildcard_enum_match_arm)]
        let local = find(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        #[allow(clippy::wildcard_enum_match_arm)]
        let address = find(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        Some(Self {
            address: local.or(address)?,
            prefix_len: message.header.prefix_len,
            permanent: message.header.flags.contains(AddressHeaderFlags::Permanent),
        })
    }
}

fn mac_address(bytes: &[u8]) -> Option<MacAddr> {
    <[u8; 6]>::try_from(bytes).ok().map(MacAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(addresses: &[&str]) -> Interface {
        let addresses = addresses
            .iter()
            .map(|address| Address { address: address.parse().unwrap(), prefix_len: 24, permanent: true })
            .collect();
        Interface {
            name: "ens33".into(),
            index: 2,
            admin_up: true,
            carrier: true,
            mac: None,
            errors: 0,
            addresses,
        }
    }

    #[test]
    fn the_primary_address_is_never_a_virtual_one_and_stays_while_it_is_there() {
        let ip = |address: &str| -> IpAddr { address.parse().unwrap() };
        let is_vip = |present: &Address| present.address == ip("192.168.178.3");
        let own = interface(&["192.168.178.3", "192.168.178.130", "192.168.178.131"]).own_addresses(is_vip);
        assert_eq!(primary_address(&own, None), Some(ip("192.168.178.130")));
        assert_eq!(primary_address(&own, Some(ip("192.168.178.131"))), Some(ip("192.168.178.131")));
        assert_eq!(primary_address(&own, Some(ip("192.168.178.9"))), Some(ip("192.168.178.130")));
        assert_eq!(primary_address(&interface(&["192.168.178.3"]).own_addresses(is_vip), None), None);
    }
}
