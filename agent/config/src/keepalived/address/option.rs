//! What stands after an address.

use std::net::{IpAddr, Ipv4Addr};

use super::{interface, parse};
use crate::{
    VipConfig,
    keepalived::{tree::Word, value},
    source::Report,
    validate,
};

/// Words that begin something of an address line.
pub(super) const OPTIONS: [&str; 15] = [
    "dev",
    "brd",
    "broadcast",
    "scope",
    "label",
    "peer",
    "home",
    "-nodad",
    "mngtmpaddr",
    "noprefixroute",
    "autojoin",
    "no_track",
    "preferred_lft",
    "use_vmac",
    "track_group",
];

/// Whether a value follows an option.
pub(super) fn takes_value(option: &str) -> bool {
    matches!(
        option,
        "dev" | "brd" | "broadcast" | "scope" | "label" | "peer" | "preferred_lft" | "track_group"
    )
}

/// The options of one address.
pub(super) struct Options<'s> {
    interface: &'s str,
    address: IpAddr,
    /// The address was written with a prefix length.
    has_length: bool,
    label: Option<&'s Word>,
}

impl<'s> Options<'s> {
    pub(super) fn new(interface: &'s str, address: IpAddr, has_length: bool) -> Self {
        Self { interface, address, has_length, label: None }
    }

