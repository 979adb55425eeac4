//! Metrics of each virtual router.

use std::{collections::BTreeSet, time::Duration};

use hafleet_vrrp::{Instant, State, TrackResult, Version};

use super::{Kind, Metric, Samples};
use crate::{
    config::track::Subject,
    driver::{InstanceSnapshot, TrackSnapshot},
    present::Present,
};

const STATES: [State; 4] = [State::Init, State::Backup, State::Master, State::Fault];

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "hafleet_vrrp_instance_info",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "interface", "vrid", "version", "family"],
        about: "Always 1: what a virtual router is. `version` is 2 or 3, `family` `ipv4` or `ipv6`",
        read: |present, samples| {
            for one in routers(present) {
                let config = &one.config;
                let version = match config.version {
                    Version::V2 => 2,
                    Version::V3 => 3,
                };
                let family = if config.is_ipv6() { "ipv6" } else { "ipv4" };
                let vrid = config.vrid.get();
                samples.add([&config.name, &config.interface, &vrid, &version, &family], 1);
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_state",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "state"],
        about: "1 for the state that a virtual router is in, 0 for each of the others: `init`, `backup`, `master`, `fault`",
        read: |present, samples| {
            for one in routers(present) {
                for state in STATES {
                    samples.add_flag([&one.config.name, &word(state)], one.state == state);
                }
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_state_since_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "When it entered that state",
        read: |present, samples| {
            for one in routers(present) {
                let since = present.on_the_wall_us(Instant::from_micros(one.since_mono_us));
                samples.add_us([&one.config.name], since);
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_transitions_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance", "to"],
        about: "How often it entered each state",
        read: |present, samples| {
            for one in routers(present) {
                for state in STATES {
                    samples.add([&one.config.name, &word(state)], one.transitions.to(state));
                }
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_priority",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "Its priority as configured",
        read: |present, samples| each(present, samples, |one| one.config.priority.get().into()),
    },
    Metric {
        name: "hafleet_vrrp_effective_priority",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "Its priority after tracking",
        read: |present, samples| each(present, samples, |one| one.effective_priority.into()),
    },
    Metric {
        name: "hafleet_vrrp_advert_interval_seconds",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "Its own advertisement interval",
        read: |present, samples| {
            for one in routers(present) {
                samples.add_real([&one.config.name], one.config.interval.as_duration().as_secs_f64());
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_master_down_seconds",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "Without an advert for so long it takes over",
        read: |present, samples| {
            for one in routers(present) {
                samples.add_real([&one.config.name], Duration::as_secs_f64(&one.master_down));
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_adverts_sent_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Adverts sent",
        read: |present, samples| each(present, samples, |one| one.adverts_sent),
    },
    Metric {
        name: "hafleet_vrrp_adverts_accepted_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Adverts of other routers accepted",
        read: |present, samples| each(present, samples, |one| one.adverts_accepted),
    },
    Metric {
        name: "hafleet_vrrp_packets_rejected_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Packets with its VRID rejected, for whatever reason and from whatever source",
        read: |present, samples| each(present, samples, |one| one.packets_rejected),
    },
    Metric {
        name: "hafleet_vrrp_duplicates_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Adverts with its own priority and source address heard while it was MASTER: another host has its address",
        read: |present, samples| each(present, samples, |one| one.duplicates),
    },
    Metric {
        name: "hafleet_vrrp_address_refusals_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Times the kernel refused one of its addresses, or a fight over one was given up",
        read: |present, samples| each(present, samples, |one| one.refusals),
    },
    Metric {
        name: "hafleet_vrrp_address_repairs_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Addresses put back after somebody removed them",
        read: |present, samples| each(present, samples, |one| one.repairs),
    },
    Metric {
        name: "hafleet_vrrp_foreign_addresses_released_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance"],
        about: "Its addresses taken off this host because they were there while it was not MASTER",
        read: |present, samples| each(present, samples, |one| one.foreign_released),
    },
    Metric {
        name: "hafleet_vrrp_addresses",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "Virtual addresses it is configured to hold",
        read: |present, samples| each(present, samples, |one| one.config.vips.len() as u64),
    },
    Metric {
        name: "hafleet_vrrp_addresses_present",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "Those of them that the kernel has now",
        read: |present, samples| each(present, samples, |one| one.addresses_present.len() as u64),
    },
    Metric {
        name: "hafleet_vrrp_interface_up",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "interface"],
        about: "1 when its service interface has carrier",
        read: |present, samples| {
            for one in routers(present) {
                samples.add_flag([&one.config.name, &one.config.interface], one.carrier);
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_path_up",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "interface"],
        about: "1 when adverts can be sent and heard on a heartbeat line: the interface works and has an address to send from",
        read: |present, samples| {
            for (one, path) in paths(present) {
                samples.add_flag([&one.config.name, &path.interface], path.link.is_ok());
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_path_sending",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "interface"],
        about: "0 when the last advert could not be sent on a heartbeat line, to one destination at least",
        read: |present, samples| {
            for (one, path) in paths(present) {
                samples.add_flag([&one.config.name, &path.interface], !path.is_failing);
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_path_send_failures_total",
        kind: Kind::Counter,
        labels: &["vrrp_instance", "interface"],
        about: "Adverts that could not be sent on a heartbeat line",
        read: |present, samples| {
            for (one, path) in paths(present) {
                samples.add([&one.config.name, &path.interface], path.send_failures);
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_path_last_accepted_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "interface"],
        about: "When an advert was last accepted on a heartbeat line; absent when none ever was",
        read: |present, samples| {
            for (one, path) in paths(present) {
                if let Some(last) = path.last_accepted {
                    samples.add_us([&one.config.name, &path.interface], present.on_the_wall_us(last));
                }
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_awaits_tracks",
        kind: Kind::Gauge,
        labels: &["vrrp_instance"],
        about: "1 while it has not entered the election because it waits for the first results of what it tracks",
        read: |present, samples| each(present, samples, |one| one.awaits_tracks.into()),
    },
    Metric {
        name: "hafleet_vrrp_track_up",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "kind", "track"],
        about: "1 when what it tracks is up, 0 when it is down. `kind` is `interface` or `check`; absent before the first result, \
                and for a file, which says a number",
        read: |present, samples| {
            for (one, track) in tracks(present) {
                match track.result {
                    Some(TrackResult::Up) => samples.add_flag(labels(one, track), true),
                    Some(TrackResult::Down) => samples.add_flag(labels(one, track), false),
                    Some(TrackResult::Value(_)) | None => {}
                }
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_track_value",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "kind", "track"],
        about: "The number in a file that it tracks",
        read: |present, samples| {
            for (one, track) in tracks(present) {
                if let Some(TrackResult::Value(value)) = track.result {
                    samples.add_real(labels(one, track), value.into());
                }
            }
        },
    },
    Metric {
        name: "hafleet_vrrp_track_weight",
        kind: Kind::Gauge,
        labels: &["vrrp_instance", "kind", "track"],
        about: "What that does to its priority, as configured; 0: it cannot serve while it is down",
        read: |present, samples| {
            for (one, track) in tracks(present) {
                samples.add_real(labels(one, track), track.weight.into());
            }
        },
    },
];

fn routers(present: &Present) -> impl Iterator<Item = &InstanceSnapshot> {
    present.engine.iter().flat_map(|engine| &engine.instances)
}

fn each(present: &Present, samples: &mut Samples, number: impl Fn(&InstanceSnapshot) -> u64) {
    for one in routers(present) {
        samples.add([&one.config.name], number(one));
    }
}

fn paths(present: &Present) -> impl Iterator<Item = (&InstanceSnapshot, &crate::driver::PathSnapshot)> {
    routers(present).flat_map(|one| one.paths.iter().map(move |path| (one, path)))
}

/// What one instance tracks twice is told once: a page with one name twice is no page.
fn tracks(present: &Present) -> impl Iterator<Item = (&InstanceSnapshot, &TrackSnapshot)> {
    routers(present).flat_map(|one| {
        let mut told = BTreeSet::new();
        one.tracks.iter().filter(move |track| told.insert(&track.subject)).map(move |track| (one, track))
    })
}

fn labels<'a>(one: &'a InstanceSnapshot, track: &'a TrackSnapshot) -> [&'a dyn std::fmt::Display; 3] {
    match &track.subject {
        Subject::Interface(name) => [&one.config.name, &"interface", name],
        Subject::Check(name) => [&one.config.name, &"check", name],
    }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Init => "init",
        State::Backup => "backup",
        State::Master => "master",
        State::Fault => "fault",
    }
}
