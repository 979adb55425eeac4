//! What is right by itself and wrong together: names, VRIDs and addresses of several instances.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use super::{AgentConfig, Instance, Severity, source::Report};

/// Adverts count their addresses in one byte (RFC 9568 section 5.2.5).
const MOST_ADVERTISED: usize = 255;

/// Finds what two instances cannot both have, whichever files they come from.
pub(super) fn across_instances(config: &AgentConfig, report: &mut Report) {
    let mut names: BTreeMap<&str, &Instance> = BTreeMap::new();
    let mut vrids: BTreeMap<(&str, u8), &Instance> = BTreeMap::new();
    let mut addresses: BTreeMap<IpAddr, &Instance> = BTreeMap::new();
    for instance in &config.instances {
        if let Some(first) = names.get(instance.name.as_str()) {
            let message = format!("an instance named `{}` is already at {}", instance.name, first.defined_at);
            error(report, instance, message, "give every instance a name of its own");
        } else {
            names.insert(&instance.name, instance);
        }
        let key = (instance.interface.as_str(), instance.vrid.get());
        if let Some(first) = vrids.get(&key) {
            let message = format!(
                "`{}` uses VRID {} on {}, which `{}` at {} uses already",
                instance.name, instance.vrid, instance.interface, first.name, first.defined_at
            );
            error(
                report,
                instance,
                message,
                "a VRID may occur once on an interface: choose another from 1 to 255",
            );
        } else {
            vrids.insert(key, instance);
        }
        let own: BTreeSet<IpAddr> = instance.vips.iter().map(|vip| vip.vip.address).collect();
        for address in own {
            if let Some(first) = addresses.get(&address) {
                let message = format!(
                    "`{}` holds {address}, which `{}` at {} holds too",
                    instance.name, first.name, first.defined_at
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

/// What is wrong with an address to hold, if anything.
pub(super) fn address_fault(address: Ipv4Addr) -> Option<String> {
    let odd = address.is_unspecified() || address.is_multicast() || address.is_broadcast();
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
pub(super) fn address_remark(address: Ipv4Addr, prefix_len: u8) -> Option<String> {
    // A /31 has neither a network nor a broadcast address (RFC 3021), a /32 has one host.
    let host = u32::MAX.checked_shr(prefix_len.into()).filter(|_| prefix_len < 31)?;
    let what = match address.to_bits() & host {
        0 => "network",
        bits if bits == host => "broadcast",
        _ => return None,
    };
    Some(format!("{address} is the {what} address of {address}/{prefix_len}; most hosts do not talk to it"))
}
