//! `global_defs`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use hafleet_vrrp::{Announcing, Version};

use super::{
    keywords::Place,
    section::{self, Entry},
    tree::{Block, Word},
    value,
};
use crate::config::{source::Report, track::RunAs};

/// Gratuitous ARPs after this long would be taken for somebody else's.
const LONGEST_GARP_DELAY_S: u64 = 3600;
/// More than a pause between two packets.
const LONGEST_GARP_INTERVAL_US: u64 = 10_000_000;
/// The groups of RFC 9568 sections 5.1.1.2 and 5.1.2.2.
const VRRP_GROUPS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)), IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12))];

/// What instances have when they do not say otherwise.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub version: Version,
    pub announcing: Announcing,
    pub run_as: RunAs,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { version: Version::V2, announcing: Announcing::default(), run_as: RunAs::default() }
    }
}

impl Defaults {
    /// Takes what one `global_defs` block says.
    pub fn read(&mut self, block: &Block, report: &mut Report) {
        for entry in section::read(Place::Global, &block.statements, report).entries {
            let Entry { name, args, .. } = entry;
            match (name, args) {
                ("vrrp_version", [word]) => {
                    self.version = version(name, word, report).unwrap_or(self.version);
                }
                ("vrrp_mcast_group4", [word]) => {
                    multicast_group(name, word, value::ip(name, word, report), false, report);
                }
                ("vrrp_mcast_group6", [word]) => {
                    multicast_group(name, word, value::ip(name, word, report), true, report);
                }
                ("vrrp_down_timer_adverts", [word]) => down_timer_adverts(name, word, report),
                ("vrrp_garp_interval" | "vrrp_gna_interval", [word]) => {
                    if value::seconds_us(name, word, 0..=LONGEST_GARP_INTERVAL_US, report)
                        .is_some_and(|us| us > 0)
                    {
                        let message =
                            format!("`{name}` is not active: announcements are sent without pauses");
                        report.warn(word.span, message, "remove it here, or leave it for keepalived");
                    }
                }
                ("vrrp_strict", args) => strict(name, args, entry, report),
                ("vrrp_min_garp", args) => {
                    if value::switch(name, args, report) == Some(true) {
                        self.announcing = Announcing {
                            repeat: 1,
                            delay: Duration::ZERO,
                            delayed_repeat: 0,
                            ..self.announcing
                        };
                    }
                }
                (_, [word]) => {
                    announcing(name.trim_start_matches("vrrp_"), word, &mut self.announcing, report)
                }
                (_, _) => {}
            }
        }
    }
}

/// The `garp_*` keywords that instances and `global_defs` share.
pub(super) fn announcing(name: &str, word: &Word, announcing: &mut Announcing, report: &mut Report) {
    match name {
        "garp_master_delay" => {
            if let Some(seconds) = value::integer(name, word, 0..=LONGEST_GARP_DELAY_S, report) {
                announcing.delay = Duration::from_secs(seconds);
                announcing.delayed_repeat = if seconds == 0 { 0 } else { announcing.repeat };
            }
        }
        "garp_master_repeat" => {
            if let Some(repeat) = value::integer(name, word, 1..=u8::MAX, report) {
                announcing.repeat = repeat;
                announcing.delayed_repeat = if announcing.delay.is_zero() { 0 } else { repeat };
            }
        }
        "garp_master_refresh" => refresh(name, word, report),
        _ => {}
    }
}

fn refresh(name: &str, word: &Word, report: &mut Report) {
    if value::integer(name, word, 0..=u32::MAX, report).is_some_and(|seconds| seconds > 0) {
        report.warn(
            word.span,
            format!("`{name}` is not active: announcements are not repeated later in this version"),
            "remove it, or leave it for keepalived",
        );
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
