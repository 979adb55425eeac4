//! `paths`: where adverts go.

use hafleet_vrrp::Peer;

use super::{
    instance::interface,
    keys::Keys,
    value::{self, Field},
};
use crate::source::{Report, Span};

/// What `paths` is.
const EXPECTED: &str = "a list of tables { interface = \"…\", peers = [\"192.0.2.2\"] }";
/// What an element of `peers` is.
const PEER_EXPECTED: &str =
    "a list of addresses such as \"192.0.2.2\" or tables { address = \"192.0.2.2\", min_ttl = 254 }";

/// The unicast peers on the service interface, each with its place; none for multicast. `None` with an error.
///
/// This version has one path, the service interface; saying so is allowed.
pub(super) fn read(field: Field<'_>, service: &str, report: &mut Report) -> Option<Vec<(Peer, Span)>> {
    let mut good = true;
    let mut all: Option<Vec<(Peer, Span)>> = None;
    for path in value::list(field, EXPECTED, report) {
        let at = path.span;
        let Some(peers) = path_peers(path, service, report) else {
            good = false;
            continue;
        };
        if all.is_some() {
            let message = format!("a second path over `{service}`");
            report.error_with(at, message, "name all peers in the first one");
            good = false;
        }
        all = Some(peers);
    }
    good.then_some(all.unwrap_or_default())
}

fn path_peers(path: Field<'_>, service: &str, report: &mut Report) -> Option<Vec<(Peer, Span)>> {
    let at = path.span;
    let (mut good, mut named, mut peers) = (true, false, Vec::new());
    for field in value::table(path, Keys::Path, EXPECTED, report)? {
        let span = field.span;
        if field.key == "peers" {
            for element in value::list(field, PEER_EXPECTED, report) {
                match peer(element, report) {
                    Some(peer) => peers.push(peer),
                    None => good = false,
                }
            }
            continue;
        }
        named = true;
        let interface = interface(field, report);
        if interface.as_ref().is_some_and(|interface| interface != service) {
            report.error_with(
                span,
                "a path over another interface is not supported by this version",
                format!("several heartbeat lines come later; this version advertises on the service interface, `{service}`"),
            );
        }
        good &= interface.is_some_and(|interface| interface == service);
    }
    if !named {
        report.error_with(at, "this element of `paths` has no `interface`", "write the service interface");
    }
    (good && named).then_some(peers)
}

fn peer(element: Field<'_>, report: &mut Report) -> Option<(Peer, Span)> {
    let span = element.span;
    if let toml::de::DeValue::String(_) = element.value {
        return Some((Peer::new(value::ip(element, report)?), span));
    }
    let (mut address, mut least, mut most) = (None, 0, u8::MAX);
    for field in value::table(element, Keys::Peer, PEER_EXPECTED, report)? {
        match field.key.as_str() {
            "address" => address = Some(value::ip(field, report)?),
            "min_ttl" => least = value::integer(field, 0..=u8::MAX, report)?,
            _ => most = value::integer(field, 0..=u8::MAX, report)?,
        }
    }
    let Some(address) = address else {
        report.error_with(
            span,
            "this element of `peers` has no `address`",
            "write the other router's address",
        );
        return None;
    };
    if least > most {
        let message = format!("no advert has a TTL of at least {least} and at most {most}");
        report.error_with(span, message, "`min_ttl` is the smaller one");
        return None;
    }
    Some((Peer { address, ttl: least..=most }, span))
}
