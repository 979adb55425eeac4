//! `vrrp_instance`.

use std::{net::IpAddr, time::Duration};

use hafleet_vrrp::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Priority, Version, VirtualRouterId,
};

use super::{
    address, global,
    global::Defaults,
    keywords::Place,
    section::{self, Entry, Section},
    tree::{Block, Word},
    value,
};
use crate::config::{Instance, Lease, Pacing, VipConfig, source::Report};

/// Bytes of a version 2 password (RFC 2338 section 5.3.6.1).
const PASSWORD_LEN: usize = 8;

/// Reads one instance; `None` when it has an error.
pub(super) fn read(entry: &Entry<'_>, defaults: &Defaults, report: &mut Report) -> Option<Instance> {
    let (name, block) = (entry.args.first()?, entry.block?);
    let mut draft = Draft::new(defaults);
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
    interface: Option<String>,
    vrid: Option<VirtualRouterId>,
    version: Version,
    state_master: Option<&'s Word>,
    priority: Option<(Priority, &'s Word)>,
    interval: Option<(u64, &'s Word)>,
    nopreempt: Option<Entry<'s>>,
    preempt_delay: Option<(Duration, Entry<'s>)>,
    authentication: Option<(Entry<'s>, Authentication)>,
    source: Option<IpAddr>,
    announcing: Announcing,
    vips: Vec<VipConfig>,
    /// Lines about addresses, right or wrong.
    address_lines: usize,
    /// Keywords that were there, even if their value was wrong.
    seen: Vec<&'static str>,
}

impl<'s> Draft<'s> {
    fn new(defaults: &Defaults) -> Self {
        Self {
            interface: None,
            vrid: None,
            version: defaults.version,
            state_master: None,
            priority: None,
            interval: None,
            nopreempt: None,
            preempt_delay: None,
            authentication: None,
            source: None,
            announcing: defaults.announcing,
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
                self.authentication = authentication(entry, block, report).map(|auth| (entry, auth));
            }
            ("nopreempt", _, _) => self.nopreempt = Some(entry),
            ("preempt", _, _) => self.preempt(report),
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
            "version" => self.version = global::version(name, word, report).unwrap_or(self.version),
            "mcast_src_ip" => self.source = value::ipv4(name, word, report).map(IpAddr::V4),
            "mcast_dst_ip" => global::multicast_group(name, word, report),
            "down_timer_adverts" => global::down_timer_adverts(name, word, report),
            _ => global::announcing(name, word, &mut self.announcing, report),
        }
    }

    fn state(&mut self, word: &'s Word, report: &mut Report) {
        let text = value::bare(word, report);
        match text.to_ascii_uppercase().as_str() {
            "MASTER" => self.state_master = Some(word),
            "BACKUP" => self.state_master = None,
            _ => report.error(word.span, format!("`state` is MASTER or BACKUP, here is `{text}`")),
        }
        if text != text.to_ascii_uppercase()
            && (text.eq_ignore_ascii_case("master") || text.eq_ignore_ascii_case("backup"))
        {
            report.warn(
                word.span,
                format!("`{text}` is read as {}; keepalived would not read it", text.to_ascii_uppercase()),
                "write it in capital letters",
            );
        }
    }

    fn preempt(&mut self, report: &mut Report) {
        if let Some(entry) = self.nopreempt.take() {
            report.warn(entry.span, "`nopreempt` is undone by the `preempt` after it", "remove one of them");
        }
    }

    fn finish(self, name: &Word, report: &mut Report) -> Option<Instance> {
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
        let priority = self.priority(report);
        let interval = self.interval(report);
        let (preempt, preempt_delay) = self.preemption(priority, report);
        let authentication = self.checked_authentication(report);
        let instance = Instance {
            name: name.text.clone(),
            interface: self.interface?,
            vrid: self.vrid?,
            version: self.version,
            priority,
            interval: interval?,
            preempt,
            preempt_delay,
            authentication,
            checksum: ChecksumForm::WithPseudoHeader,
            vips: self.vips,
            paths: Vec::new(),
            unicast_ttl: u8::MAX,
            pacing: Pacing::default(),
            answers_lower: true,
            answers_higher: true,
            track_service: true,
            tracks: Vec::new(),
            accept: true,
            vmac: None,
            source: self.source,
            announcing: self.announcing,
            lease: Lease::default(),
            defined_at: report.place(at),
        };
        (!instance.vips.is_empty()).then_some(instance)
    }

    fn priority(&self, report: &mut Report) -> Priority {
        if let Some((priority, _)) = self.priority {
            return priority;
        }
        match self.state_master {
            Some(word) if !self.seen.contains(&"priority") => {
                report.warn(
                    word.span,
                    "`state MASTER` without `priority` means priority 255, the owner of the addresses",
                    "write the `priority` that is meant, such as 150",
                );
                Priority::OWNER
            }
            Some(_) | None => Priority::DEFAULT,
        }
    }

    /// The interval in the steps of the version, `None` when it is out of its range.
    fn interval(&self, report: &mut Report) -> Option<AdvertInterval> {
        let Some((us, word)) = self.interval else {
            return (!self.seen.contains(&"advert_int")).then_some(AdvertInterval::DEFAULT);
        };
        let (step_us, why) = match self.version {
            Version::V2 => {
                (1_000_000, "version 2 advertises in whole seconds; `version 3` on all routers allows less")
            }
            Version::V3 => (10_000, "version 3 advertises in steps of 0.01 seconds"),
        };
        let rounded_us = ((us + step_us / 2) / step_us).max(1) * step_us;
        let interval = u16::try_from(rounded_us / 10_000)
            .ok()
            .and_then(|cs| AdvertInterval::from_centiseconds(cs, self.version));
        if interval.is_none() {
            report.error(
                word.span,
                format!("`advert_int` is at most 40.95 in version 3, here is `{}`", word.text),
            );
        } else if rounded_us != us {
            let message =
                format!("`advert_int` is rounded to {} seconds, as keepalived does", rounded_us as f64 / 1e6);
            report.warn(word.span, message, why);
        }
        interval
    }

    fn preemption(&self, priority: Priority, report: &mut Report) -> (bool, Duration) {
        let delay = self.preempt_delay.filter(|(delay, _)| !delay.is_zero());
        let Some(entry) = self.nopreempt else {
            if let (Some(_), Some((_, entry))) = (self.state_master, delay) {
                let message = "`preempt_delay` counts here; keepalived would drop it next to `state MASTER`";
                report.warn(entry.span, message, "write `state BACKUP` on every router of the group");
            }
            return (true, delay.map_or(Duration::ZERO, |(delay, _)| delay));
        };
        if priority == Priority::OWNER {
            let message = "`nopreempt` has no effect with priority 255: the owner always takes over";
            report.warn(entry.span, message, "choose a priority below 255, or remove `nopreempt`");
            return (true, Duration::ZERO);
        }
        if self.state_master.is_some() {
            let message = "`nopreempt` counts here; keepalived would drop it next to `state MASTER`";
            report.warn(entry.span, message, "write `state BACKUP` on every router of the group");
        }
        if let Some((_, entry)) = delay {
            let message = "`preempt_delay` has no effect with `nopreempt`";
            report.warn(entry.span, message, "remove one of them");
        }
        (false, Duration::ZERO)
    }

    fn checked_authentication(&self, report: &mut Report) -> Authentication {
        match (&self.authentication, self.version) {
            (None, _) => Authentication::None,
            (Some((_, authentication)), Version::V2) => authentication.clone(),
            (Some((entry, _)), Version::V3) => {
                let message = "version 3 has no authentication; this block is not used";
                report.warn(entry.span, message, "remove it; keepalived does not use it either");
                Authentication::None
            }
        }
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

/// `authentication { … }`; `None` when it is wrong.
fn authentication(entry: Entry<'_>, block: &Block, report: &mut Report) -> Option<Authentication> {
    let Section { entries, meant } = section::read(Place::Authentication, &block.statements, report);
    if !meant.is_empty() {
        return None;
    }
    let word =
        |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.args.first());
    let (kind, password) = (word("auth_type"), word("auth_pass"));
    match kind.map(|word| (word, value::bare(word, report).to_ascii_uppercase())) {
        Some((_, kind)) if kind == "PASS" => {}
        Some((word, kind)) if kind == "AH" => {
            let message = "`auth_type AH` is not supported by this version";
            report.error_with(
                word.span,
                message,
                "use `PASS`, or no authentication, on all routers of the group",
            );
            return None;
        }
        Some((word, _)) => {
            report.error(word.span, format!("`auth_type` is PASS, here is `{}`", word.text));
            return None;
        }
        None => report.warn(
            entry.span,
            "there is no `auth_type`; PASS is meant, but keepalived would use no password",
            "write `auth_type PASS`",
        ),
    }
    if let Some(word) = kind.filter(|word| word.text.trim_end_matches(';') != "PASS") {
        report.warn(word.span, "keepalived would not read this", "write `PASS` in capital letters");
    }
    let Some(word) = password.filter(|word| !word.text.is_empty()) else {
        let at = password.map_or(entry.span, |word| word.span);
        report.error_with(
            at,
            "there is no password",
            "write `auth_pass` and up to 8 letters, or remove the block",
        );
        return None;
    };
    let mut bytes = [0; PASSWORD_LEN];
    bytes.iter_mut().zip(word.text.bytes()).for_each(|(to, from)| *to = from);
    if word.text.len() > PASSWORD_LEN {
        let message = format!("the password has {} bytes; only the first 8 are used", word.text.len());
        report.warn(word.span, message, "shorten it on every router of the group");
    }
    Some(Authentication::Pass(bytes))
}
