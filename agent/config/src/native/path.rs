//! `paths`: where adverts go, and are heard.

use hafleet_vrrp::{MAX_PATHS, Peer};

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

/// A heartbeat line as it is written.
pub(super) struct Line {
    pub interface: String,
    /// None for multicast.
    pub peers: Vec<(Peer, Span)>,
}

/// Every line that is written, each over an interface of its own; with the service interface at most [`MAX_PATHS`]. `None` with
/// an error.
pub(super) fn read(field: Field<'_>, service: &str, report: &mut Report) -> Option<Vec<Line>> {
    let mut good = true;
    let mut all: Vec<Line> = Vec::new();
    for path in value::list(field, EXPECTED, report) {
        let at = path.span;
        let Some(line) = line(path, report) else {
            good = false;
            continue;
        };
        if all.iter().any(|earlier| earlier.interface == line.interface) {
            let message = format!("a second path over `{}`", line.interface);
            report.error_with(at, message, "name all peers in the first one");
            good = false;
            continue;
        }
        let is_service = line.interface == service;
        all.push(line);
        let others = all.iter().filter(|line| line.interface != service).count();
        if !is_service && others == MAX_PATHS {
            let message = format!("more than {MAX_PATHS} heartbeat lines, the service interface counted");
            report.error_with(at, message, "remove this one; two or three lines are as good");
            good = false;
        }
    }
    good.then_some(all)
}

fn line(path: Field<'_>, report: &mut Report) -> Option<Line> {
    let at = path.span;
    let (mut good, mut named, mut line_interface, mut peers) = (true, false, None, Vec::new());
    for field in value::table(path, Keys::Path, EXPECTED, report)? {
        if field.key == "peers" {
            for element in value::list(field, PEER_EXPECTED, report) {
                match peer(element, report) {
                    Some(peer) => peers.push(peer),
                    None => good = false,
                }
            }
        } else {
            named = true;
            line_interface = interface(field, report);
        }
    }
    if !named {
        let help = "write the interface that the line runs over";
        report.error_with(at, "this element of `paths` has no `interface`", help);
    }
    Some(Line { interface: line_interface?, peers }).filter(|_| good)
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
