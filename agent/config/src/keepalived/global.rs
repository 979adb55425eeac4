//! `global_defs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hafleet_vrrp::{Announcing, Version};

use super::{
    announcing::{self, Garp, Groups},
    check,
    keywords::Place,
    section::{self, Entry},
    tree::{Block, Word},
    value,
};
use crate::{
    Pacing, Scheduling,
    security::{Policy, UserName},
    source::{Report, Span},
};

/// The groups of RFC 9568 sections 5.1.1.2 and 5.1.2.2.
const VRRP_GROUPS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)), IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12))];

/// What instances have when they do not say otherwise, and what concerns the whole agent.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub version: Version,
    pub announcing: Announcing,
    pub pacing: Pacing,
    pub garp_groups: Groups,
    pub answers_lower: bool,
    pub answers_higher: bool,
    /// `script_user`, and where it stands.
    pub script_user: Option<(UserName, Span)>,
    pub script_policy: Policy,
    pub scheduling: Scheduling,
    garp: Garp,
    min_garp: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            version: Version::V2,
            announcing: Announcing::default(),
            pacing: Pacing::default(),
            garp_groups: Groups::default(),
            answers_lower: true,
            answers_higher: true,
            script_user: None,
            script_policy: Policy::default(),
            scheduling: Scheduling::default(),
            garp: Garp::default(),
            min_garp: false,
        }
    }
}

impl Defaults {
    /// Takes what one `global_defs` block says.
    pub fn read(&mut self, block: &Block, report: &mut Report) {
        for entry in section::read(Place::Global, &block.statements, report).entries {
            match (entry.name, entry.args) {
                ("script_user", words) => self.script_user = check::user(words, report),
                ("enable_script_security", _) => self.script_policy.is_strict = true,
                (_, [word]) => self.value(entry, word, report),
                (_, args) => self.switch(entry, args, report),
            }
        }
        self.announcing = self.garp.global(self.min_garp);
    }

    fn value(&mut self, entry: Entry<'_>, word: &Word, report: &mut Report) {
        let name = entry.name;
        match name {
            "vrrp_version" => self.version = version(name, word, report).unwrap_or(self.version),
            "vrrp_mcast_group4" | "vrrp_mcast_group6" => {
                let group = value::ip(name, word, report);
                multicast_group(name, word, group, name == "vrrp_mcast_group6", report);
            }
            "vrrp_down_timer_adverts" => down_timer_adverts(name, word, report),
            "vrrp_garp_interval" => {
                self.pacing.garp = announcing::pause(name, word, report).unwrap_or_default();
            }
            "vrrp_gna_interval" => {
                self.pacing.gna = announcing::pause(name, word, report).unwrap_or_default();
            }
            "vrrp_rt_priority" => {
                self.scheduling.realtime_priority = value::integer(name, word, 1..=99, report);
            }
            _ if name.starts_with("vrrp_garp_") => {
                self.garp.take(name, word, report);
            }
            _ => self.switch(entry, std::slice::from_ref(word), report),
        }
    }

    fn switch(&mut self, entry: Entry<'_>, args: &[Word], report: &mut Report) {
        let name = entry.name;
        match name {
            "vrrp_no_swap" => self.scheduling.lock_memory = true,
            "vrrp_strict" => strict(name, args, entry, report),
            "vrrp_min_garp" => self.min_garp = value::switch(name, args, report).unwrap_or(false),
            "vrrp_lower_prio_no_advert" => {
                self.answers_lower = value::switch(name, args, report) != Some(true);
            }
            "vrrp_higher_prio_send_advert" => {
                self.answers_higher = value::switch(name, args, report) != Some(false);
            }
            _ => {}
        }
    }
}

pub(super) fn version(name: &str, word: &Word, report: &mut Report) -> Option<Version> {
    match value::integer(name, word, 2..=3_u8, report)? {
        2 => Some(Version::V2),
        _ => Some(Version::V3),
    }
}

/// Only the RFC's group of the family is served.
pub(super) fn multicast_group(
    name: &str,
    word: &Word,
    group: Option<IpAddr>,
    is_ipv6: bool,
    report: &mut Report,
) {
    let [v4, v6] = VRRP_GROUPS;
    let own = if is_ipv6 { v6 } else { v4 };
    if group.is_some_and(|group| group != own) {
        let message = format!("`{name}`: a group other than {own} is not supported by this version");
        report.error_with(
            word.span,
            message,
            "all routers of a group must use the same; remove it on all of them",
        );
    }
}

pub(super) fn down_timer_adverts(name: &str, word: &Word, report: &mut Report) {
    if value::integer(name, word, 1..=100_u8, report).is_some_and(|adverts| adverts != 3) {
        let message = format!("`{name}`: a number other than 3 is not supported by this version");
        report.error_with(
            word.span,
            message,
            "all routers of a group must use the same; remove it on all of them",
        );
    }
}

pub(super) fn strict(name: &str, args: &[Word], entry: Entry<'_>, report: &mut Report) {
    if value::switch(name, args, report) == Some(true) {
        report.error_with(
            entry.span,
            format!("`{name}` is not supported by this version"),
            "it forbids passwords, traffic to the addresses and more; remove it on all routers of the group",
        );
    }
}
