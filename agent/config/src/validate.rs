//! What is right by itself and wrong together: names, VRIDs and addresses of several instances, and their checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hafleet_vrrp::Peer;

use super::{
    AgentConfig, Instance, Severity, VipConfig,
    source::{Report, Span},
    track::Check,
};

/// Adverts count their addresses in one byte (RFC 9568 section 5.2.5).
const MOST_ADVERTISED: usize = 255;

/// Finds what two instances cannot both have, whichever files they come from.
pub(super) fn across_instances(config: &AgentConfig, report: &mut Report) {
    let mut checks: BTreeMap<&str, &Check> = BTreeMap::new();
    for check in &config.checks {
        if let Some(first) = checks.insert(&check.name, check) {
            let message = format!("a check named `{}` is already at {}", check.name, first.defined_at);
            let help = "give every check of both files a name of its own";
            report.push(Severity::Error, check.defined_at.clone(), message, Some(help.to_owned()));
        }
    }
    let mut names: BTreeMap<&str, &Instance> = BTreeMap::new();
    let mut vrids: BTreeMap<(&str, bool, u8), &Instance> = BTreeMap::new();
    let mut addresses: BTreeMap<(IpAddr, Option<&str>), &Instance> = BTreeMap::new();
    for instance in &config.instances {
        if let Some(first) = names.get(instance.name.as_str()) {
            let message = format!("an instance named `{}` is already at {}", instance.name, first.defined_at);
            error(report, instance, message, "give every instance a name of its own");
        } else {
            names.insert(&instance.name, instance);
        }
        for interface in lines(instance) {
            let key = (interface, instance.is_ipv6(), instance.vrid.get());
            if let Some(first) = vrids.get(&key) {
                let message = format!(
                    "`{}` uses VRID {} on {interface}, which `{}` at {} uses already",
                    instance.name, instance.vrid, first.name, first.defined_at
                );
                error(
                    report,
                    instance,
                    message,
                    "a VRID may occur once on an interface for IPv4 and once for IPv6: choose another from 1 to 255",
                );
            } else {
                vrids.insert(key, instance);
            }
        }
        let own: BTreeSet<_> = instance.vips.iter().map(|vip| on_the_host(vip, instance)).collect();
        for address in own {
            if let Some(first) = addresses.get(&address) {
                let message = format!(
                    "`{}` holds {}, which `{}` at {} holds too",
                    instance.name, address.0, first.name, first.defined_at
                );
                error(report, instance, message, "an address can follow one instance only");
            } else {
                addresses.insert(address, instance);
            }
        }
        let advertised = instance.vips.iter().filter(|vip| vip.vip.advertised).count();
        if advertised > MOST_ADVERTISED {
            let message = format!(
                "`{}` advertises {advertised} addresses; an advert carries at most {MOST_ADVERTISED}",
                instance.name
            );
            error(report, instance, message, "exclude the rest from the advert or make a second instance");
        }
    }
}

/// Every interface that an instance's adverts are heard on, the service interface first.
fn lines(instance: &Instance) -> impl Iterator<Item = &str> {
    let service = instance.interface.as_str();
    let others = instance.paths.iter().map(|path| path.interface.as_str());
    std::iter::once(service).chain(others.filter(move |other| *other != service))
}

