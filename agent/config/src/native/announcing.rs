//! `announcing`: how a new master makes itself known.

use std::{ops::RangeInclusive, time::Duration};

use hafleet_vrrp::Announcing;

use super::{
    keys::Keys,
    value::{self, Field},
};
use crate::{Pacing, source::Report};

const EXPECTED: &str = "a table { repeat = 5, delay = \"5s\", delayed_repeat = 5 }";
/// As for keepalived's `garp_master_delay`.
const DELAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
/// A day: beyond it nobody's table keeps an entry.
const REFRESH: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
/// More than a pause between two packets.
const PAUSE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10);

/// Reads the table; `None` with an error.
pub(super) fn read(field: Field<'_>, report: &mut Report) -> Option<(Announcing, Pacing)> {
    let (mut announcing, mut pacing) = (Announcing::default(), Pacing::default());
    let (mut lower_repeat, mut lower_delay) = (None, None);
    for field in value::table(field, Keys::Announcing, EXPECTED, report)? {
        match field.key.as_str() {
            "repeat" => announcing.repeat = value::integer(field, 1..=u8::MAX, report)?,
            "delay" => announcing.delay = value::time(field, DELAY, report)?,
            "delayed_repeat" => announcing.delayed_repeat = value::integer(field, 0..=u8::MAX, report)?,
            "lower_repeat" => lower_repeat = Some(value::integer(field, 0..=u8::MAX, report)?),
            "lower_delay" => lower_delay = Some(value::time(field, DELAY, report)?),
            "refresh" => announcing.refresh = value::time(field, REFRESH, report)?,
            "refresh_repeat" => announcing.refresh_repeat = value::integer(field, 1..=u8::MAX, report)?,
            "garp_interval" => pacing.garp = value::time(field, PAUSE, report)?,
            _ => pacing.gna = value::time(field, PAUSE, report)?,
        }
    }
    announcing.lower_repeat = lower_repeat.unwrap_or(announcing.repeat);
    announcing.lower_delay = lower_delay.unwrap_or(announcing.delay);
    Some((announcing, pacing))
}
