//! Is the reason of a transition true in the world?

use std::time::Duration;

use hafleet_vrrp::{HoldCause, Instant, Reason, State, Transition, Version};

use crate::host::Host;

pub fn is_true(host: &Host, transition: &Transition, now: Instant) -> bool {
    let (witness, config, ours) = (&host.witness, host.running(), host.priority());
    let (followed_at, followed_cs) = witness.followed;
    let follows_lower = config.preempt_delay > Duration::ZERO
        || witness.refused_at.is_some()
        || witness.reconfigured_at.is_some();
    let cs = witness.lower_cs.filter(|_| follows_lower).map_or(followed_cs, |cs| cs.min(followed_cs));
    let is_silent = now.since(followed_at) >= interval(cs) * 3 + skew(host, cs);
    let has_resigned = witness.resigned_at.is_some_and(|at| now.since(at) >= skew(host, cs));
    let ends = (transition.from, transition.to);
    let takes_over = ends == (State::Backup, State::Master);
    let yields = ends == (State::Master, State::Backup);
    let leaves_fault = transition.from == State::Fault;
    let has_changed = witness.reconfigured_at == Some(now);
    // Whoever serves, or stands by to serve, can.
    let can_serve = host.link_obstacle().is_none() && host.failing().is_none() && host.held.is_none();
    let is_possible = match transition.to {
        State::Backup | State::Master => can_serve,
        State::Init | State::Fault => true,
    };
    host.is_awake()
        && is_possible
        && match &transition.reason {
            Reason::Started => ends == (State::Init, State::Backup),
            Reason::AddressOwner => {
                let starts = ends == (State::Init, State::Master);
                ours == 255 && (starts || takes_over && has_changed)
            }
            Reason::Stopped => transition.to == State::Init,
            Reason::MasterDown { .. } => takes_over && is_silent,
            Reason::MasterResigned { .. } => takes_over && has_resigned,
            Reason::Preempted { priority, .. } => {
                let has_heard = witness.lower_cs.is_some() && *priority < ours && config.preempt;
                takes_over && has_heard && (is_silent || has_resigned)
            }
            Reason::HigherPriorityHeard { source, priority, .. } => {
                let is_heard = witness.hearing.is_some_and(|(s, p, _)| (s, p) == (*source, *priority));
                yields && is_heard && *priority > ours
            }
            Reason::HigherAddressHeard { source, priority, .. } => {
                let is_heard = witness.hearing.is_some_and(|(s, p, _)| (s, p) == (*source, *priority));
                yields && is_heard && *priority == ours && *source > config.source()
            }
            Reason::Link(fault) => transition.to == State::Fault && host.link_obstacle() == Some(*fault),
            Reason::LinkRestored => leaves_fault,
            Reason::AddressRefused { .. } => {
                ends == (State::Master, State::Fault) && witness.refused_at == Some(now)
            }
            Reason::AddressContested { address, .. } => {
                let window = Duration::from_secs(10);
                let removals =
                    witness.removals.iter().filter(|(at, which)| which == address && now.since(*at) < window);
                ends == (State::Master, State::Fault) && removals.count() > 3
            }
            Reason::Retry { after } => leaves_fault && now.since(witness.fault_at) >= *after,
            Reason::Held => {
                transition.to == State::Fault
                    && matches!(host.held, Some(HoldCause::Fence | HoldCause::Maintenance))
            }
            Reason::Isolated => transition.to == State::Fault && host.held == Some(HoldCause::Isolation),
            Reason::Unheld | Reason::Reconnected => leaves_fault,
            // Ordered just now, from a master that must yield to it.
            Reason::TookOver { ours: told, .. } => {
                let must_yield = witness.master.is_none_or(|theirs| theirs < ours);
                takes_over && witness.ordered_at == Some(now) && *told == ours && must_yield
            }
            Reason::Adopted => {
                let at_once = config.preempt && config.preempt_delay.is_zero();
                let own_cs = config.interval.as_centiseconds();
                let has_listened = now.since(witness.began_at) >= interval(own_cs);
                let starts = ends == (State::Init, State::Master) && at_once;
                witness.adopts && (starts || takes_over && has_listened)
            }
            Reason::TrackFailed { track, .. } => {
                let is_failing = host.failing().is_some_and(|failing| failing.name == *track);
                transition.to == State::Fault && is_failing
            }
            Reason::TracksRestored => leaves_fault,
            Reason::Reconfigured => leaves_fault && has_changed,
        }
}

pub fn interval(cs: u16) -> Duration {
    Duration::from_millis(u64::from(cs) * 10)
}

/// RFC 3768 and RFC 9568 sections 6.1, written down a second time on purpose.
pub fn skew(host: &Host, master_cs: u16) -> Duration {
    let whole = match host.running().version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => interval(master_cs),
    };
    let us = whole.as_micros() * u128::from(256 - u16::from(host.priority())) / 256;
    Duration::from_micros(u64::try_from(us).unwrap())
}
