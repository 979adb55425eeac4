//! Who becomes master, and when: state, priority, interval, preemption.

use std::time::Duration;

use hafleet_vrrp::{AdvertInterval, Priority, Version};

use super::{
    super::{tree::Word, value},
    Draft,
};
use crate::source::Report;

impl<'s> Draft<'s> {
    pub(super) fn state(&mut self, word: &'s Word, report: &mut Report) {
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

    pub(super) fn preempt(&mut self, report: &mut Report) {
        if let Some(entry) = self.nopreempt.take() {
            report.warn(entry.span, "`nopreempt` is undone by the `preempt` after it", "remove one of them");
        }
    }

    pub(super) fn priority(&self, report: &mut Report) -> Priority {
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
    pub(super) fn interval(&self, report: &mut Report) -> Option<AdvertInterval> {
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

    pub(super) fn preemption(&self, priority: Priority, report: &mut Report) -> (bool, Duration) {
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
}
