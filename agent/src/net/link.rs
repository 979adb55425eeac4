//! What an interface is like, as rtnetlink tells it.

use std::net::IpAddr;

use netlink_packet_route::{
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkMessage},
};
use pnet::util::MacAddr;

use super::{Family, macvlan};

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
    /// The index of the interface that it is on, if it is a macvlan in private mode.
    pub parent: Option<u32>,
    /// Receive and transmit errors since it exists.
    pub errors: u64,
    /// It forwards IPv6 packets: its host is a router, and says so in what it announces.
    pub forwards_v6: bool,
    /// Its addresses in the kernel's order, IPv4 first: of IPv4 primary ones first, of IPv6 those of wider scope.
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
    /// Duplicate address detection (RFC 4862) is under way: it is not used yet.
    pub tentative: bool,
    /// Another host has it: it is never used.
    pub dad_failed: bool,
}

/// Which of a host's own addresses adverts may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Any of IPv4.
    V4,
    /// IPv6 by multicast (RFC 9568 section 5.1.2.1), and to link-local peers.
    LinkLocal,
    /// IPv6 to peers that a link-local address may not reach: any other, else a link-local one.
    Routable,
}

impl SourceKind {
    /// For a router of this family that sends to these peers; to the group if there are none.
    pub fn of<'a>(family: Family, mut peers: impl Iterator<Item = &'a IpAddr>) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 if peers.all(|peer| is_link_local(*peer)) => Self::LinkLocal,
            Family::V6 => Self::Routable,
        }
    }
}

impl Interface {
    /// Reads an `RTM_NEWLINK`; `None` without a name. It has no addresses yet.
    pub fn from_message(message: &LinkMessage) -> Option<Self> {
        let mut name = None;
        let mut mac = None;
        let mut errors = 0;
        let mut forwards_v6 = false;
        for attribute in &message.attributes {
            // Foreign and growing: what is not read here is of no interest.
            #[allow(clippy::wildcard_enum_match_arm)]
            match attribute {
                LinkAttribute::IfName(value) => name = Some(value.clone()),
                LinkAttribute::Address(bytes) => mac = mac_address(bytes),
                LinkAttribute::Stats64(stats) => errors = stats.rx_errors.saturating_add(stats.tx_errors),
                LinkAttribute::AfSpecUnspec(families) => forwards_v6 = families.iter().any(forwards),
                _ => {}
            }
        }
        Some(Self {
            name: name?,
            index: message.header.index,
            admin_up: message.header.flags.contains(LinkFlags::Up),
            carrier: message.header.flags.contains(LinkFlags::Running),
            mac,
            parent: macvlan::parent(message),
            errors,
            forwards_v6,
            addresses: Vec::new(),
        })
    }

    /// The host's own addresses on it: those that are not virtual, in the kernel's order.
    pub fn own_addresses(&self, is_virtual: impl Fn(&Address) -> bool) -> Vec<Address> {
        self.addresses.iter().filter(|present| !is_virtual(present)).cloned().collect()
    }
}

