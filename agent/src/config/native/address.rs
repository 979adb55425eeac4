//! Elements of `vips`.

use std::net::{IpAddr, Ipv4Addr};

use hafleet_vrrp::Vip;

use super::{
    instance::interface,
    keys::Keys,
    value::{self, Field},
};
use crate::config::{VipConfig, source::Report, validate};

/// What `vips` is.
pub(super) const EXPECTED: &str = "a list of tables { address = \"192.0.2.10/24\" }";

/// Reads one address; `None` when it is wrong.
pub(super) fn read(element: Field<'_>, service: &str, report: &mut Report) -> Option<VipConfig> {
    let at = element.span;
    let mut vip = None;
    let (mut dev, mut label, mut scope_number, mut broadcast, mut advertised) = (None, None, 0, None, true);
    for field in value::table(element, Keys::Vip, EXPECTED, report)? {
        match field.key.as_str() {
            "address" => vip = Some(address(field, report)?),
            "dev" => dev = Some(interface(field, report)?),
            "label" => label = Some((field.span, value::scalar::<String>(field, "a string", report)?)),
            "scope" => scope_number = scope(field, report)?,
            "broadcast" => broadcast = Some(value::ipv4(field, report)?),
            _ => advertised = value::scalar(field, "true or false", report)?,
        }
    }
    let Some((address, prefix_len)) = vip else {
        report.error_with(
            at,
            "this element of `vips` has no `address`",
            "write { address = \"192.0.2.10/24\" }",
        );
        return None;
    };
    if let Some((span, label)) = &label {
        let dev = dev.as_deref().unwrap_or(service);
        if let Some(fault) = validate::label_fault(label) {
            report.error(*span, fault);
            return None;
        }
        if let Some(remark) = validate::label_remark(label, dev).filter(|_| !dev.is_empty()) {
            report.warn(*span, remark, format!("write `{dev}:` and a few letters"));
        }
    }
    let vip = Vip { address: IpAddr::V4(address), prefix_len, advertised };
    Some(VipConfig {
        dev,
        label: label.map(|(_, label)| label),
        scope: scope_number,
        broadcast,
        ..VipConfig::new(vip)
    })
}

fn address(field: Field<'_>, report: &mut Report) -> Option<(Ipv4Addr, u8)> {
    let expected = "an IPv4 address with its prefix length such as \"192.0.2.10/24\" (alone it is a /32)";
    let text: String = value::scalar(field.clone(), expected, report)?;
    let (address, length) = text.split_once('/').unwrap_or((&text, "32"));
    let address = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address,
        Ok(IpAddr::V6(_)) => {
            let message = "IPv6 addresses are not supported by this version";
            report.error_with(field.span, message, "use IPv4 addresses in this instance");
            return None;
        }
        Err(_) => {
            value::wrong(&field, expected, report);
            return None;
        }
    };
    let Some(prefix_len) = length.parse::<u8>().ok().filter(|length| *length <= 32) else {
        let at = text.len() - length.len() - 1;
        let span = value::inside(&field, at..text.len(), report);
        report.error(span, format!("`/{length}` is not a prefix length: expected /0 to /32"));
        return None;
    };
    if let Some(fault) = validate::address_fault(address) {
        report.error(field.span, fault);
        return None;
    }
    if let Some(remark) = validate::address_remark(address, prefix_len) {
        report.warn(field.span, remark, validate::ADDRESS_HELP);
    }
    Some((address, prefix_len))
}

fn scope(field: Field<'_>, report: &mut Report) -> Option<u8> {
    value::one_of(field, &[("global", 0), ("site", 200), ("link", 253), ("host", 254)], report)
}
