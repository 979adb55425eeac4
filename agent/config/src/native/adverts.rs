//! Where an instance's adverts come from and go to: `source`, `paths`, `unicast_ttl`, `vmac`.

use std::net::IpAddr;

use toml::de::DeValue;

use super::{
    instance::{Fields, interface},
    keys::Keys,
    path::{self, Line},
    value::{self, Field},
};
use crate::{
    PathConfig, VipConfig, Vmac,
    source::{Report, Span},
    validate,
};

/// What is read here.
pub(super) struct Adverts {
    pub source: Option<IpAddr>,
    pub paths: Vec<PathConfig>,
    pub unicast_ttl: u8,
    pub vmac: Option<Vmac>,
}

/// Reads it all; `None` with an error, in the addresses too.
pub(super) fn read(
    fields: &mut Fields<'_>,
    service: &str,
    vips: Option<&[(VipConfig, Span)]>,
    is_ipv6: Option<bool>,
    report: &mut Report,
) -> Option<Adverts> {
    let source = fields.or("source", None, report, |field, report| {
        let span = field.span;
        Some(Some((value::ip(field, report)?, span)))
    });
    let lines = fields.or("paths", Vec::new(), report, |field, report| path::read(field, service, report));
    let ttl = fields.or("unicast_ttl", None, report, |field, report| {
        let span = field.key_span;
        Some(Some((value::integer(field, 1..=u8::MAX, report)?, span)))
    });
    let vmac = fields.or("vmac", None, report, vmac);

    let (is_ipv6, source) = (is_ipv6?, source?);
    let address = source.map(|(source, _)| source);
    let paths = paths(lines?, service, address, vips?, is_ipv6, report)?;
    let is_multicast = paths.first().is_none_or(|path| path.interface != service);
    if let Some((source, span)) = source {
        checked_source(source, span, is_ipv6, is_multicast, report)?;
    }
    let (ttl, mut vmac) = (ttl?, vmac?);
    if let Some((_, span)) = ttl.filter(|_| paths.iter().all(|path| path.peers.is_empty())) {
        let message = "`unicast_ttl` has no effect without `peers`: multicast has TTL 255";
        report.warn(span, message, "name the other routers in `paths`, or remove it");
    }
    if let Some(vmac) = &mut vmac {
        vmac.adverts_from_parent |= !is_multicast;
    }
    Some(Adverts { source: address, paths, unicast_ttl: ttl.map_or(u8::MAX, |(ttl, _)| ttl), vmac })
}

/// The service interface first, if it has peers; the others in the order of the file. `None` with an error.
fn paths(
    lines: Vec<Line>,
    service: &str,
    source: Option<IpAddr>,
    vips: &[(VipConfig, Span)],
    is_ipv6: bool,
    report: &mut Report,
) -> Option<Vec<PathConfig>> {
    let mut all = Some(Vec::new());
    for Line { interface, peers } in lines {
        let is_service = interface == service;
        // The source is one of the service interface.
        let own = source.filter(|_| is_service);
        let Some(kept) = validate::peers(&peers, own, vips, is_ipv6, report) else {
            all = None;
            continue;
        };
        let at = if is_service { 0 } else { all.as_ref().map_or(0, Vec::len) };
        let is_implied = is_service && kept.is_empty();
        if let Some(all) = all.as_mut().filter(|_| !is_implied) {
            all.insert(at, PathConfig { interface, peers: kept });
        }
    }
    all
}

fn checked_source(
    source: IpAddr,
    span: Span,
    is_ipv6: bool,
    is_multicast: bool,
    report: &mut Report,
) -> Option<()> {
    if let Some(fault) = validate::source_fault(source, is_ipv6) {
        report.error_with(span, fault, validate::SOURCE_HELP);
        return None;
    }
    if let Some(remark) = validate::source_remark(source).filter(|_| is_multicast) {
        report.warn(span, remark, "remove it: the interface's link-local address is used then");
    }
    Some(())
}

/// `true`, `false` or a table.
fn vmac(field: Field<'_>, report: &mut Report) -> Option<Option<Vmac>> {
    let mut vmac = Vmac { interface: None, adverts_from_parent: false };
    if let DeValue::Boolean(truth) = field.value {
        return Some(truth.then_some(vmac));
    }
    let expected = "true, false or a table { interface = \"vrrp.51\", adverts_from_parent = true }";
    for field in value::table(field, Keys::Vmac, expected, report)? {
        if field.key == "interface" {
            vmac.interface = Some(interface(field, report)?);
        } else {
            vmac.adverts_from_parent = value::scalar(field, "true or false", report)?;
        }
    }
    Some(Some(vmac))
}
