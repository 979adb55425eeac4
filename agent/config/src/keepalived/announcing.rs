//! How a master makes itself known: the `garp_*` keywords, which `global_defs` and instances share, and `garp_group`.

use std::time::Duration;

use hafleet_vrrp::Announcing;

use super::{
    address,
    keywords::Place,
    section::{self, Entry},
    tree::{Block, Word},
    value,
};
use crate::{
    Pacing,
    source::{Report, Span},
};

/// Gratuitous ARPs after this long would be taken for somebody else's.
const LONGEST_DELAY_S: u64 = 3600;
/// More than a pause between two packets.
const LONGEST_PAUSE_US: u64 = 10_000_000;

/// What one block says; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Garp {
    delay: Option<Duration>,
    repeat: Option<u8>,
    lower_delay: Option<Duration>,
    lower_repeat: Option<u8>,
    refresh: Option<Duration>,
    refresh_repeat: Option<u8>,
}

impl Garp {
    /// Takes a keyword, with or without its `vrrp_`.
    pub(super) fn take(&mut self, name: &str, word: &Word, report: &mut Report) {
        let delay = |report: &mut Report| {
            value::integer(name, word, 0..=LONGEST_DELAY_S, report).map(Duration::from_secs)
        };
        let count = |least: u8, report: &mut Report| value::integer(name, word, least..=u8::MAX, report);
        match name.trim_start_matches("vrrp_") {
            "garp_master_delay" => self.delay = delay(report),
            "garp_master_repeat" => self.repeat = count(1, report),
            "garp_lower_prio_delay" => self.lower_delay = delay(report),
            "garp_lower_prio_repeat" => self.lower_repeat = count(0, report),
            "garp_master_refresh" => {
                let seconds = value::integer(name, word, 0..=u32::MAX, report);
                self.refresh = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            }
            "garp_master_refresh_repeat" => self.refresh_repeat = count(1, report),
            _ => {}
        }
    }

    /// What `global_defs` says: after a lower advert as after a takeover, unless it says otherwise.
    pub(super) fn global(self, minimal: bool) -> Announcing {
        let mut base = Announcing::default();
        if minimal {
            let (repeat, delay) = (1, Duration::ZERO);
            base = Announcing { repeat, delay, lower_repeat: repeat, lower_delay: delay, ..base };
        }
        let lower = Self {
            lower_delay: self.lower_delay.or(self.delay),
            lower_repeat: self.lower_repeat.or(self.repeat),
            ..self
        };
        lower.over(base)
    }

    /// What an instance says, over what `global_defs` says. In keepalived, and here, the instance's `garp_master_*` does
    /// not count after a lower advert.
    pub(super) fn over(self, defaults: Announcing) -> Announcing {
        let (delay, repeat) = (self.delay.unwrap_or(defaults.delay), self.repeat.unwrap_or(defaults.repeat));
        Announcing {
            repeat,
            delay,
            delayed_repeat: if delay.is_zero() { 0 } else { repeat },
            lower_repeat: self.lower_repeat.unwrap_or(defaults.lower_repeat),
            lower_delay: self.lower_delay.unwrap_or(defaults.lower_delay),
            refresh: self.refresh.unwrap_or(defaults.refresh),
            refresh_repeat: self.refresh_repeat.unwrap_or(defaults.refresh_repeat),
        }
    }
}

/// A pause between two announcements.
pub(super) fn pause(name: &str, word: &Word, report: &mut Report) -> Option<Duration> {
    value::seconds_us(name, word, 0..=LONGEST_PAUSE_US, report).map(Duration::from_micros)
}

/// The pauses of single interfaces, instead of those of `global_defs`.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(Vec<(String, Pacing)>);

impl Groups {
    /// The pauses on an interface.
    pub(super) fn pacing(&self, interface: &str, otherwise: Pacing) -> Pacing {
        self.0.iter().find(|(name, _)| name == interface).map_or(otherwise, |(_, pacing)| *pacing)
    }

    /// Takes one `garp_group`.
    pub(super) fn take(&mut self, entry: &Entry<'_>, block: &Block, report: &mut Report) {
        let (mut pacing, mut names): (Pacing, Vec<(String, Span)>) = (Pacing::default(), Vec::new());
        let mut add = |word: &Word, report: &mut Report| {
            names.extend(address::interface("garp_group", word, report).map(|name| (name, word.span)));
        };
        for entry in section::read(Place::GarpGroup, &block.statements, report).entries {
            match (entry.name, entry.args, entry.block) {
                ("garp_interval", [word], _) => {
                    pacing.garp = pause(entry.name, word, report).unwrap_or_default()
                }
                ("gna_interval", [word], _) => {
                    pacing.gna = pause(entry.name, word, report).unwrap_or_default()
                }
                ("interface", [word], _) => add(word, report),
                (_, _, Some(block)) => {
                    for line in &block.statements {
                        std::iter::once(&line.keyword).chain(&line.args).for_each(|word| add(word, report));
                    }
                }
                (_, _, _) => {}
            }
        }
        if names.is_empty() || pacing == Pacing::default() {
            let message = "a `garp_group` without an interface or without a pause does nothing";
            return report.warn(
                entry.span,
                message,
                "write `garp_interval` or `gna_interval`, and the interfaces",
            );
        }
        if let [_, (_, second), ..] = names.as_slice() {
            let message = "the pauses are kept on each interface of the group, not over all of them";
            report.warn(
                *second,
                message,
                "write one group for each interface if a keepalived reads the file too",
            );
        }
        for (name, span) in names {
            if self.0.iter().any(|(other, _)| *other == name) {
                let message = format!("`{name}` is in two groups; this one does not count for it");
                report.warn(span, message, "remove it from one of them");
            } else {
                self.0.push((name, pacing));
            }
        }
    }
}
