//! Elements of `vips`.

use std::{net::IpAddr, time::Duration};

use hafleet_vrrp::Vip;

use super::{
    instance::interface,
    keys::Keys,
    value::{self, Field},
};
use crate::{
    VipConfig,
    source::{Report, Span},
    validate,
};

/// What `vips` is.
pub(super) const EXPECTED: &str = "a list of tables { address = \"192.0.2.10/24\" }";

/// What stands in an element, until the family of its address is known.
#[derive(Default)]
struct Parts {
    address: Option<(IpAddr, Option<u8>)>,
    label: Option<Span>,
    /// What is for one family only: key, place, whether that is IPv6.
    of_one_family: Vec<(String, Span, bool)>,
    peer: Option<(IpAddr, Option<u8>, Span)>,
    preferred: Option<Option<u32>>,
}

/// Reads one address; `None` when it is wrong.
pub(super) fn read(element: Field<'_>, service: &str, report: &mut Report) -> Option<VipConfig> {
    let at = element.span;
    let mut parts = Parts::default();
    let unspecified = Vip { address: IpAddr::from([0; 4]), prefix_len: 0, advertised: true };
    let mut vip = VipConfig::new(unspecified);
    for field in value::table(element, Keys::Vip, EXPECTED, report)? {
        parts.take(field, &mut vip, report)?;
    }
    let Some((address, prefix_len)) = parts.address else {
        report.error_with(
            at,
            "this element of `vips` has no `address`",
            "write { address = \"192.0.2.10/24\" }",
        );
        return None;
    };
    vip.vip.address = address;
    vip.vip.prefix_len = prefix_len.unwrap_or(validate::longest_prefix(address));
    for (key, span, for_ipv6) in &parts.of_one_family {
        if *for_ipv6 != address.is_ipv6() {
            let family = if *for_ipv6 { "IPv6" } else { "IPv4" };
            report.error_with(
                *span,
                format!("`{key}` is for {family} addresses, here is {address}"),
                "remove it",
            );
            return None;
        }
    }
    if let Some((peer, peer_len, span)) = parts.peer {
        if peer.is_ipv4() != address.is_ipv4() {
            let message = format!("the peer {peer} is not of the family of {address}");
            report.error_with(span, message, "both ends are IPv4, or both IPv6");
            return None;
        }
        if prefix_len.is_some() {
            let message = "next to `peer` the address has no prefix length of its own";
            report.error_with(span, message, "write it after the peer: peer = \"192.0.2.2/30\"");
            return None;
        }
        vip.vip.prefix_len = peer_len.unwrap_or(validate::longest_prefix(peer));
        vip.peer = Some((peer, vip.vip.prefix_len));
    }
    let lone = address.is_ipv6() && vip.vip.prefix_len == 128;
    vip.preferred_s = parts.preferred.unwrap_or(lone.then_some(0));
    label(&vip, parts.label, service, report)?;
    Some(vip)
}

impl Parts {
    fn take(&mut self, field: Field<'_>, vip: &mut VipConfig, report: &mut Report) -> Option<()> {
        let flag = |field, report: &mut Report| value::scalar::<bool>(field, "true or false", report);
        match field.key.as_str() {
            "dad" | "home" | "mngtmpaddr" => self.only_for(&field, true),
            "label" | "scope" | "broadcast" => self.only_for(&field, false),
            _ => {}
        }
        match field.key.as_str() {
            "address" => self.address = Some(holdable(field, report)?),
            "dev" => vip.dev = Some(interface(field, report)?),
            "label" => {
                self.label = Some(field.span);
                vip.label = Some(value::scalar(field, "a string", report)?);
            }
            "scope" => vip.scope = scope(field, report)?,
            "broadcast" => vip.broadcast = Some(value::ipv4(field, report)?),
            "peer" => {
                let span = field.span;
                let (peer, length) = address(&field, report)?;
                self.peer = Some((peer, length, span));
            }
            "preferred_lft" => self.preferred = Some(preferred(field, report)?),
            "dad" => vip.flags.dad = flag(field, report)?,
            "home" => vip.flags.home = flag(field, report)?,
            "mngtmpaddr" => vip.flags.mngtmpaddr = flag(field, report)?,
            "noprefixroute" => vip.flags.noprefixroute = flag(field, report)?,
            "autojoin" => vip.flags.autojoin = flag(field, report)?,
            "repair" => vip.repair = flag(field, report)?,
            _ => vip.vip.advertised = flag(field, report)?,
        }
        Some(())
    }

    fn only_for(&mut self, field: &Field<'_>, ipv6: bool) {
        self.of_one_family.push((field.key.clone(), field.key_span, ipv6));
    }
}

/// An address, with its prefix length if one was written.
fn address(field: &Field<'_>, report: &mut Report) -> Option<(IpAddr, Option<u8>)> {
    let expected = "an address with its prefix length such as \"192.0.2.10/24\" or \"2001:db8::10/64\" (alone it is a \
                    /32 or /128)";
    let text: String = value::scalar(field.clone(), expected, report)?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text.as_str(), None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        value::wrong(field, expected, report);
        return None;
    };
    let Some(length) = length else { return Some((address, None)) };
    match validate::prefix_len(length, address) {
        Ok(prefix_len) => Some((address, Some(prefix_len))),
        Err(fault) => {
            let at = text.len() - length.len() - 1;
            report.error(value::inside(field, at..text.len(), report), fault);
            None
        }
    }
}

/// An address that a host can have for some time.
fn holdable(field: Field<'_>, report: &mut Report) -> Option<(IpAddr, Option<u8>)> {
    let (address, prefix_len) = address(&field, report)?;
    if let Some(fault) = validate::address_fault(address) {
        report.error(field.span, fault);
        return None;
    }
    let remark = prefix_len.and_then(|prefix_len| validate::address_remark(address, prefix_len));
    if let Some(remark) = remark {
        report.warn(field.span, remark, validate::ADDRESS_HELP);
    }
    Some((address, prefix_len))
}

/// A duration in whole seconds, or `forever`.
fn preferred(field: Field<'_>, report: &mut Report) -> Option<Option<u32>> {
    let expected = "a duration in whole seconds such as \"0s\" or \"10m\", or \"forever\"";
    let text: String = value::scalar(field.clone(), expected, report)?;
    if text == "forever" {
        return Some(None);
    }
    let whole = |time: &Duration| time.subsec_nanos() == 0;
    let seconds =
        value::duration(&text).ok().filter(whole).and_then(|time| u32::try_from(time.as_secs()).ok());
    if seconds.is_none() {
        value::wrong(&field, expected, report);
    }
    seconds.map(Some)
}

fn label(vip: &VipConfig, span: Option<Span>, service: &str, report: &mut Report) -> Option<()> {
    let (Some(label), Some(span)) = (&vip.label, span) else { return Some(()) };
    let dev = vip.dev.as_deref().unwrap_or(service);
    if let Some(fault) = validate::label_fault(label) {
        report.error(span, fault);
        return None;
    }
    if let Some(remark) = validate::label_remark(label, dev).filter(|_| !dev.is_empty()) {
        report.warn(span, remark, format!("write `{dev}:` and a few letters"));
    }
    Some(())
}

fn scope(field: Field<'_>, report: &mut Report) -> Option<u8> {
    value::one_of(field, &[("global", 0), ("site", 200), ("link", 253), ("host", 254)], report)
}
