//! Metrics of who is heard. How many sources there are is up to whoever is on the segment, so at most [`SOURCES_MAX`] are named,
//! as a coordinator is told: those that matter most here.
//!
//! [`SOURCES_MAX`]: crate::uplink::SOURCES_MAX

use hafleet_vrrp::{
    Instant,
    heard::{HeardAdvert, Rejected},
};

use super::{Kind, Metric, Samples};
use crate::{present::Present, uplink::worth_telling};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "hafleet_vrrp_heard_accepted_total",
        kind: Kind::Counter,
        labels: &["interface", "vrid", "source"],
        about: "Adverts of a source that the virtual router with their VRID accepted",
        read: |present, samples| {
            for (interface, one) in heard(present) {
                samples.add([interface, &one.vrid, &one.source], one.accepted);
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_heard_rejected_total",
        kind: Kind::Counter,
        labels: &["interface", "vrid", "source", "reason"],
        about: "Packets of a source that it rejected, by reason: `auth_mismatch`, `interval_mismatch`, `version_mismatch`, \
                `checksum`, `ttl`, …",
        read: |present, samples| counted(present, samples, |one| &one.rejected),
    },
    Metric {
        name: "hafleet_vrrp_heard_remarked_total",
        kind: Kind::Counter,
        labels: &["interface", "vrid", "source", "remark"],
        about: "Adverts of a source that it accepted although they are odd: `address_mismatch`, `trailing_bytes`, \
                `duplicate_source`",
        read: |present, samples| counted(present, samples, |one| &one.remarked),
    },
    Metric {
        name: "hafleet_vrrp_heard_priority",
        kind: Kind::Gauge,
        labels: &["interface", "vrid", "source"],
        about: "Priority in the last packet of a source, accepted or not",
        read: |present, samples| {
            for (interface, one) in heard(present) {
                samples.add([interface, &one.vrid, &one.source], one.priority.into());
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_heard_last_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &["interface", "vrid", "source"],
        about: "When the last packet of a source came, accepted or not",
        read: |present, samples| {
            for (interface, one) in heard(present) {
                let last: Instant = one.last_heard;
                samples.add_us([interface, &one.vrid, &one.source], present.on_the_wall_us(last));
            }
        },
    },
];

fn heard(present: &Present) -> impl Iterator<Item = (&String, &HeardAdvert)> {
    let named = present.engine.as_ref().map(|engine| worth_telling(&engine.heard)).unwrap_or_default();
    named.into_iter().map(|(interface, one)| (interface, one))
}

fn counted(present: &Present, samples: &mut Samples, list: impl Fn(&HeardAdvert) -> &[Rejected]) {
    for (interface, one) in heard(present) {
        for counted in list(one) {
            samples.add([interface, &one.vrid, &one.source, &counted.reason], counted.count);
        }
    }
}