/// The address to send from: `current` while it is good, else the first.
pub fn primary_address(own: &[Address], kind: SourceKind, current: Option<IpAddr>) -> Option<IpAddr> {
    let first_choice = |address: &Address| match kind {
        SourceKind::V4 => address.family() == Family::V4,
        SourceKind::LinkLocal => address.is_link_local(),
        SourceKind::Routable => address.family() == Family::V6 && !address.is_link_local(),
    };
    let choose = |is_wanted: &dyn Fn(&Address) -> bool| {
        let mut good = own.iter().filter(|address| address.is_usable() && is_wanted(address));
        let first = good.clone().next()?.address;
        Some(good.find(|address| Some(address.address) == current).map_or(first, |current| current.address))
    };
    choose(&first_choice).or_else(|| match kind {
        SourceKind::V4 | SourceKind::LinkLocal => None,
        SourceKind::Routable => choose(&Address::is_link_local),
    })
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
        let flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        Some(Self {
            address: local.or(address)?,
            prefix_len: message.header.prefix_len,
            permanent: flags.contains(AddressFlags::Permanent),
            tentative: flags.contains(AddressFlags::Tentative),
            dad_failed: flags.contains(AddressFlags::Dadfailed),
        })
    }

    /// Its family.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Whether the host may use it.
    pub fn is_usable(&self) -> bool {
        !self.tentative && !self.dad_failed
    }

    /// Whether it is an IPv6 address of fe80::/10.
    pub fn is_link_local(&self) -> bool {
        is_link_local(self.address)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// `net.ipv6.conf.*.forwarding`, in what the kernel tells about an interface's IPv6.
fn forwards(family: &AfSpecUnspec) -> bool {
    // Foreign and growing: what is not read here is of no interest.
    #[allow(clippy::wildcard_enum_match_arm)]
    match family {
        AfSpecUnspec::Inet6(attributes) => attributes.iter().any(|attribute| match attribute {
            AfSpecInet6::DevConf(conf) => conf.forwarding > 0,
            _ => false,
        }),
        _ => false,
    }
}

fn mac_address(bytes: &[u8]) -> Option<MacAddr> {
    <[u8; 6]>::try_from(bytes).ok().map(MacAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    fn address(text: &str) -> Address {
        let address = text.trim_end_matches(['?', '!']);
        Address {
            address: ip(address),
            prefix_len: 24,
            permanent: true,
            tentative: text.ends_with('?'),
            dad_failed: text.ends_with('!'),
        }
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| address(text)).collect()
    }

    fn interface(texts: &[&str]) -> Interface {
        Interface {
            name: "ens33".into(),
            index: 2,
            admin_up: true,
            carrier: true,
            mac: None,
            parent: None,
            errors: 0,
            forwards_v6: false,
            addresses: addresses(texts),
        }
    }

    #[test]
    fn the_primary_address_is_never_a_virtual_one_and_stays_while_it_is_there() {
        let is_vip = |present: &Address| present.address == ip("192.168.178.3");
        let own = interface(&["192.168.178.3", "192.168.178.130", "192.168.178.131"]).own_addresses(is_vip);
        let primary = |own: &[Address], current| primary_address(own, SourceKind::V4, current);
        assert_eq!(primary(&own, None), Some(ip("192.168.178.130")));
        assert_eq!(primary(&own, Some(ip("192.168.178.131"))), Some(ip("192.168.178.131")));
        assert_eq!(primary(&own, Some(ip("192.168.178.9"))), Some(ip("192.168.178.130")));
        assert_eq!(primary(&interface(&["192.168.178.3"]).own_addresses(is_vip), None), None);
        assert_eq!(primary(&addresses(&["fe80::1"]), None), None);
    }

    #[test]
    fn ipv6_multicast_comes_from_a_link_local_address_that_is_in_use() {
        let primary =
            |own: &[&str], current| primary_address(&addresses(own), SourceKind::LinkLocal, current);
        assert_eq!(primary(&["192.0.2.1", "2001:db8::1", "fe80::1"], None), Some(ip("fe80::1")));
        assert_eq!(primary(&["fe80::1?", "fe80::2!", "fe80::3"], None), Some(ip("fe80::3")));
        assert_eq!(primary(&["fe80::1", "fe80::2"], Some(ip("fe80::2"))), Some(ip("fe80::2")));
        assert_eq!(primary(&["fe80::1", "fe80::2!"], Some(ip("fe80::2"))), Some(ip("fe80::1")));
        assert_eq!(primary(&["2001:db8::1", "fe80::1?"], None), None);
    }

    #[test]
    fn ipv6_to_distant_peers_comes_from_an_address_that_they_can_answer() {
        let peers = [ip("2001:db8::2"), ip("fe80::2")];
        assert_eq!(SourceKind::of(Family::V6, peers.iter()), SourceKind::Routable);
        assert_eq!(SourceKind::of(Family::V6, peers[1..].iter()), SourceKind::LinkLocal);
        assert_eq!(SourceKind::of(Family::V6, [].iter()), SourceKind::LinkLocal);
        assert_eq!(SourceKind::of(Family::V4, [].iter()), SourceKind::V4);
        let primary = |own: &[&str]| primary_address(&addresses(own), SourceKind::Routable, None);
        assert_eq!(primary(&["192.0.2.1", "fe80::1", "2001:db8::1"]), Some(ip("2001:db8::1")));
        assert_eq!(primary(&["2001:db8::1?", "fe80::1"]), Some(ip("fe80::1")));
    }
}
