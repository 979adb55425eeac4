//! The lines of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::net::{IpAddr, Ipv4Addr};

use hafleet_vrrp::Vip;

use super::{
    tree::{Block, Statement, Word},
    value,
};
use crate::config::{VipConfig, source::Report, validate};

/// More addresses than any instance has; the limit bounds the search for duplicates.
const MOST: usize = 4096;
/// The usual reason for a wrong prefix length.
const NETMASK: &str = "a netmask is written as its length: /24 for 255.255.255.0";
/// Words that begin something of an address line.
const OPTIONS: [&str; 14] = [
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
];

/// Reads the addresses of a block onto those that the instance has already.
pub(super) fn read(
    block: &Block,
    advertised: bool,
    interface: &str,
    vips: &mut Vec<VipConfig>,
    report: &mut Report,
) {
    for statement in &block.statements {
        if let Some(block) = &statement.block {
            report.error(block.open, "an address has no block");
        }
        for line in lines(statement, report) {
            let Some(vip) = address(&line, advertised, interface, report) else { continue };
            if vips.len() >= MOST {
                return report.error(block.open, format!("an instance holds at most {MOST} addresses"));
            }
            if vips.iter().any(|other| other.vip.address == vip.vip.address) {
                let Some(first) = line.first() else { continue };
                report.error_with(
                    first.span,
                    format!("{} is listed twice", vip.vip.address),
                    "remove one of the two",
                );
            } else {
                vips.push(vip);
            }
        }
    }
}

/// The words of a line; two addresses on one line are two lines.
fn lines<'s>(statement: &'s Statement, report: &mut Report) -> Vec<Vec<&'s Word>> {
    let mut lines = vec![vec![&statement.keyword]];
    let mut value_of_option = false;
    for word in &statement.args {
        if !value_of_option && parse(&word.text).is_some() {
            report.warn(
                word.span,
                "a second address on one line; keepalived would not read it",
                "write every address on a line of its own",
            );
            lines.push(Vec::new());
        }
        value_of_option = !value_of_option && takes_value(&word.text);
        if let Some(line) = lines.last_mut() {
            line.push(word);
        }
    }
    lines
}

fn takes_value(option: &str) -> bool {
    matches!(option, "dev" | "brd" | "broadcast" | "scope" | "label" | "peer" | "preferred_lft")
}

/// An address and the text of its prefix length.
fn parse(text: &str) -> Option<(IpAddr, Option<&str>)> {
    match text.split_once('/') {
        Some((address, length)) => Some((address.parse().ok()?, Some(length))),
        None => Some((text.parse().ok()?, None)),
    }
}

fn address(line: &[&Word], advertised: bool, interface: &str, report: &mut Report) -> Option<VipConfig> {
    let (first, options) = line.split_first()?;
    let text = value::bare(first, report);
    let (address, length) = match parse(text) {
        Some((IpAddr::V4(address), length)) => (address, length),
        Some((IpAddr::V6(_), _)) => {
            let message = format!("IPv6 addresses (`{text}`) are not supported by this version");
            report.error_with(first.span, message, "use IPv4 addresses in this instance");
            return None;
        }
        None => {
            let message = format!("`{text}` is not an address");
            let help = if OPTIONS.contains(&text) {
                "the words about an address stand on the address's own line"
            } else {
                "an address is four numbers from 0 to 255 without leading zeros, and /0 to /32: 192.0.2.1/24"
            };
            report.error_with(first.span, message, help);
            return None;
        }
    };
    let prefix_len = match length {
        None => 32,
        Some(length) => match length.parse::<u8>().ok().filter(|length| *length <= 32) {
            Some(length) => length,
            None => {
                let message = format!("`/{length}` is not a prefix length: expected /0 to /32");
                let at = text.len() - length.len() - 1;
                report.error_with(first.span.within(at, length.len() + 1), message, NETMASK);
                return None;
            }
        },
    };
    if let Some(fault) = validate::address_fault(address) {
        report.error(first.span, fault);
        return None;
    }
    if let Some(remark) = validate::address_remark(address, prefix_len) {
        report.warn(first.span, remark, validate::ADDRESS_HELP);
    }
    let vip = Vip { address: IpAddr::V4(address), prefix_len, advertised };
    Options { interface, address, label: None }.read(options, VipConfig::new(vip), report)
}

