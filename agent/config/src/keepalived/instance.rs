//! `vrrp_instance`.

mod authentication;
mod election;
mod tracking;
mod unicast;
mod vmac;

use std::{net::IpAddr, time::Duration};

use hafleet_vrrp::{Authentication, ChecksumForm, Priority, Version, VirtualRouterId};

use self::unicast::Unicast;
use super::{
    address,
    announcing::Garp,
    global,
    global::Defaults,
    keywords::Place,
    section::{self, Entry, Section},
    tree::Word,
    value,
};
use crate::{
    Instance, Lease, OnIsolation, VipConfig, Vmac, checks,
    checks::{Definitions, Kind},
    source::{Report, Span},
    track::Tracked,
    validate,
};

/// Reads one instance; `None` when it has an error.
pub(super) fn read(
    entry: &Entry<'_>,
    defaults: &Defaults,
    definitions: &Definitions,
    report: &mut Report,
) -> Option<Instance> {
    let (name, block) = (entry.args.first()?, entry.block?);
    let mut draft = Draft::new(defaults, definitions);
    let Section { entries, meant } = section::read(Place::Instance, &block.statements, report);
    // An interface named late still counts for the labels of addresses that stand before it.
    let (addresses, others): (Vec<Entry<'_>>, Vec<Entry<'_>>) =
        entries.into_iter().partition(|entry| entry.name.starts_with("virtual_ipaddress"));
    for entry in others {
        draft.take(entry, report);
    }
    draft.address_lines += meant.iter().filter(|name| name.starts_with("virtual_ipaddress")).count();
    draft.seen.extend(meant);
    let interface = draft.interface.clone().unwrap_or_default();
    for entry in addresses {
        let advertised = entry.name == "virtual_ipaddress";
        let Some(block) = entry.block else { continue };
        draft.address_lines += block.statements.len();
        address::read(block, advertised, &interface, &mut draft.vips, report);
    }
    draft.finish(name, report)
}