/// An address as the host knows it: link-local ones are apart on every interface.
fn on_the_host<'i>(vip: &'i VipConfig, instance: &'i Instance) -> (IpAddr, Option<&'i str>) {
    let address = vip.vip.address;
    let dev = vip.dev.as_deref().unwrap_or(&instance.interface);
    (address, is_link_local(address).then_some(dev))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The addresses of one instance together: those that it advertises are of one family, its own. Gives whether that is IPv6;
/// `None` with an error, which was reported before when there are no addresses at all.
pub(super) fn family(vips: &[(VipConfig, Span)], report: &mut Report) -> Option<bool> {
    let mut advertised = vips.iter().filter(|(vip, _)| vip.vip.advertised);
    let Some((first, span)) = advertised.next() else {
        let (_, span) = vips.first()?;
        report.error_with(
            *span,
            "no address of the instance is advertised; an advert carries at least one",
            "keep one in the adverts, and exclude the others",
        );
        return None;
    };
    let first = first.vip.address;
    if first.is_ipv6() && !is_link_local(first) {
        let message =
            format!("the first IPv6 address is link-local in RFC 9568 section 5.2.9, here is {first}");
        report.warn(*span, message, "others may reject the adverts: write one such as fe80::1:1 before it, on every router of the group");
    }
    let mut good = true;
    for (vip, span) in advertised {
        let address = vip.vip.address;
        if address.is_ipv6() != first.is_ipv6() {
            let message = format!("{address} is not of the family of {first}, the instance's first address");
            report.error_with(
                *span,
                message,
                "make one instance for IPv4 and one for IPv6, or exclude this address from the adverts",
            );
            good = false;
        }
    }
    good.then_some(first.is_ipv6())
}

/// What to do about [`source_fault`].
pub(super) const SOURCE_HELP: &str =
    "remove it, or write an address of this host and of the instance's family";

/// What is wrong with the source of an instance's adverts, if anything.
pub(super) fn source_fault(source: IpAddr, is_ipv6: bool) -> Option<String> {
    address_fault(source).or_else(|| other_family("the source", source, is_ipv6))
}

fn other_family(what: &str, address: IpAddr, is_ipv6: bool) -> Option<String> {
    let [own, other] = if is_ipv6 { ["IPv6", "IPv4"] } else { ["IPv4", "IPv6"] };
    let differs = address.is_ipv6() != is_ipv6;
    differs.then(|| format!("{what} {address} is {other}, but the instance's addresses are {own}"))
}

/// The unicast peers of an instance, against what else it says; `None` with an error.
pub(super) fn peers(
    peers: &[(Peer, Span)],
    source: Option<IpAddr>,
    vips: &[(VipConfig, Span)],
    is_ipv6: bool,
    report: &mut Report,
) -> Option<Vec<Peer>> {
    let mut good = true;
    let mut kept: Vec<Peer> = Vec::new();
    for (peer, span) in peers {
        let address = peer.address;
        let own = vips.iter().any(|(vip, _)| vip.vip.address == address);
        let own = own.then(|| format!("the peer {address} is one of the addresses that move"));
        let fault = address_fault(address).or_else(|| other_family("the peer", address, is_ipv6)).or(own);
        if let Some(fault) = fault {
            report.error_with(*span, fault, "write the other router's own address");
            good = false;
        } else if source == Some(address) {
            let message = format!("the peer {address} is this router's own source; it is not used");
            report.warn(*span, message, "name the other routers only");
        } else if let Some(earlier) = kept.iter_mut().find(|earlier| earlier.address == address) {
            report.warn(
                *span,
                format!("the peer {address} is listed twice"),
                "the last one counts; remove one of them",
            );
            earlier.ttl = peer.ttl.clone();
        } else {
            kept.push(peer.clone());
        }
    }
    good.then_some(kept)
}

/// What is remarkable about the source of an instance's multicast adverts, if anything.
pub(super) fn source_remark(source: IpAddr) -> Option<String> {
    let odd = source.is_ipv6() && !is_link_local(source);
    odd.then(|| {
        format!("the source of IPv6 adverts is link-local in RFC 9568 section 5.1.2.1, here is {source}")
    })
}

fn error(report: &mut Report, instance: &Instance, message: String, help: &str) {
    report.push(Severity::Error, instance.defined_at.clone(), message, Some(help.to_owned()));
}

/// What is wrong with an interface's name, if anything: the kernel takes 1 to 15 bytes without `/`, white space and `:`
/// (`dev_valid_name` in net/core/dev.c).
pub(super) fn interface_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("is empty".to_owned())
    } else if name.len() > 15 {
        Some(format!("has {} bytes, the kernel allows 15", name.len()))
    } else if let Some(bad) =
        name.chars().find(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':'))
    {
        Some(format!("contains {bad:?}, which no interface's name can"))
    } else if name == "." || name == ".." {
        Some("is not allowed by the kernel".to_owned())
    } else {
        None
    }
}

/// What is wrong with an address label, if anything: the kernel keeps 15 bytes (`IFNAMSIZ` with its zero).
pub(super) fn label_fault(label: &str) -> Option<String> {
    let fits = (1..=15).contains(&label.len());
    (!fits).then(|| format!("the label `{label}` has {} bytes, the kernel allows 1 to 15", label.len()))
}

/// Why `ifconfig` would not show an address of that label, if so. The kernel takes any label.
pub(super) fn label_remark(label: &str, dev: &str) -> Option<String> {
    let fits = label.strip_prefix(dev).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    (!fits).then(|| {
        format!("the label `{label}` does not begin with `{dev}:`; `ifconfig` will not show the address")
    })
}

/// What is said about a label of an IPv6 address.
pub(super) const NO_LABEL: &str = "an IPv6 address has no label; this one is not used";

/// The prefix length of a host.
pub(super) const fn longest_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Reads a prefix length, what follows the `/`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn prefix_len(text: &str, address: IpAddr) -> Result<u8, String> {
    let longest = longest_prefix(address);
    text.parse()
        .ok()
        .filter(|length| *length <= longest)
        .ok_or_else(|| format!("`/{text}` is not a prefix length: expected /0 to /{longest}"))
}

/// What is wrong with an address to hold, if anything.
pub(super) fn address_fault(address: IpAddr) -> Option<String> {
    let odd = match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.to_ipv4_mapped().is_some(),
    };
    if odd {
        Some(format!("{address} is not an address that a host can hold"))
    } else if address.is_loopback() {
        Some(format!(
            "{address} is a loopback address: every host has it for itself, so it cannot move between hosts"
        ))
    } else {
        None
    }
}

/// What to do about [`address_remark`].
pub(super) const ADDRESS_HELP: &str =
    "choose an address between the first and the last of its network, or correct the prefix length";

/// Why others may not reach an address to hold, if so.
pub(super) fn address_remark(address: IpAddr, prefix_len: u8) -> Option<String> {
    let what = match address {
        // A /31 has neither a network nor a broadcast address (RFC 3021), a /32 has one host.
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(prefix_len.into()).filter(|_| prefix_len < 31)?;
            match v4.to_bits() & host {
                0 => "network",
                bits if bits == host => "broadcast",
                _ => return None,
            }
        }
        // RFC 4291 section 2.6.1; a /127 has none (RFC 6164).
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(prefix_len.into()).filter(|_| prefix_len < 127)?;
            if v6.to_bits() & host != 0 {
                return None;
            }
            "subnet-router anycast"
        }
    };
    Some(format!("{address} is the {what} address of {address}/{prefix_len}; most hosts do not talk to it"))
}