/// What stands after an address.
struct Options<'s> {
    interface: &'s str,
    address: Ipv4Addr,
    label: Option<&'s Word>,
}

impl<'s> Options<'s> {
    fn read(mut self, words: &[&'s Word], mut vip: VipConfig, report: &mut Report) -> Option<VipConfig> {
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
            good &= self.option(name, option, argument, &mut vip, report).is_some();
        }
        good &= self.label(&vip, report).is_some();
        good.then_some(vip)
    }

    /// `None` when it was an error.
    fn option(
        &mut self,
        name: &str,
        option: &Word,
        argument: Option<&'s Word>,
        vip: &mut VipConfig,
        report: &mut Report,
    ) -> Option<()> {
        match (name, argument) {
            ("dev", Some(dev)) => vip.dev = Some(interface("dev", dev, report)?),
            ("brd" | "broadcast", Some(brd)) => vip.broadcast = self.broadcast(brd, vip.vip.prefix_len, report)?,
            ("scope", Some(word)) => vip.scope = scope(word, report)?,
            ("label", Some(label)) => {
                vip.label = Some(value::bare(label, report).to_owned());
                self.label = Some(label);
            }
            ("preferred_lft", Some(lifetime)) if lifetime.text == "forever" => {}
            ("no_track" | "home" | "-nodad" | "mngtmpaddr" | "autojoin", None) => report.warn(
                option.span,
                format!("`{name}` is not active: a lost address is always put back, and this version serves IPv4 only"),
                "remove it, or leave it for keepalived",
            ),
            ("peer" | "preferred_lft" | "noprefixroute" | "use_vmac", _) => {
                report.error(option.span, format!("`{name}` is not supported by this version"));
                return None;
            }
            ("track_group", _) => {
                report.error(option.span, "`track_group` belongs to static addresses");
                return None;
            }
            (_, _) => {
                let nearest = crate::config::nearest(name, OPTIONS.into_iter());
                let message = format!("`{name}` is not known after an address");
                match nearest {
                    Some(nearest) => report.error_with(option.span, message, format!("did you mean `{nearest}`?")),
                    None => report.error_with(option.span, message, "expected `dev`, `label`, `brd` or `scope`"),
                }
                return None;
            }
        }
        Some(())
    }

    fn broadcast(&self, word: &Word, prefix_len: u8, report: &mut Report) -> Option<Option<Ipv4Addr>> {
        match value::bare(word, report) {
            "-" => Some(None),
            "+" if prefix_len < 31 => {
                Some(Some(Ipv4Addr::from_bits(self.address.to_bits() | u32::MAX >> prefix_len)))
            }
            "+" => {
                report.error(word.span, format!("a /{prefix_len} has no broadcast address"));
                None
            }
            _ => value::ipv4("brd", word, report).map(Some),
        }
    }

    fn label(&self, vip: &VipConfig, report: &mut Report) -> Option<()> {
        let (Some(word), Some(label)) = (self.label, &vip.label) else { return Some(()) };
        if let Some(fault) = validate::label_fault(label) {
            report.error(word.span, fault);
            return None;
        }
        let dev = vip.dev.as_deref().unwrap_or(self.interface);
        if let Some(remark) = validate::label_remark(label, dev).filter(|_| !dev.is_empty()) {
            report.warn(word.span, remark, format!("write `{dev}:` and a few letters"));
        }
        Some(())
    }
}

/// A name that an interface can have.
pub(super) fn interface(keyword: &str, word: &Word, report: &mut Report) -> Option<String> {
    let name = value::bare(word, report);
    if let Some(fault) = validate::interface_fault(name) {
        report.error(word.span, format!("`{keyword}` names an interface, and `{name}` {fault}"));
        return None;
    }
    Some(name.to_owned())
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
