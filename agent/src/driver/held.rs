//! One virtual address of one router: what was asked of the kernel, what it answered, and what it has.

use std::{sync::Arc, time::Duration};

use hafleet_vrrp::{Instant, Vip};
use netlink_packet_route::address::AddressFlags;

use super::{line::Line, plan::vmac_interface};
use crate::{
    config::{Instance, Lease, VipConfig},
    net::{Family, address::AddressSpec, link::Address},
};

/// How long the kernel may take to answer an addition.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The same for an address with a lease, if that is not shorter.
const LEASED_WITHIN: Duration = Duration::from_secs(3);

/// Where an address stands between the router's wish and the kernel's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not wanted, or refused.
    Absent,
    /// Asked for.
    Adding,
    /// The kernel has it.
    Held,
    /// The kernel had it and lost it; the router knows.
    Lost,
    /// Its removal was asked for.
    Removing,
    /// The host's own address, permanent and not ours to touch: the router is its owner (priority 255).
    Native,
}

/// A virtual address and its way through the phases.
#[derive(Debug)]
pub(super) struct HeldAddress {
    pub(super) vip: Vip,
    pub(super) spec: Arc<AddressSpec>,
    /// The line that it is on.
    pub(super) line: usize,
    pub(super) phase: Phase,
    /// Of the last addition or removal; an answer to an older one means nothing any more.
    pub(super) ticket: u64,
    /// When the last addition or renewal that the kernel granted was asked for.
    pub(super) renewed_at: Instant,
    /// When the last addition that the kernel granted was asked for.
    pub(super) added_at: Instant,
    /// The last addition or renewal, and when it was asked for, until it is answered.
    pub(super) awaits: Option<(u64, Instant)>,
    /// Why it has to be put back, until it is.
    pub(super) repairing: Option<String>,
    /// Announcements that wait for the kernel to have it, and to use it.
    pub(super) announce: u8,
    /// The kernel would not remove it.
    pub(super) undeleted: bool,
    /// The configuration has it no more: it is forgotten when the kernel has it no more either.
    pub(super) leaving: bool,
}

impl HeldAddress {
    pub(super) fn new(instance: &Instance, vip: &VipConfig, line: usize) -> Self {
        Self {
            vip: vip.vip,
            spec: Arc::new(spec_of(instance, vip)),
            line,
            phase: Phase::Absent,
            ticket: 0,
            renewed_at: Instant::default(),
            added_at: Instant::default(),
            awaits: None,
            repairing: None,
            announce: 0,
            undeleted: false,
            leaving: false,
        }
    }

    /// Its lease ran out before a renewal was granted: the kernel has dropped it, or will any moment.
    pub(super) fn lapsed(&self, now: Instant) -> bool {
        self.spec.lease.is_some_and(|lease| now.since(self.renewed_at) >= lease)
    }

    /// When the kernel's silence means that this host does not have the address; `None` while nothing is awaited, and for
    /// one that stays without being renewed.
    pub(super) fn answer_due(&self) -> Option<Instant> {
        let (_, asked_at) = self.awaits?;
        match self.phase {
            Phase::Adding => {
                Some(asked_at + self.spec.lease.map_or(ANSWER_WITHIN, |lease| lease.min(LEASED_WITHIN)))
            }
            Phase::Held => self.spec.lease.map(|lease| self.renewed_at + lease),
            Phase::Absent | Phase::Lost | Phase::Removing | Phase::Native => None,
        }
    }

    /// Why it is gone, as far as can be known.
    pub(super) fn why_gone(&self, now: Instant) -> String {
        if self.phase == Phase::Held && self.lapsed(now) {
            let late = now.since(self.renewed_at).as_secs_f64();
            format!("its lease ran out: it was not renewed for {late:.1} s")
        } else {
            "somebody removed it".to_owned()
        }
    }

    /// Whether the kernel begins to use it some time after it was added: not before duplicate address detection is done.
    pub(super) fn is_tentative_at_first(&self) -> bool {
        Family::of(self.vip.address) == Family::V6 && !self.spec.flags.contains(AddressFlags::Nodad)
    }

    /// Whether it is not used yet, as far as has been seen.
    pub(super) fn is_tentative_on(&self, line: Option<&Line>) -> bool {
        let present = line.and_then(|line| line.find(self.vip.address, self.spec.prefix_len));
        self.is_tentative_at_first() && !present.is_some_and(Address::is_usable)
    }

    /// `192.168.178.3/24`.
    pub(super) fn text(&self) -> String {
        format!("{}/{}", self.vip.address, self.vip.prefix_len)
    }
}

