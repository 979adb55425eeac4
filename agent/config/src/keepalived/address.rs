//! The lines of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

mod option;

use std::net::IpAddr;

use hafleet_vrrp::Vip;

use self::option::{OPTIONS, Options, takes_value};
use super::{
    tree::{Block, Statement, Word},
    value,
};
use crate::{
    VipConfig,
    source::{Report, Span},
    validate,
};

/// More addresses than any instance has; the limit bounds the search for duplicates.
const MOST: usize = 4096;
/// The usual reason for a wrong prefix length.
const NETMASK: &str = "a netmask is written as its length: /24 for 255.255.255.0";
/// Reads the addresses of a block onto those that the instance has already.
pub(super) fn read(
    block: &Block,
    advertised: bool,
    interface: &str,
    vips: &mut Vec<(VipConfig, Span)>,
    report: &mut Report,
) {
    for statement in &block.statements {
        if let Some(block) = &statement.block {
            report.error(block.open, "an address has no block");
        }
        for line in lines(statement, takes_value, report) {
            let Some((vip, span)) = address(&line, advertised, interface, report) else { continue };
            if vips.len() >= MOST {
                return report.error(block.open, format!("an instance holds at most {MOST} addresses"));
            }
            if vips.iter().any(|(other, _)| other.vip.address == vip.vip.address) {
                let message = format!("{} is listed twice", vip.vip.address);
                report.error_with(span, message, "remove one of the two");
            } else {
                vips.push((vip, span));
            }
        }
    }
}

/// The words of a line; two addresses on one line are two lines.
pub(super) fn lines<'s>(
    statement: &'s Statement,
    takes_value: impl Fn(&str) -> bool,
    report: &mut Report,
) -> Vec<Vec<&'s Word>> {
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

/// An address and the text of its prefix length.
pub(super) fn parse(text: &str) -> Option<(IpAddr, Option<&str>)> {
    match text.split_once('/') {
        Some((address, length)) => Some((address.parse().ok()?, Some(length))),
        None => Some((text.parse().ok()?, None)),
    }
}

fn address(
    line: &[&Word],
    advertised: bool,
    interface: &str,
    report: &mut Report,
) -> Option<(VipConfig, Span)> {
    let (first, options) = line.split_first()?;
    let text = value::bare(first, report);
    let Some((address, length)) = parse(text) else {
        let message = format!("`{text}` is not an address");
        let help = if OPTIONS.contains(&text) {
            "the words about an address stand on the address's own line"
        } else {
            "an address is four numbers from 0 to 255 without leading zeros, and /0 to /32: 192.0.2.1/24; or IPv6: \
             2001:db8::1/64"
        };
        report.error_with(first.span, message, help);
        return None;
    };
    let prefix_len = match length {
        None => validate::longest_prefix(address),
        Some(length) => match validate::prefix_len(length, address) {
            Ok(length) => length,
            Err(fault) => {
                let at = text.len() - length.len() - 1;
                report.error_with(first.span.within(at, length.len() + 1), fault, NETMASK);
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
    let vip = VipConfig::new(Vip { address, prefix_len, advertised });
    let has_length = length.is_some();
    Options::new(interface, address, has_length).read(options, vip, report).map(|vip| (vip, first.span))
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
