//! `unicast_peer` and what belongs to it.

use hafleet_vrrp::{Peer, Version};

use super::{
    super::{
        address,
        section::Entry,
        tree::{Block, Word},
        value,
    },
    Draft,
};
use crate::{
    PathConfig,
    source::{Report, Span},
    validate,
};

/// More routers than any group has.
const MOST_PEERS: usize = 255;

/// What an instance says about unicast.
#[derive(Default)]
pub(super) struct Unicast<'s> {
    peers: Vec<(Peer, Span)>,
    /// The last `unicast_peer`.
    block: Option<Entry<'s>>,
    /// A line about peers was wrong, and is reported.
    failed: bool,
    /// `unicast_src_ip`.
    pub source: Option<Entry<'s>>,
    pub ttl: Option<(u8, &'s Word)>,
    pub fault_no_peer: Option<Entry<'s>>,
    pub old_checksum: Option<Entry<'s>>,
}

impl<'s> Unicast<'s> {
    /// Takes one `unicast_peer` block.
    pub(super) fn take(&mut self, entry: Entry<'s>, block: &'s Block, report: &mut Report) {
        self.block = Some(entry);
        for statement in &block.statements {
            if let Some(block) = &statement.block {
                report.error(block.open, "a peer has no block");
                self.failed = true;
            }
            for line in address::lines(statement, |option| matches!(option, "min_ttl" | "max_ttl"), report) {
                if self.peers.len() >= MOST_PEERS {
                    self.failed = true;
                    return report.error(block.open, format!("an instance has at most {MOST_PEERS} peers"));
                }
                match peer(&line, report) {
                    Some(peer) => self.peers.push(peer),
                    None => self.failed = true,
                }
            }
        }
    }
}

/// A peer's line.
fn peer(line: &[&Word], report: &mut Report) -> Option<(Peer, Span)> {
    let (first, mut options) = line.split_first()?;
    let text = value::bare(first, report);
    let (address, length) = address::parse(text).map_or_else(
        || (value::ip("unicast_peer", first, report), None),
        |(address, length)| (Some(address), length),
    );
    if let Some(length) = length {
        let at = text.len() - length.len() - 1;
        let span = first.span.within(at, length.len() + 1);
        report.warn(span, "a peer has no prefix length; this one is not used", "remove it");
    }
    let (mut least, mut most) = (0, u8::MAX);
    while let Some((option, rest)) = options.split_first() {
        let bound = match value::bare(option, report) {
            "min_ttl" => &mut least,
            "max_ttl" => &mut most,
            other => {
                let message = format!("`{other}` is not known after a peer");
                report.error_with(option.span, message, "expected `min_ttl` or `max_ttl`");
                return None;
            }
        };
        let Some((number, rest)) = rest.split_first() else {
            report.error(option.span, format!("`{}` lacks its value", option.text));
            return None;
        };
        *bound = value::integer(&option.text, number, 0..=u8::MAX, report)?;
        options = rest;
    }
    if least > most {
        let message = format!("no advert has a TTL of at least {least} and at most {most}");
        report.error_with(first.span, message, "`min_ttl` is the smaller one");
        return None;
    }
    Some((Peer { address: address?, ttl: least..=most }, first.span))
}

impl Draft<'_> {
    /// The heartbeat lines; `None` with an error.
    pub(super) fn paths(&self, is_ipv6: bool, report: &mut Report) -> Option<Vec<PathConfig>> {
        let unicast = &self.unicast;
        let source = self.source.map(|(source, _)| source);
        let peers = validate::peers(&unicast.peers, source, &self.vips, is_ipv6, report)?;
        if unicast.failed {
            return None;
        }
        if peers.is_empty() {
            self.without_peers(report)?;
            return Some(Vec::new());
        }
        if let Some((_, word)) = self.group {
            let message = "`mcast_dst_ip` has no effect: the adverts go to the peers";
            report.warn(word.span, message, "remove it, or the peers");
        }
        self.old_checksum(is_ipv6, report)?;
        Some(vec![PathConfig { interface: self.interface.clone()?, peers }])
    }

    /// keepalived advertises by multicast when there are words about unicast, but no peers.
    fn without_peers(&self, report: &mut Report) -> Option<()> {
        let unicast = &self.unicast;
        if let Some(entry) = unicast.fault_no_peer {
            report.error_with(
                entry.span,
                "`unicast_fault_no_peer`, and there is no peer: the instance would never hold its addresses",
                "name the other routers in `unicast_peer`, or remove it",
            );
            return None;
        }
        if let Some(entry) = unicast.block {
            report.warn(
                entry.span,
                "`unicast_peer` names no peer, so the adverts are multicast, as in keepalived",
                "name the other routers, or remove the block",
            );
        } else if let Some(entry) = unicast.source {
            report.warn(
                entry.span,
                "`unicast_src_ip` without `unicast_peer`: the adverts are multicast, as in keepalived",
                "name the other routers in `unicast_peer`, or write `mcast_src_ip`",
            );
        }
        if let Some((_, word)) = unicast.ttl {
            let message = "`unicast_ttl` has no effect without `unicast_peer`: multicast has TTL 255";
            report.warn(word.span, message, "name the other routers in `unicast_peer`, or remove it");
        }
        if let Some(entry) = unicast.old_checksum {
            let message = "`old_unicast_checksum` has no effect without `unicast_peer`";
            report.warn(entry.span, message, "remove it");
        }
        if let Some((source, word)) = self.source
            && let Some(remark) = validate::source_remark(source)
        {
            report.warn(word.span, remark, "remove it: the interface's link-local address is used then");
        }
        Some(())
    }

    /// The form of the version 3 checksum that keepalived 1.3.6 and older have in unicast adverts.
    fn old_checksum(&self, is_ipv6: bool, report: &mut Report) -> Option<()> {
        let Some(entry) = self.unicast.old_checksum else { return Some(()) };
        match entry.args.first() {
            Some(word) if value::bare(word, report) == "never" => Some(()),
            Some(word) => {
                let message = format!(
                    "`old_unicast_checksum` is alone or followed by `never`, here is `{}`",
                    word.text
                );
                report.error(word.span, message);
                None
            }
            None if self.version == Version::V3 && !is_ipv6 => {
                report.error_with(
                    entry.span,
                    "`old_unicast_checksum` is not supported by this version",
                    "it is for keepalived 1.3.6 and older: bring the other routers up to date, and remove it",
                );
                None
            }
            None => {
                let message = "`old_unicast_checksum` has no effect: it is about IPv4 in version 3";
                report.warn(entry.span, message, "remove it");
                Some(())
            }
        }
    }
}