/// The parts of an instance, in whatever order they come.
struct Draft<'s> {
    definitions: &'s Definitions,
    tracks: Vec<(Tracked, Span)>,
    interface: Option<String>,
    vrid: Option<VirtualRouterId>,
    version: Version,
    /// Where the instance itself says 2.
    version_2: Option<&'s Word>,
    native_ipv6: Option<Entry<'s>>,
    state_master: Option<&'s Word>,
    priority: Option<(Priority, &'s Word)>,
    interval: Option<(u64, &'s Word)>,
    nopreempt: Option<Entry<'s>>,
    preempt_delay: Option<(Duration, Entry<'s>)>,
    authentication: Option<(Entry<'s>, Authentication)>,
    source: Option<(IpAddr, &'s Word)>,
    group: Option<(IpAddr, &'s Word)>,
    unicast: Unicast<'s>,
    defaults: &'s Defaults,
    garp: Garp,
    answers_lower: bool,
    answers_higher: bool,
    track_service: bool,
    accept: Option<Entry<'s>>,
    vmac: Option<(Vmac, Entry<'s>)>,
    vmac_xmit_base: Option<Entry<'s>>,
    vips: Vec<(VipConfig, Span)>,
    /// Lines about addresses, right or wrong.
    address_lines: usize,
    /// Keywords that were there, even if their value was wrong.
    seen: Vec<&'static str>,
}

impl<'s> Draft<'s> {
    fn new(defaults: &'s Defaults, definitions: &'s Definitions) -> Self {
        Self {
            definitions,
            tracks: Vec::new(),
            interface: None,
            vrid: None,
            version: defaults.version,
            version_2: None,
            native_ipv6: None,
            state_master: None,
            priority: None,
            interval: None,
            nopreempt: None,
            preempt_delay: None,
            authentication: None,
            source: None,
            group: None,
            unicast: Unicast::default(),
            defaults,
            garp: Garp::default(),
            answers_lower: defaults.answers_lower,
            answers_higher: defaults.answers_higher,
            track_service: true,
            accept: None,
            vmac: None,
            vmac_xmit_base: None,
            vips: Vec::new(),
            address_lines: 0,
            seen: Vec::new(),
        }
    }

    fn take(&mut self, entry: Entry<'s>, report: &mut Report) {
        let Entry { name, args, block, .. } = entry;
        self.seen.push(name);
        match (name, args, block) {
            ("authentication", _, Some(block)) => {
                self.authentication = authentication::read(entry, block, report).map(|auth| (entry, auth));
            }
            ("nopreempt", _, _) => self.nopreempt = Some(entry),
            ("preempt", _, _) => self.preempt(report),
            ("native_ipv6", _, _) => self.native_ipv6 = Some(entry),
            ("unicast_peer", _, Some(block)) => self.unicast.take(entry, block, report),
            ("track_script", _, Some(block)) => self.track(Some(Kind::Script), block, report),
            ("track_process", _, Some(block)) => self.track(Some(Kind::Process), block, report),
            ("track_interface", _, Some(block)) => self.track(None, block, report),
            ("track_file", _, Some(block)) => self.track(Some(Kind::File), block, report),
            ("vrrp_track_file", _, Some(block)) => {
                let message =
                    "`vrrp_track_file` is read as `track_file`; keepalived would not read it in an instance";
                report.warn(entry.span, message, "write `track_file`");
                self.track(Some(Kind::File), block, report);
            }
            ("unicast_fault_no_peer", _, _) => self.unicast.fault_no_peer = Some(entry),
            ("old_unicast_checksum", _, _) => self.unicast.old_checksum = Some(entry),
            ("dont_track_primary", _, _) => self.track_service = false,
            ("accept" | "no_accept", _, _) => self.accept(entry, report),
            ("use_vmac", _, _) => self.use_vmac(entry, report),
            ("vmac_xmit_base", _, _) => self.vmac_xmit_base = Some(entry),
            ("lower_prio_no_advert", args, _) => {
                self.answers_lower = value::switch(name, args, report) != Some(true);
            }
            ("higher_prio_send_advert", args, _) => {
                self.answers_higher = value::switch(name, args, report) != Some(false);
            }
            ("strict_mode", args, _) => global::strict(name, args, entry, report),
            (_, [word], _) => self.value(entry, word, report),
            (_, _, _) => {}
        }
    }

    fn value(&mut self, entry: Entry<'s>, word: &'s Word, report: &mut Report) {
        let name = entry.name;
        match name {
            "state" => self.state(word, report),
            "interface" => self.interface = address::interface(name, word, report),
            "virtual_router_id" => {
                self.vrid = value::integer(name, word, 1..=u8::MAX, report).and_then(VirtualRouterId::new);
            }
            "priority" => {
                let priority = value::integer(name, word, 1..=u8::MAX, report).and_then(Priority::new);
                self.priority = priority.map(|priority| (priority, word));
            }
            "advert_int" => {
                self.interval =
                    value::seconds_us(name, word, 10_000..=255_000_000, report).map(|us| (us, word));
            }
            "preempt_delay" => {
                let delay =
                    value::seconds_us(name, word, 0..=1_000_000_000, report).map(Duration::from_micros);
                self.preempt_delay = delay.map(|delay| (delay, entry));
            }
            "version" => {
                self.version = global::version(name, word, report).unwrap_or(self.version);
                self.version_2 = (self.version == Version::V2).then_some(word);
            }
            "mcast_src_ip" | "unicast_src_ip" => self.source(entry, word, report),
            "unicast_ttl" => {
                self.unicast.ttl = value::integer(name, word, 1..=u8::MAX, report).map(|ttl| (ttl, word));
            }
            "mcast_dst_ip" => self.group = value::ip(name, word, report).map(|address| (address, word)),
            "down_timer_adverts" => global::down_timer_adverts(name, word, report),
            _ => self.garp.take(name, word, report),
        }
    }

    /// The two keywords for the source are one.
    fn source(&mut self, entry: Entry<'s>, word: &'s Word, report: &mut Report) {
        if let Some((_, earlier)) = self.source {
            report.warn(
                earlier.span,
                format!("`mcast_src_ip` and `unicast_src_ip` are the same; `{}` is not used", earlier.text),
                "the last one counts; remove one of them",
            );
        }
        self.source = value::ip(entry.name, word, report).map(|address| (address, word));
        self.unicast.source = Some(entry).filter(|entry| entry.name == "unicast_src_ip");
    }

    /// Whether the instance runs over IPv6, and what follows from it.
    fn family(&mut self, report: &mut Report) -> Option<bool> {
        let is_ipv6 = validate::family(&self.vips, report)?;
        if let Some(entry) = self.native_ipv6.filter(|_| !is_ipv6) {
            report.error_with(
                entry.span,
                "`native_ipv6` stands in an instance with IPv4 addresses",
                "remove it: the family of the addresses decides",
            );
            return None;
        }
        if is_ipv6 {
            if let Some(word) = self.version_2 {
                report.warn(
                    word.span,
                    "version 3 is used: version 2 carries IPv4 only",
                    "write `version 3`, or remove it: an instance with IPv6 addresses always uses 3, in keepalived too",
                );
            }
            self.version = Version::V3;
        }
        if let Some((group, word)) = self.group {
            global::multicast_group("mcast_dst_ip", word, Some(group), is_ipv6, report);
        }
        if let Some((source, word)) = self.source
            && let Some(fault) = validate::source_fault(source, is_ipv6)
        {
            report.error_with(word.span, fault, validate::SOURCE_HELP);
        }
        Some(is_ipv6)
    }

    fn finish(mut self, name: &Word, report: &mut Report) -> Option<Instance> {
        let at = name.span;
        for required in ["interface", "virtual_router_id"] {
            if !self.seen.contains(&required) {
                let message = format!("`vrrp_instance {}` has no `{required}`", name.text);
                report.error_with(at, message, example(required));
            }
        }
        if name.text.is_empty() || name.text.chars().any(char::is_control) {
            report.error(at, "an instance's name is a visible word");
        }
        if self.address_lines == 0 {
            let message = format!("`vrrp_instance {}` has no address to hold", name.text);
            report.error_with(
                at,
                message,
                "write a `virtual_ipaddress { … }` block with one address on a line",
            );
        }
        let family = self.family(report);
        let priority = self.priority(report);
        let interval = self.interval(report);
        let (preempt, preempt_delay) = self.preemption(priority, report);
        let authentication = self.checked_authentication(report);
        let accept = self.accepts(priority, report);
        let paths = family.and_then(|is_ipv6| self.paths(is_ipv6, report));
        let paths = paths?;
        let vmac = self.finished_vmac(!paths.is_empty(), report);
        let interface = self.interface?;
        let pacing = self.defaults.garp_groups.pacing(&interface, self.defaults.pacing);
        let tracks = checks::effective(self.tracks, &interface, priority, report);
        Some(Instance {
            name: name.text.clone(),
            interface,
            vrid: self.vrid?,
            version: self.version,
            priority,
            interval: interval?,
            preempt,
            preempt_delay,
            authentication,
            checksum: ChecksumForm::WithPseudoHeader,
            vips: self.vips.into_iter().map(|(vip, _)| vip).collect(),
            paths,
            unicast_ttl: self.unicast.ttl.map_or(u8::MAX, |(ttl, _)| ttl),
            pacing,
            answers_lower: self.answers_lower,
            answers_higher: self.answers_higher,
            track_service: self.track_service,
            tracks,
            accept,
            vmac,
            on_isolation: OnIsolation::Keep,
            source: self.source.map(|(source, _)| source),
            announcing: self.garp.over(self.defaults.announcing),
            lease: Lease::default(),
            defined_at: report.place(at),
        })
    }
}

fn example(keyword: &str) -> &'static str {
    match keyword {
        "interface" => "write the service interface, such as `interface eth0`",
        _ => {
            "write a number from 1 to 255, the same on every router of the group, such as `virtual_router_id 51`"
        }
    }
}