/// What the kernel is told about a VIP.
pub(super) fn spec_of(instance: &Instance, vip: &VipConfig) -> AddressSpec {
    let lease = match instance.lease {
        Lease::For(lease) => Some(lease),
        Lease::Off => None,
    };
    let (peer, prefix_len) = match vip.peer {
        Some((peer, prefix_len)) => (Some(peer), prefix_len),
        None => (None, vip.vip.prefix_len),
    };
    AddressSpec {
        interface: interface_of(instance, vip).to_owned(),
        address: vip.vip.address,
        prefix_len,
        peer,
        label: vip.label.clone(),
        scope: vip.scope,
        broadcast: vip.broadcast,
        flags: flags(vip),
        lease,
        preferred_s: vip.preferred_s,
    }
}

/// What the kernel is asked for beside the address. Duplicate address detection is off unless it is asked for.
fn flags(vip: &VipConfig) -> AddressFlags {
    let is_v6 = Family::of(vip.vip.address) == Family::V6;
    let asked_for = [
        (AddressFlags::Nodad, is_v6 && !vip.flags.dad),
        (AddressFlags::Homeaddress, is_v6 && vip.flags.home),
        (AddressFlags::Managetempaddr, is_v6 && vip.flags.mngtmpaddr),
        (AddressFlags::Noprefixroute, vip.flags.noprefixroute),
        (AddressFlags::Mcautojoin, vip.flags.autojoin),
    ];
    asked_for.into_iter().filter(|(_, is_asked_for)| *is_asked_for).map(|(flag, _)| flag).collect()
}

/// The interface that a VIP goes on: that of the virtual MAC takes the place of the service interface.
pub(super) fn interface_of<'a>(instance: &'a Instance, vip: &'a VipConfig) -> &'a str {
    let service = instance.interface.as_str();
    match (vip.dev.as_deref().unwrap_or(service), vmac_interface(instance)) {
        (chosen, Some(vmac)) if chosen == service => vmac,
        (chosen, Some(_) | None) => chosen,
    }
}

#[cfg(test)]
mod tests {
    use hafleet_vrrp::{
        AdvertInterval, Announcing, Authentication, ChecksumForm, Priority, Version, VirtualRouterId,
    };

    use super::*;
    use crate::config::{OnIsolation, Pacing};

    fn held() -> HeldAddress {
        let vip =
            VipConfig::new(Vip { address: [192, 168, 178, 3].into(), prefix_len: 24, advertised: true });
        let instance = Instance {
            name: "VI_1".into(),
            interface: "ens33".into(),
            vrid: VirtualRouterId::new(51).unwrap(),
            version: Version::V2,
            priority: Priority::DEFAULT,
            interval: AdvertInterval::DEFAULT,
            preempt: true,
            preempt_delay: Duration::ZERO,
            authentication: Authentication::None,
            checksum: ChecksumForm::WithPseudoHeader,
            vips: vec![vip.clone()],
            paths: Vec::new(),
            unicast_ttl: u8::MAX,
            pacing: Pacing::default(),
            answers_lower: true,
            answers_higher: false,
            track_service: true,
            tracks: Vec::new(),
            accept: true,
            vmac: None,
            on_isolation: OnIsolation::Keep,
            source: None,
            announcing: Announcing::default(),
            lease: Lease::default(),
            defined_at: Default::default(),
        };
        HeldAddress::new(&instance, &vip, 0)
    }

    #[test]
    fn a_lease_lapses_when_no_renewal_was_granted_in_time() {
        let mut address = held();
        address.renewed_at = Instant::from_micros(1_000_000);
        assert!(!address.lapsed(Instant::from_micros(3_999_999)));
        assert!(address.lapsed(Instant::from_micros(4_000_000)));
    }

    #[test]
    fn an_answer_is_due_before_the_kernel_can_have_dropped_the_address() {
        let at = Instant::from_micros;
        let mut address = held();
        assert_eq!(address.answer_due(), None);
        (address.phase, address.awaits) = (Phase::Adding, Some((1, at(1_000_000))));
        assert_eq!(address.answer_due(), Some(at(4_000_000)));
        // A renewal: by the end of the lease that is in force, not of the one asked for.
        (address.phase, address.renewed_at, address.awaits) =
            (Phase::Held, at(1_000_000), Some((2, at(2_000_000))));
        assert_eq!(address.answer_due(), Some(at(4_000_000)));
        (address.phase, address.awaits) = (Phase::Held, None);
        assert_eq!(address.answer_due(), None);
    }
}
