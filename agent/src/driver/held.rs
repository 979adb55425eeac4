//! One virtual address of one router: what was asked of the kernel, what it answered, and what it has.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use hafleet_vrrp::{Instant, Vip};

use crate::{
    config::{Instance, Lease, VipConfig},
    net::address::AddressSpec,
};

/// Repairs in quick succession before somebody else is taken to be at work and the pace drops to one a second.
const MOST_QUICK_REPAIRS: u8 = 5;
const QUICK: Duration = Duration::from_secs(1);

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
    /// Why it has to be put back, until it is.
    pub(super) repairing: Option<String>,
    /// Announcements that wait for the kernel to have it.
    pub(super) announce: u8,
    quick_repairs: u8,
    repaired_at: Option<Instant>,
}

impl HeldAddress {
    pub(super) fn new(instance: &Instance, vip: &VipConfig, line: usize) -> Self {
        let lease = match instance.lease {
            Lease::For(lease) => Some(lease),
            Lease::Off => None,
        };
        let spec = AddressSpec {
            interface: interface_of(instance, vip).to_owned(),
            address: vip.vip.address,
            prefix_len: vip.vip.prefix_len,
            label: vip.label.clone(),
            scope: vip.scope,
            broadcast: vip.broadcast,
            lease,
        };
        Self {
            vip: vip.vip,
            spec: Arc::new(spec),
            line,
            phase: Phase::Absent,
            ticket: 0,
            renewed_at: Instant::default(),
            repairing: None,
            announce: 0,
            quick_repairs: 0,
            repaired_at: None,
        }
    }

    /// Its lease ran out before a renewal was granted: the kernel has dropped it, or will any moment.
    pub(super) fn lapsed(&self, now: Instant) -> bool {
        self.spec.lease.is_some_and(|lease| now.since(self.renewed_at) >= lease)
    }

    /// Whether to put it back now. Bounded: against somebody who removes it again and again, once a second.
    pub(super) fn may_repair(&mut self, now: Instant) -> bool {
        let quick = self.repaired_at.is_some_and(|at| now.since(at) < QUICK);
        if quick && self.quick_repairs >= MOST_QUICK_REPAIRS {
            return false;
        }
        self.quick_repairs = if quick { self.quick_repairs + 1 } else { 0 };
        self.repaired_at = Some(now);
        true
    }

    pub(super) fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.vip.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// `192.168.178.3/24`.
    pub(super) fn text(&self) -> String {
        format!("{}/{}", self.vip.address, self.vip.prefix_len)
    }
}

/// The interface that a VIP goes on.
pub(super) fn interface_of<'a>(instance: &'a Instance, vip: &'a VipConfig) -> &'a str {
    vip.dev.as_deref().unwrap_or(&instance.interface)
}

#[cfg(test)]
mod tests {
    use hafleet_vrrp::{
        AdvertInterval, Announcing, Authentication, ChecksumForm, Priority, Version, VirtualRouterId,
    };

    use super::*;

    fn held() -> HeldAddress {
        let vip = VipConfig {
            vip: Vip { address: [192, 168, 178, 3].into(), prefix_len: 24, advertised: true },
            dev: None,
            label: None,
            scope: 0,
            broadcast: None,
        };
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
    fn a_fight_over_an_address_slows_down_to_one_repair_a_second() {
        let mut address = held();
        let mut repairs = 0;
        for ms in 0..10_000 {
            repairs += u32::from(address.may_repair(Instant::from_micros(ms * 1_000)));
        }
        // Six at once, then five more at most after every quiet second.
        assert!((10..=60).contains(&repairs), "{repairs}");
        let mut alone = held();
        assert!((0..10).all(|s| alone.may_repair(Instant::from_micros(s * 2_000_000))));
    }
}