    /// The address with all that its line says; `None` when something was an error.
    pub(super) fn read(
        mut self,
        words: &[&'s Word],
        mut vip: VipConfig,
        report: &mut Report,
    ) -> Option<VipConfig> {
        // keepalived deprecates a lone IPv6 address, so that the host does not choose it as a source of its own.
        if self.address.is_ipv6() && vip.vip.prefix_len == 128 {
            vip.preferred_s = Some(0);
        }
        let mut good = true;
        let mut words = words.iter();
        while let Some(option) = words.next() {
            let name = value::bare(option, report);
            let argument = if takes_value(name) {
                let Some(argument) = words.next() else {
                    report.error(option.span, format!("`{name}` lacks its value"));
                    return None;
                };
                Some(*argument)
            } else {
                None
            };
            good &= match argument {
                Some(argument) => self.valued(name, option, argument, &mut vip, report).is_some(),
                None => self.flag(name, option, &mut vip, report).is_some(),
            };
        }
        good &= self.label(&mut vip, report).is_some();
        good.then_some(vip)
    }

    /// An option with a value; `None` when it was an error.
    fn valued(
        &mut self,
        name: &str,
        option: &Word,
        argument: &'s Word,
        vip: &mut VipConfig,
        report: &mut Report,
    ) -> Option<()> {
        match name {
            "dev" => vip.dev = Some(interface("dev", argument, report)?),
            "brd" | "broadcast" => {
                vip.broadcast = self.broadcast(option, argument, vip.vip.prefix_len, report)?
            }
            "scope" => {
                let scope = scope(argument, report)?;
                if self.address.is_ipv6() {
                    let help = "the kernel knows an IPv6 address's scope by itself; remove it";
                    report.warn(option.span, "`scope` has no effect on an IPv6 address", help);
                } else {
                    vip.scope = scope;
                }
            }
            "label" => {
                vip.label = Some(value::bare(argument, report).to_owned());
                self.label = Some(argument);
            }
            "peer" => self.peer(argument, vip, report)?,
            "preferred_lft" => vip.preferred_s = preferred(argument, report)?,
            _ => {
                report.error(option.span, "`track_group` belongs to static addresses");
                return None;
            }
        }
        Some(())
    }

    /// An option without a value; `None` when it was an error.
    fn flag(&self, name: &str, option: &Word, vip: &mut VipConfig, report: &mut Report) -> Option<()> {
        let flags = &mut vip.flags;
        match name {
            "home" | "-nodad" | "mngtmpaddr" if self.address.is_ipv4() => {
                report.warn(option.span, format!("`{name}` has no effect on an IPv4 address"), "remove it");
            }
            "home" => flags.home = true,
            "-nodad" => flags.dad = true,
            "mngtmpaddr" => flags.mngtmpaddr = true,
            "noprefixroute" => flags.noprefixroute = true,
            "autojoin" => flags.autojoin = true,
            "no_track" => vip.repair = false,
            "use_vmac" => {
                let message = "`use_vmac` after an address is not supported by this version";
                report.error_with(option.span, message, "write `use_vmac` in the instance");
                return None;
            }
            _ => {
                let message = format!("`{name}` is not known after an address");
                match crate::nearest(name, OPTIONS.into_iter()) {
                    Some(nearest) => {
                        report.error_with(option.span, message, format!("did you mean `{nearest}`?"));
                    }
                    None => {
                        report.error_with(option.span, message, "expected `dev`, `label`, `brd` or `scope`")
                    }
                }
                return None;
            }
        }
        Some(())
    }

    fn broadcast(
        &self,
        option: &Word,
        word: &Word,
        prefix_len: u8,
        report: &mut Report,
    ) -> Option<Option<Ipv4Addr>> {
        let IpAddr::V4(address) = self.address else {
            report.error_with(option.span, "IPv6 has no broadcast addresses", "remove it");
            return None;
        };
        match value::bare(word, report) {
            "-" => Some(None),
            "+" if prefix_len < 31 => {
                Some(Some(Ipv4Addr::from_bits(address.to_bits() | u32::MAX >> prefix_len)))
            }
            "+" => {
                report.error(word.span, format!("a /{prefix_len} has no broadcast address"));
                None
            }
            _ => value::ipv4("brd", word, report).map(Some),
        }
    }

    /// The other end of a point-to-point address. The kernel knows one prefix length of such a pair, the peer's.
    fn peer(&self, word: &Word, vip: &mut VipConfig, report: &mut Report) -> Option<()> {
        let text = value::bare(word, report);
        let Some((peer, length)) = parse(text) else {
            let message = format!("`peer` is an address, here is `{text}`");
            report.error_with(word.span, message, "the other end's address, such as 192.0.2.2");
            return None;
        };
        if peer.is_ipv4() != self.address.is_ipv4() {
            let message = format!("the peer {peer} is not of the family of {}", self.address);
            report.error_with(word.span, message, "both ends are IPv4, or both IPv6");
            return None;
        }
        let prefix_len = match length.map(|length| validate::prefix_len(length, peer)) {
            None => validate::longest_prefix(peer),
            Some(Ok(prefix_len)) => {
                let message = "a `peer` with a prefix length; keepalived would not read it";
                report.warn(word.span, message, "write the peer without it");
                prefix_len
            }
            Some(Err(fault)) => {
                report.error(word.span, fault);
                return None;
            }
        };
        if self.has_length && length.is_none() {
            let message = format!(
                "the prefix length /{} is not used next to `peer`: the peer is a /{prefix_len}, as in keepalived",
                vip.vip.prefix_len
            );
            report.warn(word.span, message, "remove it");
        }
        vip.vip.prefix_len = prefix_len;
        vip.peer = Some((peer, prefix_len));
        Some(())
    }

    fn label(&self, vip: &mut VipConfig, report: &mut Report) -> Option<()> {
        let (Some(word), Some(label)) = (self.label, &vip.label) else { return Some(()) };
        if let Some(fault) = validate::label_fault(label) {
            report.error(word.span, fault);
            return None;
        }
        let dev = vip.dev.as_deref().unwrap_or(self.interface);
        if self.address.is_ipv6() {
            report.warn(word.span, validate::NO_LABEL, "remove it");
            vip.label = None;
        } else if let Some(remark) = validate::label_remark(label, dev).filter(|_| !dev.is_empty()) {
            report.warn(word.span, remark, format!("write `{dev}:` and a few letters"));
        }
        Some(())
    }
}

/// `preferred_lft`: seconds or `forever`, which is also what the kernel's largest number means.
fn preferred(word: &Word, report: &mut Report) -> Option<Option<u32>> {
    let text = value::bare(word, report);
    if text == "forever" {
        return Some(None);
    }
    let seconds = text.parse::<u32>().ok();
    if seconds.is_none() {
        let message = format!("`preferred_lft` is a number of seconds or `forever`, here is `{text}`");
        report.error_with(
            word.span,
            message,
            "0 keeps the host from choosing the address as a source of its own",
        );
    }
    seconds.map(|seconds| Some(seconds).filter(|seconds| *seconds < u32::MAX))
}

/// `rtnetlink(7)`'s scopes, by name or number.
fn scope(word: &Word, report: &mut Report) -> Option<u8> {
    match value::bare(word, report) {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        number => {
            let scope = number.parse().ok();
            if scope.is_none() {
                let message = format!(
                    "`scope` is global, site, link, host, nowhere or a number to 255, here is `{number}`"
                );
                report.error(word.span, message);
            }
            scope
        }
    }
}
