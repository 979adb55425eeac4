//! From what the engine knows to what a coordinator reads.

use std::net::IpAddr;

use hafleet_proto::v1;
use hafleet_vrrp::{Authentication, Instant, Version, heard::HeardAdvert};

use super::heard::worth_telling;
use crate::{
    config::Instance,
    driver::{ArpObservation, EngineSnapshot, InstanceSnapshot, PathSnapshot},
    journal::{bounded, wire_state},
    orders,
    push::Clocks,
    reference::ReferenceStatus,
    run::{ActStatus, ConfigurationStatus},
};

/// What a snapshot has beside what the engine knows.
#[derive(Clone, Debug, Default)]
pub struct Asides {
    /// What became of configurations.
    pub configuration: ConfigurationStatus,
    /// What was ordered and pushed.
    pub acting: ActStatus,
    /// The reference addresses.
    pub references: Vec<ReferenceStatus>,
}

/// The present, whole but for sources heard beyond a bound, taken at `now`. `seq` is the last journalled event that it is sure to include.
pub fn snapshot(
    engine: &EngineSnapshot,
    asides: &Asides,
    seq: u64,
    now: Instant,
    at_us: i64,
) -> v1::Snapshot {
    let Asides { configuration, acting, references } = asides;
    v1::Snapshot {
        seq,
        at_us,
        instances: engine.instances.iter().map(|one| instance(one, acting, now)).collect(),
        heard: worth_telling(&engine.heard)
            .into_iter()
            .map(|(interface, one)| heard(interface, one, now))
            .collect(),
        configuration_refused: configuration.error.as_ref().map(|why| v1::ConfigurationRefused {
            why: bounded(why.clone()),
            age_us: configuration
                .error_at_us
                .and_then(|error_at_us| u64::try_from(at_us.saturating_sub(error_at_us)).ok())
                .unwrap_or(0),
        }),
        orders: acting.orders.iter().map(orders::to_wire).collect(),
        pushed: Some(acting.push.to_wire(&Clocks::now())),
        references: references.iter().map(|one| reference(one, now)).collect(),
        orders_unreadable: acting.orders_error.clone().map(bounded).unwrap_or_default(),
    }
}

fn reference(one: &ReferenceStatus, now: Instant) -> v1::Reference {
    v1::Reference {
        address: one.address.to_string(),
        interface: one.interface.clone(),
        reachable: one.reachable,
        age_us: u64::try_from(now.since(one.asked).as_micros()).unwrap_or(u64::MAX),
    }
}

/// What a probe saw.
pub fn arp(observations: Vec<ArpObservation>) -> Vec<v1::ArpObservation> {
    let wire = |one: ArpObservation| v1::ArpObservation {
        interface: one.interface,
        target: one.target.to_string(),
        macs: one.macs,
        error: one.error,
    };
    observations.into_iter().map(wire).collect()
}

fn instance(one: &InstanceSnapshot, acting: &ActStatus, now: Instant) -> v1::InstanceState {
    let InstanceSnapshot { config, .. } = one;
    v1::InstanceState {
        instance: config.name.clone(),
        interface: config.interface.clone(),
        vrid: config.vrid.get().into(),
        version: match config.version {
            Version::V2 => 2,
            Version::V3 => 3,
        },
        state: wire_state(one.state).into(),
        in_state_us: now.as_micros().saturating_sub(one.since_mono_us),
        reason: one.reason.to_owned(),
        reason_detail: one.reason_detail.clone(),
        priority: config.priority.get().into(),
        effective_priority: one.effective_priority.into(),
        advert_interval_cs: config.interval.as_centiseconds().into(),
        master_down_us: u64::try_from(one.master_down.as_micros()).unwrap_or(u64::MAX),
        auth: match config.authentication {
            Authentication::None => "none",
            Authentication::Pass(_) => "pass",
        }
        .to_owned(),
        preempt: config.preempt,
        addresses: with_prefixes(config, |_| true),
        addresses_present: with_prefixes(config, |address| one.addresses_present.contains(&address)),
        source_address: optional(one.source),
        carrier: one.carrier,
        interface_errors: one.interface_errors,
        master_source: optional(one.master_source),
        adverts_sent: one.adverts_sent,
        adverts_accepted: one.adverts_accepted,
        defined_at: config.defined_at.to_string(),
        paths: one.paths.iter().map(|one| path(one, now)).collect(),
        pushed_generation: Some(acting.push.generation_of(&config.defined_at.file).unwrap_or(0)),
    }
}

fn path(one: &PathSnapshot, now: Instant) -> v1::PathState {
    let age_us = |then: Instant| u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX);
    v1::PathState {
        interface: one.interface.clone(),
        source_address: optional(one.link.ok()),
        fault: one.link.err().map(|fault| fault.code().to_owned()).unwrap_or_default(),
        last_accepted_age_us: one.last_accepted.map(age_us),
        failing: one.is_failing,
        send_failures: one.send_failures,
        last_send_error: one.last_send_error.clone(),
    }
}

/// The addresses of `config` that `chosen` chooses, as `ADDRESS/LEN`.
pub fn with_prefixes(config: &Instance, chosen: impl Fn(IpAddr) -> bool) -> Vec<String> {
    config
        .vips
        .iter()
        .filter(|vip| chosen(vip.vip.address))
        .map(|vip| format!("{}/{}", vip.vip.address, vip.vip.prefix_len))
        .collect()
}

fn heard(interface: &str, one: &HeardAdvert, now: Instant) -> v1::HeardAdvert {
    let age_us = |then: Instant| u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX);
    v1::HeardAdvert {
        interface: interface.to_owned(),
        vrid: one.vrid.into(),
        source: one.source.to_string(),
        version: one.version.into(),
        priority: one.priority.into(),
        advert_interval_cs: one.interval_cs.into(),
        addresses: one.addresses.iter().map(ToString::to_string).collect(),
        auth: one.auth.clone(),
        last_heard_age_us: age_us(one.last_heard),
        accepted: one.accepted,
        rejections: one
            .rejected
            .iter()
            .map(|rejected| v1::Rejection {
                reason: rejected.reason.to_owned(),
                count: rejected.count,
                last_age_us: age_us(rejected.last),
                detail: rejected.detail.clone(),
            })
            .collect(),
        vrid_configured: one.vrid_configured,
        checksum_form: one.checksum_form.to_owned(),
    }
}

fn optional(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}
